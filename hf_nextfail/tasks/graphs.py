"""What graph tasks share: edges and their hash, paths as text, and labels drawn without replacement."""

import functools
from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task, split_of
from hf_nextfail.tasks.hashing import mix_bits
from hf_nextfail.tasks.text import label_spans, read_labels

#: A space with fewer graphs than this is enumerated, to learn whether each split owns a graph at all.
ENUMERABLE_GRAPHS = 10_000


class GraphTask(Task):
    """Ask for something about a graph whose nodes are labels, and whose `edges` decide the split.

    Its completions are labels separated by commas, which are their parts. A subclass has a column `edges`, shape
    `(rows, E, 2)`.
    """

    separator: ClassVar[str] = ","

    @property
    @abstractmethod
    def num_graphs(self) -> int:
        """How many different graphs the configuration has."""

    @abstractmethod
    def all_graphs(self) -> np.ndarray:
        """Enumerate the edges of every graph, shape `(num_graphs, E, 2)`; for small spaces only."""

    @abstractmethod
    def parse(self, text: str) -> dict[str, Any]:
        """Read `prompt + completion` back into a row of all columns; raise `ValueError` with the reason."""

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash the edges. See [`Task.split_key`]."""
        return hash_edges(columns["edges"])

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no graph of it falls into `split`."""
        if self.num_graphs < ENUMERABLE_GRAPHS and split not in enumerated_splits(self):
            raise ValueError(
                f"{self.config_name} has only {self.num_graphs} graphs, all of them outside the {split} split; "
                f"raise num_nodes, or set num_{split}=0"
            )

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its nodes. See [`Task.parts`] and [`label_spans`]."""
        return label_spans(completion)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the labels as integers; `None` if some are none. See [`Task.canonical`]."""
        return read_labels(prediction)


@functools.lru_cache
def enumerated_splits(task: GraphTask) -> frozenset[str]:
    """Enumerate the graphs of a task with a small space and say which splits they fall into."""
    return frozenset(split_of(hash_edges(task.all_graphs())).tolist())


def hash_edges(edges: np.ndarray) -> np.ndarray:
    """Hash each row's set of directed edges; the order of the edges does not matter.

    Args:
        edges (`np.ndarray` of integers in [0, 2**31), shape `(rows, E, 2)`): source and target labels.

    Returns:
        `np.ndarray` of `uint64`, shape `(rows,)`.
    """
    source, target = edges[..., 0].astype(np.uint64), edges[..., 1].astype(np.uint64)
    edge_hashes = mix_bits(source << np.uint64(32) | target)  # (rows, E)
    return mix_bits(edge_hashes.sum(axis=1, dtype=np.uint64))  # a sum forgets the order


def sample_without_replacement(rng: np.random.Generator, count: int, population: int, size: int) -> np.ndarray:
    """Draw `size` different integers below `population`, in random order, `count` times.

    A Fisher-Yates shuffle that stops after `size` steps, each step done for all `count` rows at once.

    Returns:
        `np.ndarray` of `int32`, shape `(size, count)`.
    """
    if population > 4 * size**2:  # then that is quicker, and a pool may not fit in memory
        return sample_few_of_many(rng, count, population, size)
    pool = np.repeat(np.arange(population, dtype=np.int32)[:, None], count, axis=1)
    columns = np.arange(count)
    for i in range(size):
        j = rng.integers(i, population, size=count)
        picked = pool[j, columns]
        pool[j, columns] = pool[i]
        pool[i] = picked
    return pool[:size]


def sample_few_of_many(rng: np.random.Generator, count: int, population: int, size: int) -> np.ndarray:
    """Draw the same numbers without a pool in memory: look up what the swaps so far left at each place."""
    places = np.stack([rng.integers(i, population, size=count, dtype=np.int64) for i in range(size)]).astype(np.int32)
    picked, displaced = places.copy(), np.arange(size, dtype=np.int32)[:, None].repeat(count, axis=1)
    for i in range(size):
        for k in range(i):  # the later swap wins
            picked[i] = np.where(places[k] == places[i], displaced[k], picked[i])
            displaced[i] = np.where(places[k] == i, displaced[k], displaced[i])
    return picked
