"""A row of a task whose answer is no graph, as a table."""

from os import PathLike
from typing import Any

from hf_nextfail.reporting.pictures.base import picture
from hf_nextfail.reporting.pictures.graphs import plot_graph

LINE, CHARACTER, GAP = 0.2, 0.075, 0.25  # inches


def plot_row(drawing: dict[str, Any], path: str | PathLike) -> None:
    """Draw a row of a task.

    Args:
        drawing (`dict`): of `Task.drawing`: a graph, see `plot_graph`, or a `table`, rows of texts with the headings
            first, and a `note`.
        path (path): where the picture goes, `.png` or `.svg`; equal rows give equal files.
    """
    if "table" not in drawing:
        plot_graph(drawing, path)
        return
    table, note = drawing["table"], drawing["note"]
    widths = [CHARACTER * max(map(len, column)) + GAP for column in zip(*table, strict=True)]
    width, height = max(sum(widths), CHARACTER * len(note)) + GAP, LINE * (len(table) + 1.8)
    with picture(path, width, height) as figure:
        axes = figure.add_subplot()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        axes.text(GAP / 2, LINE * 0.7, note, va="center", color="0.35")
        for line, cells in enumerate(table):
            y, left = LINE * (line + 1.9), GAP / 2
            for cell, room in zip(cells, widths, strict=True):
                style = {"fontweight": "bold"} if line == 0 else {"family": "monospace", "fontsize": 8.5}
                axes.text(left, y, cell, va="center", **style)
                left += room
        axes.hlines(LINE * 2.4, GAP / 2, width - GAP / 2, color="0.6", linewidth=0.8)
