"""Countdown: combine some numbers by arithmetic, so that they give a target."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task, keep_integer
from hf_nextfail.tasks.hashing import mix_bits
from hf_nextfail.tasks.papers import BEYOND_AUTOREGRESSION, Paper
from hf_nextfail.tasks.text import TextColumn, format_labels, labels_of

OPERATIONS = "+-*/"
LARGEST_NUMBER = 99
TARGETS = (10, 100)
#: No result in a row that is sampled is larger. The verifier takes any that are right.
LARGEST_RESULT = 9_999

NUMBER = r"(0|[1-9][0-9]{0,8})"
EQUATION = re.compile(rf"\s*{NUMBER}([-+*/]){NUMBER}={NUMBER}\s*")


@dataclass(frozen=True)
class Countdown(Task):
    """Ask for equations that use each of some numbers once and reach a target.

    An equation takes two of the numbers that are left, and its result takes their place; the last result is the
    target. Differences are never negative, and quotients are whole. Most prompts have many right answers; the
    completion of a row is one. `14,83,88,91,23|` is answered by `83-14=69,91-88=3,69/3=23`, or by other equations.

    What is hard is the first equation: whether it leads to the target depends on all later ones, and so a model must
    search before it writes. Each token is a character, so that no result is beyond the words.

    The numbers and equations are drawn forwards: numbers from 1 to 99, two of those left for each equation, one of the
    operations that two numbers allow; a row is kept if its target is from 10 to 100. This way of drawing, the range of
    the numbers and results of at most 9,999 are ours. Smaller targets are more frequent.

    The target decides the split, so that no target of the test split was trained on: 71 of the 91 targets are trained
    on, 10 each are held out for validation and test.

    Args:
        num_numbers (`int`, 3 to 6, *optional*, defaults to 4): how many numbers there are beside the target.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Ye et al., "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning" (arXiv
    2410.14157), and Teoh et al. (arXiv 2511.05963).

    Example:

    ```python
    >>> Countdown().score("83-14=69,91-88=3,69/3=23", {"numbers": [14, 83, 88, 91], "target": 23})
    1.0
    >>> Countdown().score("83-14=69,91-88=3,69*3=207", {"numbers": [14, 83, 88, 91], "target": 23})
    0.0

    ```
    """

    name: ClassVar[str] = "countdown"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = BEYOND_AUTOREGRESSION
    answers_are_unique: ClassVar[bool] = False
    grid: ClassVar[tuple[str, ...]] = ("n4", "n3", "n5")
    codes: ClassVar[Mapping[str, str]] = {"num_numbers": "n"}

    num_numbers: int = 4

    def __post_init__(self):
        keep_integer(self, "num_numbers", 3, 6)

    @property
    def title(self) -> str:
        """`Countdown with 4 numbers`."""
        return f"Countdown with {self.num_numbers} numbers"

    @property
    def words(self) -> tuple[str, ...]:
        """Digits and signs, one character each."""
        return tuple("0123456789" + OPERATIONS + "=,|")

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `numbers` `(count, num_numbers)`, `target` `(count,)`, and one answer: `equations`
            `(count, num_numbers - 1, 3)`, two operands and the result, and `operations` `(count, num_numbers - 1)`,
            the places of their signs in `+-*/`.
        """
        parts: list[Columns] = []
        missing = count
        while missing > 0:
            drawn = draw_equations(rng, missing * 5 // 4 + 100, self.num_numbers)
            parts.append({name: values[:missing] for name, values in drawn.items()})
            missing -= len(parts[-1]["target"])
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b,c,d,target|` and `a+b=e,c-d=f,e*f=target`."""
        numbers, equations = columns["numbers"], columns["equations"]
        prompt = np.concatenate([numbers, columns["target"][:, None]], axis=1)
        signs = np.empty(equations.shape, np.uint8)
        signs[:, :, 0] = np.frombuffer(OPERATIONS.encode(), np.uint8)[columns["operations"]]
        signs[:, :, 1:] = ord("="), ord(",")
        signs[:, -1, 2] = 0
        return {
            "prompt": format_labels(prompt, "," * self.num_numbers + "|"),
            "completion": format_labels(equations.reshape(len(equations), -1), signs.reshape(len(equations), -1)),
        }

    def split_key(self, columns: Columns) -> np.ndarray:
        """Return the place of the target among all, in the order of their hashes. See [`Task.split_key`].

        So 71, 10 and 10 of the 91 targets are those of the three splits.
        """
        targets = np.arange(TARGETS[0], TARGETS[1] + 1, dtype=np.uint64)
        places = np.searchsorted(np.sort(mix_bits(targets)), mix_bits(columns["target"].astype(np.uint64)))
        return places.astype(np.uint64)

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw an answer as a table: what each equation leaves. See [`Task.drawing`]."""
        left = list(row["numbers"])
        table = [["equation", "numbers left"], ["", ", ".join(map(str, left))]]
        for (a, b, c), operation in zip(row["equations"], row["operations"], strict=True):
            takes(left, str(a), OPERATIONS[operation], str(b), str(c))
            table.append([f"{a} {OPERATIONS[operation]} {b} = {c}", ", ".join(map(str, left))])
        return {"table": table, "note": f"Reach {row['target']}, each number used once: one answer of several"}

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the numbers and the target. See [`Task.read_row`]."""
        *numbers, target = labels_of(prompt.strip().removesuffix("|"))
        return {"numbers": numbers, "target": target}

    def valid_equations(self, prediction: str, row: Mapping[str, Any]) -> list[bool]:
        """Say of each equation whether it is right and uses numbers that are left.

        The result of an equation may be used once by a later one, unless it is wrong or used what was not there.

        Args:
            prediction (`str`): any text; what stands between its commas are the equations.
            row (mapping): with the `numbers`.
        """
        left = list(row["numbers"])
        valid = []
        for text in prediction.split(",") if isinstance(prediction, str) else []:
            match = EQUATION.fullmatch(text)
            valid.append(match is not None and takes(left, *match.groups()))
        return valid

    def measures(self, prediction: str, row: Mapping[str, Any]) -> dict[str, float]:
        """Return as `valid_equations` the share of equations that are valid; those that were not written are not."""
        valid = self.valid_equations(prediction, row)
        return {"valid_equations": sum(valid) / max(len(valid), len(row["numbers"]) - 1)}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when every equation is valid, there are as many as needed, and the last gives the target."""
        valid = self.valid_equations(prediction, row)
        if len(valid) != len(row["numbers"]) - 1 or not all(valid):
            return 0.0
        return float(int(prediction.rpartition("=")[2]) == row["target"])


def takes(left: list[int], first: str, operation: str, second: str, result: str) -> bool:
    """Take the operands of a right equation out of the numbers that are left, and put its result there."""
    a, b, c = int(first), int(second), int(result)
    right = {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b > 0 and b * c == a}[operation]
    there = left.count(a) > (a == b) and left.count(b) > 0
    if right and there:
        left.remove(a)
        left.remove(b)
        left.append(c)
    return right and there


def draw_equations(rng: np.random.Generator, count: int, num_numbers: int) -> Columns:
    """Draw numbers and equations `count` times, and return those that end in a target."""
    rows = np.arange(count)
    numbers = rng.integers(1, LARGEST_NUMBER + 1, size=(count, num_numbers), dtype=np.int32)
    left = numbers.copy()  # those of a row that are left are in its first columns
    equations = np.empty((count, num_numbers - 1, 3), np.int32)
    operations = np.empty((count, num_numbers - 1), np.int32)
    kept = np.ones(count, bool)
    for step, size in enumerate(range(num_numbers, 1, -1)):
        one = rng.integers(size, size=count)
        other = (one + rng.integers(1, size, size=count)) % size
        a, b = left[rows, one], left[rows, other]
        large, small = np.maximum(a, b), np.minimum(a, b)
        quotient, rest = np.divmod(large, small)
        results = np.stack([a + b, large - small, a * b, quotient])
        low, high = TARGETS if size == 2 else (1, LARGEST_RESULT)
        allowed = (results >= low) & (results <= high)
        allowed[3] &= rest == 0
        operation = np.where(allowed, rng.random((4, count), np.float32), -1).argmax(axis=0)
        kept &= allowed[operation, rows]
        ordered = operation % 2 == 1
        equations[:, step, 0] = np.where(ordered, large, a)
        equations[:, step, 1] = np.where(ordered, small, b)
        equations[:, step, 2] = result = np.where(kept, results[operation, rows], 1)
        operations[:, step] = operation
        left[rows, np.minimum(one, other)] = result
        left[rows, np.maximum(one, other)] = left[:, size - 1]
    columns = {"numbers": numbers, "target": equations[:, -1, 2], "equations": equations, "operations": operations}
    return {name: values[kept] for name, values in columns.items()}
