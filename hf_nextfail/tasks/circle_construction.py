"""Circle construction: edges in any order that close one circle."""

from dataclasses import dataclass
from typing import ClassVar

from hf_nextfail.tasks.edge_construction import EdgeConstruction


@dataclass(frozen=True)
class CircleConstruction(EdgeConstruction):
    """Ask for the edges of any circle, in any order, such as `3,7|12,3|7,12` over three names.

    The edges are coherent when each ends where another begins, and together they close one circle over exactly
    `length` different names. An edge has a direction: `7,3` is not `3,7`. Two completions are the same when their
    edges stand in the same order, whatever the names: when their resolving permutations, which list where the edges
    stand in the text in the order of the circle, are the same, rotated to begin at 0. There are `(length - 1)!`.

    No edge is hard by itself. All must fit together, and the last ones have no choice left.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): the names, and the edges, of a circle.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 rows: see `num_train`. That edges have a direction
    is ours.

    Example:

    ```python
    >>> task = CircleConstruction(length=3)
    >>> task.canonical("3,7|12,3|7,12"), task.canonical("7,12|3,7|12,3"), task.canonical("1,2|2,0|0,1")
    ((0, 2, 1), (0, 2, 1), (0, 1, 2))
    >>> task.score("3,7|7,12|3,12", {})
    0.0

    ```
    """

    name: ClassVar[str] = "circle_construction"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("l9_n15", "l9_n10")
    closed: ClassVar[bool] = True
