"""Hashes of whole columns, the same on every machine: what decides the split of a problem."""

import numpy as np

from hf_nextfail.tasks.text import TextColumn


def mix_bits(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers so that each input bit flips about half of the output bits.

    Reference: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
    OOPSLA 2014).
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_texts(column: TextColumn) -> np.ndarray:
    """Hash each text of a column: `np.ndarray` of `uint64`, shape `(rows,)`."""
    lengths = np.diff(column.offsets)
    places = np.arange(len(column.data)) - np.repeat(column.offsets[:-1], lengths)  # of each byte in its text
    mixed = mix_bits(places.astype(np.uint64) << np.uint64(8) | column.data.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])  # they wrap around
    return mix_bits(sums[column.offsets[1:]] - sums[column.offsets[:-1]] + lengths.astype(np.uint64))


def hash_numbers(values: np.ndarray) -> np.ndarray:
    """Hash each row of integers in [0, 2**32), shape `(rows, M)`, in their order: `uint64`, shape `(rows,)`."""
    places = np.arange(values.shape[1], dtype=np.uint64) << np.uint64(32)
    return mix_bits(mix_bits(places | values.astype(np.uint64)).sum(axis=1, dtype=np.uint64))
