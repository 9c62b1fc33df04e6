"""A file of trainings, a grid, and what it asks for. A protocol is a grid that fixes everything but the objective."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.files import read_yaml, shipped_folder
from hf_nextfail.tasks import TASKS

KEYS = ("protocol", "base", "trainings", "models", "blocks")
BLOCK_KEYS = ("trainings", "graphs", "models", "seeds", "task", "options")
CROSSED = BLOCK_KEYS[:4]
#: What of a recipe a contestant brings under a protocol; all else is the protocol's.
OF_CONTESTANT = ("objective", "objective_options", "reverse")


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Args:
        training, graph, model (`str`): the names of what is crossed; the graph as in `d2_l5_n50`, that of another task
            than the star graph with its name before it.
        seed (`int`): of weights and order.
        options (`dict`): the recipe.
        block (`int`): the place of its block in the file.
    """

    training: str
    graph: str
    model: str
    seed: int
    options: dict[str, Any]
    block: int = 1

    @property
    def name(self) -> str:
        """The run's: of its recipe, its folder and its record."""
        return f"{self.training}-{self.graph}-{self.model}-seed_{self.seed}"

    @property
    def condition(self) -> tuple[str, str, str]:
        """What the seeds of one row of the table share."""
        return self.model, self.graph, self.training


def protocol_files() -> list[Path]:
    """Return the files of our protocols."""
    return sorted((shipped_folder("recipes") / "protocols").glob("*.yaml"))


def find_grid(name: str) -> Path:
    """Find a grid: a file, or the name of one of ours, such as `small` or `grid_cpu`.

    Raises:
        UsageError: if no recipe or file has that name.
    """
    if Path(name).is_file():
        return Path(name)
    folder = shipped_folder("recipes")
    ours = [*protocol_files(), *(path for task in TASKS for path in sorted((folder / task).glob("*.yaml")))]
    wanted = f"{name.removeprefix('recipes/').removesuffix('.yaml')}.yaml"
    for known in ours:
        if wanted in (known.relative_to(folder).as_posix(), known.name):
            return known
    names = [known.stem for known in ours]
    hint = did_you_mean(Path(wanted).stem, names) or f"; ours are {', '.join(names)}"
    raise UsageError(f"there is no file and no grid {name}{hint}")


def check_keys(path: Path, where: str, found: Any, known: Sequence[str]) -> None:
    """Raise `UsageError` unless `found` is a mapping of known keys."""
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {where} must be a mapping of {', '.join(known)}")
    for key in found:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"; known are {', '.join(known)}"
            raise UsageError(f"{path}: {where}: unknown key {key!r}{hint}")


def read_grid(
    path: Path, trainings: Mapping[str, dict[str, Any]] | None = None, task: str | None = None
) -> list[Cell]:
    """Read a grid file.

    It is a YAML mapping: `base`, options of all runs; `trainings` and `models`, names with their options (a training
    with `reverse: true` gets reversed paths); and `blocks`, a list of products, each of `trainings`, `graphs`,
    `models` and `seeds`, with the `options` of these runs, and the `task` of ours whose configurations the graphs are
    (the star graph without). Later options win: base, model, training, block; `null` takes one away.

    With `protocol`, its name, trainings may differ in what a contestant brings, and in nothing else.

    Args:
        path (`Path`): the file.
        trainings (mapping, *optional*): names and options of trainings to run in the place of those of each block.
        task (`str`, *optional*): a reference to a task of your own, whose configurations the `graphs` are.

    Raises:
        UsageError: in one line, for anything that is wrong.
    """
    grid = grid_file(path)
    if trainings is not None:
        grid["trainings"] = dict(trainings)
        for block in filter(lambda block: isinstance(block, dict), grid["blocks"]):
            block["trainings"] = list(trainings)
    if task is not None:
        grid["base"] = grid.get("base", {}) | {"task": task}
    cells: dict[str, Cell] = {}
    for number, block in enumerate(grid["blocks"], start=1):
        for cell in block_cells(path, grid, number, block):
            if cell.name in cells and trainings is not None:  # of another training's block
                continue
            if cell.name in cells:
                raise UsageError(f"{path}: block {number} asks for {cell.name}, which another block does already")
            cells[cell.name] = cell
    return list(cells.values())


def grid_file(path: Path) -> dict[str, Any]:
    """Read a grid file as the mapping that it holds, its keys checked."""
    try:
        grid = read_yaml(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name the file of a grid") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    check_keys(path, "a grid", grid, KEYS)
    if not isinstance(grid.get("blocks"), list) or not grid["blocks"]:
        raise UsageError(f"{path}: blocks must be a list of {', '.join(BLOCK_KEYS)}")
    if grid.get("protocol") is not None:
        check_protocol(path, grid)
    return grid


def check_protocol(path: Path, grid: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless trainings leave to the protocol what is the protocol's."""
    if not isinstance(grid["protocol"], str):
        raise UsageError(f"{path}: protocol must be a name, got {grid['protocol']!r}")
    trainings = grid.get("trainings")
    for name, options in trainings.items() if isinstance(trainings, dict) else ():
        check_keys(path, f"trainings: {name} of a protocol", options, OF_CONTESTANT)
    for number, block in enumerate(grid["blocks"], start=1):
        options = block.get("options") if isinstance(block, dict) else None
        for key in OF_CONTESTANT:
            if isinstance(options, dict) and key in options:
                raise UsageError(f"{path}: block {number}: options: {key} is a training's: give it in trainings")


def check_block(path: Path, grid: Mapping[str, Any], where: str, block: Any) -> None:
    """Raise `UsageError` unless a block names what the grid has."""
    check_keys(path, where, block, BLOCK_KEYS)
    for key in CROSSED:
        if not isinstance(block.get(key), list) or not block[key]:
            raise UsageError(f"{path}: {where}: {key} must be a list, got {block.get(key)!r}")
    for key, options in (("base", grid.get("base", {})), (f"{where}: options", block.get("options", {}))):
        if not isinstance(options, dict):
            raise UsageError(f"{path}: {key} must be a mapping of options, got {options!r}")
    for key in ("trainings", "models", "graphs"):
        for name in block[key]:
            if not isinstance(name, str) or "/" in name:
                raise UsageError(f"{path}: {where}: {key} must be names without a slash, got {name!r}")
    for key in ("trainings", "models"):
        known = grid.get(key)
        if not isinstance(known, dict) or not all(isinstance(options, dict) for options in known.values()):
            raise UsageError(f"{path}: {key} must be a mapping of names to options")
        for name in block[key]:
            if name not in known:
                raise UsageError(f"{path}: {where}: there is no {name!r} among {key}: {', '.join(known)}")
    if block.get("task") is not None and block["task"] not in TASKS:
        hint = did_you_mean(str(block["task"]), TASKS) or f"; ours are {', '.join(TASKS)}"
        raise UsageError(f"{path}: {where}: there is no task {block['task']!r}{hint}")


def block_cells(path: Path, grid: Mapping[str, Any], number: int, block: Any) -> Iterator[Cell]:
    """Cross what a block names."""
    check_block(path, grid, f"block {number}", block)
    task = block.get("task")
    data = {} if task is None else {"dataset_name": f"{NAMESPACE}/{task}"}
    for graph in block["graphs"]:
        for model in block["models"]:
            for training in block["trainings"]:
                for seed in block["seeds"]:
                    options = grid.get("base", {}) | grid["models"][model] | grid["trainings"][training]
                    options |= data | block.get("options", {})
                    options = {name: value for name, value in options.items() if value is not None}
                    reverse = options.pop("reverse", False)
                    options |= {"dataset_config": f"{graph}_rev" if reverse else graph, "seed": seed}
                    name = graph if task is None else f"{task}-{graph}"
                    yield Cell(training, name, model, seed, options, number)
