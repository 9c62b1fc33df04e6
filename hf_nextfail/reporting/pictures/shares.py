"""Shares as areas: the accuracy of each node over steps, and the kinds of path."""

import itertools
import statistics
from collections.abc import Sequence
from os import PathLike
from typing import Any

from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting.pictures.base import COLOURS, MOST, WIDTH, headings_of, picture, title_of
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import over_seeds, reversed_paths, trainings_of

PANELS = 3  # in one row
# Right is green, the wrong arm orange, what is not an arm at all darker and greyer.
KIND_COLOURS = dict(
    zip(KINDS, (COLOURS[2], COLOURS[4], COLOURS[0], COLOURS[3], COLOURS[5], "#6B6B6B", "#BDBDBD"), strict=True)
)


def accuracy_by_distance(records: Sequence[Record]) -> tuple[list[int], list[list[float]]]:
    """Collect the accuracy of each node over steps, the mean over runs.

    Args:
        records (sequence of `Record`): of the runs.

    Returns:
        The steps of the evaluations, and for each distance from the goal (0 first) the accuracies at these steps.
    """
    series = []
    for record in records:
        found = [(point["step"], (point["diagnosis"] or {}).get("token_accuracy")) for point in record.history]
        order = 1 if reversed_paths(record) else -1
        series.append([(step, tokens[::order]) for step, tokens in found if tokens])
    steps, columns = over_seeds(series)
    return steps, [list(row) for row in zip(*columns, strict=True)]


def position_names(path_length: int) -> list[str]:
    """Name the nodes of a path from the goal to the start; the one next to the start, the second, is the hard one."""
    if path_length == 2:
        return ["goal, hard token", "start"]
    return ["goal", *(f"node {place}" for place in range(path_length - 1, 2, -1)), "hard token", "start"]


def draw_map(axes: Any, steps: Sequence[int], values: Sequence[Sequence[float]]) -> None:
    """Draw the accuracy of each node over steps as a map, with the hard token framed."""
    # Each evaluation colours the steps around it; the last one ends the picture.
    middles = [(before + after) / 2 for before, after in itertools.pairwise(steps)]
    first = steps[0] - (middles[0] - steps[0] if middles else 0.5)
    last = steps[-1] + (steps[-1] - middles[-1] if middles else 0.5)
    edges = [first, *middles, last]
    # Cells with edges of their own colour: else viewers of SVG show seams between them.
    cells = {"vmin": 0, "vmax": 1, "cmap": "viridis", "edgecolors": "face", "linewidth": 0.4}
    axes.pcolormesh(edges, range(len(values) + 1), values, **cells)
    places = [place + 0.5 for place in range(len(values))]
    labels = position_names(len(values))
    # Of very many nodes every second one is named, and always those that have a name of their own.
    thin = 1 if len(values) <= 12 else 2
    shown = [i for i in range(len(values)) if i % thin == 0 or i >= len(values) - 2]
    if thin > 1:
        shown = [i for i in shown if i != len(values) - 3]
    axes.set_yticks([places[i] for i in shown], [labels[i] for i in shown])
    for tick, i in zip(axes.get_yticklabels(), shown, strict=True):
        if "hard" in labels[i]:
            tick.set(color=COLOURS[0], fontweight="bold")
    hard = max(len(values) - 2, 0)
    axes.axhspan(hard + 0.02, hard + 0.98, fill=False, edgecolor=COLOURS[0], linewidth=1.6)
    axes.tick_params(length=2)
    axes.set_xlim(first, last)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def plot_positions(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw as a map when each node of the path is learnt, one panel a training: teacherless models begin at the goal.

    Args:
        records (sequence of `Record`): of the runs; those whose history was not diagnosed are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    from matplotlib.cm import ScalarMappable

    every = trainings_of(record for record in records if accuracy_by_distance([record])[0])
    trainings = every[:MOST]
    maps = [accuracy_by_distance(training.records) for training in trainings]
    longest = max(len(values) for _, values in maps)
    same_length = len({len(values) for _, values in maps}) == 1
    columns = min(len(maps), PANELS if same_length else PANELS - 1)  # with labels of its own a panel is wider
    rows = -(-len(maps) // columns)
    headings = headings_of(trainings, (3.0, 2.15 if same_length else 1.5, 1.3)[columns - 1])
    lines = 1 + max(heading.count("\n") for heading in headings)
    height = rows * (0.7 + 0.15 * lines + max(1.1, min(0.24 * longest, 3.0))) + 0.15
    with picture(path, WIDTH if columns > 1 else 4.2, height, **{"axes.titlesize": 9}) as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, (steps, values) in enumerate(maps):
            axes = panels[panel // columns, panel % columns]
            draw_map(axes, steps, values)
            axes.locator_params(axis="x", nbins=(4, 4, 3)[columns - 1], integer=True)
            if panel % columns and same_length:
                axes.set_yticklabels([])
            axes.set_title(headings[panel])
        for empty in panels.flat[len(maps) :]:
            empty.axis("off")
        bar = figure.colorbar(ScalarMappable(cmap="viridis"), ax=panels, aspect=12 * rows, pad=0.02, shrink=0.92)
        bar.outline.set_visible(False)
        bar.set_label("accuracy")
        chances = {record.chance["hard_token_accuracy"] for t in trainings for record in t.records} - {None, 1.0}
        if len(chances) == 1:
            chance = chances.pop()
            bar.set_ticks([0, chance, 1], labels=["0", f"1/{1 / chance:.0f}", "1"])
        else:
            bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        figure.supxlabel("training steps", fontsize=9)
        figure.suptitle(title_of(every, "which node is right when"), x=0.01, ha="left", fontsize=9.5)


def plot_errors(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw what the written paths are, right or wrong in which way: one bar a training, the mean over its seeds.

    Args:
        records (sequence of `Record`): of the runs; those without a diagnosis are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    from matplotlib.patches import Patch

    every = trainings_of(record for record in records if record.diagnosis is not None)
    trainings = every[:MOST]
    shares = [
        {
            kind: statistics.fmean(r.diagnosis["errors"].get(kind, {"value": 0.0})["value"] for r in training.records)
            for kind in KINDS
        }
        for training in trainings
    ]
    labels = headings_of(trainings, 1.9)
    kinds = [kind for kind in KINDS if any(share[kind] > 0 for share in shares)]
    lines = sum(max(2, 1 + label.count("\n")) for label in labels)
    with picture(path, WIDTH, 0.85 + 0.17 * lines + 0.17 * (len(kinds) > 4)) as figure:
        axes = figure.add_subplot()
        for place, share in enumerate(shares):
            left = 0.0
            for kind in kinds:
                axes.barh(place, share[kind], 0.68, left, color=KIND_COLOURS[kind], edgecolor="white", linewidth=0.6)
                if share[kind] >= 0.1:
                    text = f"{share[kind] * 100:.1f} %" if share[kind] < 1 else "100 %"
                    dark = kind in ("wrong arm", "jump", "repeated node", "wrong length")  # on light colours
                    colour = "black" if dark else "white"
                    axes.text(left + share[kind] / 2, place, text, ha="center", va="center", color=colour, fontsize=8)
                left += share[kind]
        axes.set_yticks(range(len(shares)), labels)
        axes.set_ylim(len(shares) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        handles = [Patch(color=KIND_COLOURS[kind], label=kind) for kind in kinds]
        figure.suptitle(title_of(every, "what the written paths are"), x=0.01, ha="left", fontsize=9.5)
        axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=4 if len(kinds) <= 4 else 3,
            borderpad=0.2,
            borderaxespad=0.2,
            handlelength=1,
            columnspacing=1.2,
            handletextpad=0.4,
        )
