"""Line construction: edges in any order that make one line."""

from dataclasses import dataclass
from typing import ClassVar

from hf_nextfail.tasks.edge_construction import EdgeConstruction


@dataclass(frozen=True)
class LineConstruction(EdgeConstruction):
    """Ask for the edges of any line, in any order, such as `12,4|3,7|7,12` over four names.

    The edges are coherent when together they make one line over exactly `length` different names. An edge has a
    direction: `7,3` is not `3,7`. Two completions are the same when their edges stand in the same order, whatever the
    names: when their resolving permutations, which list where the edges stand in the text in the order of the line,
    are the same. They are not rotated as those of circles, for a line has a beginning. There are `(length - 1)!`.

    No edge is hard by itself. All must fit together, and the last ones have no choice left.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): the names of a line, which has one edge less.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 rows: see `num_train`. That edges have a direction
    is ours.

    Example:

    ```python
    >>> task = LineConstruction(length=4)
    >>> task.canonical("12,4|3,7|7,12"), task.canonical("0,1|2,3|3,0"), task.canonical("3,7|7,12|12,4")
    ((1, 2, 0), (1, 2, 0), (0, 1, 2))
    >>> task.score("12,4|7,12|3,7", {}), task.score("12,4|7,12|4,7", {})
    (1.0, 0.0)

    ```
    """

    name: ClassVar[str] = "line_construction"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("l9_n15", "l9_n10")
    closed: ClassVar[bool] = False
