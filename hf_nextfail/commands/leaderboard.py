"""`nextfail leaderboard`, `push-results` and `push-space`: rank records, and publish them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_nextfail.commands.push import Private, Repo
from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import check_output_folder

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from hf_nextfail.reporting.leaderboard import Leaderboard

SHIPPED = "hub_cards/"  # where the records of the package lie
Places = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders, and repositories on the Hub: results datasets, and models that were pushed with their "
        "results. By default the records that ship with the package, and those below runs/.",
        metavar="[PLACE...]",
        show_default=False,
    ),
]


def leaderboard(
    places: Places = None,
    output_dir: Annotated[
        Path, typer.Option("--output_dir", help="Folder for README.md, index.html and leaderboard.parquet.")
    ] = Path("leaderboard"),
    hub: Annotated[bool, typer.Option("--hub", help="Also collect whatever on the Hub is tagged nextfail.")] = False,
    protocol: Annotated[
        list[Path] | None,
        typer.Option("--protocol", help="The file of a protocol of your own, beside ours; may be given again."),
    ] = None,
) -> None:
    """Rank records: how many seeds solve each task, by protocol. Says of every record that does not count why."""
    from hf_nextfail.hub.collect import collect
    from hf_nextfail.reporting.leaderboard import leaderboard_of
    from hf_nextfail.reporting.leaderboard_page import write_leaderboard
    from hf_nextfail.reporting.protocols import protocols_with

    check_output_folder(output_dir)
    protocols = protocols_with(protocol or [])
    collected = collect(places or [], hub)
    board = leaderboard_of(collected.submissions, protocols)
    board.left_out[:0] = collected.unreadable
    page = write_leaderboard(board, output_dir)
    show(board)
    open_console().print(f"The table, and how to run each cell again: {page}", soft_wrap=True, highlight=False)


def push_results(
    places: Places = None,
    repo: Repo = "nextfail/results",
    private: Private = None,
) -> None:
    """Publish records as a results dataset, in one commit. It then holds these records and no others."""
    from hf_nextfail.hub.results import push_records

    publish(push_records, places, repo, private)


def push_space(
    places: Places = None,
    repo: Repo = "nextfail/leaderboard",
    private: Private = None,
) -> None:
    """Publish the leaderboard of records, and the playground, as a Space, in one commit."""
    from hf_nextfail.hub.publish import push_space

    publish(push_space, places, repo, private)


def publish(
    push: Callable[..., tuple["CommitInfo", "Leaderboard"]], places: list[str] | None, repo: str, private: bool | None
) -> None:
    """Push the records of some places, and show which of them count."""
    from hf_nextfail.hub.collect import collect

    collected = collect(places or [])
    commit, board = push(collected, repo, private)
    board.left_out[:0] = collected.unreadable
    show(board)
    print(commit.commit_url)


def show(board: "Leaderboard") -> None:
    """Print the headline of each cell, and a line for each record that does not count."""
    from rich.table import Table

    from hf_nextfail.reporting.leaderboard_page import accuracy_in_words, reasons, verified_in_words
    from hf_nextfail.reporting.tables import print_table

    console = open_console()
    # The page says why of each record; here, those of the package would hide whoever ranks beside them.
    handed_in = [(source, reason) for source, reason in board.left_out if not source.startswith(SHIPPED)]
    for sources, reason in reasons(handed_in):
        console.print(f"left out: {sources}: {reason}", soft_wrap=True, highlight=False, markup=False)
    questions = Counter(standing.question for standing in board.standings)
    for question in questions:
        own = [standing for standing in board.standings if standing.question == question]
        protocol, _, _, model = question
        title = f"{protocol}: {own[0].title}, {model}"
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
        table.add_column("objective", overflow="fold")
        verified = ["verified"] if any(standing.verified for standing in own) else []
        for heading in ("solved", "95 %", "steps\nto solve", "accuracy", *verified):
            table.add_column(heading, no_wrap=True)
        for one in own:
            low, high = one.solved.interval
            interval = f"{low:.2f} to {high:.2f}"
            steps = one.solved.median_steps
            in_words = "" if steps is None else f"{steps:,.0f}"
            numbers = [str(one.solved), interval, in_words, accuracy_in_words(one), verified_in_words(one)]
            table.add_row(one.contestant.title, *numbers[: 4 + len(verified)])
        print_table(console, table)
    counted = sum(len(standing.counted) for standing in board.standings)
    others = sum(len(standing.others) for standing in board.standings)
    line = f"cells: {len(board.standings)}; records that count: {counted}, further ones of the same seeds: {others}, "
    of_package = len(board.left_out) - len(handed_in)
    shipped = f", {of_package} of them of the package" if of_package else ""
    console.print(f"{line}left out: {len(board.left_out)}{shipped}", soft_wrap=True, highlight=False)
