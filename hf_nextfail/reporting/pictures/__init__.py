"""Pictures of runs, for papers and pages: PNG and SVG, equal files for equal runs."""

import logging
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from hf_nextfail.reporting.pictures.base import COLOURS, PICTURE_FORMATS, check_picture
from hf_nextfail.reporting.pictures.curves import learning_curves, plot_accuracy, plot_learning
from hf_nextfail.reporting.pictures.depth import asked_graph, plot_depth
from hf_nextfail.reporting.pictures.graphs import plot_graph
from hf_nextfail.reporting.pictures.grids import plot_grid
from hf_nextfail.reporting.pictures.rewards import plot_rewards
from hf_nextfail.reporting.pictures.shares import accuracy_by_distance, plot_errors, plot_positions
from hf_nextfail.reporting.pictures.texts import plot_row
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import Training, names_of, trainings_of

__all__ = [
    "COLOURS",
    "PICTURES",
    "PICTURE_FORMATS",
    "Picture",
    "check_picture",
    "draw_pictures",
    "plan_pictures",
    "plot_accuracy",
    "plot_depth",
    "plot_errors",
    "plot_graph",
    "plot_grid",
    "plot_learning",
    "plot_positions",
    "plot_rewards",
    "plot_row",
]

logger = logging.getLogger(__name__)


GRAPHS = 6  # drawn of all trainings together: of more, those that fail most


class Picture(NamedTuple):
    """One kind of picture.

    Args:
        draw (callable): takes records, or what `data` takes from a record, and a path.
        data (callable): what is drawn of a record; nothing is drawn of records of which it is empty.
        of (`str`): what there is one picture of: `"page"` (all records, where they have several tasks), `"task"` or
            `"training"` (its first run).
        caption (`str`): what one sees, and how it was made.
    """

    draw: Callable[..., None]
    data: Callable[[Record], Any]
    of: str
    caption: str


class PlannedPicture(NamedTuple):
    """A picture to be drawn: its kind in `PICTURES`, the stem of its files, what is drawn, its task and training.

    `task` is `None` where it shows several, `training` empty where that goes without saying.
    """

    kind: str
    stem: str
    data: Any
    task: str | None
    training: str


def drawing_of(record: Record) -> dict[str, Any] | None:
    """Return the row that a record's diagnosis chose to be drawn."""
    return None if record.diagnosis is None else record.diagnosis["drawing"]


PICTURES: dict[str, Picture] = {
    "grid": Picture(
        plot_grid,
        lambda record: record.results["accuracy"],
        "page",
        "Whole answers right, greedy and free-running, after training: a dot a seed. Dashed: what guessing the arm "
        "gives.",
    ),
    "depth": Picture(
        plot_depth,
        asked_graph,
        "page",
        "Right answers over path length of models that were asked in plain English, ± one standard error. First step: "
        "of the steps into each arm, the right one is the most likely. Whole answer: the path that they write, "
        "greedily. Dashed grey: what guessing the arm gives.",
    ),
    "accuracy": Picture(
        plot_accuracy,
        lambda record: record.history,
        "task",
        "Whole answers right, greedy and free-running, on the validation split during training: a line a seed. "
        "Dashed grey: what guessing the arm gives.",
    ),
    "positions": Picture(
        plot_positions,
        lambda record: accuracy_by_distance([record])[0],
        "task",
        "Accuracy of each node, free-running, at every evaluation during training, on the first rows of the "
        "validation split: the start at the top, the hard token framed, the goal at the bottom. Mean over seeds; one "
        "that has stopped keeps its last values.",
    ),
    "learning": Picture(
        plot_learning,
        lambda record: len(learning_curves([record])) > 1,
        "task",
        "What is learnt when, all on the first rows of the validation split. Knows the candidates: probability of the "
        "start's neighbours together, at the hard token. Follows edges: all right after the true first step. Follows "
        "a wrong arm: the same after a step into one, but for its last node. Writes an arm: the output is an arm of "
        "the graph, right or wrong. First step right: the hard token, free-running. Mean over seeds; one that has "
        "stopped keeps its last values.",
    ),
    "errors": Picture(
        plot_errors,
        lambda record: record.diagnosis,
        "task",
        "What the paths are that the model writes, free-running, on the diagnosed rows; mean over seeds. Jump: nodes "
        "of the graph with no edge in between.",
    ),
    "graph": Picture(
        plot_graph,
        drawing_of,
        "training",
        "The first of the diagnosed rows whose path is wrong, or the first of all: the right path, what the model "
        "wrote, and the probability that it gives to each neighbour of the start at the hard token.",
    ),
}


def plan_pictures(records: Sequence[Record]) -> list[PlannedPicture]:
    """Say which pictures the records have data for, by task: their number grows with the tasks, not with the runs.

    Args:
        records (sequence of `Record`): of one run or several.
    """
    trainings = trainings_of(records)
    tasks: dict[str, list[Training]] = {}
    for training in trainings:
        tasks.setdefault(training.task, []).append(training)
    planned: list[PlannedPicture] = []

    def plan(kind: str, parts: Sequence[str], data: Any, task: str | None, training: str = "") -> None:
        stem = "_".join([kind, *(re.sub(r"[^A-Za-z0-9.-]+", "_", part).strip("_.") for part in parts)])[:100]
        while stem in {other.stem for other in planned}:
            stem += "_"
        planned.append(PlannedPicture(kind, stem, data, task, training))

    for kind, picture in PICTURES.items():
        found = [record for record in records if picture.data(record)]
        if picture.of == "page" and len({record.run["title"] for record in found}) > 1:
            plan(kind, [], found, None)
    for task, of_task in tasks.items():
        where = [task] if len(tasks) > 1 else []
        for kind, picture in PICTURES.items():
            found = [record for training in of_task for record in training.records if picture.data(record)]
            if picture.of == "task" and found:
                plan(kind, where, found, task)
        drawings = {
            name: (training, data)
            for name, training in zip(names_of(of_task), of_task, strict=True)
            if (data := next(filter(None, map(drawing_of, training.records)), None))
        }
        worst = sorted(drawings, key=lambda name: drawings[name][0].records[0].results["accuracy"]["value"])
        chosen = worst[: max(1, GRAPHS // len(tasks))]
        for name in drawings:
            if name in chosen:
                whose = name if len(trainings) > 1 else ""
                plan("graph", [*where, *filter(None, [whose])], drawings[name][1], task, whose)
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
        `list` of the files, named as in `PICTURES`, with the task's and the training's name where there are several.
    """
    paths = []
    for planned in plan_pictures(records):
        for suffix in formats:
            path = Path(folder) / f"{planned.stem}.{suffix}"
            try:
                PICTURES[planned.kind].draw(planned.data, path)
            except Exception as error:
                logger.warning("%s could not be drawn: %r", path.name, error)
            else:
                paths.append(path)
    return paths
