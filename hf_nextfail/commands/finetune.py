"""Train what recipes say, evaluate it, and show the contrast."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from hf_nextfail.commands.terminal import log_to, one_line_at_the_end, open_console
from hf_nextfail.errors import TrainingError
from hf_nextfail.reporting.pictures import plot_accuracy
from hf_nextfail.reporting.provenance import revision
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import format_accuracy, print_table, results_table
from hf_nextfail.runs.recipes import Run, parse_runs
from hf_nextfail.runs.run import execute
from hf_nextfail.training.hardware import set_num_threads

#: What gloo and NCCL say where a process waits for one that is gone.
LOST_PROCESS = re.compile(r"Connection (closed|reset) by peer|Broken pipe|ncclRemoteError|Timed out waiting")
WAY_ON = "--resume_from_checkpoint true goes on from the last whole checkpoint, if there is one"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipes of a command line, then print the table and draw the picture.

    Args:
        argv (sequence of `str`, *optional*): the command line; by default that of the process.

    Raises:
        SystemExit: with a line on the standard error and code 2 for bad input, 1 for a failed training or push, 130
            after Ctrl-C; with `--debug`, below a traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    console = open_console()
    log_to(console)
    with one_line_at_the_end("finetune.py", "--debug" in argv, WAY_ON):
        runs = parse_runs(argv)
        revision()  # asked for now, since the checkout may move on while a long training runs
        set_num_threads()
        try:
            records, failed_pushes = train_all(runs, console)
        except RuntimeError as error:
            if not (torch.distributed.is_initialized() and LOST_PROCESS.search(str(error))):
                raise
            raise TrainingError(
                f"another process of this run has ended, and its own last lines say why; {WAY_ON}"
            ) from error
        if runs[0].training.process_index == 0:
            show_results(runs, records, console)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # else its threads may outlive the interpreter, and abort
        if failed_pushes:
            for failure in failed_pushes:
                print(f"finetune.py: error: {failure}", file=sys.stderr)
            raise SystemExit(1)


def train_all(runs: Sequence[Run], console: Console) -> tuple[list[Record], list[str]]:
    """Train and evaluate one run after the other; returns their records, and what of them could not be pushed."""
    records, failed_pushes = [], []
    for number, run in enumerate(runs, start=1):
        if run.training.process_index == 0:
            console.rule(f"{run.name} ({number} of {len(runs)})")
        record, failures = execute(run)
        records.append(record)
        failed_pushes += [f"{run.name}: {failure}" for failure in failures]
        if run.training.process_index == 0:
            chance = record.chance["hard_token_accuracy"]
            guess = "" if chance is None else f"; guessing at the hard token gives {chance:.3g}"
            console.print(f"test accuracy {format_accuracy(record.results['accuracy'])}{guess}")
            absent = f"No diagnosis: {record.run['diagnosis_absent']}."
            console.print(absent if record.diagnosis is None else record.diagnosis["verdict"])
    return records, failed_pushes


def show_results(runs: Sequence[Run], records: Sequence[Record], console: Console) -> None:
    """Print one table of all runs and where their files are, and draw the accuracy over steps of several runs."""
    console.rule("Accuracy: whole answers right, greedy and free-running (± standard error)")
    print_table(console, results_table(records))
    folder = runs[0].folder
    evaluated = [record for record in records if record.history]
    if len(runs) > 1:
        folder = folder.parents[len(Path(runs[0].name).parts) - 1]
    if len(runs) > 1 and evaluated:  # one alone has its picture in its folder
        plot_accuracy(evaluated, folder / "accuracy.png")
        console.print(f"Accuracy over steps: {folder / 'accuracy.png'}", soft_wrap=True)
    for run in runs:
        console.print(f"Checkpoint, recipe, pictures and results.json: {run.folder}", soft_wrap=True)
    console.print(f"All of it on one page: nextfail report {shlex.quote(str(folder))}", soft_wrap=True)
