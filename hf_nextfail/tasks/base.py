"""What every task shares: columns, text, seeding, and which split a graph belongs to."""

import functools
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.graphs import hash_edges
from hf_nextfail.tasks.text import TextColumn

#: One array per column, the rows along the first axis.
Columns = dict[str, np.ndarray]

NUM_BUCKETS = 16
#: The buckets of `graph hash mod 16` that make up each split.
SPLITS = {"train": range(12), "validation": range(12, 14), "test": range(14, 16)}

#: Rows are sampled in shards of this size, each from its own generator, and cut to the number asked for.
SHARD_ROWS = 10_000

#: A space with fewer graphs than this is enumerated, to learn whether each split owns a graph at all.
ENUMERABLE_GRAPHS = 10_000


def split_of(edges: np.ndarray) -> np.ndarray:
    """Say which split each graph belongs to: a function of its edge set alone.

    No seed, size, query or configuration can therefore carry a graph from one split into another.

    Args:
        edges (`np.ndarray` of integers, shape `(rows, E, 2)`): source and target labels.

    Returns:
        `np.ndarray` of `str`, shape `(rows,)`: `"train"`, `"validation"` or `"test"`, 12, 2 and 2 of 16 graphs.

    Example:

    ```python
    >>> import numpy as np
    >>> edges = np.array([[[4, 1], [1, 7], [4, 2], [2, 9]]])
    >>> (split_of(edges) == split_of(edges[:, ::-1])).all()
    np.True_

    ```
    """
    names = np.array([name for name, buckets in SPLITS.items() for _ in buckets])
    return names[hash_edges(edges) % np.uint64(NUM_BUCKETS)]


def check_integer(name: str, value: Any, low: int, high: int | None = None, why: str = "") -> None:
    """Raise a `ValueError` that names the field, its value and the allowed range, unless `value` is in it."""
    if type(value) is not int or value < low or (high is not None and value > high):
        allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ValueError(f"{name} must be {allowed}{why}, got {value!r}")


@functools.lru_cache
def occupied_splits(task: "Task") -> frozenset[str]:
    """Enumerate the graphs of a task with a small space and say which splits they fall into."""
    return frozenset(split_of(task.all_graphs()).tolist())


class Task(ABC):
    """Define what is asked: a family of graph problems with text, a seedable sampler and a scorer.

    A task knows nothing of tokens or models. A subclass is a frozen dataclass whose fields are the configuration,
    validated in `__post_init__`; adding one takes a file in this folder and a line in `TASKS`.

    The columns of a sample are those that `sample` returns (`edges` among them, which decides the split) and the two
    texts `prompt` and `completion`.
    """

    name: ClassVar[str]
    #: Changes whenever the same seed gives other rows.
    version: ClassVar[str]
    #: The configurations that are published by name; the first is the default.
    grid: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def config_name(self) -> str:
        """The configuration as a name without spaces, which `from_config_name` reads back."""

    @classmethod
    @abstractmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> "Task":
        """Read a configuration name; raise `ValueError` for any other text, or when an override contradicts it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the configuration is called in prose, the direction of its completions left out."""

    @property
    @abstractmethod
    def hard_node(self) -> int:
        """The index, among the nodes of a completion, of the node that needs planning."""

    @property
    @abstractmethod
    def hard_token_chance(self) -> float | None:
        """The accuracy of guessing the hard node among the candidates, or `None` when it needs no guess."""

    @property
    @abstractmethod
    def num_graphs(self) -> int:
        """How many different graphs the configuration has."""

    @abstractmethod
    def all_graphs(self) -> np.ndarray:
        """Enumerate the edges of every graph, shape `(num_graphs, E, 2)`; for small spaces only."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems, whatever their split, without a Python loop over them."""

    @abstractmethod
    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `prompt` and `completion`."""

    @abstractmethod
    def parse(self, text: str) -> dict[str, Any]:
        """Read `prompt + completion` back into a row of all columns; raise `ValueError` with the reason."""

    @abstractmethod
    def score(self, prediction: str, example: dict[str, Any]) -> float:
        """Return 1.0 when `prediction` is the right completion of `example`, else 0.0."""

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no graph of it falls into `split`."""
        if self.num_graphs < ENUMERABLE_GRAPHS and split not in occupied_splits(self):
            raise ValueError(
                f"{self.config_name} has only {self.num_graphs} graphs, all of them outside the {split} split; "
                f"raise num_nodes, or set num_{split}=0"
            )

    def sample_shard(self, split: str, shard: int, seed: int = 0, num_rows: int = SHARD_ROWS) -> Columns:
        """Draw one shard of a split: the same rows on any machine, in any order, by any number of processes.

        Args:
            split (`str`): `"train"`, `"validation"` or `"test"`.
            shard (`int`, >= 0): which shard.
            seed (`int`, >= 0, *optional*, defaults to 0): the dataset's seed.
            num_rows (`int`, 1 to 10,000, *optional*): cut the shard to its first rows.

        Returns:
            `Columns` with `num_rows` rows. Graphs may repeat within a split; none is in two.

        Raises:
            ValueError: if no graph of this configuration falls into the split, or `num_rows` is out of range.
        """
        self.check_split(split)
        if not 1 <= num_rows <= SHARD_ROWS:
            raise ValueError(f"num_rows must be from 1 to {SHARD_ROWS}, got {num_rows}")
        rng = np.random.default_rng([seed, list(SPLITS).index(split), shard])
        parts: list[Columns] = []
        found = 0
        while found < num_rows:
            # A little more than a whole shard is expected to need, whatever num_rows is: a shorter one begins alike.
            # Bounded so that the working set stays in the cache.
            draws = min(2 * SHARD_ROWS, (SHARD_ROWS - found) * NUM_BUCKETS // len(SPLITS[split]) * 21 // 20 + 100)
            columns = self.sample(rng, draws)
            kept = np.flatnonzero(split_of(columns["edges"]) == split)[: num_rows - found]
            parts.append({name: values[kept] for name, values in columns.items()})
            found += len(kept)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
