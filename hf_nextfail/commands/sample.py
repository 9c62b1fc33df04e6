"""`nextfail sample`: show one row of a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from hf_nextfail.commands.evaluate import Split
from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import UsageError


def sample(
    config: Annotated[str, typer.Argument(help="Such as d2_l5_n50, with _rev for reversed paths.")] = "d2_l5_n50",
    split: Split = "test",
    index: Annotated[int, typer.Option("--index", help="Which row of the split, from 0.")] = 0,
    dataset_seed: Annotated[int, typer.Option("--dataset_seed", help="Seed of the rows.")] = 0,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="A name on the Hub, or a folder; by default one token a label."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="A .png or .svg file; by default runs/sample/CONFIG.png.", show_default=False),
    ] = None,
) -> None:
    """Show a row of the star graph: its text, its arms, its tokens, what each objective makes of them, a picture."""
    from hf_nextfail.reporting.pictures import PICTURE_FORMATS, plot_graph
    from hf_nextfail.runs.sample import load_sample, sample_lines

    picture = picture or Path("runs/sample") / f"{config}.png"
    if picture.suffix.lower().removeprefix(".") not in PICTURE_FORMATS:
        endings = " or ".join(f".{name}" for name in PICTURE_FORMATS)
        raise UsageError(f"--picture must end in {endings}, got {str(picture)!r}")
    shown = load_sample(config, split, index, dataset_seed, tokenizer)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        plot_graph(shown.row, picture)
    except OSError as error:
        raise UsageError(f"--picture {picture}: {error}") from error
    console = open_console()
    console.rule(shown.title)
    for line in sample_lines(shown, console.width):
        console.print(line, soft_wrap=True)
    console.print(f"\npicture     {picture}", soft_wrap=True)
