"""Classes that a researcher wrote, by reference: `FILE.py:Class` or `package.module:Class`.

Such code runs because somebody named it on a command line, in a recipe or in a call. What a record or a checkpoint
says never makes it run.
"""

import hashlib
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)

FORMS = "FILE.py:Class or package.module:Class"
REFERENCE = re.compile(r"(?P<place>.+\.py|[\w.]+):(?P<name>\w+)")


def is_reference(name: str) -> bool:
    """Say whether a name is a reference to a class; a name in a table of ours or on the Hub is none."""
    return REFERENCE.fullmatch(name) is not None


def references_in(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a recipe whose values are references: whoever takes them runs somebody's code."""
    names = {option: recipe.get(option) for option in ("objective", "task", "dataset_name")}
    return {option: name for option, name in names.items() if isinstance(name, str) and is_reference(name)}


def check_named(options: Mapping[str, Any], named: Collection[str] | None) -> None:
    """Raise `ValueError` in one line for a reference in options that nobody `named`; `None` stands for all."""
    for option, reference in references_in(options).items():
        if named is not None and reference not in named:
            option, shown = "task" if option == "dataset_name" else option, without_folder(reference)
            raise ValueError(
                f"its {option} is {shown}, somebody's own code, which runs only where you name it: "
                f"give --{option} {shlex.quote(f'PATH/{shown}')}"
            )


def load_class(reference: str, kind: Kind) -> Kind:
    """Import the class that a reference names.

    A file is imported once, under a name of its own, and finds the modules that stand beside it.

    Args:
        reference (`str`): `FILE.py:Class`, the file as seen from the working directory, or `package.module:Class`.
        kind (`type`): what the class must extend: `Objective` or `Task`.

    Raises:
        ValueError: in one line, if it is not of that form, there is no such file, module or class, importing it fails,
            or the class is of another kind or leaves out what all of its kind have.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r} names no class: write {FORMS}")
    place, name = match["place"], match["name"]
    module = import_file(Path(place)) if place.endswith(".py") else import_named(place)
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        classes = [key for key, value in vars(module).items() if defines(module, value, kind)]
        there = f"; it defines {', '.join(classes)}" if classes else f", nor any other {kind.__name__}"
        raise ValueError(f"{reference}: there is no class {name} in {place}{there}")
    if not issubclass(found, kind):
        bases = ", ".join(base.__name__ for base in found.__bases__)
        raise ValueError(f"{reference}: {name} must extend {kind.__module__}.{kind.__name__}, it extends {bases}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(f"{reference}: {name} must define {', '.join(missing)}, as every {kind.__name__} does")
    if not isinstance(getattr(found, "name", None), str):
        raise ValueError(f'{reference}: {name} must have a name, such as name = "{name.lower()}"')
    return found


def defines(module: ModuleType, value: Any, kind: type) -> bool:
    """Say whether a module defines a class of a kind, and does not just import it."""
    return inspect.isclass(value) and issubclass(value, kind) and value.__module__ == module.__name__


def import_file(path: Path) -> ModuleType:
    """Import a file; raise `ValueError` in one line if that is not possible."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    path = path.resolve()
    # Not under its own name, which may be that of an installed package.
    name = f"own_code_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, (Exception, SystemExit)):
            raise
        raise ValueError(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def import_named(name: str) -> ModuleType:
    """Import a module by its name; raise `ValueError` in one line if that is not possible."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"the module {name} cannot be imported: {type(error).__name__}: {error}") from error


def sources_of(**kinds: type | None) -> dict[str, dict[str, str | None]] | None:
    """Say where those of some classes stand that are not ours; `None` if all are ours."""
    return {what: source for what, kind in kinds.items() if kind is not None and (source := source_of(kind))} or None


def without_folder(reference: str) -> str:
    """Leave the folder of a file out of a reference, for others to read."""
    place, colon, name = reference.rpartition(":")
    return re.split(r"[/\\]", place)[-1] + colon + name


def source_of(kind: type) -> dict[str, str] | None:
    """Say where a class that is not ours stands, for a record.

    Returns:
        `dict` of `class`, `file` (its name, without folders) and `sha256` (of the file's bytes); the last two are
        `None` for a class that was typed into a notebook. `None` for a class of this package.
    """
    if kind.__module__.partition(".")[0] == __package__:
        return None
    path = Path(getattr(sys.modules[kind.__module__], "__file__", None) or "")
    read = path.is_file()  # what is piped into Python says <stdin>
    return {
        "class": kind.__qualname__,
        "file": path.name if read else None,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if read else None,
    }
