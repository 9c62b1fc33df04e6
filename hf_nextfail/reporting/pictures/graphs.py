"""A graph, the path to its goal, and what a model wrote instead."""

import itertools
import math
import textwrap
from os import PathLike
from typing import Any

from hf_nextfail.reporting.pictures.base import COLOURS, picture
from hf_nextfail.reporting.pictures.layouts import Layout, lay_out

TRUE, GOAL, WRITTEN, OTHER = COLOURS[1], COLOURS[0], COLOURS[3], "0.45"
TAG = {"facecolor": "#FFF6D5", "edgecolor": "0.5", "linewidth": 0.6}


def unknown_words(written: list[str], places: dict[int, Any]) -> list[str]:
    """Return what was written that is not a node of the graph, each once."""
    return list(dict.fromkeys(word for word in written if not (word.isdecimal() and int(word) in places)))


def caption_of(row: dict[str, Any], written: list[str], places: dict[int, Any]) -> str:
    """Say which path is right, which was written, and what of it is not a node of the graph."""
    path = [str(node) for node in row["path"]]
    # The direction in which a model writes may not stand in the row, but in what it wrote.
    guessed = bool(written) and (written[0] == path[-1] or (written[-1] == path[0] and written[0] != path[0]))
    backwards = row.get("reverse", guessed)
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
    """Draw a graph with the path to its goal, and beside it the one that a model wrote.

    Args:
        row (`dict`): `edges`, `path`, `start` and `goal`, as in the dataset or of `Task.drawing`: with a `note`, and
            `directed` if edges have no direction, and `numbered` if their order matters, also these; with `written`
            (texts of nodes in the order of writing) and `probabilities` (text of a node that one may choose -> its
            probability at the hard token), as in `diagnose(...)["drawing"]`, also these.
        path (path): where the picture goes, `.png` or `.svg`; equal rows give equal files.
    """
    edges = [edge for edge in row["edges"] if min(edge) >= 0]  # what is filled up with -1 is none
    row = row | {"edges": edges, "path": [node for node in row["path"] if node >= 0]}
    written, probabilities = row.get("written"), row.get("probabilities") or {}
    layout = lay_out(edges, row["path"], 0.0 if written is None and not probabilities else 1.0)
    unit = layout.unit * (1 + 0.22 * extra_digits(layout)) * (1.3 if row.get("numbered") else 1)  # arrows need room
    width, height = unit * (layout.right - layout.left), unit * (layout.top - layout.bottom)
    width = max(width, 2.9) + 0.1
    caption = row.get("note")
    if written is not None:
        caption = caption_of(row, written, layout.places)
    if caption is not None:
        per_line = int(width * 72 / 4.7)
        wrapped = [textwrap.fill(line, per_line, subsequent_indent="    ") for line in caption.splitlines()]
        caption = "\n".join(wrapped)
        legend = 0 if written is None else -(-(2 + bool(probabilities)) // legend_columns(width))
        height += 0.16 * (caption.count("\n") + 1 + legend) + 0.15
    with picture(path, width, max(height, 0.8) + 0.1, **{"savefig.dpi": 160 if width > 6 else 240}) as figure:
        axes = figure.add_subplot(aspect="equal")
        draw_edges(axes, row, layout)
        if written is not None:
            draw_written(axes, written, layout)
            add_legend(figure, bool(probabilities), width)
        if caption is not None:
            figure.supxlabel(caption, x=0.02, ha="left", fontsize=8.5, linespacing=1.25)
        for node, (x, y) in layout.places.items():
            colour = GOAL if node == row["goal"] else TRUE if node in row["path"] else OTHER
            fill, ink = (colour, "white") if node in (row["start"], row["goal"]) else ("white", colour)
            circle = {"boxstyle": "circle,pad=0.25", "facecolor": fill, "edgecolor": colour}
            axes.text(
                x, y, str(node), ha="center", va="center", fontsize=layout.font_size, color=ink, bbox=circle, zorder=4
            )
        for node, side in layout.sides.items():
            if str(node) in probabilities:
                draw_probability(axes, probabilities[str(node)], layout.places[node], side, layout.font_size - 1)
        axes.set_xlim(layout.left, layout.right)
        axes.set_ylim(layout.bottom, layout.top)
        axes.axis("off")


def extra_digits(layout: Layout) -> int:
    """Say how many digits the longest label has beyond two."""
    return max(0, *(len(str(node)) - 2 for node in layout.places))


def draw_edges(axes: Any, row: dict[str, Any], layout: Layout) -> None:
    """Draw the edges, those of the path in its colour, and their numbers where their order matters."""
    on_path = {frozenset(pair) for pair in itertools.pairwise(row["path"])}
    arrow, size = "-|>" if row.get("directed", True) else "-", layout.font_size
    circle = size * (1 + 0.3 * extra_digits(layout))
    for number, (source, target) in enumerate(row["edges"], start=1):
        colour = TRUE if frozenset((source, target)) in on_path else "0.7"
        style = {"arrowstyle": arrow, "color": colour, "shrinkA": circle, "shrinkB": circle, "linewidth": 1.4}
        places = layout.places[source], layout.places[target]
        axes.annotate("", places[1], places[0], arrowprops=style, zorder=2)
        if row.get("numbered"):
            middle = [sum(pair) / 2 for pair in zip(*places, strict=True)]
            tag = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
            style = {"ha": "center", "va": "center", "fontsize": size - 2, "color": "0.35", "bbox": tag}
            axes.text(*middle, f"{number}.", zorder=3, **style)
