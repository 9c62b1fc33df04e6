"""Shares as areas: the accuracy of each node over steps, and the kinds of path."""

import itertools
import textwrap
from collections.abc import Sequence
from os import PathLike

from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting.pictures.base import COLOURS, WIDTH, in_words, picture, title_of
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import distinct_names

PANELS = 3  # in one row
# Right is green, the wrong arm orange, what is not an arm at all darker and greyer.
KIND_COLOURS = dict(
    zip(KINDS, (COLOURS[2], COLOURS[4], COLOURS[0], COLOURS[3], COLOURS[5], "#6B6B6B", "#BDBDBD"), strict=True)
)


def accuracy_by_distance(record: Record) -> tuple[list[int], list[list[float]]]:
    """Collect the accuracy of each node over steps.

    Args:
        record (`Record`): of the run.

    Returns:
        The steps of the evaluations, and for each distance from the goal (0 first) the accuracies at these steps.
    """
    reverse = reversed_paths(record)
    steps, columns = [], []
    for point in record.history:
        tokens = (point["diagnosis"] or {}).get("token_accuracy")
        if tokens:
            steps.append(point["step"])
            columns.append(tokens if reverse else tokens[::-1])
    return steps, [list(row) for row in zip(*columns, strict=True)]


def reversed_paths(record: Record) -> bool:
    """Say whether a run writes its paths from the goal to the start."""
    if record.diagnosis is not None:
        return record.diagnosis["task"]["reverse"]
    return (record.run["dataset_config"] or "").endswith("_rev")


def position_names(path_length: int) -> list[str]:
    """Name the nodes of a path from the goal to the start; the one next to the start is the hard one."""
    if path_length == 2:
        return ["goal, hard token", "start"]
    return ["goal", *(f"{distance} before" for distance in range(1, path_length - 2)), "hard token", "start"]


def plot_positions(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw as a map when each node of the path is learnt, one panel a run: teacherless models begin at the goal.

    Args:
        records (sequence of `Record`): of the runs; those whose history was not diagnosed are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    from matplotlib.cm import ScalarMappable

    records = [record for record in records if accuracy_by_distance(record)[0]]
    names = distinct_names(records)
    maps = [accuracy_by_distance(record) for record in records]
    longest = max(len(values) for _, values in maps)
    same_length = len({len(values) for _, values in maps}) == 1
    columns = min(len(records), PANELS if same_length else PANELS - 1)  # with labels of its own a panel is wider
    rows = -(-len(records) // columns)
    headings = [textwrap.fill(in_words(name), (45, 28, 17)[columns - 1]) for name in names]
    lines = 1 + max(heading.count("\n") for heading in headings)
    height = rows * (0.7 + 0.15 * lines + max(1.1, min(0.24 * longest, 3.0))) + 0.15
    with picture(path, WIDTH if columns > 1 else 3.8, height, **{"axes.titlesize": 9}) as figure:
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, (steps, values) in enumerate(maps):
            axes = panels[panel // columns, panel % columns]
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
            if panel % columns and same_length:
                axes.set_yticklabels([])
            axes.tick_params(length=2)
            axes.set_title(headings[panel])
            axes.set_xlim(first, last)
            axes.locator_params(axis="x", nbins=4, integer=True)
            axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        for empty in panels.flat[len(records) :]:
            empty.axis("off")
        bar = figure.colorbar(ScalarMappable(cmap="viridis"), ax=panels, aspect=12 * rows, pad=0.02, shrink=0.92)
        bar.outline.set_visible(False)
        bar.set_label("accuracy")
        chances = {record.chance["hard_token_accuracy"] for record in records} - {None, 1.0}
        if len(chances) == 1:
            chance = chances.pop()
            bar.set_ticks([0, chance, 1], labels=["0", f"1/{1 / chance:.0f}", "1"])
        else:
            bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        figure.supxlabel("training steps", fontsize=9)
        figure.suptitle(f"{title_of(records)}: which node is right when", x=0.01, ha="left", fontsize=9.5)


def plot_errors(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw what the written paths are, right or wrong in which way: one bar a run.

    Args:
        records (sequence of `Record`): of the runs; those without a diagnosis are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    from matplotlib.patches import Patch

    records = [record for record in records if record.diagnosis is not None]
    shares = [
        {kind: record.diagnosis["errors"].get(kind, {"value": 0.0})["value"] for kind in KINDS} for record in records
    ]
    labels = [textwrap.fill(in_words(name), 26) for name in distinct_names(records)]
    kinds = [kind for kind in KINDS if any(share[kind] > 0 for share in shares)]
    with picture(path, WIDTH, 0.85 + 0.34 * len(records) + 0.17 * (len(kinds) > 4)) as figure:
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
        axes.set_yticks(range(len(records)), labels)
        axes.set_ylim(len(records) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        handles = [Patch(color=KIND_COLOURS[kind], label=kind) for kind in kinds]
        title = f"{title_of(records)}: what the written paths are"
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
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
