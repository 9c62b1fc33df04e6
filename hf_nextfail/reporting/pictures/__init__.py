"""Pictures of runs, for papers and pages: PNG and SVG, equal files for equal runs."""

import logging
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from hf_nextfail.reporting.pictures.base import COLOURS, PICTURE_FORMATS
from hf_nextfail.reporting.pictures.curves import learning_curves, plot_accuracy, plot_learning
from hf_nextfail.reporting.pictures.graphs import plot_graph
from hf_nextfail.reporting.pictures.grids import plot_grid
from hf_nextfail.reporting.pictures.shares import accuracy_by_distance, plot_errors, plot_positions
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import distinct_names

__all__ = [
    "COLOURS",
    "PICTURES",
    "PICTURE_FORMATS",
    "Picture",
    "draw_pictures",
    "plan_pictures",
    "plot_accuracy",
    "plot_errors",
    "plot_graph",
    "plot_grid",
    "plot_learning",
    "plot_positions",
]

logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """One kind of picture.

    Args:
        draw (callable): takes records, or what `data` takes from a record, and a path.
        data (callable): what is drawn of a record; nothing is drawn of records of which it is empty.
        each (`bool`): one picture a run instead of one of all.
        caption (`str`): what one sees, and how it was made.
    """

    draw: Callable[..., None]
    data: Callable[[Record], Any]
    each: bool
    caption: str


def drawing_of(record: Record) -> dict[str, Any] | None:
    """Return the row that a record's diagnosis chose to be drawn."""
    return None if record.diagnosis is None else record.diagnosis["drawing"]


PICTURES: dict[str, Picture] = {
    "accuracy": Picture(
        plot_accuracy,
        lambda record: record.history,
        False,
        "Whole paths right, greedy and free-running, on the validation split during training. Dashed: what guessing "
        "the arm gives.",
    ),
    "positions": Picture(
        plot_positions,
        lambda record: record.history and accuracy_by_distance(record)[0],
        False,
        "Accuracy of each node, free-running, at every evaluation during training, on the first rows of the "
        "validation split; the goal at the bottom, the start at the top, the hard token framed.",
    ),
    "learning": Picture(
        plot_learning,
        lambda record: record if len(learning_curves(record)) > 1 else None,
        True,
        "What is learnt when, on the first rows of the validation split. Knows the candidates: probability of the "
        "start's neighbours together, at the hard token. Follows edges: all right after the true first step. Follows "
        "a wrong arm: the same after a step into one, but for its last node. Writes an arm: the output is an arm of "
        "the graph, right or wrong. First step right: the hard token, free-running.",
    ),
    "errors": Picture(
        plot_errors,
        lambda record: record.diagnosis,
        False,
        "What the paths are that the model writes, free-running, on the diagnosed rows. Jump: nodes of the graph with "
        "no edge in between.",
    ),
    "graph": Picture(
        plot_graph,
        drawing_of,
        True,
        "The first of the diagnosed rows whose path is wrong, or the first of all: the right path, what the model "
        "wrote, and the probability that it gives to each neighbour of the start at the hard token.",
    ),
}


def plan_pictures(records: Sequence[Record]) -> list[tuple[str, str, Any, str]]:
    """Say which pictures the records have data for.

    Args:
        records (sequence of `Record`): of one run or several.

    Returns:
        A list of: name in `PICTURES`, stem of its files, what is drawn, and the name of the run (`""`: all runs).
    """
    planned, stems = [], set()
    names = distinct_names(records)
    for kind, picture in PICTURES.items():
        found = [(name, record, picture.data(record)) for name, record in zip(names, records, strict=True)]
        found = [entry for entry in found if entry[2]]
        if found and not picture.each:
            planned.append((kind, kind, [record for _, record, _ in found], ""))
        elif picture.each:
            for name, _, data in found:
                stem = kind if len(records) == 1 else f"{kind}_{re.sub(r'[^A-Za-z0-9.-]+', '_', name).strip('_.')}"
                while stem in stems:
                    stem += "_"
                stems.add(stem)
                planned.append((kind, stem, data, name))
    return planned


def draw_pictures(
    records: Sequence[Record], folder: str | PathLike, formats: Sequence[str] = PICTURE_FORMATS
) -> list[Path]:
    """Draw all that the records have data for. What cannot be drawn is logged and left out: no run is lost to it.

    Args:
        records (sequence of `Record`): of one run or several.
        folder (path): where the files go; it must exist.
        formats (sequence of `str`, *optional*, defaults to both): of `"png"`, `"svg"`.

    Returns:
        `list` of the files, named as in `PICTURES`, with the run's name where there is one of each run.
    """
    paths = []
    for kind, stem, data, _ in plan_pictures(records):
        for suffix in formats:
            path = Path(folder) / f"{stem}.{suffix}"
            try:
                PICTURES[kind].draw(data, path)
            except Exception as error:
                logger.warning("%s could not be drawn: %r", path.name, error)
            else:
                paths.append(path)
    return paths
