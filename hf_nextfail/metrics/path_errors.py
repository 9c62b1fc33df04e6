"""Say what is wrong with a path. No model, no tokens: lists of nodes."""

from collections.abc import Hashable, Sequence

import numpy as np

#: What a written path can be. Of several errors, the one that stands last here names the path.
KINDS = ("right arm", "wrong arm", "jump", "repeated node", "not a node", "wrong length")


def path_kind(
    prediction: Sequence[Hashable], arms: Sequence[Sequence[Hashable]], reference: Sequence[Hashable]
) -> str:
    """Name what a written path is, one of `KINDS`.

    Args:
        prediction (sequence of nodes): what a model wrote, of any length.
        arms (sequence of paths): every arm of the graph, in the direction in which paths are written.
        reference (path): the right one of them.

    Returns:
        `str`:

        - `"right arm"`, `"wrong arm"`: an arm of the graph from end to end, to the goal or elsewhere.
        - `"jump"`: different nodes of the graph, but somewhere no edge leads from one to the next.
        - `"repeated node"`, `"not a node"` (of this graph), `"wrong length"`.

    Example:

    ```python
    >>> arms = [["3", "1", "12"], ["3", "5", "8"]]
    >>> [path_kind(text.split(","), arms, arms[0]) for text in ("3,1,12", "3,5,8", "3,5,12", "3,3,8", "3,1", "3,1,9")]
    ['right arm', 'wrong arm', 'jump', 'repeated node', 'wrong length', 'not a node']

    ```
    """
    prediction = list(prediction)
    nodes = {node for arm in arms for node in arm}
    if len(prediction) != len(reference):
        return "wrong length"
    if not nodes.issuperset(prediction):
        return "not a node"
    if len(set(prediction)) < len(prediction):
        return "repeated node"
    if prediction == list(reference):
        return "right arm"
    return "wrong arm" if any(prediction == list(arm) for arm in arms) else "jump"


def valid_path(kinds: Sequence[str]) -> np.ndarray:
    """Say for each path whether it is an arm of its graph, the right one or not.

    Args:
        kinds (sequence of `str`): of `path_kind`.

    Returns:
        `np.ndarray` of `float64`, shape `(rows,)`: 1.0 or 0.0.

    Example:

    ```python
    >>> valid_path(["right arm", "jump", "wrong arm"])
    array([1., 0., 1.])

    ```
    """
    return np.array([kind in KINDS[:2] for kind in kinds], dtype=np.float64)
