"""What creative tasks share: a prompt that says nothing, and any coherent completion is right."""

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task
from hf_nextfail.tasks.hashing import hash_numbers
from hf_nextfail.tasks.papers import ROLL_THE_DICE, Paper
from hf_nextfail.tasks.text import TextColumn

PROMPT = "="


class CreativeTask(Task):
    """Ask for something coherent, whatever it is: all prompts are `=`.

    A model is creative that writes what is coherent, different each time, and not a row that it was trained on. Two
    completions are the same when `canonical` returns the same for both; it returns `None` for one that is incoherent.
    What was trained on is `{task.canonical(text) for text in dataset["train"]["completion"]}`. What is the same is in
    one split, so that all that is in validation and test is new.
    """

    paper: ClassVar[Paper] = ROLL_THE_DICE
    separator: ClassVar[str] = ","
    fixed_length: ClassVar[bool] = True
    answers_are_unique: ClassVar[bool] = False

    @abstractmethod
    def canonical(self, prediction: str) -> Hashable | None:
        """Return what coherent completions that mean the same have in common; `None` for one that is incoherent."""

    @abstractmethod
    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return what `canonical` returns, of whole columns: integers, shape `(rows, M)`."""

    @abstractmethod
    def completions(self, columns: Columns) -> TextColumn:
        """Write the completions."""

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `=` and a coherent completion."""
        completions = self.completions(columns)
        return {"prompt": TextColumn.constant(PROMPT, len(completions.offsets) - 1), "completion": completions}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is coherent, else 0.0; `row` does not matter."""
        return float(isinstance(prediction, str) and self.canonical(prediction) is not None)

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash what equal completions have in common. See [`Task.split_key`]."""
        return hash_numbers(self.canonical_numbers(columns))
