"""What every task shares: columns, text, words, seeding, and which split a problem belongs to."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np

from hf_nextfail.errors import did_you_mean
from hf_nextfail.tasks.config_names import coded_name, form_of_names, readable, value_of
from hf_nextfail.tasks.hashing import hash_texts
from hf_nextfail.tasks.papers import Paper
from hf_nextfail.tasks.text import TextColumn

#: One array per column, the rows along the first axis.
Columns = dict[str, np.ndarray]

NUM_BUCKETS = 16
#: The buckets of `split key mod 16` that make up each split.
SPLITS = {"train": range(12), "validation": range(12, 14), "test": range(14, 16)}

#: The options of every dataset, beside the fields of its task.
OF_THE_DATASET = (*(f"num_{split}" for split in SPLITS), "seed")

#: What stands at the end of configuration names whose answers are written from their end: see `ReversibleTask`.
REVERSED = "rev"

#: Rows are sampled in shards of this size, each from its own generator, and cut to the number asked for.
SHARD_ROWS = 10_000


def split_of(keys: np.ndarray) -> np.ndarray:
    """Say which split each problem belongs to: a function of its split key alone.

    No seed, size, query or configuration can therefore carry a problem from one split into another.

    Args:
        keys (`np.ndarray` of `uint64`, shape `(rows,)`): of `Task.split_key`.

    Returns:
        `np.ndarray` of `str`, shape `(rows,)`: `"train"`, `"validation"` or `"test"`, 12, 2 and 2 of 16 problems.

    Example:

    ```python
    >>> import numpy as np
    >>> split_of(np.array([3, 12, 31], dtype=np.uint64)).tolist()
    ['train', 'validation', 'test']

    ```
    """
    names = np.array([name for name, buckets in SPLITS.items() for _ in buckets])
    return names[keys % np.uint64(NUM_BUCKETS)]


def check_integer(name: str, value: Any, low: int, high: int | None = None, why: str = "") -> int:
    """Return an integer, also one of NumPy, as an `int`.

    Raises:
        ValueError: naming the field, its value and the allowed range, if it is no integer, or not in it.
    """
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < low or (high is not None and value > high):
        allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ValueError(f"{name} must be {allowed}{why}, got {value!r}")
    return int(value)


def keep_integer(config: Any, name: str, low: int, high: int | None = None, why: str = "") -> None:
    """Check an integer field of a dataclass, frozen or not, and keep it as an `int`: see `check_integer`."""
    object.__setattr__(config, name, check_integer(name, getattr(config, name), low, high, why))


@functools.lru_cache
def occupied_splits(task: "Task") -> frozenset[str]:
    """Say which splits some problems of a task fall into: as many as there are in a shard."""
    problems = task.sample(np.random.default_rng(0), SHARD_ROWS)
    return frozenset(split_of(task.split_key(problems)).tolist())


class Task(ABC):
    """Define what is asked: problems as text, a seedable sampler, and a verifier.

    A task knows nothing of tokens or models. A subclass is a frozen dataclass whose fields are the configuration,
    validated in `__post_init__`. Adding one takes a file in this folder and a line in `TASKS`; one of your own is used
    by `--task FILE.py:Class` and `load_dataset("FILE.py:Class")`.

    The columns of a row are those that `sample` returns and the two texts `prompt` and `completion`.
    """

    #: What it is called in recipes, records and tables.
    name: ClassVar[str]
    #: Changes whenever the same seed gives other rows.
    version: ClassVar[str] = "1.0.0"
    #: What it is from; `None` if it is nobody's.
    paper: ClassVar[Paper | None] = None
    #: The configurations that are published by name; the first is the default, and of none that of the defaults.
    grid: ClassVar[tuple[str, ...]] = ()
    #: Whether a prompt has one right completion. Where it has many, every row is decoded and scored.
    answers_are_unique: ClassVar[bool] = True
    #: What stands between two words of letters or digits, and is no token; empty where each character is a word.
    separator: ClassVar[str] = ""
    #: Whether all completions of a configuration have one number of words; then they do not end with an end token.
    fixed_length: ClassVar[bool] = False
    #: What stands for each field in names such as `d2_l5_n50`, that of a switch only where it is on, and one that
    #: begins with `_` only where the field has another value than by default; without codes, names are such as
    #: `degree_2-length_5`.
    codes: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self):
        """Check the switches; a subclass checks its other fields, too."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool) and not isinstance(value, bool):
                raise ValueError(f"{field.name} must be true or false, got {value!r}")

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """All words that prompts and completions are made of: the vocabulary of one token a word."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems, whatever their split: arrays of numbers or of text, the rows along the first axis."""

    @abstractmethod
    def to_text(self, columns: Columns) -> Mapping[str, TextColumn | Sequence[str]]:
        """Write `prompt` and `completion`, a right one."""

    @abstractmethod
    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is a right completion of `row`, else 0.0; it may be any text."""

    def read_row(self, prompt: str, completion: str) -> Mapping[str, Any]:
        """Read back from the texts of a row what `score` and `measures` look at; by default the texts themselves.

        Raises:
            ValueError: if they are not those of a row.
        """
        return {"prompt": prompt, "completion": completion}

    def measures(self, prediction: str, row: Mapping[str, Any]) -> Mapping[str, float]:
        """Count what tells more of a prediction than its score, by the name of the result; by default nothing.

        The same names for whatever a model writes. Evaluation averages them over rows.
        """
        return {}

    def split_key(self, columns: Columns) -> np.ndarray:
        """Return what decides the split, and which rows are about one problem: by default a hash of the prompt.

        Args:
            columns (`Columns`): what `sample` returns.

        Returns:
            `np.ndarray` of `uint64`, shape `(rows,)`.
        """
        return hash_texts(TextColumn.of(self.to_text(columns)["prompt"]))

    def parts(self, completion: str) -> list[tuple[int, int]] | None:
        """Divide a completion into parts that are measured each, such as nodes: where they begin and end.

        `None`, the default, where there are no such parts. Whatever a model writes can be divided.
        """
        return None

    @property
    def hard_part(self) -> int | None:
        """The index, among the parts of a completion, of the one that needs planning; `None` if there is none."""
        return None

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say of each row which parts of its completion need planning: by default all rows' `hard_part`.

        Args:
            columns (mapping from `str` to sequences): of a dataset: the texts and what `sample` returns.

        Returns:
            For each row a `dict`, in the order of writing: the index of such a part -> what guessing gives, with all
            before it right.
        """
        guess = self.chance.get("hard_token_accuracy")
        of_all = {} if self.hard_part is None else {self.hard_part: 1.0 if guess is None else guess}
        return [of_all] * len(columns["completion"])

    @property
    def chance(self) -> dict[str, float | None]:
        """What guessing gives, by the name of a result; `None` where no guess is needed."""
        return {}

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Say how to draw a row, as `hf_nextfail.reporting.pictures.plot_row` takes it; `None` for no picture."""
        return None

    def canonical(self, prediction: str) -> Hashable | None:
        """Return what all completions that mean the same have in common; `None` for one that means nothing."""
        return prediction.strip() or None

    @property
    def config_name(self) -> str:
        """The configuration as a name without spaces, which `from_config_name` reads back: its `codes`, or its fields.

        Raises:
            ValueError: if a field is a text that could not be told from the rest of the name.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if isinstance(value, str) and not re.fullmatch(r"[\w.]+", value):
                raise ValueError(f"{name} must be of letters, digits, dots and underscores, got {value!r}")
        if self.codes:
            return coded_name(values, self.codes, {field.name: field.default for field in fields(self)})
        return "-".join(f"{name}_{value}" for name, value in values.items()) or "default"

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> Self:
        """Read a configuration name; an override may turn on a switch that it leaves out, such as `reverse`.

        Raises:
            ValueError: for any other text, or when an override contradicts it.
        """
        if config_name.endswith(f"_{REVERSED}") and REVERSED not in cls.codes.values():
            raise ValueError(f"{cls.name} cannot be reversed: leave _{REVERSED} out of the config {config_name!r}")
        defaults = {field.name: field.default for field in fields(cls)}
        form = form_of_names(cls.codes, defaults)
        match = re.fullmatch(form, config_name)
        if match is None:
            example = cls().config_name
            hint = did_you_mean(config_name, (*cls.grid, example)) or f", such as {example!r}"
            raise ValueError(f"unknown config {config_name!r} of {cls.name}: use {readable(form)}{hint}")
        named = {}
        for field in fields(cls):
            text = match[field.name]
            if cls.codes and isinstance(field.default, bool):
                named[field.name] = text is not None
            else:
                named[field.name] = field.default if text is None else value_of(field.name, text, field.default)
        if cls.codes and (written := coded_name(named, cls.codes, defaults)) != config_name:
            raise ValueError(f"config {config_name!r} of {cls.name} is written {written!r}")
        for name, value in overrides.items():
            turned_on = named.get(name) is False and value is True  # not 0 and 1, which are equal to these
            if named.get(name) != value and not turned_on:
                raise ValueError(
                    f"config {config_name!r} says {name}={named.get(name)}, but {name}={value!r} was given"
                )
        return cls(**(named | overrides))

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        values = ", ".join(f"{field.name.replace('_', ' ')} {getattr(self, field.name)}" for field in fields(self))
        return self.name.replace("_", " ") + (values and f", {values}")

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no problem of it falls into `split`."""
        if split not in occupied_splits(self):
            raise ValueError(
                f"{self.config_name} of {self.name} has too few different problems: all {SHARD_ROWS} drawn are "
                f"outside the {split} split; choose a larger configuration, or set num_{split}=0"
            )

    def sample_shard(self, split: str, shard: int, seed: int = 0, num_rows: int = SHARD_ROWS) -> Columns:
        """Draw one shard of a split: the same rows on any machine, in any order, by any number of processes.

        Args:
            split (`str`): `"train"`, `"validation"` or `"test"`.
            shard (`int`, >= 0): which shard.
            seed (`int`, >= 0, *optional*, defaults to 0): the dataset's seed.
            num_rows (`int`, 1 to 10,000, *optional*): cut the shard to its first rows.

        Returns:
            `Columns` with `num_rows` rows. Problems may repeat within a split; none is in two.

        Raises:
            ValueError: if no problem of this configuration falls into the split, or `num_rows` is out of range.
        """
        self.check_split(split)
        if not 1 <= num_rows <= SHARD_ROWS:
            raise ValueError(f"num_rows must be from 1 to {SHARD_ROWS}, got {num_rows}")
        return self.draw_shard(split, shard, seed, num_rows)

    def draw_shard(self, split: str, shard: int, seed: int, num_rows: int) -> Columns:
        """Draw problems until there are enough of the split: what `sample_shard` returns, after its checks."""
        rng = np.random.default_rng([seed, list(SPLITS).index(split), shard])
        parts: list[Columns] = []
        found = 0
        while found < num_rows:
            # A little more than a whole shard is expected to need, whatever num_rows is: a shorter one begins alike.
            # Bounded so that the working set stays in the cache.
            draws = min(2 * SHARD_ROWS, (SHARD_ROWS - found) * NUM_BUCKETS // len(SPLITS[split]) * 21 // 20 + 100)
            columns = self.sample(rng, draws)
            if wrong := [name for name, values in columns.items() if len(values) != draws]:
                raise ValueError(
                    f"{self.name}: sample(rng, {draws}) must return {draws} rows, the column {wrong[0]} has "
                    f"{len(columns[wrong[0]])}"
                )
            kept = np.flatnonzero(split_of(self.split_key(columns)) == split)[: num_rows - found]
            parts.append({name: values[kept] for name, values in columns.items()})
            found += len(kept)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_task_class(kind: type[Task]) -> None:
    """Raise `ValueError` in one line unless a class is a frozen dataclass that can be named and configured."""
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise ValueError(f"the task {kind.__name__} must be a frozen dataclass: put @dataclass(frozen=True) above it")
    if not re.fullmatch(r"\w+", kind.name):
        raise ValueError(f"the name of the task {kind.__name__} must be letters, digits and _, got {kind.name!r}")
    for field in fields(kind):
        if field.name in OF_THE_DATASET:
            raise ValueError(f"the task {kind.__name__} has a field {field.name}, which is an option of every dataset")
        if not isinstance(field.default, (str, int, float)):
            raise ValueError(
                f"the field {field.name} of the task {kind.__name__} must have a default: a number, a text, True or "
                "False"
            )
