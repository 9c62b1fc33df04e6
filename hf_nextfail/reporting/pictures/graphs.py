"""A star graph, the path to its goal, and what a model wrote instead."""

import itertools
import math
import textwrap
from os import PathLike
from typing import Any, NamedTuple

from hf_nextfail.reporting.pictures.base import COLOURS, picture
from hf_nextfail.tasks.star_graph_text import arms_of

TRUE, GOAL, WRITTEN, OTHER = COLOURS[1], COLOURS[0], COLOURS[3], "0.45"
TAG = {"facecolor": "#FFF6D5", "edgecolor": "0.5", "linewidth": 0.6}
LONG = 7  # arms of so many nodes lie beside each other like the teeth of a comb: a star of them would be mostly paper


class Layout(NamedTuple):
    """Where the nodes of a graph are drawn.

    Args:
        places (`dict`): node -> its x and y, in units of an edge or so.
        sides (`dict`): neighbour of the start -> where its probability stands, x and y.
        left, right, bottom, top (`float`): what of the plane is shown.
        unit (`float`): inches.
        font_size (`float`): of the nodes.
    """

    places: dict[int, tuple[float, float]]
    sides: dict[int, tuple[float, float]]
    left: float
    right: float
    bottom: float
    top: float
    unit: float
    font_size: float


def as_comb(start: int, arms: list[list[int]], room: float) -> Layout:
    """Lay arms out from left to right, below each other."""
    middle = (len(arms) - 1) / 2
    spacing = 1 + 0.35 * room
    first = 1 + 0.3 * middle  # many arms need room to fan out
    places, sides = {start: (0.0, 0.0)}, {}
    for number, arm in enumerate(arms):
        y = (middle - number) * spacing
        places |= {node: (first + distance, y) for distance, node in enumerate(arm)}
        sides[arm[0]] = (first, y + 0.62)
    reach = middle * spacing + 0.5
    return Layout(places, sides, -0.5, first + len(arms[0]) - 0.5, -reach - 0.1 * room, reach + 0.35 * room, 0.42, 8)


def as_star(start: int, arms: list[list[int]], room: float) -> Layout:
    """Lay arms out around the start; one or two are a line."""
    size = 9 if len(arms) <= 10 else 6.5
    first = 1 + max(0, len(arms) - 8) / 8  # many arms need room around the start
    if room and len(arms) > 2:  # and so do probabilities on the first edges, where it is plain whose they are
        first = max(1.9, first + 0.6)
    places, sides = {start: (0.0, 0.0)}, {}
    for number, arm in enumerate(arms):
        angle = 2 * math.pi * number / len(arms)
        x, y = math.cos(angle), math.sin(angle)
        places |= {node: ((first + distance) * x, (first + distance) * y) for distance, node in enumerate(arm)}
        sides[arm[0]] = ((first - 0.8) * x, (first - 0.8) * y)
        if len(arms) <= 2:
            sides[arm[0]] = (first * x, 0.62)
    across, down = zip(*places.values(), strict=True)
    above, below = (0.8, 0.6) if room and len(arms) <= 2 else (0.5, 0.5)
    return Layout(places, sides, min(across) - 0.5, max(across) + 0.5, min(down) - below, max(down) + above, 0.5, size)


def unknown_words(written: list[str], places: dict[int, Any]) -> list[str]:
    """Return what was written that is not a node of the graph, each once."""
    return list(dict.fromkeys(word for word in written if not (word.isdecimal() and int(word) in places)))


def caption_of(row: dict[str, Any], written: list[str], places: dict[int, Any]) -> str:
    """Say which path is right, which was written, and what of it is not a node of the graph."""
    path = [str(node) for node in row["path"]]
    # The direction in which a model writes does not stand in the row, but in what it wrote.
    backwards = bool(written) and (written[0] == path[-1] or (written[-1] == path[0] and written[0] != path[0]))
    right = path[::-1] if backwards else path
    unknown = unknown_words(written, places)
    lines = [f"right: {', '.join(right)}", f"written: {', '.join(written) or 'nothing'}"]
    if unknown:
        lines.append(f"not in this graph: {', '.join(word or 'nothing' for word in unknown)}")
    return "\n".join(lines)


def draw_written(axes: Any, written: list[str], layout: Layout) -> None:
    """Draw the written path as dashed arcs from node to node; what is not a node of the graph is stepped over."""
    nodes = [int(word) if word.isdecimal() and int(word) in layout.places else None for word in written]
    for source, target in itertools.pairwise(nodes):
        if None in (source, target) or source == target:
            continue
        (x, y), (to_x, to_y) = layout.places[source], layout.places[target]
        # A long jump bends less, or it would leave the picture.
        length = math.dist((x, y), (to_x, to_y))
        bend = 0.35 if length < 1.5 else min(0.35, 0.8 / length)
        style = {
            "arrowstyle": "-|>",
            "color": WRITTEN,
            "linestyle": (0, (3, 1.5)),
            "linewidth": 1.5,
            "shrinkA": layout.font_size * 0.9,
            "shrinkB": layout.font_size * 0.9,
            "connectionstyle": f"arc3,rad={bend}",
        }
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=style, zorder=3)


def draw_probability(
    axes: Any, value: float, node: tuple[float, float], side: tuple[float, float], size: float
) -> None:
    """Write the probability of a node on a tag that a line ties to it."""
    box = {"boxstyle": "round,pad=0.15", "facecolor": "#FFF6D5", "edgecolor": "0.5", "linewidth": 0.6}
    line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    style = {"ha": "center", "va": "center", "fontsize": size, "color": "0.1", "bbox": box, "arrowprops": line}
    axes.annotate(f"{value:.2f}", node, side, zorder=3.5, **style)


def add_legend(figure: Any, probabilities: bool, width: float) -> None:
    """Explain the lines and numbers above the graph."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=TRUE, linewidth=1.6, label="right path"),
        Line2D([], [], color=WRITTEN, linewidth=1.6, linestyle=(0, (3, 1.5)), label="written by the model"),
    ]
    if probabilities:
        handles.append(Patch(**TAG, label="probability at the hard token"))
    style = {"labelspacing": 0.3, "columnspacing": 1.4, "borderaxespad": 0.2}
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns(width), **style)


def legend_columns(width: float) -> int:
    """Say how many entries of the legend stand beside each other in a picture of so many inches."""
    return max(1, min(3, int(width / 2.1)))


def plot_graph(row: dict[str, Any], path: str | PathLike) -> None:
    """Draw a star graph with the path to its goal, and beside it the one that a model wrote.

    Args:
        row (`dict`): `edges`, `path`, `start` and `goal`, as in the dataset; with `written` (texts of nodes in the
            order of writing) and `probabilities` (text of a neighbour of the start -> its probability at the hard
            token), as in `diagnose(...)["drawing"]`, also these.
        path (path): where the picture goes, `.png` or `.svg`; equal rows give equal files.
    """
    arms = [arm[1:] for arm in arms_of(row["edges"], row["start"])]
    written, probabilities = row.get("written"), row.get("probabilities") or {}
    lay_out = as_comb if len(arms[0]) >= LONG - 1 else as_star
    layout = lay_out(row["start"], arms, 0.0 if written is None and not probabilities else 1.0)
    width, height = layout.unit * (layout.right - layout.left), layout.unit * (layout.top - layout.bottom)
    width = max(width, 2.9) + 0.1
    caption = None
    if written is not None:
        per_line = int(width * 72 / 4.7)
        lines = caption_of(row, written, layout.places).splitlines()
        wrapped = [textwrap.fill(line, per_line, subsequent_indent="    ") for line in lines]
        caption = "\n".join(wrapped)
        legend = -(-(2 + bool(probabilities)) // legend_columns(width))
        height += 0.16 * (caption.count("\n") + 1 + legend) + 0.15
    with picture(path, width, max(height, 0.8) + 0.1, **{"savefig.dpi": 160 if width > 6 else 240}) as figure:
        axes = figure.add_subplot(aspect="equal")
        size = layout.font_size
        for source, target in row["edges"]:
            colour = TRUE if target in row["path"] else "0.7"
            style = {"arrowstyle": "-|>", "color": colour, "shrinkA": size, "shrinkB": size, "linewidth": 1.4}
            axes.annotate("", layout.places[target], layout.places[source], arrowprops=style, zorder=2)
        if written is not None:
            draw_written(axes, written, layout)
            figure.supxlabel(caption, x=0.02, ha="left", fontsize=8.5, linespacing=1.25)
            add_legend(figure, bool(probabilities), width)
        for node, (x, y) in layout.places.items():
            colour = GOAL if node == row["goal"] else TRUE if node in row["path"] else OTHER
            fill, ink = (colour, "white") if node in (row["start"], row["goal"]) else ("white", colour)
            circle = {"boxstyle": "circle,pad=0.25", "facecolor": fill, "edgecolor": colour}
            axes.text(x, y, str(node), ha="center", va="center", fontsize=size, color=ink, bbox=circle, zorder=4)
        for node, side in layout.sides.items():
            if str(node) in probabilities:
                draw_probability(axes, probabilities[str(node)], layout.places[node], side, size - 1)
        axes.set_xlim(layout.left, layout.right)
        axes.set_ylim(layout.bottom, layout.top)
        axes.axis("off")
