"""A grid of trainings: what it asks for, and what came of it."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.files import read_yaml, shipped_folder
from hf_nextfail.metrics import SOLVED_ACCURACY
from hf_nextfail.objectives import objective_class
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.recipes import Run, parse_runs
from hf_nextfail.runs.resume import finished_record
from hf_nextfail.tasks import TASKS

#: The columns of a table of conditions.
HEADINGS = (
    "model",
    "graph",
    "training",
    "seeds",
    "train accuracy",
    "test accuracy",
    "hard token",
    "solved",
    "steps",
    "failed",
)

KEYS = ("base", "trainings", "models", "blocks")
BLOCK_KEYS = ("trainings", "graphs", "models", "seeds", "options")


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Args:
        training, graph, model (`str`): the names of what is crossed; the graph as in `d2_l5_n50`.
        seed (`int`): of weights and order.
        options (`dict`): the recipe.
    """

    training: str
    graph: str
    model: str
    seed: int
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's: of its recipe, its folder and its record."""
        return f"{self.training}-{self.graph}-{self.model}-seed_{self.seed}"

    @property
    def condition(self) -> tuple[str, str, str]:
        """What the seeds of one row of the table share."""
        return self.model, self.graph, self.training


def find_grid(name: str) -> Path:
    """Find a grid: a file, or the name of one of ours (`recipes/star_graph/` may be left out).

    Raises:
        UsageError: if no recipe or file has that name.
    """
    if Path(name).is_file():
        return Path(name)
    folder = shipped_folder("recipes")
    ours = [f"{task}/{path.name}" for task in TASKS for path in sorted((folder / task).glob("*.yaml"))]
    wanted = f"{name.removeprefix('recipes/').removesuffix('.yaml')}.yaml"
    for known in ours:
        if wanted in (known, Path(known).name):
            return folder / known
    names = [Path(known).stem for known in ours]
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


def read_grid(path: Path, objective: str | None = None, task: str | None = None) -> list[Cell]:
    """Read a grid file.

    It is a YAML mapping: `base`, options of all runs; `trainings` and `models`, names with their options (a training
    with `reverse: true` gets reversed paths); and `blocks`, a list of products, each of `trainings`, `graphs`,
    `models` and `seeds`, with the `options` of these runs. Later options win: base, model, training, block.

    Args:
        path (`Path`): the file.
        objective (`str`, *optional*): run each model, graph and seed of the blocks once with this objective, a name or
            a reference, in the place of their trainings.
        task (`str`, *optional*): a reference to a task of your own, whose configurations the `graphs` are.

    Raises:
        UsageError: in one line, for anything that is wrong.
    """
    try:
        grid = read_yaml(path)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    check_keys(path, "a grid", grid, KEYS)
    if not isinstance(grid.get("blocks"), list) or not grid["blocks"]:
        raise UsageError(f"{path}: blocks must be a list of {', '.join(BLOCK_KEYS)}")
    if objective is not None:
        try:
            name = objective_class(objective).name
        except ValueError as error:
            raise UsageError(f"--objective: {error}") from error
        grid["trainings"] = {name: {"objective": objective}}
        for block in filter(lambda block: isinstance(block, dict), grid["blocks"]):
            block["trainings"] = [name]
    if task is not None:
        grid["base"] = grid.get("base", {}) | {"task": task}
    cells: dict[str, Cell] = {}
    for number, block in enumerate(grid["blocks"], start=1):
        for cell in block_cells(path, grid, f"block {number}", block):
            if cell.name in cells and objective is not None:  # of another training's block
                continue
            if cell.name in cells:
                raise UsageError(f"{path}: block {number} asks for {cell.name}, which another block does already")
            cells[cell.name] = cell
    return list(cells.values())


def block_cells(path: Path, grid: dict[str, Any], where: str, block: Any) -> Iterator[Cell]:
    """Cross what a block names."""
    check_keys(path, where, block, BLOCK_KEYS)
    for key in BLOCK_KEYS[:-1]:
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
    for graph in block["graphs"]:
        for model in block["models"]:
            for training in block["trainings"]:
                for seed in block["seeds"]:
                    options = grid.get("base", {}) | grid["models"][model] | grid["trainings"][training]
                    options |= block.get("options", {})
                    reverse = options.pop("reverse", False)
                    options |= {"dataset_config": f"{graph}_rev" if reverse else graph, "seed": seed}
                    yield Cell(training, graph, model, seed, options)


def parse_cells(path: Path, cells: Sequence[Cell], folder: Path) -> dict[str, Run]:
    """Check the runs of a grid, before any of them begins.

    Returns:
        `dict` from the names of the cells to their runs, which go into `folder`.

    Raises:
        UsageError: in one line, if a run cannot be.
    """
    with tempfile.TemporaryDirectory(prefix="nextfail-grid-") as scratch:
        drafts = write_recipes(cells, Path(scratch))
        try:
            runs = parse_runs(["--config", *map(str, drafts), "--output_dir", str(folder)])
        except UsageError as error:
            raise UsageError(f"{path}: {str(error).replace(f'{scratch}/', '')}") from error
    return {cell.name: run for cell, run in zip(cells, runs, strict=True)}


def write_recipes(cells: Sequence[Cell], folder: Path) -> list[Path]:
    """Write the recipes of cells into a folder, and return them in order."""
    recipes = [folder / f"{cell.name}.yaml" for cell in cells]
    for recipe, cell in zip(recipes, cells, strict=True):
        options = cell.options | {"run_name": cell.name}
        recipe.write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    return recipes


# What came of it


def record_of(run: Run) -> Record | None:
    """Return the record of a run, for others to see; `None` if it is not finished, or is that of other options."""
    record = finished_record(run)
    return None if record is None else record.public()


def failure_of(folder: Path, cell: Cell) -> str | None:
    """Return the last line of a run that failed; `None` if it did not."""
    path = folder / "failed" / f"{cell.name}.txt"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def mean_and_spread(values: Sequence[float]) -> str:
    """Write the mean over seeds and their standard deviation, `0.504 ± 0.003`; of one seed, its value alone."""
    if not values:  # of a task without that number
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


def numbers(records: Sequence[Record], name: str) -> list[float]:
    """Collect a number of several records, of those that have it."""
    return [estimate["value"] for record in records if (estimate := record.estimate(name)) is not None]


def summary_row(cells: Sequence[Cell], runs: dict[str, Run], folder: Path) -> dict[str, str]:
    """Write the row of one condition: what its finished seeds gave, and what the others ended with."""
    cell, records = cells[0], {one.seed: record_of(runs[one.name]) for one in cells}
    done = {seed: record for seed, record in records.items() if record is not None}
    failures = {one.seed: failure_of(folder, one) for one in cells if one.seed not in done}
    row = dict.fromkeys(HEADINGS, "-") | {
        "model": cell.model,
        "graph": cell.graph,
        "training": cell.training,
        "seeds": f"{len(done)}" if len(done) == len(cells) else f"{len(done)} of {len(cells)}",
        "failed": "; ".join(f"seed {seed}: {line}" for seed, line in failures.items() if line),
    }
    if done:
        values = list(done.values())
        tests, steps = numbers(values, "accuracy"), sorted(record.run["steps"] for record in values)
        row |= {
            "train accuracy": mean_and_spread(numbers(values, "train_accuracy")),
            "test accuracy": mean_and_spread(tests),
            "hard token": mean_and_spread(numbers(values, "hard_token_accuracy")),
            "solved": f"{sum(test >= SOLVED_ACCURACY for test in tests)} of {len(tests)}",
            "steps": f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}",
        }
    return row


def conditions(cells: Sequence[Cell]) -> dict[tuple[str, str, str], list[Cell]]:
    """Group the cells that differ by their seeds alone: by model, graph and training, in the order of the grid."""
    places: dict[str, int] = {}
    for cell in cells:
        for name in cell.condition:
            places.setdefault(name, len(places))
    grouped: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: [places[name] for name in cell.condition]):
        grouped.setdefault(cell.condition, []).append(cell)
    return grouped


def summary_table(cells: Sequence[Cell], runs: dict[str, Run], folder: Path) -> list[dict[str, str]]:
    """Return the rows of the table, one a condition: a text for each of `HEADINGS`."""
    return [summary_row(group, runs, folder) for group in conditions(cells).values()]
