"""The command `nextfail`: what is not training."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

# Torch and the Hugging Face libraries take seconds to import, so each command imports what it needs when it is called:
# `nextfail --help` answers at once.
from hf_nextfail.commands.depth import depth
from hf_nextfail.commands.environment import environment
from hf_nextfail.commands.evaluate import diagnose, evaluate
from hf_nextfail.commands.leaderboard import leaderboard, push_results, push_space
from hf_nextfail.commands.push import push_dataset, push_metric, push_model
from hf_nextfail.commands.report import report
from hf_nextfail.commands.reproduce import reproduce, rerun
from hf_nextfail.commands.sample import sample
from hf_nextfail.commands.terminal import INTERRUPTED, log_to, one_line_at_the_end, open_console
from hf_nextfail.errors import UsageError, print_error
from hf_nextfail.version import __version__

#: Options that take one value each time that they are given.
REPEATABLE = ("--configs", "--only", "--protocol")
WAY_ON = "the same command begins again; reproduce keeps the runs that are finished"

app = typer.Typer(
    name="nextfail",
    help="Run and rank trainings, evaluate checkpoints, and publish datasets, checkpoints, metrics, results and a "
    "leaderboard on the Hugging Face Hub. "
    "Training is `accelerate launch recipes/finetune.py`.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("evaluate")(evaluate)
app.command("diagnose")(diagnose)
app.command("depth")(depth)
app.command("sample")(sample)
app.command("report")(report)
app.command("rerun")(rerun)
app.command("leaderboard")(leaderboard)
app.command("reproduce")(reproduce)
app.command("env")(environment)
app.command("push-dataset")(push_dataset)
app.command("push-metric")(push_metric)
app.command("push-model")(push_model)
app.command("push-results")(push_results)
app.command("push-space")(push_space)


@app.callback(invoke_without_command=True)
def nextfail(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere in the line.")
    ] = False,
) -> None:
    """Show the version."""
    if show_version:
        print(__version__)
        raise typer.Exit


def check_repeats(arguments: Sequence[str]) -> None:
    """Raise `UsageError` for an option that is given twice, of which all but the last would have no effect."""
    given = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    given = ["--private" if option == "--public" else option for option in given]
    for option in given:
        if given.count(option) > 1 and option not in REPEATABLE:
            raise UsageError(f"{option} is given twice: give it once")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of `nextfail`.

    Args:
        argv (sequence of `str`, *optional*): the command line; by default that of the process.

    Raises:
        SystemExit: with one line on the standard error and code 2 for bad input, 1 for a failure during work, 130
            after Ctrl-C; with `--debug`, below a traceback.
    """
    log_to(open_console(stderr=True))
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    with one_line_at_the_end("nextfail", debug, WAY_ON):
        check_repeats(arguments)
        try:
            code = app(arguments, standalone_mode=False)
        except TyperException as error:  # what is wrong with the command line itself
            print_error("nextfail", error.format_message(), debug)
            code = error.exit_code
        if code == INTERRUPTED:  # which typer makes of Ctrl-C, without a line
            raise KeyboardInterrupt
        raise SystemExit(code or 0)


if __name__ == "__main__":
    main()
