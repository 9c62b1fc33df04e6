"""Accuracies of many runs side by side: tasks, trainings and models."""

import textwrap
from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import MARKERS, MOST, WIDTH, colour_of, in_words, picture
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import Training, trainings_of

GUESS = "1/d: a guess"
CHARACTERS = 14  # that fit into an inch below the axis
ROOM = 0.8  # for the dots of a task, where tasks are 1 apart


def plot_grid(records: Sequence[Record], path: str | PathLike) -> None:
    """Draw accuracy by task and training, a dot a seed, with the line that guessing an arm gives.

    Of one task, the names of the trainings stand below their dots; of several, the tasks do.

    Args:
        records (sequence of `Record`): of the runs; one panel a model.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    trainings = trainings_of(records)
    models = list(dict.fromkeys(training.model for training in trainings))[:MOST]
    panels = {model: [training for training in trainings if training.model == model] for model in models}
    looks = looks_by_name([training for of_model in panels.values() for training in of_model])
    widest = max(len({training.task for training in of_model}) for of_model in panels.values())
    width = min(max(WIDTH, 1.1 + 0.28 * len(looks) * widest), 3 * WIDTH)
    columns = max(1, int(width / 2.4))
    below = 1.2 if widest == 1 else 0.17 * -(-(len(looks) + 1) // columns)  # the names, or the legend
    height = 2.1 * len(models) + 0.3 + below
    splits = sorted({record.run["split"] for record in records})
    with picture(path, width, height) as figure:
        drawn = zip(panels.items(), figure.subplots(len(models), 1, squeeze=False)[:, 0], strict=True)
        for (model, of_model), axes in drawn:
            draw_panel(axes, of_model, looks)
            axes.set_title(in_words(model))
            axes.set_xlim(-0.55, widest - 0.45)
            if widest == 1:
                name_trainings(axes, f"{in_words(model)}, {of_model[0].task}", looks)
            axes.set_ylabel(f"{' or '.join(splits)} accuracy")
        shown = {}
        for axes in figure.axes:
            shown |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if widest == 1:
            shown = {label: line for label, line in shown.items() if label == GUESS}
        figure.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=columns, handletextpad=0.5)


def places_of(looks: dict[str, dict]) -> dict[str, float]:
    """Say where the trainings of a task stand, from the place of the task on."""
    room = ROOM / len(looks)
    return {name: (number - (len(looks) - 1) / 2) * room for number, name in enumerate(looks)}


def name_trainings(axes, title: str, looks: dict[str, dict]) -> None:
    """Write the names of the trainings below their dots, and what they are of above."""
    names = [textwrap.fill(in_words(name), 18) for name in looks]
    axes.set_xticks(list(places_of(looks).values()), names, rotation=90 if len(looks) > 4 else 0)
    axes.set_title(title)
    axes.set_xlim(-ROOM / 2, ROOM / 2)


def looks_by_name(trainings: Sequence[Training]) -> dict[str, dict]:
    """Say how dots are drawn: colour by objective, hollow on reversed paths, a marker for each of one look."""
    looks: dict[str, dict] = {}
    for training in trainings:
        colour = colour_of(training.objective)
        look = {"color": colour, "markerfacecolor": "white" if training.reverse else colour}
        same = sum(other | look == other for other in looks.values())
        looks.setdefault(training.name, look | {"marker": MARKERS[same % len(MARKERS)]})
    return looks


def draw_panel(axes, trainings: Sequence[Training], looks: dict[str, dict]) -> None:
    """Draw the accuracies of one model: tasks from left to right, and the trainings of each beside each other."""
    tasks = list(dict.fromkeys(training.task for training in trainings))
    places, room = places_of(looks), ROOM / len(looks)
    for place, task in enumerate(tasks):
        of_task = [training for training in trainings if training.task == task]
        chances = {record.guessed_accuracy for training in of_task for record in training.records}
        for chance in sorted(chances - {None}):
            style = {"color": "0.45", "linestyle": (0, (4, 3)), "linewidth": 0.9}
            axes.hlines(chance, place - 0.45, place + 0.45, label=GUESS, **style)
        for training in of_task:
            if training.name not in looks:
                continue
            at = place + places[training.name]
            values = [record.results["accuracy"]["value"] for record in training.records]
            # A little apart, so that equal ones are seen.
            shifts = [(i - (len(values) - 1) / 2) * room / 6 for i in range(len(values))]
            axes.plot(
                [at + shift for shift in shifts],
                values,
                linestyle="none",
                markersize=5,
                markeredgewidth=1.1,
                clip_on=False,
                label=in_words(training.name),
                **looks[training.name],
            )
    axes.set_ylim(-0.02, 1.03)
    rotation = 90 if len(tasks) > 10 else 0
    room_below = 1000 if rotation else int(CHARACTERS * axes.figure.get_figwidth() / len(tasks))
    parts = [task.replace(", ", ",\n").splitlines() for task in tasks]
    names = ["\n".join(textwrap.fill(part, room_below) for part in of_task) for of_task in parts]
    axes.set_xticks(range(len(tasks)), names, rotation=rotation)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
