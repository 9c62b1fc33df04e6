"""What creative tasks share: a prompt that asks for nothing in particular, and any coherent completion is right."""

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task, keep_integer
from hf_nextfail.tasks.hashing import hash_numbers
from hf_nextfail.tasks.papers import ROLL_THE_DICE, Paper
from hf_nextfail.tasks.text import TextColumn

PROMPT = "="
#: What seeds are made of: words that no completion has.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class CreativeTask(Task):
    """Ask for something coherent, whatever it is: all prompts are `=`, or begin with a random seed, `k,q,a,z=`.

    A model is creative that writes what is coherent, different each time, and not a row that it was trained on. Two
    completions are the same when `canonical` returns the same for both; it returns `None` for one that is incoherent.
    What was trained on is `{task.canonical(text) for text in dataset["train"]["completion"]}`. What is the same is in
    one split, so that all that is in validation and test is new.

    A model that writes greedily still has a choice if its prompt differs: by a seed, letters that say nothing. It must
    be trained on prompts with seeds, too.

    Args:
        seed_length (`int`, 0 to 64, *optional*, defaults to 0): the letters of the seed of each row, drawn uniformly;
            `_s4` at the end of configuration names. Other rows have the same seeds to training and to evaluation.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266): seed-conditioning. That seeds are letters is ours.
    """

    paper: ClassVar[Paper] = ROLL_THE_DICE
    separator: ClassVar[str] = ","
    fixed_length: ClassVar[bool] = True
    answers_are_unique: ClassVar[bool] = False

    seed_length: int = 0

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if cls.codes:
            cls.codes = {**cls.codes, "seed_length": "_s"}

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "seed_length", 0, 64)

    @property
    def prompt_words(self) -> list[str]:
        """The words of prompts."""
        return [PROMPT, *(LETTERS if self.seed_length else "")]

    @property
    def seed_in_words(self) -> str:
        """What a title says of seeds: nothing without them."""
        return f", seeds of {self.seed_length} letters" if self.seed_length else ""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` coherent outputs: what `sample` returns, but for the seeds."""

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` outputs, and for each a seed: `seed` of `int32`, `(count, seed_length)`, if there are some."""
        columns = self.draw(rng, count)
        if self.seed_length:
            columns["seed"] = rng.integers(len(LETTERS), size=(count, self.seed_length), dtype=np.int32)
        return columns

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
        """Write `=`, behind the seed if there is one, and a coherent completion."""
        completions = self.completions(columns)
        count = len(completions.offsets) - 1
        if not self.seed_length:
            return {"prompt": TextColumn.constant(PROMPT, count), "completion": completions}
        text = np.full((count, 2 * self.seed_length), ord(self.separator), np.uint8)
        text[:, ::2] = np.frombuffer(LETTERS.encode(), np.uint8)[columns["seed"]]
        text[:, -1] = ord(PROMPT)
        prompts = TextColumn(text.reshape(-1), np.arange(count + 1, dtype=np.int64) * text.shape[1])
        return {"prompt": prompts, "completion": completions}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is coherent, else 0.0; `row` does not matter."""
        return float(isinstance(prediction, str) and self.canonical(prediction) is not None)

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash what equal completions have in common. See [`Task.split_key`]."""
        return hash_numbers(self.canonical_numbers(columns))
