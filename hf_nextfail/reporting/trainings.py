"""Runs that differ in nothing but their seed, taken together: what tables and pictures show as one."""

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from hf_nextfail.metrics import SOLVED_ACCURACY, wilson_interval
from hf_nextfail.own_code import is_reference, without_folder
from hf_nextfail.reporting.markdown import plain
from hf_nextfail.reporting.record import PLACES, Record

# Options that change what is seen of a run, not what it learns.
WATCHING = re.compile(
    "(per_device_)?eval|logging|save_|dataloader|disable_tqdm|include_|num_diagnosed|num_test|test_file"
)


@dataclass(frozen=True)
class Solved:
    """How many runs of other seeds solve their task: the headline, since a mean hides that one gets 1.00, one 0.18.

    Args:
        runs, seeds (`int`): how many runs do, of how many.
        steps (list of `int`): the steps that those took, ascending.
    """

    runs: int
    seeds: int
    steps: list[int]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Count those of some records whose accuracy is at least `SOLVED_ACCURACY`."""
        records = list(records)
        solving = [record for record in records if value_of(record, "accuracy") >= SOLVED_ACCURACY]
        steps = sorted(record.run["steps"] for record in solving if record.run["steps"] is not None)
        return cls(len(solving), len(records), steps)

    @property
    def interval(self) -> tuple[float, float]:
        """The chance that a run of a new seed solves the task lies here, 95 % sure."""
        return wilson_interval(self.runs, self.seeds)

    @property
    def median_steps(self) -> float | None:
        """The median of the steps to solve; `None` where no run solves the task."""
        return statistics.median(self.steps) if self.steps else None

    def steps_in_words(self) -> str:
        """Write the median of the steps to solve and their range: `1,200 (1,100 to 1,500)`."""
        if not self.steps:
            return "-"
        spread = f" ({range_of(self.steps)})" if self.steps[0] < self.steps[-1] else ""
        return f"{self.median_steps:,.0f}{spread}"

    def __str__(self) -> str:
        """Write the headline: `2 of 3`."""
        return f"{self.runs} of {self.seeds}"


@dataclass(frozen=True)
class Training:
    """Runs of one task, training and model, which differ in their seed.

    Args:
        task (`str`): the data in words.
        name (`str`): how it was trained; with the options that tell it from its namesakes.
        model (`str`): the family, or the checkpoint that was measured or fine-tuned.
        records (list of `Record`): of the runs.
    """

    task: str
    name: str
    model: str
    records: list[Record]

    @property
    def objective(self) -> str | None:
        """How the runs were trained; `None` where nobody knows."""
        return objective_of(self.records[0])

    @property
    def reverse(self) -> bool:
        """Whether the runs write paths from the goal to the start."""
        return reversed_paths(self.records[0])

    @property
    def seeds(self) -> str:
        """The seeds in order, `-` where nobody knows them."""
        known = sorted(record.run["seed"] for record in self.records if record.run["seed"] is not None)
        return ", ".join(map(str, known)) or "-"

    @property
    def solved(self) -> Solved:
        """How many of the runs solve the task."""
        return Solved.of(self.records)

    def mean(self, name: str) -> str:
        """Write the mean of a number over seeds, with their standard deviation where there are several."""
        return mean_and_deviation(value_of(record, name) for record in self.records)


def reversed_paths(record: Record) -> bool:
    """Say whether a run writes its paths from the goal to the start."""
    diagnosed = record.diagnosis is not None and record.diagnosis["task"]["reverse"]
    return diagnosed or "rev" in (record.run["dataset_config"] or "").split("_")


def objective_of(record: Record) -> str | None:
    """Name the objective of a run; a file of one's own wherever it lies."""
    name = record.run["objective"]
    return without_folder(name) if name is not None and is_reference(name) else name


def training_of(record: Record) -> str:
    """Name how a record was trained: the objective, and what of the data changes the task."""
    few = (record.recipe or {}).get("num_train")
    parts = [objective_of(record) or "trained elsewhere"]
    parts += ["reversed paths"] if reversed_paths(record) else []
    parts += [] if few is None else [f"{few:,} rows"]
    return ", ".join([*parts, *asked_how(record)])


def asked_how(record: Record) -> list[str]:
    """Say how a model was asked in plain English: `3 shots`, `chat`; nothing if it was not."""
    prompting = record.run["prompting"]
    if prompting is None:
        return []
    shots = prompting["num_shots"]
    return [f"{shots} shot{'' if shots == 1 else 's'}", *(["chat"] if prompting["chat"] else [])]


def trainings_of(records: Iterable[Record]) -> list[Training]:
    """Take runs together that differ in nothing but their seed, by task, else in the order in which they come.

    What was measured without a known seed stands alone: nobody knows what it may be averaged with.
    """
    cells: dict[tuple, list[Record]] = {}
    options: dict[tuple, dict[str, str]] = {}
    for number, record in enumerate(records):
        asked = {
            name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in (record.recipe or {}).items()
            if name not in (*PLACES, "seed", "num_train") and not WATCHING.match(name)
        }
        alone = number if record.run["seed"] is None else None
        of_run = (record.run["title"], training_of(record), record.run["model"])
        key = (*of_run, record.run["split"], alone, tuple(sorted(asked.items())))
        cells.setdefault(key, []).append(record)
        options[key] = asked
    trainings = []
    for key, runs in cells.items():
        namesakes = [options[other] for other in cells if other[:3] == key[:3]]
        told = [
            f"{name} {value}"
            for name, value in options[key].items()
            if any(other.get(name) != value for other in namesakes)
        ]
        trainings.append(Training(key[0], ", ".join([key[1], *told]), key[2], runs))
    tasks = [training.task for training in trainings]
    return sorted(trainings, key=lambda training: tasks.index(training.task))


def names_of(trainings: Sequence[Training]) -> list[str]:
    """Name trainings shortly and each differently: with task and model where these differ, else by number."""
    several = {part: len({getattr(t, part) for t in trainings}) > 1 for part in ("task", "model")}
    names = [
        ", ".join(
            [
                *([t.task] if several["task"] else []),
                t.name,
                *([t.model] if several["model"] else []),
            ]
        )
        for t in trainings
    ]
    return [
        name if names.count(name) == 1 else f"{name} #{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def value_of(record: Record, name: str) -> Any:
    """Return one number of `results`, else of the diagnosis; `None` where it does not exist."""
    diagnosed = {} if record.diagnosis is None else record.diagnosis["numbers"]
    result = (diagnosed | record.results).get(name)
    return None if result is None else result["value"]


def mean_and_deviation(values: Iterable[float | None]) -> str:
    """Write the mean over seeds, with their standard deviation where there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.3f}{deviation}"


def range_of(counts: Iterable[int | None]) -> str:
    """Write the least and the largest of some counts, once where they agree."""
    known = [count for count in counts if count is not None]
    return " to ".join(f"{count:,}" for count in sorted({min(known), max(known)})) if known else "-"


def interval_in_words(solved: Solved) -> str:
    """Write the headline with its interval: `2 of 3 (0.21 to 0.94)`."""
    return "{} ({:.2f} to {:.2f})".format(solved, *solved.interval)


#: The columns of `training_rows`; the first four are texts.
HEADINGS = (
    *("task", "training", "model", "seeds"),
    *("train accuracy", "test accuracy", "hard token", "Clever Hans", "solved", "steps"),
)


def training_rows(trainings: Iterable[Training]) -> list[list[str]]:
    """Lay out trainings as rows of Markdown: means over seeds, and how many of these solve the task."""
    means = ("train_accuracy", "accuracy", "hard_token_accuracy", "clever_hans_accuracy")
    return [
        [
            *map(plain, (t.task, t.name, t.model, t.seeds)),
            *map(t.mean, means),
            interval_in_words(t.solved),
            range_of(record.run["steps"] for record in t.records),
        ]
        for t in trainings
    ]


def over_seeds(series: Iterable[Sequence[tuple[int, Sequence[float]]]]) -> tuple[list[int], list[list[float]]]:
    """Average the histories of runs at every step at which one of them was measured.

    Args:
        series (iterable of sequences): of each run the steps, ascending, and some numbers at each. A run that has
            stopped keeps its last ones.

    Returns:
        The steps, and the means at each.

    Example:

    ```python
    >>> over_seeds([[(0, [0.0]), (100, [1.0])], [(0, [0.0]), (100, [0.5]), (200, [0.75])]])
    ([0, 100, 200], [[0.0], [0.75], [0.875]])

    ```
    """
    series = list(series)
    steps = sorted({step for points in series for step, _ in points})
    means = []
    for step in steps:
        last = [[values for at, values in points if at <= step][-1:] for points in series]
        means.append([statistics.fmean(column) for column in zip(*(found[0] for found in last if found), strict=True)])
    return steps, means
