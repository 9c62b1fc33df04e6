"""From answers to numbers of each row: what the diagnoses of several tasks share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_nextfail.diagnoses.base import Answer
from hf_nextfail.metrics import KINDS
from hf_nextfail.metrics.standard_error import summarise

NUM_EXAMPLES = 3  # of each kind of error
NUM_BINS = 10  # of a calibration curve


def column(places: int | np.ndarray) -> np.ndarray:
    """Lay out a number for all rows, or one a row, to compare it with `(n, T)`."""
    return np.reshape(places, (-1, 1))


def choice_at_the_hard_token(candidates: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Give each row its share in the numbers of the hard token, and say how often its likeliest candidate is right.

    Args:
        candidates (`np.ndarray` `(n, d)`): the probabilities of the nodes to choose from, the right one first.
    """
    confidence = candidates.max(axis=1)
    likeliest = candidates == confidence[:, None]
    right = likeliest[:, 0] / likeliest.sum(axis=1)  # among equals it is a draw
    numbers = {
        "hard_token_mass": candidates.sum(axis=1),
        "hard_token_confidence": confidence,
        "hard_token_overconfidence": confidence - right,
    }
    return numbers, right


def examples_of(
    rows: Sequence[Mapping[str, Any]], kinds: np.ndarray, written: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Show the first rows of each kind of error."""
    return {
        kind: [
            {name: rows[row][name] for name in ("prompt", "completion")} | {"written": written[row]}
            for row in np.nonzero(kinds == kind)[0][:NUM_EXAMPLES].tolist()
        ]
        for kind in KINDS[1:]
        if (kinds == kind).any()
    }


def probability_of_node(answer: Answer, node: int | np.ndarray) -> np.ndarray:
    """Multiply the probabilities of a node's tokens: `(n,)`; `node` is one for all rows, or `(n,)`.

    Where the separator is not a token of its own but the beginning of the next one, 1 counts what 12 has as well.
    """
    return np.exp(np.where(answer.part_of_token == column(node), answer.log_probs, 0).sum(axis=1))


def right_nodes(answer: Answer, first: int | np.ndarray, last: int | np.ndarray) -> np.ndarray:
    """Say for each row whether the nodes from `first` to `last` are all right: `(n,)` of 1.0 or 0.0."""
    elsewhere = (answer.part_of_token < column(first)) | (answer.part_of_token > column(last))
    return (answer.correct | elsewhere).all(axis=1).astype(np.float64)


def share_right(answers: Sequence[Answer], first: int, last: int) -> np.ndarray:
    """Say for each row in how many of its arms the nodes from `first` to `last` are all right: `(n,)`."""
    return np.mean([right_nodes(answer, first, last) for answer in answers], axis=0) if answers else np.zeros(0)


def product_of_means(values: np.ndarray) -> np.ndarray:
    """Give each row its share in the product of column means: averaged they are it, with its standard error.

    The product is linearised at the means (the delta method).

    Args:
        values (`np.ndarray` `(n, L)`): one row a graph.

    Returns:
        `np.ndarray` of `float64`, shape `(n,)`.
    """
    means = values.mean(axis=0)
    others = np.array([np.delete(means, i).prod() for i in range(len(means))])
    return means.prod() + (values - means) @ others


def calibration(confidence: np.ndarray, right: np.ndarray, groups: np.ndarray | None) -> list[dict[str, Any]]:
    """Compare confidence with accuracy in bins of equal width: `from`, `to`, an `Estimate` of each, no empty bins."""
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "from": number / NUM_BINS,
            "to": (number + 1) / NUM_BINS,
            "confidence": summarise(confidence[inside], groups if groups is None else groups[inside]),
            "accuracy": summarise(right[inside], groups if groups is None else groups[inside]),
        }
        for number in range(NUM_BINS)
        if (inside := bins == number).any()
    ]
