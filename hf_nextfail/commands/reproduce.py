"""`nextfail reproduce` and `nextfail rerun`: run a grid of trainings, or one training again."""

import contextlib
import re
import time
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hf_nextfail.commands.evaluate import TrustRemoteCode
from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import TrainingError, UsageError, check_output_folder, make_output_folder
from hf_nextfail.own_code import FORMS

if TYPE_CHECKING:
    from hf_nextfail.reporting.grid import Cell

STEP = re.compile(r"step [\d,]+ of ")  # what a run writes of itself: `hf_nextfail.training.progress`


def reproduce(
    grid: Annotated[
        str,
        typer.Argument(help="A YAML file, or ours: small, bachmann, bst, ilm, nextlat, top (protocols), grid_cpu."),
    ],
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for all runs.", show_default="runs/GRID(-OBJECTIVE)")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Runs whose name is like this: 'teacherless-d2_l3_*'; may be given again."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time on this machine.")] = 1,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="Submit the runs through submitit: slurm; or local, all at once.")
    ] = None,
    cluster_options: Annotated[
        str,
        typer.Option("--cluster_options", help='What to ask the cluster for, as JSON: {"slurm_partition": "gpu"}.'),
    ] = "{}",
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help=f"Run the blocks of the grid with this objective alone, in the place of their trainings: one of ours "
            f"or {FORMS}.",
        ),
    ] = None,
    objective_options: Annotated[
        str, typer.Option("--objective_options", help='Fields of --objective, as JSON: {"share": 0.3}.')
    ] = "{}",
    task: Annotated[
        str | None,
        typer.Option("--task", help=f"Run the grid on this task, whose configurations its graphs are: {FORMS}."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Run nothing: list the runs that are missing, and gather the others.")
    ] = False,
) -> None:
    """Run a grid of trainings, go on where it was stopped, and gather one table and one picture."""
    from hf_nextfail.reporting.grid import find_grid, read_grid
    from hf_nextfail.reporting.tables import print_table
    from hf_nextfail.runs.grid import own_training, parse_cells, record_of, summary_table
    from hf_nextfail.runs.reproduce import gather, read_cluster, read_options, terminal_tables
    from hf_nextfail.runs.reproduce import reproduce as run_grid

    path = find_grid(grid)
    asked_of_cluster = read_cluster(cluster, cluster_options)
    of_objective = read_options("objective", objective, objective_options, '{"share": 0.3}')
    own = None if objective is None else dict([own_training(objective, of_objective)])
    folder = output_dir or Path("runs") / "-".join([path.stem, *(own or ())])
    check_output_folder(folder)
    cells = read_grid(path, own, task)
    chosen = choose_cells(cells, only, path)
    all_runs = parse_cells(path, cells, folder)
    make_output_folder(folder)
    missing = [cell for cell in chosen if record_of(all_runs[cell.name]) is None]
    console, failures = open_console(), 0
    console.rule(f"{path.stem}: {len(chosen)} runs, {len(chosen) - len(missing)} of them finished")
    if dry_run:
        for cell in missing:
            console.print(f"to run: {cell.name}", soft_wrap=True, highlight=False)
    elif missing:
        logs = {cell.name: folder / "logs" / f"{cell.name}.txt" for cell in missing}
        failures = watch(run_grid(chosen, all_runs, folder, jobs, cluster, asked_of_cluster), logs, console)
    page = gather(path, cells, all_runs, folder)
    for table in terminal_tables(summary_table(chosen, all_runs, folder)):
        print_table(console, table)
    console.print(f"The table, a picture and all results: {page.parent}", soft_wrap=True)
    if failures:
        raise TrainingError(f"{failures} of {len(missing)} runs failed; their output is in {folder / 'logs'}")


def watch(runs: Iterable[tuple[str, str | None]], logs: dict[str, Path], console: Console) -> int:
    """Print a line as each run ends, and meanwhile show the steps of the others; returns how many failed."""
    from hf_nextfail.reporting.tables import in_time

    began, going_on, failures = time.monotonic(), dict(logs), 0
    with Live(console=console, get_renderable=lambda: at_work(going_on), refresh_per_second=1, transient=True):
        for number, (name, failure) in enumerate(runs, start=1):
            del going_on[name]
            failures += failure is not None
            outcome = "finished" if failure is None else f"failed: {failure}"
            seconds = time.monotonic() - began
            left = f", about {in_time(seconds / number * len(going_on))} left" if going_on else ""
            line = f"{number} of {len(logs)}: {name} {outcome} ({in_time(seconds)}{left})"
            console.print(line, soft_wrap=True, highlight=False)
    return failures


def at_work(logs: dict[str, Path]) -> Group:
    """Show how far the runs of a grid are that have begun: the last step that each has written into its log."""
    lines = []
    for name, log in list(logs.items()):
        with contextlib.suppress(OSError):  # it has not begun
            steps = [
                line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if STEP.match(line)
            ]
            lines.append(Text(f"{name}: {steps[-1] if steps else 'it begins'}", overflow="ellipsis", no_wrap=True))
    return Group(*lines)


def choose_cells(cells: Sequence["Cell"], only: Sequence[str] | None, path: Path) -> list["Cell"]:
    """Return the cells of the grid in `path` that `--only` asks for, all without it."""
    chosen = [cell for cell in cells if any(fnmatch(cell.name, pattern) for pattern in only or ["*"])]
    if not chosen:
        raise UsageError(f"--only {' '.join(only)}: no run of {path} has such a name; the first is {cells[0].name}")
    return chosen


def rerun(
    results: Annotated[Path, typer.Argument(help="A results.json of a training, or the folder of its run.")],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", help="Keep the new run in this folder.", show_default="a temporary one"),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", help=f"Where the objective of the record is now, if it is not ours: {FORMS}."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help=f"Where the task of the record is now, if it is not ours: {FORMS}.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train again what a results.json says, and compare: every number, and the weights bit for bit."""
    from hf_nextfail.runs.rerun import computed, differences, surroundings
    from hf_nextfail.runs.rerun import rerun as train_again

    if output_dir is not None:
        check_output_folder(output_dir)
    before, after = train_again(results, output_dir, trust_remote_code, objective, task)
    console = open_console()
    console.rule("Here and now, against the record")
    for name, old, new in surroundings(before, after):
        console.print(f"{name}: {old} then, {new} now", soft_wrap=True)
    found = differences(computed(before), computed(after))
    for name, old, new in found[:20]:
        console.print(f"{name}: {old} then, {new} now", soft_wrap=True)
    if len(found) > 20:
        console.print(f"and {len(found) - 20:,} other numbers")
    if found:
        raise TrainingError(f"{len(found):,} numbers differ from {results}")
    known = before.run["weights_sha256"] is not None
    weights = ", and the weights bit for bit." if known else "; the record has no digest of its weights."
    console.print(f"All numbers are equal{weights}")
