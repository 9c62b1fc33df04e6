"""Accuracies of many runs side by side: graphs, trainings and models."""

from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import COLOURS, WIDTH, in_words, picture


def plot_grid(
    accuracies: dict[tuple[str, str, str], Sequence[float]],
    chances: dict[str, float],
    titles: dict[str, str],
    path: str | PathLike,
) -> None:
    """Draw test accuracy by graph and training, a dot a seed, with the line that guessing an arm gives.

    Args:
        accuracies (`dict`): (model, graph, training) -> test accuracy of each seed; one panel a model.
        chances (`dict`): graph -> 1/d, or `None` where nobody can guess.
        titles (`dict`): graph -> what stands below its dots.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    accuracies = {condition: values for condition, values in accuracies.items() if values}
    models = list(dict.fromkeys(model for model, _, _ in accuracies))
    trainings = list(dict.fromkeys(training for _, _, training in accuracies))
    columns = {model: list(dict.fromkeys(g for m, g, _ in accuracies if m == model)) for model in models}
    widest = max(map(len, columns.values()))
    room = 0.8 / len(trainings)
    with picture(path, max(WIDTH, 1.1 + 0.28 * len(trainings) * widest), 2.3 * len(models) + 0.5) as figure:
        panels = figure.subplots(len(models), 1, squeeze=False)[:, 0]
        for model, axes in zip(models, panels, strict=True):
            graphs = columns[model]
            for place, graph in enumerate(graphs):
                if chances[graph] is not None:
                    line = axes.hlines(
                        chances[graph], place - 0.45, place + 0.45, color="0.45", linestyle=(0, (4, 3)), linewidth=0.9
                    )
                    line.set_label("1/d: a guess" if place == 0 else "_")
                for number, training in enumerate(trainings):
                    values = accuracies.get((model, graph, training), ())
                    at = place + (number - (len(trainings) - 1) / 2) * room
                    # A little apart, so that equal ones are seen.
                    shifts = [(i - (len(values) - 1) / 2) * room / 6 for i in range(len(values))]
                    axes.plot(
                        [at + shift for shift in shifts],
                        values,
                        "o",
                        color=COLOURS[number % len(COLOURS)],
                        markersize=5,
                        markeredgecolor="white",
                        markeredgewidth=0.5,
                        clip_on=False,
                        label=in_words(training) if place == 0 else "_",
                    )
            axes.set_title(in_words(model))
            axes.set_ylim(-0.02, 1.03)
            axes.set_xlim(-0.55, widest - 0.45)
            axes.set_xticks(range(len(graphs)), [titles[graph] for graph in graphs])
            axes.set_ylabel("test accuracy")
            axes.grid(axis="y", color="0.92", linewidth=0.8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 5))
