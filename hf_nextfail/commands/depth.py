"""`nextfail depth`: how far a model looks ahead that was never trained on the task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hf_nextfail.commands.evaluate import Chat, DatasetSeed, MaxNewTokens, Model, NumShots, Split, TrustRemoteCode
from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import UsageError, check_output_folder

PATH_LENGTHS = [2, 3, 4, 5, 7, 10]


def read_lengths(words: Sequence[str]) -> list[int]:
    """Read path lengths: an option takes one value, so that the others arrive as arguments; commas are welcome, too.

    Raises:
        UsageError: naming the word that is no number.
    """
    words = [word for entry in words for word in entry.split(",")]
    if strange := [word for word in words if not (word.isascii() and word.isdigit())]:
        raise UsageError(f"--path_lengths must be whole numbers such as 2 3 4, got {strange[0]!r}")
    return [int(word) for word in words]


def depth(
    model: Model,
    path_lengths: Annotated[
        list[str] | None,
        typer.Option(
            "--path_lengths", help="Nodes of a path, such as 2 3 4.", show_default=" ".join(map(str, PATH_LENGTHS))
        ),
    ] = None,
    more_lengths: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    degree: Annotated[int, typer.Option("--degree", help="Arms of each graph.")] = 2,
    num_nodes: Annotated[int, typer.Option("--num_nodes", help="Labels to draw from.")] = 50,
    num_rows: Annotated[int, typer.Option("--num_rows", help="Of each path length, the first so many.")] = 200,
    num_shots: NumShots = None,
    chat: Chat = False,
    max_new_tokens: MaxNewTokens = None,
    split: Split = None,
    dataset_seed: DatasetSeed = None,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Rows of one pass.")] = 32,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for all models.")] = Path("runs/depth"),
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Ask a checkpoint star graphs in plain English, and draw over path length how often it is right.

    Path lengths that were measured in the same way are kept: the same command goes on where it was stopped.
    """
    from hf_nextfail.reporting.tables import print_table, results_table
    from hf_nextfail.runs.ask_checkpoint import measure_depth

    check_output_folder(output_dir)
    console = open_console()
    records, folder = measure_depth(
        model,
        output_dir,
        read_lengths([*(path_lengths or ()), *(more_lengths or ())]) or PATH_LENGTHS,
        degree,
        num_nodes,
        num_rows,
        num_shots or 0,
        chat,
        max_new_tokens,
        batch_size,
        say=lambda line: console.print(line, soft_wrap=True),
        split=split,
        dataset_seed=dataset_seed,
        trust_remote_code=trust_remote_code,
    )
    print_table(console, results_table(records))
    console.print(f"depth.png, depth.svg, depth.csv: {folder}", soft_wrap=True)
