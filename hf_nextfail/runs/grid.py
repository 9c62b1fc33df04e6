"""The runs of a grid of trainings, and what came of them."""

import re
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hf_nextfail.errors import UsageError
from hf_nextfail.objectives import objective_class
from hf_nextfail.reporting.grid import Cell
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import Training, range_of
from hf_nextfail.runs.recipes import Run, parse_runs
from hf_nextfail.runs.resume import finished_record

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


def own_training(objective: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name a training by its objective and options, `coin_toss_share_0.3`, and return what a grid says of it.

    Raises:
        UsageError: in one line, if there is no such objective, or it has no such option.
    """
    try:
        name = objective_class(objective, options).name
    except ValueError as error:
        raise UsageError(f"--objective: {error}") from error
    parts = [name, *(f"{option}_{value}" for option, value in options.items())]
    name = re.sub(r"[^\w.]+", "_", "_".join(parts))
    return name, {"objective": objective} | ({"objective_options": dict(options)} if options else {})


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
        training = Training(cell.graph, cell.training, cell.model, list(done.values()))
        row |= {
            "train accuracy": training.mean("train_accuracy"),
            "test accuracy": training.mean("accuracy"),
            "hard token": training.mean("hard_token_accuracy"),
            "solved": str(training.solved),
            "steps": range_of(record.run["steps"] for record in training.records),
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


# Which run comes first


def longest_first(cells: Sequence[Cell], records: Iterable[Record]) -> list[Cell]:
    """Order cells block by block, the longest of each first, so that at the end no core waits for a late long one.

    How long a run takes is told by records of the same objective and model: those of the same data, else of any.
    Where there are none, nobody knows, and the run comes first.
    """
    seconds: dict[tuple, list[float]] = {}
    for record in records:
        run, taken = record.run, record.timings["train_seconds"]
        if taken is not None and run["steps"]:
            for key in ((run["objective"], run["model"], run["dataset_config"]), (run["objective"], run["model"])):
                seconds.setdefault(key, []).append(taken)

    def expected(cell: Cell) -> float:
        options = cell.options
        model = options.get("model_type") or options.get("model_name_or_path")
        key = (options.get("objective", "teacher_forced"), model)
        known = seconds.get((*key, options["dataset_config"])) or seconds.get(key)
        return statistics.fmean(known) if known else float("inf")

    return sorted(cells, key=lambda cell: (cell.block, -expected(cell)))
