"""One look for all pictures: sizes, colours, files that are equal for equal input."""

import re
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.trainings import Training, names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_FORMATS = ("png", "svg")
# Okabe and Ito's palette, told apart by people who see colours differently.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# One colour an objective in all pictures, so that it is known again; those of others' have one of the rest.
OBJECTIVE_COLOURS = {
    "teacher_forced": COLOURS[0],
    "teacherless": COLOURS[1],
    "hybrid": COLOURS[2],
    "target_masking": COLOURS[3],
    "trelawney": COLOURS[4],
    "mtp": COLOURS[5],
    "ds_mtp": "#1B3A57",
    "top": "#882255",
    "fsp": "#44AA99",
    "jtp": "#999933",
    "nextlat": "#661100",
    "mutor": "#AA4499",
    "bst": "#117733",
    "masked_diffusion": "#6A3D9A",
    "insertion": "#B8860B",
}
OTHER_COLOURS = ("#332288", "#8C564B", "#BCBD22", "#E377C2", "#5D8AA8", "#2F4F4F")
UNKNOWN_COLOUR = "#6B6B6B"  # of a model that was trained elsewhere
MARKERS = "osD^vPX*<>"
MOST = 9  # trainings in one picture: more lines, panels or bars cannot be told apart
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


def check_picture(path: str | PathLike) -> None:
    """Raise `UsageError` unless what was given as `--picture` ends as a picture does."""
    if Path(path).suffix.lower().removeprefix(".") not in PICTURE_FORMATS:
        endings = " or ".join(f".{name}" for name in PICTURE_FORMATS)
        raise UsageError(f"--picture must end in {endings}, got {str(path)!r}")


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


def colour_of(objective: str | None) -> str:
    """Return the colour of an objective, the same in every picture: of an unknown one by its name."""
    if objective is None:
        return UNKNOWN_COLOUR
    return OBJECTIVE_COLOURS.get(objective, OTHER_COLOURS[zlib.crc32(objective.encode()) % len(OTHER_COLOURS)])


def looks_of(trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """Say how trainings are drawn: colour by objective, dashed on reversed paths, a marker for each of one look."""
    looks, seen = [], []
    for training in trainings:
        look = {"color": colour_of(training.objective), "linestyle": (0, (4, 1.2)) if training.reverse else "-"}
        looks.append(look | {"marker": MARKERS[seen.count(look) % len(MARKERS)]})
        seen.append(look)
    return looks


def title_of(trainings: Sequence[Training], what: str) -> str:
    """Write a title: the task (or how many: names say which), what is drawn, and how many trainings if not all."""
    tasks = sorted({training.task for training in trainings})
    name = shorten(tasks[0], 45) if len(tasks) == 1 else f"{len(tasks)} tasks"
    return f"{name}: {what}" + (f" ({MOST} of {len(trainings)} trainings)" if len(trainings) > MOST else "")


def headings_of(trainings: Sequence[Training], inches: float) -> list[str]:
    """Name trainings in lines that fit a width, at a size of 9 points."""
    return [textwrap.fill(in_words(name), max(8, int(inches / 0.083))) for name in names_of(trainings)]


def in_words(name: str) -> str:
    """Write the name of a run for a picture: `teacher forced` for `teacher_forced`, but `g2_5_small` as it is."""
    return re.sub("(?<=[a-z])_(?=[a-z])", " ", shorten(name, 50))


def shorten(text: str, length: int) -> str:
    """Leave out the middle of a text that is too long."""
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-(length // 2 - 3) :]}"


def mark_chance(axes: "Axes", chances: Iterable[float | None]) -> None:
    """Draw a line at what guessing the arm gives, of several runs; `None` where nothing is to be guessed."""
    levels = sorted({chance for chance in chances if chance})
    named = ", ".join(f"1/{1 / level:.0f}" for level in levels)
    for number, level in enumerate(levels):
        label = "_" if number else f"{named}: a guess"
        axes.axhline(level, color="0.45", linestyle=(0, (4, 3)), linewidth=0.9, zorder=1, label=label)


def over_steps(axes: "Axes", steps: Sequence[int]) -> None:
    """Lay out axes for shares between 0 and 1 over training steps, from 0 to the last."""
    axes.set_ylim(-0.02, 1.03)
    axes.set_xlim(0, max(*steps, 1) * 1.015)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
