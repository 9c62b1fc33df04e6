"""What is learnt when: lines over training steps."""

from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import (
    COLOURS,
    WIDTH,
    in_words,
    mark_chance,
    over_steps,
    picture,
    spread,
    title_of,
)
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import short_name

# What is learnt, in the words of the picture: the first of these numbers that a run has, its colour and line.
LEARNT = (
    (("hard_token_mass",), "knows the candidates", COLOURS[5], "-"),
    (("clever_hans_accuracy", "accuracy_given_first_step"), "follows edges", COLOURS[2], "-"),
    (("counterfactual_accuracy",), "follows a wrong arm", COLOURS[4], "--"),
    (("valid_path_rate",), "writes an arm", COLOURS[3], "-"),
    (("hard_token_accuracy",), "first step right", COLOURS[1], "-"),
    (("accuracy",), "whole path right", COLOURS[0], "--"),
)


def plot_accuracy(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw validation accuracy over training steps, one line a run, with the line that guessing cannot pass.

    Runs of one name, which differ in their seed, share a colour.

    Args:
        records (sequence of `Record`): of the runs; those without a history are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    records = [record for record in records if record.history]
    names = [short_name(record, records) for record in records]
    groups = list(dict.fromkeys(names))
    height = 3.1 + 0.17 * len(groups)
    with picture(path, WIDTH, height) as figure:
        axes = figure.add_subplot()
        for number, group in enumerate(groups):
            runs = [record for record, name in zip(records, names, strict=True) if name == group]
            values = [f"{record.results['accuracy']['value']:.3f}" for record in runs]
            seeds = [record.run["seed"] for record in runs]
            of_seeds = f" (seeds {', '.join(map(str, seeds))})" if len(runs) > 1 and None not in seeds else ""
            split = runs[0].run["split"]
            label = f"{in_words(group)}: {', '.join(values)} on the {split} split{of_seeds}"
            colour = COLOURS[number % len(COLOURS)]
            style = ("-", "--", ":")[number // len(COLOURS) % 3]
            for run in runs:
                steps = [point["step"] for point in run.history]
                accuracy = [point["accuracy"] for point in run.history]
                axes.plot(steps, accuracy, style, color=colour, linewidth=1.6, label=label if run is runs[0] else None)
                axes.plot(steps[-1], accuracy[-1], "o", color=colour, markersize=4.5, clip_on=False)
        axes.set_title(f"{title_of(records)}: whole paths right")
        axes.set_ylabel("accuracy, validation split")
        over_steps(axes, [point["step"] for record in records for point in record.history])
        mark_chance(axes, [record.chance["hard_token_accuracy"] for record in records], 2.5)
        figure.legend(loc="outside lower left", handlelength=1.8, labelspacing=0.35)


def learning_curves(record: Record) -> list[tuple[str, str, str, list[int], list[float]]]:
    """Collect what there is to draw of one run: label, colour, line, steps and values of each curve."""
    curves = []
    for names, label, colour, style in LEARNT:
        points = []
        for point in record.history:
            numbers = point["diagnosis"] or {}
            if names == ("accuracy",):
                numbers = {"accuracy": point["accuracy"]}
            value = next((numbers[name] for name in names if numbers.get(name) is not None), None)
            if value is not None:
                points.append((point["step"], value))
        if points:
            curves.append((label, colour, style, *map(list, zip(*points, strict=True))))
    return curves


def plot_learning(record: Record, path: str | PathLike) -> None:
    """Draw what one run has learnt when: to name candidates, to follow edges, to choose among them.

    Args:
        record (`Record`): of the run, with a history that was diagnosed on the way.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    curves = learning_curves(record)
    with picture(path, WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        over_steps(axes, [point["step"] for point in record.history])
        end = axes.get_xlim()[1]
        for label, colour, style, steps, values in curves:
            # Curves at 1 lie on each other: thinner ones on top of wider ones show both.
            width = 2.8 - 0.3 * [curve[0] for curve in curves].index(label)
            axes.plot(steps, values, style, color=colour, linewidth=width, solid_capstyle="round")
        chance = record.chance["hard_token_accuracy"]
        labels = [(values[-1], label, colour) for label, colour, _, _, values in curves]
        if chance:
            axes.axhline(chance, color="0.45", linestyle=(0, (4, 3)), linewidth=0.9, zorder=1)
            labels.append((chance, f"1/{1 / chance:.0f}: a guess", "0.35"))
        # Labels stand in the margin, where no curve runs, each with a line to the end of its own.
        places = spread([value for value, _, _ in labels], 0.066, low=0, high=1)
        for (value, label, colour), place in zip(labels, places, strict=True):
            axes.plot([end, end * 1.035], [value, place], color=colour, linewidth=0.8, clip_on=False)
            axes.text(end * 1.045, place, label, color="0.15", va="center", fontsize=8.5)
        reverse = record.diagnosis is not None and record.diagnosis["task"]["reverse"]
        training = in_words(record.run["objective"] or "unknown objective") + ", reversed" * reverse
        axes.set_title(f"{record.run['title']}, {training}: what it learns when")
        axes.set_ylabel("share of the validation split")
