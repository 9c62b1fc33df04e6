"""The rooms of the package: who may import whom, who does without torch, how long modules and functions may be."""

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import hf_nextfail

PACKAGE = Path(hf_nextfail.__file__).parent

# Rooms, and the modules that lie beside them, the lowest floor first. Those of one line are on one floor.
HOUSE = """
errors files own_code version
tasks
metrics
diagnoses
data
decoding
models
objectives
evaluation
harnesses
reporting
hub
training
runs
commands
hub_cards recipes
"""
FLOORS = {room: floor for floor, line in enumerate(HOUSE.strip().splitlines()) for room in line.split()}
BESIDE_THE_ROOMS = {"__init__.py", "errors.py", "files.py", "own_code.py", "version.py"}
IN_A_WHEEL = {"hub_cards", "recipes"}  # in a checkout they lie beside the package
WITHOUT_TORCH = ["errors", "files", "own_code", "version", "tasks", "metrics", "diagnoses", "reporting"]
LONGEST_MODULE, LONGEST_FUNCTION = 320, 70  # lines; those of a function without docstrings

# Modules by names such as `tasks.star_graph`; that of a room's `__init__.py` is the room's.
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}
SOURCES = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def package_of(module: str) -> str:
    """Name what dots at the start of an import in a module stand for."""
    within = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    return f"hf_nextfail.{within}".rstrip(".")


def imported_names(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Name what these statements import: modules, and the names taken out of modules."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def our_module(name: str) -> str | None:
    """Name the module of ours that an imported name is, or comes from: "" for the package itself, `None` for others'.

    `from hf_nextfail import runs` names a room, `from hf_nextfail import TASKS` the package.
    """
    first, _, name = name.partition(".")
    if first != "hf_nextfail":
        return None
    while name and name not in MODULES and name not in FLOORS:
        name = name.rpartition(".")[0]
    return name


def needs_torch(name: str) -> bool:
    return name.partition(".")[0] in ("torch", "transformers", "accelerate", "peft")


@functools.cache
def imports(source: str, package: str) -> set[str]:
    """Name the modules of ours that a source imports, wherever in it."""
    names = imported_names(ast.walk(ast.parse(source)), package)
    return {module for name in names if (module := our_module(name)) is not None}


def allowed(importer: str, imported: str) -> bool:
    """Say whether a module may import another: of its own room, or of a lower floor; never the package itself."""
    room, other = room_of(importer), room_of(imported)
    return importer != imported and (room == other or FLOORS.get(other, len(FLOORS)) < FLOORS[room])


def way(start: str, arrived: Callable[[str], bool], steps: Callable[[str], set[str]]) -> list[str] | None:
    """Return a shortest way from one module to what has `arrived`, by `steps` from each module to the next."""
    ways, seen = [[start]], set()
    for so_far in ways:
        for step in sorted(steps(so_far[-1])):
            if arrived(step):
                return [*so_far, step]
            if step in SOURCES and step not in seen:
                seen.add(step)
                ways.append([*so_far, step])
    return None


def circles() -> list[list[str]]:
    """Return a way back to each module that has one, by imports in functions, too."""

    def steps(module):
        return imports(SOURCES[module], package_of(module)) - {module}

    ways = (way(module, lambda step, module=module: step == module, steps) for module in SOURCES)
    return [found for found in ways if found]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without those of docstrings."""
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        node.body[0] for node in ast.walk(function) if isinstance(node, documented) and ast.get_docstring(node)
    ]
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return function.end_lineno - first + 1 - sum(one.end_lineno - one.lineno + 1 for one in docstrings)


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_room_has_a_floor_and_every_floor_a_room():
    assert {room_of(module) for module in MODULES} - IN_A_WHEEL == set(FLOORS) - IN_A_WHEEL


def test_nothing_lies_beside_the_rooms_but_what_all_of_them_use():
    assert {path.name for path in PACKAGE.glob("*.py")} == BESIDE_THE_ROOMS


def test_a_module_imports_lower_floors_or_its_own_room():
    imported = {module: imports(source, package_of(module)) for module, source in SOURCES.items()}
    higher = {module: {other for other in others if not allowed(module, other)} for module, others in imported.items()}
    assert {module: others for module, others in higher.items() if others} == {}


def test_no_module_comes_back_to_itself():
    assert circles() == []


def test_what_needs_no_torch_names_none():
    named = {
        module: [name for name in imported_names(ast.walk(ast.parse(source)), package_of(module)) if needs_torch(name)]
        for module, source in SOURCES.items()
        if room_of(module) in WITHOUT_TORCH
    }
    assert {module: names for module, names in named.items() if names} == {}


def test_what_needs_no_torch_does_not_load_it(fresh):
    modules = [f"hf_nextfail.{module}" for module in MODULES if room_of(module) in WITHOUT_TORCH]
    code = f"import importlib, sys\nfor module in {modules}:\n    importlib.import_module(module)\n"
    code += "    assert 'torch' not in sys.modules, f'torch is loaded with {module}'"
    fresh(code, warm=False)


def test_modules_and_functions_are_no_longer_than_one_can_read():
    modules = {module: len(source.splitlines()) for module, source in SOURCES.items()}
    assert {module: lines for module, lines in modules.items() if lines > LONGEST_MODULE} == {}
    lengths = {
        f"{module}.{function.name}": length(function)
        for module, source in SOURCES.items()
        for function in functions(source)
    }
    assert {function: lines for function, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


# The rules themselves


@pytest.mark.parametrize(
    ("importer", "line", "right"),
    [
        ("tasks.star_graph", "from hf_nextfail.tasks.base import Task", True),
        ("tasks.star_graph", "from .base import Task", True),
        ("tasks.star_graph", "from . import base", True),
        ("tasks.star_graph", "from hf_nextfail.errors import did_you_mean", True),
        ("tasks.star_graph", "from ..errors import did_you_mean", True),
        ("tasks.star_graph", "import numpy, hf_nextfail_of_somebody_else", True),
        ("tasks.star_graph", "import hf_nextfail.tasks.star_graph", False),
        ("tasks.star_graph", "from hf_nextfail.metrics import path_accuracy", False),
        ("tasks.star_graph", "from ..metrics import path_accuracy", False),
        ("tasks.star_graph", "def f():\n    import hf_nextfail.training.trainer as t", False),
        ("tasks.star_graph", "if TYPE_CHECKING:\n    from hf_nextfail.training.trainer import NextFailTrainer", False),
        ("tasks", "from hf_nextfail.tasks.star_graph import StarGraph", True),
        ("tasks", "from .star_graph import StarGraph", True),
        ("tasks", "from hf_nextfail.metrics import path_accuracy", False),
        ("errors", "from hf_nextfail import files", False),
        ("training.trainer", "from hf_nextfail import TASKS", False),
        ("training.trainer", "import hf_nextfail", False),
        ("training.trainer", "from hf_nextfail import evaluation, hub", True),
        ("training.trainer", "from hf_nextfail import evaluation, runs", False),
        ("training.trainer", "from hf_nextfail.a_room_that_is_not_there import anything", False),
        ("commands.main", "from hf_nextfail.runs.run import run", True),
        ("commands.main", "from hf_nextfail import recipes", False),
    ],
)
def test_who_may_import_whom(importer, line, right):
    assert all(allowed(importer, imported) for imported in imports(line, package_of(importer))) is right


def test_circles_are_found_inside_a_room(monkeypatch):
    for module in SOURCES:
        monkeypatch.setitem(SOURCES, module, "")
    monkeypatch.setitem(SOURCES, "tasks.base", "def f():\n    from .graphs import text_of")
    monkeypatch.setitem(SOURCES, "tasks.graphs", "from hf_nextfail.tasks.text import numbers")
    assert circles() == []
    monkeypatch.setitem(SOURCES, "tasks.text", "from .base import Task")
    assert ["tasks.base", "tasks.graphs", "tasks.text", "tasks.base"] in circles()


def test_lines_of_functions_are_counted_without_docstrings():
    source = '"""Not of the function."""\n\n@cached\ndef f():\n    """What.\n\n    Why.\n    """\n    return 1\n'
    assert [length(function) for function in functions(source)] == [3]
