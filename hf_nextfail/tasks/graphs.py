"""What graph tasks share: edges and their hash, nodes as parts, and labels drawn without replacement."""

import itertools
from collections.abc import Hashable
from typing import ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task
from hf_nextfail.tasks.hashing import mix_bits
from hf_nextfail.tasks.text import label_spans, read_labels


class GraphTask(Task):
    """Ask for something about a graph whose nodes are labels, and whose `edges` decide the split.

    Its completions are labels separated by commas, which are their parts. A subclass has a column `edges`, shape
    `(rows, E, 2)`, or a split key of its own.
    """

    separator: ClassVar[str] = ","

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash the edges. See [`Task.split_key`]."""
        return hash_edges(columns["edges"])

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its nodes. See [`Task.parts`] and [`label_spans`]."""
        return label_spans(completion)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the labels as integers; `None` if some are none. See [`Task.canonical`]."""
        return read_labels(prediction)


def hash_edges(edges: np.ndarray) -> np.ndarray:
    """Hash each row's set of directed edges; the order of the edges does not matter.

    Args:
        edges (`np.ndarray` of integers in [0, 2**31), shape `(rows, E, 2)`): source and target labels; rows of fewer
            edges are filled up with -1.

    Returns:
        `np.ndarray` of `uint64`, shape `(rows,)`.
    """
    source, target = edges[..., 0].astype(np.uint64), edges[..., 1].astype(np.uint64)
    edge_hashes = mix_bits(source << np.uint64(32) | target) * (edges[..., 0] >= 0)  # (rows, E)
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


def all_stars(num_nodes: int, degree: int, path_length: int) -> np.ndarray:
    """Enumerate the edges of every star graph once: `(graphs, E, 2)` of `int32`."""
    size, graphs = 1 + degree * (path_length - 1), []
    for start in range(num_nodes):
        others = [node for node in range(num_nodes) if node != start]
        for first in itertools.combinations(others, degree):  # sorted, so that each set of arms comes once
            rest = [node for node in others if node not in first]
            graphs += [[start, *first, *later] for later in itertools.permutations(rest, size - 1 - degree)]
    labels = np.array(graphs, dtype=np.int32).reshape(len(graphs), size)
    # Here the nodes at distance 1 come first, then the rest of arm 0, the rest of arm 1, ...
    steps = path_length - 2
    arms = [[0, 1 + a, *range(1 + degree + a * steps, 1 + degree + (a + 1) * steps)] for a in range(degree)]
    return labels[:, [edge for arm in arms for edge in itertools.pairwise(arm)]]
