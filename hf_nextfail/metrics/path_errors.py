"""Say what is wrong with a path. No model, no tokens: lists of nodes."""

from collections.abc import Collection, Hashable, Sequence

import numpy as np

#: What a written path can be.
KINDS = ("right arm", "wrong arm", "wrong arm to the goal", "jump", "repeated node", "not a node", "wrong length")


def path_kind(
    prediction: Sequence[Hashable],
    arms: Sequence[Sequence[Hashable]],
    reference: Sequence[Hashable],
    nodes: Collection[Hashable] = (),
) -> str:
    """Name what a written path is, one of `KINDS`: the most elementary error, where there are several.

    Args:
        prediction (sequence of nodes): what a model wrote, of any length.
        arms (sequence of paths): every arm of the graph, in the direction in which paths are written; of other graphs
            every path along edges from the start to an end.
        reference (path): the right one of them.
        nodes (collection, *optional*): those of the graph that are outside of its arms.

    Returns:
        `str`:

        - `"right arm"`, `"wrong arm"`: an arm of the graph from end to end, to the goal or elsewhere.
        - `"wrong arm to the goal"`: a wrong arm, but with the goal, which stands in the prompt, as its end.
        - `"jump"`: other different nodes of the graph, but somewhere no edge leads from one to the next.
        - `"repeated node"`, `"not a node"` (of this graph), `"wrong length"`.

    Example:

    ```python
    >>> arms = [["3", "1", "12"], ["3", "5", "8"]]
    >>> [path_kind(text.split(","), arms, arms[0]) for text in ("3,1,12", "3,5,8", "3,5,12", "3,1,8", "3,3,8", "3,1")]
    ['right arm', 'wrong arm', 'wrong arm to the goal', 'jump', 'repeated node', 'wrong length']

    ```
    """
    prediction = list(prediction)
    if prediction == list(reference):
        return "right arm"
    if any(prediction == list(arm) for arm in arms):
        return "wrong arm"
    if any(ends_at_goal(prediction, list(arm), list(reference)) for arm in arms):
        return "wrong arm to the goal"
    if len(prediction) != len(reference):
        return "wrong length"
    if not {*nodes, *(node for arm in arms for node in arm)}.issuperset(prediction):
        return "not a node"
    return "repeated node" if len(set(prediction)) < len(prediction) else "jump"


def ends_at_goal(prediction: list[Hashable], arm: list[Hashable], reference: list[Hashable]) -> bool:
    """Say whether a path is an arm whose end, where the paths differ, is that of the right one: the goal."""
    forwards = prediction == [*arm[:-1], reference[-1]]
    return forwards or prediction == [reference[0], *arm[1:]]


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
