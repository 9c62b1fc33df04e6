"""Compare predicted paths with true ones, node by node. Every function returns one number a row, to be averaged."""

from collections.abc import Hashable, Sequence

import numpy as np

Path = Sequence[Hashable]


def path_accuracy(predictions: Sequence[Path], references: Sequence[Path]) -> np.ndarray:
    """Say for each row whether the whole path is right: same nodes, same order, same length.

    Args:
        predictions (sequence of paths): the nodes that a model wrote, of any length.
        references (sequence of paths): the right nodes.

    Returns:
        `np.ndarray` of `float64`, shape `(rows,)`: 1.0 or 0.0.

    Example:

    ```python
    >>> path_accuracy([[3, 1, 2], [3, 5, 2], [3, 1]], [[3, 1, 2], [3, 1, 2], [3, 1, 2]])
    array([1., 0., 0.])

    ```
    """
    return np.array([list(p) == list(r) for p, r in zip(predictions, references, strict=True)], dtype=np.float64)


def token_accuracy(predictions: Sequence[Path], references: Sequence[Path]) -> np.ndarray:
    """Say for each row and position whether the node there is right; a position that was not written is wrong.

    Args:
        predictions (sequence of paths): the nodes that a model wrote, of any length.
        references (sequence of paths, of up to `L` nodes): the right nodes.

    Returns:
        `np.ndarray` of `float64`, shape `(rows, L)`: 1.0 or 0.0, and NaN past the end of a reference.

    Example:

    ```python
    >>> token_accuracy([[3, 5, 2], [3]], [[3, 1, 2], [3, 1, 2]])
    array([[1., 0., 1.],
           [1., 0., 0.]])

    ```
    """
    right = np.zeros((len(references), max(map(len, references), default=0)))
    for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        right[row, len(reference) :] = np.nan
        for position, (p, r) in enumerate(zip(prediction, reference, strict=False)):
            right[row, position] = p == r
    return right


def hard_token_accuracy(predictions: Sequence[Path], references: Sequence[Path], position: int) -> np.ndarray:
    """Say for each row whether the node next to the start is right: the one token that needs planning.

    Args:
        predictions (sequence of paths): the nodes that a model wrote.
        references (sequence of paths, all of one length `L`): the right nodes.
        position (`int`, 0 to `L - 1`): where that node stands: 1, or `L - 2` in a reversed path.

    Returns:
        `np.ndarray` of `float64`, shape `(rows,)`: 1.0 or 0.0. Guessing among the arms gives 1/degree.

    Example:

    ```python
    >>> hard_token_accuracy([[3, 5, 2], [3, 1, 9]], [[3, 1, 2], [3, 1, 2]], position=1)
    array([0., 1.])

    ```
    """
    right = token_accuracy(predictions, references)
    return right[:, position] if len(right) else np.zeros(0)


def correct_nodes(correct_tokens: np.ndarray, node_of_token: np.ndarray) -> np.ndarray:
    """Call a node right when all of its tokens are: `(n, T)` tokens to `(n, L)` nodes."""
    correct = np.ones((len(correct_tokens), int(node_of_token.max(initial=-1)) + 1))
    row, position = np.nonzero((node_of_token >= 0) & ~correct_tokens)
    correct[row, node_of_token[row, position]] = 0
    return correct
