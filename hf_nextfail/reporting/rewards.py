"""The rewards of a run of reinforcement learning: the class of a `rewards.csv`."""

import csv
import io
import statistics
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Self

from hf_nextfail.errors import UsageError
from hf_nextfail.files import write_whole
from hf_nextfail.reporting.markdown import plain


@dataclass(frozen=True)
class Reward:
    """What one line of the file says; what was not measured at its step is `None`.

    Args:
        step (`int`): of the training.
        reward (`float`): mean over the completions that were drawn since the line before.
        alike (`float`): the share of prompts whose completions all earned the same: nothing is learnt from these.
        accuracy, standard_error (`float`): greedy, on test rows.
    """

    step: int
    reward: float | None = None
    alike: float | None = None
    accuracy: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class Rewards:
    """The rewards of one run.

    Args:
        title (`str`): the task in words.
        start (`str`): how the checkpoint was trained that the run began with; its name where nobody knows.
        seed (`int`): of the run.
        chance (`float`, *optional*): what a guess earns; `None` where nobody knows.
        points (tuple of `Reward`): from step 0, which has an accuracy alone, to the last, which has one, too.
    """

    title: str
    start: str
    seed: int
    chance: float | None
    points: tuple[Reward, ...]

    def write(self, path: str | PathLike) -> None:
        """Write a `rewards.csv`, whole or not at all: what is of the whole run stands in every line."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["title", "start", "seed", "chance", *(field.name for field in fields(Reward))])
        for point in self.points:
            numbers = [round(value, 4) if isinstance(value, float) else value for value in astuple(point)]
            table.writerow([self.title, self.start, self.seed, self.chance, *numbers])
        write_whole(Path(path), text.getvalue())

    @classmethod
    def read(cls, path: str | PathLike) -> Self:
        """Read a `rewards.csv`; raise `UsageError` in one line that names it, if it is not one."""
        try:
            lines = list(csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8"))))
            names = [field.name for field in fields(Reward)]
            points = [{name: float(line[name]) if line[name] else None for name in names} for line in lines]
            first = lines[0]
            chance = float(first["chance"]) if first["chance"] else None
            of_run = (first["title"], first["start"], int(first["seed"]), chance)
            return cls(*of_run, tuple(Reward(**point | {"step": int(point["step"])}) for point in points))
        except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: not the rewards.csv of a run of recipes/grpo.py: {error!r}") from None


#: The columns of `rewards_rows`; the first two are texts.
HEADINGS = (
    "task",
    "start",
    "seed",
    "steps",
    "accuracy before",
    "after",
    "first rewards",
    "last rewards",
    "learnt from",
)
NUM_ENDS = 5  # lines that are taken together at either end


def rewards_rows(runs: Iterable[Rewards]) -> list[list[str]]:
    """Lay out runs as rows of Markdown.

    *First* and *last rewards* are means of the first and last five lines with rewards, *learnt from* is the share of
    the prompts, over all lines, whose completions did not all earn the same.
    """
    rows = []
    for run in runs:
        drawn = [point for point in run.points if point.reward is not None]
        ends = [statistics.fmean(p.reward for p in part) for part in (drawn[:NUM_ENDS], drawn[-NUM_ENDS:])]
        measured = [f"{p.accuracy:.3f} ± {p.standard_error:.3f}" for p in (run.points[0], run.points[-1])]
        learnt_from = 1 - statistics.fmean(point.alike for point in drawn)
        numbers = [str(run.seed), f"{run.points[-1].step:,}", *measured, *(f"{end:.3f}" for end in ends)]
        rows.append([plain(run.title), plain(run.start), *numbers, f"{learnt_from:.0%}"])
    return rows
