"""Sibling discovery: two children of one parent, in a graph that only the weights know."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer
from hf_nextfail.tasks.creative import CreativeTask
from hf_nextfail.tasks.graphs import sample_without_replacement
from hf_nextfail.tasks.reversal import ReversibleTask
from hf_nextfail.tasks.text import TextColumn, format_labels, read_labels

MAX_CHILDREN = 100_000
SIBLINGS_DRAWN = 4  # beside the two


@dataclass(frozen=True)
class SiblingDiscovery(ReversibleTask, CreativeTask):
    """Ask for any two siblings and their parent, such as `731,89,2`, in a hidden graph.

    The graph is the same in all rows: every parent has as many children, and every child one parent. It stands in no
    prompt; a model learns it from the rows. Two completions are the same when they name the same two siblings.

    The hard part is the second sibling: the parent that both share is written after them, so that a model must choose
    it before it writes the first. Reversed, the parent comes first, and no plan is needed.

    Args:
        num_parents (`int`, >= 1, *optional*, defaults to 5): their labels are the first, `0` to `num_parents - 1`.
        num_children (`int`, *optional*, defaults to 2,500): of all parents together, at most 100,000, at least two
            each, and of each as many; their labels come after those of the parents.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): which children each parent has.

    Raises:
        ValueError: naming the field, its value and what is allowed.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 or 50,000 rows: see `num_train`. Which labels
    parents and children have is ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = SiblingDiscovery(num_parents=2, num_children=6)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['='], ['4,2,1'])
    >>> task.canonical("2,4,1"), task.canonical("2,4,0"), task.canonical("4,4,1")
    ((1, 2, 4), None, None)

    ```
    """

    name: ClassVar[str] = "sibling_discovery"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("p5_c2500_g0", "p5_c500_g0", "p5_c2500_g0_rev", "p5_c500_g0_rev")
    codes: ClassVar[Mapping[str, str]] = {"num_parents": "p", "num_children": "c", "graph_seed": "g"}

    num_parents: int = 5
    num_children: int = 2500
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "num_parents", 1, MAX_CHILDREN // 2)
        why = f" for the {self.num_parents} parents"
        keep_integer(self, "num_children", 2 * self.num_parents, MAX_CHILDREN, why)
        if self.num_children % self.num_parents:
            raise ValueError(
                f"num_children must be a multiple of num_parents={self.num_parents}, got {self.num_children}"
            )
        keep_integer(self, "graph_seed", 0)

    @property
    def title(self) -> str:
        """`Sibling discovery, 5 parents, 2500 children, graph 0`."""
        size = f"{self.num_parents} parents, {self.num_children} children, graph {self.graph_seed}"
        return f"Sibling discovery, {size}{self.seed_in_words}"

    @property
    def words(self) -> list[str]:
        """The labels of parents and children, and the prompt."""
        return [*map(str, range(self.num_parents + self.num_children)), *self.prompt_words]

    @property
    def children(self) -> np.ndarray:
        """The graph: the labels of the children of each parent, shape `(num_parents, num_children / num_parents)`."""
        return children_of(self.num_parents, self.num_children, self.graph_seed)

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` pairs of siblings: `siblings` of `int32`, `(count, 2)`, and their `parent`, `(count,)`."""
        parent = rng.integers(self.num_parents, size=count, dtype=np.int32)
        places = sample_without_replacement(rng, count, self.children.shape[1], 2)
        return {"siblings": self.children[parent, places].T.copy(), "parent": parent}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `child,child,parent` (`parent,child,child` when reversed)."""
        labels = self.turned([columns["siblings"], columns["parent"][:, None]])
        return format_labels(np.concatenate(labels, axis=1), ",,\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the siblings below their parent, with some of the others. See [`Task.drawing`]."""
        parent, siblings = row["parent"], list(row["siblings"])
        own = self.children[parent].tolist()
        others = [child for child in own if child not in siblings][:SIBLINGS_DRAWN]
        rest = len(own) - 2 - len(others)
        return {
            "edges": [[parent, child] for child in (*siblings, *others)],
            "path": [siblings[0], parent, siblings[1]],
            "start": parent,
            "goal": None,
            "note": f"{rest:,} more children of {parent}, and other parents, are not drawn; no prompt shows the graph",
        }

    def canonical(self, prediction: str) -> tuple[int, int, int] | None:
        """Return the parent and its two children in the order of their labels. See [`CreativeTask.canonical`]."""
        labels = read_labels(prediction)
        if labels is None or len(labels) != 3:
            return None
        parent, *siblings = labels if self.reverse else (labels[2], *labels[:2])
        one, other = sorted(siblings)
        children = children_sets(self.num_parents, self.num_children, self.graph_seed)
        there = parent < self.num_parents and one != other and {one, other} <= children[parent]
        return (parent, one, other) if there else None

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the parent and its two children in the order of their labels."""
        return np.concatenate([columns["parent"][:, None], np.sort(columns["siblings"], axis=1)], axis=1)


@functools.lru_cache(maxsize=8)
def children_of(num_parents: int, num_children: int, graph_seed: int) -> np.ndarray:
    """Deal out the children to the parents: labels, shape `(num_parents, num_children / num_parents)`."""
    order = sample_without_replacement(np.random.default_rng(graph_seed), 1, num_children, num_children)[:, 0]
    return num_parents + order.reshape(num_parents, -1)


@functools.lru_cache(maxsize=8)
def children_sets(num_parents: int, num_children: int, graph_seed: int) -> tuple[frozenset[int], ...]:
    """Return the children of each parent as sets, to look up."""
    return tuple(map(frozenset, children_of(num_parents, num_children, graph_seed).tolist()))
