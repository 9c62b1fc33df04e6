"""What is learnt when: lines over training steps."""

import textwrap
from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import (
    COLOURS,
    MOST,
    WIDTH,
    headings_of,
    looks_of,
    mark_chance,
    over_steps,
    picture,
    title_of,
)
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import over_seeds, trainings_of

# What is learnt, in the words of the picture: the first of these numbers that a run has, its colour and line. All of
# them come from the diagnosis of an evaluation, and so from the same rows.
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

    Runs that differ in their seed share a colour and a line of the legend: no mean, which would hide that one seed
    solves the task and the next does not.

    Args:
        records (sequence of `Record`): of the runs; those without a history are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    every = trainings_of(record for record in records if record.history)
    trainings = every[:MOST]
    drawn = [record for training in trainings for record in training.records]
    labels = [
        f"{heading}\n{training.mean('accuracy')}, {training.solved}"
        for heading, training in zip(headings_of(trainings, 1.75), trainings, strict=True)
    ]
    lines = sum(1 + label.count("\n") for label in labels)
    with picture(path, WIDTH, max(2.7, 0.9 + 0.16 * lines)) as figure:
        axes = figure.add_subplot()
        for training, look, label in zip(trainings, looks_of(trainings), labels, strict=True):
            for run in training.records:
                steps = [point["step"] for point in run.history]
                accuracy = [point["accuracy"] for point in run.history]
                width = 1.6 if len(training.records) == 1 else 1.1
                axes.plot(steps, accuracy, linewidth=width, markersize=4.5, markevery=[-1], clip_on=False, **look)
            axes.plot([], [], linewidth=1.6, markersize=4.5, label=label, **look)
        axes.set_title(textwrap.fill(title_of(every, "whole answers right"), 44))  # the legend stands beside it
        axes.set_ylabel("accuracy, validation split")
        axes.set_xlabel("training steps")
        over_steps(axes, [point["step"] for record in drawn for point in record.history])
        mark_chance(axes, [record.guessed_accuracy for record in drawn])
        splits = sorted({record.run["split"] for record in drawn})
        title = f"{' or '.join(splits)} accuracy, seeds\nthat solve the task"
        style = {"handlelength": 2.4, "labelspacing": 0.6, "title_fontsize": 8.5, "fontsize": 8}
        figure.legend(loc="outside right upper", title=title, alignment="left", **style)


def learning_curves(records: Sequence[Record]) -> list[tuple[str, str, str, list[int], list[float]]]:
    """Collect what there is to draw of runs: label, colour, line, steps and means over the runs of each curve."""
    curves = []
    for names, label, colour, style in LEARNT:
        series = []
        for record in records:
            points = []
            for point in record.history:
                numbers = point["diagnosis"] or {}
                value = next((numbers[name] for name in names if numbers.get(name) is not None), None)
                if value is not None:
                    points.append((point["step"], [value]))
            series.append(points)
        steps, means = over_seeds(series)
        if steps:
            curves.append((label, colour, style, steps, [mean for (mean,) in means]))
    return curves


def plot_learning(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw what is learnt when, one panel a training: to name candidates, to follow edges, to choose among them.

    Args:
        records (sequence of `Record`): of the runs; those whose history was not diagnosed are left out.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    every = trainings_of(record for record in records if learning_curves([record]))
    trainings = every[:MOST]
    columns = {1: 1, 2: 2, 4: 2}.get(len(trainings), 3)
    rows = -(-len(trainings) // columns)
    headings = headings_of(trainings, (WIDTH - 0.8) / columns)
    lines = max(heading.count("\n") for heading in headings)
    height = 2.9 if len(trainings) == 1 else rows * (1.75 + 0.15 * lines) + 1.2
    with picture(path, WIDTH, height, **{"axes.titlesize": 9}) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for training, heading, axes in zip(trainings, headings, panels.flat, strict=False):
            over_steps(axes, [point["step"] for record in training.records for point in record.history])
            for number, (label, colour, style, steps, values) in enumerate(learning_curves(training.records)):
                # Curves at 1 lie on each other: thinner ones on top of wider ones show both.
                width = 2.8 - 0.3 * number
                axes.plot(steps, values, style, color=colour, linewidth=width, solid_capstyle="round", label=label)
            mark_chance(axes, [record.chance["hard_token_accuracy"] for record in training.records])
            axes.set_title(heading)
            axes.locator_params(axis="x", nbins=(5, 5, 4)[columns - 1], integer=True)
        for axes in panels.flat[max(0, len(trainings) - columns) : len(trainings)]:
            axes.set_xlabel("training steps")
            axes.tick_params(labelbottom=True)
        for empty in panels.flat[len(trainings) :]:
            empty.axis("off")
        shown = {}
        for axes in panels.flat[: len(trainings)]:
            shown = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)) | shown
        order = [label for _, label, _, _ in LEARNT]
        labels = sorted(shown, key=lambda label: order.index(label) if label in order else len(order))
        place = {"loc": "outside right center"} if len(trainings) == 1 else {"loc": "outside lower center", "ncols": 3}
        figure.legend([shown[label] for label in labels], labels, handlelength=1.8, columnspacing=1.2, **place)
        figure.supylabel("share of the diagnosed rows", fontsize=9)
        figure.suptitle(title_of(every, "what is learnt when"), x=0.01, ha="left", fontsize=9.5)
