"""A digest of the code that makes the rows of a task, so that changed code never meets rows of the code before."""

import ast
import dis
import functools
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

import hf_nextfail.tasks
from hf_nextfail.data import builder
from hf_nextfail.tasks import Task

#: Every module of this room may change the rows of every task.
TASKS_ROOM = Path(hf_nextfail.tasks.__file__).parent
OURS = "hf_nextfail"


@functools.cache  # as long as a class lives it makes the same rows, whatever happens to its file
def code_digest(task: type[Task]) -> str:
    """Digest all code that may change the rows of a task: the builder, our tasks, and what a task of your own uses.

    It is part of the name of a cache folder.

    Args:
        task (`type[Task]`): ours, from a file or a package, or typed into a notebook.

    Returns:
        `str`: 64 hexadecimal digits, the same for the same code in every process.
    """
    digest = hashlib.sha256()
    for path in [Path(builder.__file__), *sorted(TASKS_ROOM.glob("*.py"))]:
        digest.update(path.read_bytes())
    for kind in task.__mro__:
        top = kind.__module__.partition(".")[0]
        if top == OURS or top in sys.stdlib_module_names - {"__main__"}:
            continue
        module = sys.modules[kind.__module__]
        if not has_file(module):
            digest.update(repr(described(kind, set())).encode())
        else:
            for path in own_sources(module):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def has_file(module: ModuleType | None) -> bool:
    """Say whether a module was read from a file; a notebook was not, nor what is piped into Python."""
    return Path(getattr(module, "__file__", None) or "").is_file()


def own_sources(module: ModuleType) -> list[Path]:
    """Return the file of a module and those of its folder or package that it imports, however far.

    The sources say what is imported: a constant that was imported does not know where it is from.
    """
    path = Path(module.__file__).resolve()
    depth = module.__name__.count(".") + (path.name == "__init__.py")
    package = module.__name__.partition(".")[0] if depth else None
    root = path.parents[depth]
    if package is None and root.name in ("site-packages", "dist-packages"):
        return [path]  # what is installed beside it has nothing to do with it
    found, waiting = {path}, [(path, module.__name__)]
    while waiting:
        path, name = waiting.pop()
        for imported in imported_by(path, name):
            top = imported.partition(".")[0]
            if top == OURS or (package and top != package):
                continue
            new = {file: part for file, part in files_of(imported, root) if file not in found}
            found |= set(new)
            waiting += new.items()
    return sorted(found)


def files_of(name: str, root: Path) -> Iterator[tuple[Path, str]]:
    """Find the files below a folder that are run when a module is imported, with the names of their modules."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if path.is_file():
                yield path.resolve(), ".".join(parts[:end])


def imported_by(path: Path, name: str) -> Iterator[str]:
    """Name what a module imports: modules, and what is taken out of modules, which may be modules, too."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # no Python, such as a compiled extension
        return
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            module = "." * node.level + (node.module or "")
            try:
                module = importlib.util.resolve_name(module, package)
            except ImportError:  # more dots than packages
                continue
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def described(value: Any, seen: set[int]) -> Any:
    """Describe what was typed into a notebook by what it does: without addresses, line numbers or an order of sets."""
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        return value
    if isinstance(value, (tuple, list)):
        return [described(one, seen) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(described(one, seen)) for one in value)
    if isinstance(value, dict):
        return [(repr(described(key, seen)), described(one, seen)) for key, one in value.items()]
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.tolist()
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, value.co_varnames, [described(one, seen) for one in value.co_consts]
    for wrapper in ("fget", "func", "__func__"):  # property, cached_property, classmethod and staticmethod
        value = getattr(value, wrapper, value)
    value = inspect.unwrap(value) if callable(value) else value
    place = (getattr(value, "__module__", None), getattr(value, "__qualname__", type(value).__qualname__))
    typed = not has_file(sys.modules.get(place[0])) and place[0] not in sys.builtin_module_names
    if not typed or id(value) in seen:
        return place
    seen.add(id(value))
    if isinstance(value, FunctionType):
        used = {name: value.__globals__[name] for name in globals_of(value.__code__) if name in value.__globals__}
        return [described(one, seen) for one in (value.__code__, value.__defaults__, value.__kwdefaults__, used)]
    if isinstance(value, type):
        return [
            (name, described(one, seen))
            for name, one in sorted(vars(value).items())
            if not name.startswith("__") or isinstance(one, FunctionType)
        ]
    return place


def globals_of(code: CodeType) -> list[str]:
    """Name the globals that a function reads, and the functions inside it."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [globals_of(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return sorted(names.union(*inner))
