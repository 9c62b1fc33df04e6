"""Metrics for `evaluate` that stand alone: what they need of the package is copied into their files from its sources.

`python -m hf_nextfail.hub.metric_spaces` does it in a checkout; a test fails while a copy is old.
"""

import ast
import functools
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hf_nextfail.files import shipped_folder, write_whole

BEGIN = "# Copied from hf_nextfail by `python -m hf_nextfail.hub.metric_spaces`: edit the package, not this part.\n"
END = "# End of what is copied.\n"
#: What every metric imports itself.
OWN_IMPORTS = {"datasets": "import datasets", "evaluate": "import evaluate", "np": "import numpy as np"}
#: The modules and names that each metric needs; what these use is copied, too.
ROOTS = {
    "creativity": [
        ("hf_nextfail.tasks", "SiblingDiscovery"),
        ("hf_nextfail.tasks", "TriangleDiscovery"),
        ("hf_nextfail.tasks", "CircleConstruction"),
        ("hf_nextfail.tasks", "LineConstruction"),
        ("hf_nextfail.metrics", "creativity"),
        ("hf_nextfail.errors", "did_you_mean"),
    ],
    "planning_accuracy": [
        ("hf_nextfail.tasks", "TASKS"),
        ("hf_nextfail.metrics", "mean_and_standard_error"),
        ("hf_nextfail.errors", "did_you_mean"),
    ],
}


class Definition(NamedTuple):
    """A function, class or constant of a module: where it stands, its text, and the names it uses."""

    line: int
    text: str
    uses: frozenset[str]


class Module(NamedTuple):
    """What a module defines, what it takes from other modules of ours, and what it imports of others."""

    definitions: dict[str, Definition]
    ours: dict[str, str]
    imports: dict[str, str]


@functools.cache
def read_module(name: str) -> Module:
    """Read the source of a module of ours.

    Raises:
        ValueError: if it has statements that cannot be copied.
    """
    source = Path(find_spec(name).origin).read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    module = Module({}, {}, {})
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hf_nextfail."):
            module.ours.update({alias.name: node.module for alias in node.names})
        elif isinstance(node, ast.Import | ast.ImportFrom):
            begin = f"from {node.module} import " if isinstance(node, ast.ImportFrom) else "import "
            module.imports.update({a.asname or a.name: begin + ast.unparse(a) for a in node.names})
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
            while lines[first - 2].startswith("#"):  # what is said of a constant
                first -= 1
            uses = frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
            definition = Definition(first, "".join(lines[first - 1 : node.end_lineno]), uses)
            module.definitions.update(dict.fromkeys(defined(node), definition))
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            raise ValueError(f"{name}, line {node.lineno}: only imports, definitions and constants can be copied")
    return module


def defined(node: ast.stmt) -> Iterator[str]:
    """Name what a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    for target in getattr(node, "targets", [getattr(node, "target", None)]):
        yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name)) if target else ()


def copied(roots: Sequence[tuple[str, str]]) -> str:
    """Write the imports and definitions that some names of modules need, each below what it uses.

    Raises:
        ValueError: if two modules call something by one name.
    """
    needed: dict[str, dict[str, Definition]] = {}  # by module, the ones that are imported first
    imports, origins = dict(OWN_IMPORTS), {}

    def need(module_name: str, name: str) -> None:
        module = read_module(module_name)
        if name in module.ours:
            need(module.ours[name], name)
        elif name in module.definitions and name not in needed.get(module_name, ()):
            if origins.setdefault(name, module_name) != module_name:
                raise ValueError(f"{module_name} and {origins[name]} both define {name}: rename one")
            needed.setdefault(module_name, {})[name] = module.definitions[name]
            for used in sorted(module.definitions[name].uses):
                need(module_name, used)
        elif name in module.imports:
            imports[name] = module.imports[name]

    for module_name, name in roots:
        need(module_name, name)
    texts = []
    for module_name in in_order_of_imports(needed):
        constant = False
        for definition in sorted(set(needed[module_name].values())):
            after_one, constant = constant, not definition.text.startswith(("def ", "class ", "@"))
            texts.append(("" if constant and after_one else "\n\n") + definition.text)
    return import_block(imports.values()) + "".join(texts)


def in_order_of_imports(modules: Sequence[str]) -> list[str]:
    """Sort modules so that each comes after those that it imports."""
    done: list[str] = []

    def visit(name: str) -> None:
        for other in sorted(set(read_module(name).ours.values())):
            if other not in done:
                visit(other)
        if name not in done:
            done.append(name)

    for name in sorted(modules):
        visit(name)
    return [name for name in done if name in modules]


def import_block(statements: Sequence[str]) -> str:
    """Write import statements as ruff sorts them: the standard library, then others; names of a module in one line."""
    plain = sorted(statement for statement in statements if statement.startswith("import "))
    others = [statement for statement in plain if statement in OWN_IMPORTS.values()]
    members: dict[str, list[str]] = {}
    for statement in statements:
        if statement.startswith("from "):
            _, module, _, name = statement.split(" ", 3)
            members.setdefault(module, []).append(name)

    def of_kind(name: str) -> tuple[int, str]:  # constants, classes, functions
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    lines = [statement for statement in plain if statement not in others]
    for module, names in sorted(members.items()):
        lines.append(f"from {module} import {', '.join(sorted(names, key=of_kind))}")
    return "\n".join([*lines, "", *others, ""])


def with_copies(name: str, script: str) -> str:
    """Return the script of a metric with what it needs of the package in the place of what was copied before."""
    before, begin, rest = script.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the script of {name} must have the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{BEGIN}{copied(ROOTS[name])}\n\n{END}{after}"


def scripts() -> dict[Path, str]:
    """Return the scripts with copies, and what must stand in them."""
    folder = shipped_folder("hub_cards") / "spaces"
    paths = {name: folder / name / f"{name}.py" for name in ROOTS}
    return {path: with_copies(name, path.read_text(encoding="utf-8")) for name, path in paths.items()}


if __name__ == "__main__":
    for path, text in scripts().items():
        write_whole(path, text)
        print(path)
