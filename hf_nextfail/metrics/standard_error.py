"""How far a mean may be off."""

from typing import Any

import numpy as np


def mean_and_standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Average over rows, with a standard error that treats rows of one group as one piece of evidence.

    Rows about the same graph are not independent: a model that knows the graph gets them all right. The error is the
    cluster-robust one, the root of the summed squares of the groups' summed deviations, divided by the rows.

    Args:
        values (`np.ndarray`, shape `(rows,)` or `(rows, L)`): one or `L` numbers a row.
        groups (`np.ndarray`, shape `(rows,)`, *optional*): equal entries mark rows of one group; by default each row
            is its own.

    Returns:
        The mean and its standard error, each of shape `()` or `(L,)`; NaN when there are no rows.

    Example:

    ```python
    >>> import numpy as np
    >>> mean, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]))
    >>> float(mean), round(float(error), 4)
    (0.75, 0.2165)
    >>> _, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]), groups=np.array([7, 8, 9, 9]))
    >>> round(float(error), 4)
    0.2339

    ```

    Reference: Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 1986.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        empty = np.full(values.shape[1:], np.nan)
        return empty, empty
    mean = values.mean(axis=0)
    deviations = values - mean
    if groups is not None:
        _, inverse = np.unique(groups, return_inverse=True)
        summed = np.zeros((inverse.max() + 1, *values.shape[1:]))
        np.add.at(summed, inverse, deviations)
        deviations = summed
    return mean, np.sqrt((deviations**2).sum(axis=0)) / len(values)


#: One number: `value` and `standard_error` (lists when there is one per position), `n` rows, `num_graphs` different.
Estimate = dict[str, Any]


def summarise(values: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Average one number (or `L` of them) a row, with the standard error over groups: the hashes of graphs."""
    mean, error = mean_and_standard_error(values, groups)
    num_graphs = len(values) if groups is None else len(np.unique(groups))
    return {"value": mean.tolist(), "standard_error": error.tolist(), "n": len(values), "num_graphs": num_graphs}
