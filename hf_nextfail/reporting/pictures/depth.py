"""Accuracy over path length: how far a model looks ahead that was never trained on the task."""

from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import COLOURS, MARKERS, MOST, WIDTH, in_words, mark_chance, picture
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import training_of
from hf_nextfail.tasks import StarGraph

#: What is drawn: a result, what it is called, and its line.
LINES = (("choice_accuracy", "first step", "-"), ("accuracy", "whole answer", (0, (4, 1.2))))


def asked_graph(record: Record) -> StarGraph | None:
    """Return the graphs that a model was asked about in plain English; `None` if it was not."""
    if record.run["prompting"] is None or record.run["task"] != StarGraph.name:
        return None
    return StarGraph.from_config_name(record.run["dataset_config"])


def plot_depth(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw accuracy over path length, with standard errors, and the line that guessing an arm gives.

    Args:
        records (sequence of `Record`): of models that were asked in plain English; one colour for each model, degree
            and way to ask.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    series: dict[tuple[str, int, str], list[tuple[int, Record]]] = {}
    for record in records:
        graph = asked_graph(record)
        key = (record.run["model"], graph.degree, training_of(record))
        series.setdefault(key, []).append((graph.path_length, record))
    shown = list(series)[:MOST]
    lengths = sorted({length for key in shown for length, _ in series[key]})
    with picture(path, WIDTH, 2.9 + 0.32 * len(shown)) as figure:
        axes = figure.add_subplot()
        for number, key in enumerate(shown):
            model, degree, how = key
            points = sorted(series[key], key=lambda point: point[0])
            label = f"{in_words(model.rstrip('/').rpartition('/')[2])}, {degree} arms, {how.partition(', ')[2]}"
            for name, what, style in LINES:
                known = [(length, record.estimate(name)) for length, record in points]
                known = [(length, result) for length, result in known if result is not None]
                if known:
                    axes.errorbar(
                        [length for length, _ in known],
                        [result["value"] for _, result in known],
                        [result["standard_error"] for _, result in known],
                        color=COLOURS[number % len(COLOURS)],
                        linestyle=style,
                        marker=MARKERS[number % len(MARKERS)],
                        markersize=4.5,
                        linewidth=1.6,
                        elinewidth=1,
                        label=f"{label}: {what}",
                    )
        mark_chance(axes, [record.chance.get("choice_accuracy") for key in shown for _, record in series[key]])
        axes.set_ylim(-0.03, 1.04)
        axes.set_xticks(lengths)
        axes.grid(axis="y", color="0.92", linewidth=0.8)
        axes.set_xlabel("nodes of the path")
        axes.set_ylabel("share of the rows")
        axes.set_title("Star graphs in plain English, by path length")
        figure.legend(loc="outside lower left", handlelength=2.6)
