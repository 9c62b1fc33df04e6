"""`nextfail sample`: show one row of a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import UsageError


def sample(
    task: Annotated[
        str, typer.Argument(help="A task, FILE.py:Class for one of your own, or a configuration of star_graph.")
    ] = "star_graph",
    config: Annotated[
        str | None,
        typer.Argument(help="Such as d2_l5_n50, with _rev for reversed paths; by default the first of the task."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    index: Annotated[int, typer.Option("--index", help="Which row of the split, from 0.")] = 0,
    dataset_seed: Annotated[int, typer.Option("--dataset_seed", help="Seed of the rows.")] = 0,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="A name on the Hub, or a folder; by default one token a label."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            help="A .png or .svg file; by default runs/sample/CONFIG.png, behind the name of a task but star_graph.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a row of a task: its text, its tokens, what each objective makes of them, a picture.

    nextfail sample tree_star d2_b2_s2_l5_n50, or nextfail sample d2_l5_n50 for star_graph.
    """
    from hf_nextfail.reporting.pictures import check_picture, plot_row
    from hf_nextfail.runs.sample import load_sample, sample_lines, which_task

    kind, config = which_task(task, config)
    stem = config if kind.name == "star_graph" else f"{kind.name}_{config}"
    given, picture = picture, picture or Path("runs/sample") / f"{stem}.png"
    check_picture(picture)
    shown = load_sample(config, split, index, dataset_seed, tokenizer, kind)
    drawing = shown.task.drawing(shown.row)
    if drawing is None and given is not None:
        raise UsageError(f"--picture {picture}: the rows of {kind.name} have no picture, it defines no drawing")
    try:
        if drawing is not None:
            picture.parent.mkdir(parents=True, exist_ok=True)
            plot_row(drawing, picture)
    except OSError as error:
        raise UsageError(f"--picture {picture}: {error}") from error
    console = open_console()
    console.rule(shown.title)
    for line in sample_lines(shown, console.width):
        console.print(line, soft_wrap=True)
    if drawing is not None:
        console.print(f"\npicture     {picture}", soft_wrap=True)
