"""One look for all pictures: sizes, colours, files that are equal for equal input."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_nextfail.reporting.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_FORMATS = ("png", "svg")
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
    "text.parse_math": False,  # names and what models write may hold dollar signs
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
    if suffix not in PICTURE_FORMATS:
        raise ValueError(f"a picture is a .png or .svg file, got {str(path)!r}")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | style)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        # Neither the time nor the version of matplotlib belongs into the file.
        figure.savefig(path, metadata={"Software": None} if suffix == "png" else {"Date": None, "Creator": None})


def spread(values: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Move values apart until neighbours are `gap` apart, as little as that takes.

    Args:
        values (sequence of `float`): in any order; equal ones keep the order in which they came, the first highest.
        gap (`float`): the least distance.
        low, high (`float`, *optional*): where to stay, as far as there is room.

    Returns:
        `list` of the places, in the order of `values`.

    Example:

    ```python
    >>> spread([1.0, 1.0, 0.0], 0.5)
    [1.25, 0.75, 0.0]
    >>> spread([1.0, 1.0, 0.0], 0.5, high=1.0)
    [1.0, 0.5, 0.0]

    ```
    """
    groups: list[tuple[float, list[int]]] = []  # from below: the lowest place of neighbours that touch, and they
    for i in sorted(range(len(values)), key=lambda i: (values[i], -i)):
        lowest, group = values[i], [i]
        while groups and groups[-1][0] + gap * len(groups[-1][1]) > lowest:
            group = groups.pop()[1] + group
            lowest = sum(values[k] - gap * place for place, k in enumerate(group)) / len(group)
        groups.append((lowest, group))
    order = [i for _, group in groups for i in group]
    places = {i: lowest + gap * place for lowest, group in groups for place, i in enumerate(group)}
    for number, i in enumerate(reversed(order)):
        places[i] = min(places[i], high - gap * number)
    for number, i in enumerate(order):
        places[i] = max(places[i], low + gap * number)
    return [places[i] for i in range(len(values))]


def title_of(records: Sequence[Record]) -> str:
    """Name the graphs of runs, as far as there is room in a title."""
    titles = sorted({record.run["title"] for record in records})
    return shorten(" and ".join(titles), 45) if len(titles) <= 2 else f"{len(titles)} kinds of graphs"


def in_words(name: str) -> str:
    """Write the name of a run for a picture: `teacher forced` for `teacher_forced`, but `g2_5_small` as it is."""
    return re.sub("(?<=[a-z])_(?=[a-z])", " ", shorten(name, 50))


def shorten(text: str, length: int) -> str:
    """Leave out the middle of a text that is too long."""
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-(length // 2 - 3) :]}"


def mark_chance(axes: "Axes", chances: Sequence[float | None], height: float) -> None:
    """Draw a line at what guessing the arm gives, named in the margin, where no curve runs.

    Args:
        axes (`Axes`): of accuracies.
        chances (sequence of `float` or `None`): 1/d, of several runs; `None` where nothing is to be guessed.
        height (`float`): of the axes in inches, about.
    """
    levels = sorted({chance for chance in chances if chance})
    low, high = axes.get_ylim()
    places = spread(levels, 10.5 / 72 / height * (high - low), low=low)
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
