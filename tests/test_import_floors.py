"""A module imports only lower floors, or the `base` of its own room."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_nextfail

PACKAGE = Path(hf_nextfail.__file__).parent

FLOORS = {
    "definitions": 0,
    "errors": 0,
    "json_object": 0,
    "markdown": 0,
    "metrics": 0,
    "shipped": 0,
    "suggestion": 0,
    "tasks": 0,
    "verdict": 0,
    "version": 0,
    "custom_generate": 1,
    "dataset_builder": 1,
    "hub": 1,
    "own_dataset": 1,
    "paper_file": 1,
    "pictures": 1,
    "registration": 1,
    "report": 1,
    "resume": 1,
    "tokenization": 1,
    "models": 2,
    "objectives": 2,
    "cards": 3,
    "data_collator": 3,
    "evaluation": 3,
    "inference": 3,
    "lora": 3,
    "options": 3,
    "training_args": 3,
    "diagnostics": 4,
    "sample": 4,
    "trackers": 4,
    "environment": 4,
    "publish": 4,
    "callbacks": 5,
    "hub_trainer": 5,
    "resumable_trainer": 5,
    "trainer": 6,
    "arguments": 7,
    "grid": 9,
    "measure": 7,
    "checkpoint": 8,
    "earlier_run": 8,
    "page": 9,
    "repeat": 8,
    "finetune": 10,
    "reproduce": 11,
    "rerun": 11,
    "cli": 12,
    # These two lie beside the package in a checkout, inside it in a wheel.
    "hub_cards": 13,
    "recipes": 13,
}
# Who may import from its own floor.
NEIGHBOURS = {
    ("paper_file", "dataset_builder"),
    ("pictures", "report"),
    ("registration", "dataset_builder"),
    ("evaluation", "inference"),
    ("models.build", "models.selective_scan"),
}

# Names such as `tasks.star_graph`; that of a room's `__init__.py` is the room's.
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imports(source: str, package: str) -> Iterator[str]:
    """Name what a module of ours imports from the package, wherever in the file it does so."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            # `from hf_nextfail import dataset_builder` names a module, `from hf_nextfail import TASKS` the package.
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "hf_nextfail":
                yield known_module(name.partition(".")[2])


def known_module(name: str) -> str:
    """Cut what is imported from a module off its name; nothing is left of an import from the package itself."""
    while name and name not in MODULES and room_of(name) != name:
        name = name.rpartition(".")[0]
    return name if name in MODULES or name in FLOORS else ""


def allowed(importer: str, imported: str) -> bool:
    room, other = room_of(importer), room_of(imported)
    if room == other:
        # A room's `__init__.py` gathers the room.
        return importer == room or imported == f"{room}.base" or (importer, imported) in NEIGHBOURS
    return other in FLOORS and (FLOORS[other] < FLOORS[room] or (room, other) in NEIGHBOURS)


def imports_of(module: str) -> list[str]:
    path = MODULES[module]
    package = ".".join(["hf_nextfail", *path.relative_to(PACKAGE).parts[:-1]])
    return list(imports(path.read_text(encoding="utf-8"), package))


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} <= set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_lower_floors_only(module):
    assert [imported for imported in imports_of(module) if not allowed(module, imported)] == []


@pytest.mark.parametrize(("room", "neighbour"), sorted(NEIGHBOURS))
def test_neighbours_are_on_one_floor_and_do_meet(room, neighbour):
    assert FLOORS[room_of(room)] == FLOORS[room_of(neighbour)]
    assert neighbour in imports_of(room)


@pytest.mark.parametrize(
    ("importer", "line", "right"),
    [
        ("tasks.star_graph", "from hf_nextfail.tasks.base import Task", True),
        ("tasks.star_graph", "from .base import Task", True),
        ("tasks.star_graph", "import numpy, hf_nextfail_of_somebody_else", True),
        ("tasks.star_graph", "import hf_nextfail.tasks.star_graph", False),
        ("tasks.star_graph", "from hf_nextfail.tasks import TASKS", False),
        ("tasks.star_graph", "from . import TASKS", False),
        ("tasks.star_graph", "from hf_nextfail.metrics import path_accuracy", False),
        ("tasks.star_graph", "from ..metrics import path_accuracy", False),
        ("tasks.star_graph", "def f():\n    import hf_nextfail.training.trainer as t", False),
        ("tasks.star_graph", "if TYPE_CHECKING:\n    from hf_nextfail.training.trainer import NextFailTrainer", False),
        ("tasks", "from hf_nextfail.tasks.star_graph import StarGraph", True),
        ("tasks", "from hf_nextfail.metrics import path_accuracy", False),
        ("registration", "from hf_nextfail import dataset_builder", True),
        ("registration", "from .dataset_builder import TaskConfig", True),
        ("registration", "from hf_nextfail import TASKS", False),
        ("registration", "import hf_nextfail", False),
        ("registration", "from . import trainer", False),
        ("dataset_builder", "from hf_nextfail import registration", False),
        ("dataset_builder", "from hf_nextfail.version import __version__", True),
    ],
)
def test_the_rule_itself(importer, line, right):
    package = "hf_nextfail.tasks" if room_of(importer) == "tasks" else "hf_nextfail"
    assert all(allowed(importer, imported) for imported in imports(line, package)) is right
