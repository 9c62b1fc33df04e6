"""What graph tasks share: a hash of a graph's edges, and labels drawn without replacement."""

import numpy as np


def mix_bits(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers so that each input bit flips about half of the output bits.

    Reference: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
    OOPSLA 2014).
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


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
