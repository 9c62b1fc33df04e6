"""One look for all pictures: sizes, colours, files that are equal for equal input."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
# Okabe and Ito's palette, told apart by people who see colours differently.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH = 5.5  # inches: the width of a page of text, and still readable in one of two columns
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "0.3",
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "font.size": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "savefig.dpi": 240,
    "svg.hashsalt": "hf_nextfail",  # else the ids in a file are random
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}


@contextmanager
def picture(path: str | PathLike, width: float, height: float, **style: Any) -> Iterator["Figure"]:
    """Open a figure to draw into, and write it when it is done.

    The user's own settings of matplotlib are put aside: equal input gives equal files on every machine of one version.

    Args:
        path (path): where it goes; `.png` or `.svg`.
        width, height (`float`): in inches.
        style: settings of matplotlib over ours.

    Raises:
        ValueError: if the path ends in something else.
    """
    import matplotlib
    from matplotlib.figure import Figure

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"a picture is a .png or .svg file, got {str(path)!r}")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | style)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        # Neither the time nor the version of matplotlib belongs into the file.
        figure.savefig(path, metadata={"Software": None} if suffix == "png" else {"Date": None, "Creator": None})


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart until neighbours are `gap` apart, as little as that takes.

    Args:
        values (sequence of `float`): in any order; equal ones keep the order in which they came, the first highest.
        gap (`float`): the least distance.

    Returns:
        `list` of the places, in the order of `values`.

    Example:

    ```python
    >>> spread([1.0, 1.0, 0.0], 0.5)
    [1.25, 0.75, 0.0]

    ```
    """
    order = sorted(range(len(values)), key=lambda i: (values[i], -i))
    groups: list[list[int]] = []  # of neighbours that touch, each centred on where its members want to be
    centre = {}
    for i in order:
        groups.append([i])
        while True:
            group = groups[-1]
            wanted = [values[k] - gap * place for place, k in enumerate(group)]
            centre[group[0]] = sum(wanted) / len(wanted)
            if len(groups) < 2:
                break
            below = groups[-2]
            if centre[below[0]] + gap * len(below) <= centre[group[0]] + 1e-12:
                break
            groups[-2:] = [below + group]
    places = [0.0] * len(values)
    for group in groups:
        for place, i in enumerate(group):
            places[i] = centre[group[0]] + gap * place
    return places


def mark_chance(axes: "Axes", chances: Sequence[float | None], height: float) -> None:
    """Draw a line at what guessing the arm gives, named in the margin, where no curve runs.

    Args:
        axes (`Axes`): of accuracies.
        chances (sequence of `float` or `None`): 1/d, of several runs; `None` where nothing is to be guessed.
        height (`float`): of the axes in inches, about.
    """
    levels = sorted({chance for chance in chances if chance})
    low, high = axes.get_ylim()
    places = spread(levels, 10.5 / 72 / height * (high - low))
    for level, place in zip(levels, places, strict=True):
        axes.axhline(level, color="0.45", linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
        axes.text(
            1.01,
            place,
            f"1/{1 / level:.0f}: a guess",
            transform=axes.get_yaxis_transform(),
            va="center",
            color="0.35",
            fontsize=8,
        )


def over_steps(axes: "Axes", steps: Sequence[int]) -> None:
    """Lay out axes for shares between 0 and 1 over training steps, from 0 to the last."""
    axes.set_xlabel("training steps")
    axes.set_ylim(-0.02, 1.03)
    axes.set_xlim(0, max(*steps, 1) * 1.015)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
