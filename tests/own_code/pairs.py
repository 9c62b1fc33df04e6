"""Find two numbers with a given sum: a task whose prompts have many right answers."""

import re
from dataclasses import dataclass

from hf_nextfail.tasks import Task


@dataclass(frozen=True)
class Pairs(Task):
    """Ask for any two numbers with a given sum, such as `17=`, answered by `9+8` or `17+0`.

    Args:
        largest (`int`, *optional*, defaults to 999): the largest sum.
    """

    name = "pairs"
    words = tuple("0123456789+=")
    answers_are_unique = False

    largest: int = 999

    def sample(self, rng, count):
        total = rng.integers(self.largest + 1, size=count)
        return {"total": total, "first": rng.integers(total + 1)}

    def to_text(self, columns):
        total, first = (columns[name].tolist() for name in ("total", "first"))
        answers = [f"{a}+{c - a}" for c, a in zip(total, first, strict=True)]
        return {"prompt": [f"{c}=" for c in total], "completion": answers}

    def score(self, prediction, row):
        match = re.fullmatch(r"([0-9]+)\+([0-9]+)", prediction)
        return float(match is not None and int(match[1]) + int(match[2]) == row["total"])
