"""Run a grid of trainings, each as a process of its own, and gather what came of it."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from hf_nextfail.errors import UsageError, alone_in
from hf_nextfail.files import write_whole
from hf_nextfail.metrics import SOLVED_ACCURACY
from hf_nextfail.reporting.grid import Cell
from hf_nextfail.reporting.markdown import plain, table
from hf_nextfail.reporting.pictures import PICTURE_FORMATS, plot_grid
from hf_nextfail.reporting.record import SUMMARY, Record
from hf_nextfail.reporting.reference_pages import shipped_records
from hf_nextfail.runs.grid import HEADINGS, longest_first, record_of, summary_table, write_recipes
from hf_nextfail.runs.processes import last_line, run_here, training_command
from hf_nextfail.runs.recipes import Run

CLUSTERS = ("slurm", "local")


def read_options(of: str, value: str | None, options: str, example: str) -> dict[str, Any]:
    """Read the JSON of `--cluster_options` or `--objective_options`, which goes with an option that must be given.

    Args:
        of (`str`): the option that it goes with, `cluster`.
        value (`str`, *optional*): of that option.
        options (`str`): the JSON.
        example (`str`): what it may be.

    Raises:
        UsageError: in one line, if it is not a JSON object, or the option that it goes with is missing.
    """
    must = f"--{of}_options must be a JSON object such as {example}"
    try:
        asked = json.loads(options)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{must}: {error}") from error
    if not isinstance(asked, dict) or (asked and value is None):
        raise UsageError(f"{must}, and goes with --{of}")
    return asked


def read_cluster(cluster: str | None, options: str) -> dict[str, Any]:
    """Check where to send runs; returns what to ask the cluster for."""
    if cluster is not None and cluster not in CLUSTERS:
        raise UsageError(f"--cluster must be one of {', '.join(CLUSTERS)}, got {cluster!r}")
    return read_options("cluster", cluster, options, '{"timeout_min": 60}')


def run_on_cluster(
    commands: dict[str, list[str]], folder: Path, cluster: str, options: dict[str, Any]
) -> Iterator[tuple[str, str | None]]:
    """Submit commands as jobs through submitit, and wait for them; yields as `run_here` does.

    Args:
        cluster (`str`): `slurm`, `local` (processes of this machine, all at once) or `debug` (in this process).
        options (`dict`): what `submitit.AutoExecutor.update_parameters` takes: `slurm_partition`, `timeout_min`, ...

    Raises:
        UsageError: if submitit is missing or refuses the options.
    """
    try:
        import submitit
    except ImportError as error:
        raise UsageError("--cluster needs submitit: pip install submitit") from error
    try:
        executor = submitit.AutoExecutor(folder=folder / "logs", cluster=cluster)
        executor.update_parameters(**options)
    except (RuntimeError, NameError, AssertionError, TypeError, ValueError) as error:
        raise UsageError(f"--cluster {cluster} {json.dumps(options)}: submitit says: {error}") from error
    with executor.batch():
        jobs = {name: executor.submit(submitit.helpers.CommandFunction(words)) for name, words in commands.items()}
    waiting = dict(jobs)
    while waiting:
        for name, job in list(waiting.items()):
            if job.done():
                del waiting[name]
                error = job.exception()
                yield name, None if error is None else last_line(str(error))
        time.sleep(0.2)


def made_with(path: Path, records: Sequence[Record]) -> str:
    """Say which command made records, by which versions and on what."""

    def values(of: Callable[[Record], Any]) -> str:
        return ", ".join(sorted({str(of(record)) for record in records}))

    versions = ("hf_nextfail", "revision", "torch", "transformers")
    named = [f"{name} {values(lambda record, name=name: record.versions.get(name, '-'))}" for name in versions]
    device = values(lambda record: record.run["device_name"] or record.run["device"])
    command = f"`nextfail reproduce {shlex.quote(path.stem)}`, a row by `--only 'TRAINING-GRAPH-MODEL-*'`"
    threads = values(lambda record: record.run["num_threads"] or "-")
    return f"By {command}; {', '.join(named)}; {device}, threads: {threads}."


def terminal_tables(rows: Sequence[dict[str, str]]) -> Iterator[Table]:
    """Lay out the rows of `summary_table`, one table a model, to fit a terminal of 80 columns."""
    named, numbered = ("graph", "training"), ("seeds", "train accuracy", "test accuracy", "solved", "steps")
    for model in dict.fromkeys(row["model"] for row in rows):
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=model, title_justify="left")
        for heading in named:
            table.add_column(heading, overflow="fold")
        for heading in numbered:
            table.add_column(heading.replace(" ", "\n"), no_wrap=True)
        for row in rows:
            if row["model"] == model:
                table.add_row(*(row[heading] for heading in (*named, *numbered)))
        yield table


def gather(path: Path, cells: Sequence[Cell], runs: dict[str, Run], folder: Path) -> Path:
    """Collect what finished of a grid into `folder/summary/`: records, table (Markdown) and picture (PNG and SVG).

    Returns:
        `Path` of the table.
    """
    summary = folder / SUMMARY
    summary.mkdir(parents=True, exist_ok=True)
    records = {name: record for name, run in runs.items() if (record := record_of(run)) is not None}
    for path_of_record in summary.glob("*.json"):  # of a run that is no more one of this grid
        if path_of_record.stem not in records:
            path_of_record.unlink()
    for name, record in records.items():
        record.write(summary / f"{name}.json")
    all_rows = summary_table(cells, runs, folder)
    begun = [row for row in all_rows if row["failed"] or not row["seeds"].startswith("0 ")]
    rows = [[plain(row[heading]) for heading in HEADINGS] for row in begun]
    notes = [
        "Mean over seeds, ± their standard deviation where there are several; solved: the seeds with a test accuracy "
        f"of {SOLVED_ACCURACY} or more."
    ]
    if records:
        notes[0] += f" {made_with(path, list(records.values()))}"
        if len(begun) < len(all_rows):
            notes[0] += f" Not run yet: {len(all_rows) - len(begun)} of {len(all_rows)} rows."
        notes.append("![Test accuracy by graph and training](accuracy.png)")
        for suffix in PICTURE_FORMATS:
            plot_grid(list(records.values()), summary / f"accuracy.{suffix}")
    text = "\n\n".join([table(HEADINGS, rows, left=3), *notes])
    write_whole(summary / "table.md", f"{text}\n")
    return summary / "table.md"


def reproduce(
    cells: Sequence[Cell],
    runs: dict[str, Run],
    folder: Path,
    jobs: int = 1,
    cluster: str | None = None,
    cluster_options: dict[str, Any] | None = None,
) -> Iterator[tuple[str, str | None]]:
    """Run what of a grid is not finished, each run as an independent process, by block the longest first.

    Args:
        cells (sequence of `Cell`): from `read_grid`.
        runs (`dict`): from `parse_cells`.
        folder (`Path`): where all of it goes.
        jobs (`int`, *optional*, defaults to 1): runs at a time on this machine.
        cluster (`str`, *optional*): instead, where submitit sends them.
        cluster_options (`dict`, *optional*): what to ask the cluster for.

    Yields:
        The name of each run as it ends, and the last line of a run that failed.

    Raises:
        UsageError: if another command is at work in the folder.
    """
    for name in ("failed", "recipes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with alone_in(folder):
        failed, records = folder / "failed", {cell.name: record_of(runs[cell.name]) for cell in cells}
        missing = [cell for cell in cells if records[cell.name] is None]
        known = [*shipped_records().values(), *filter(None, records.values())]
        recipes = write_recipes(longest_first(missing, known), folder / "recipes")
        commands = {recipe.stem: training_command(recipe, folder) for recipe in recipes}
        for name in commands:
            (failed / f"{name}.txt").unlink(missing_ok=True)
        if cluster is None:
            ended = run_here(commands, folder, jobs)
        else:
            commands = {name: [sys.executable, *command] for name, command in commands.items()}
            ended = run_on_cluster(commands, folder, cluster, cluster_options or {})
        for name, failure in ended:
            if failure is not None:
                write_whole(failed / f"{name}.txt", failure)
            yield name, failure
