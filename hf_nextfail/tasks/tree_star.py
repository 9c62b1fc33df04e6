"""The tree-star path task: find the leaf of a tree whose branches split several times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer
from hf_nextfail.tasks.graphs import sample_without_replacement
from hf_nextfail.tasks.papers import SUPERVISION_ADULTERATION, Paper
from hf_nextfail.tasks.paths import PathTask, shuffled_edges
from hf_nextfail.tasks.text import MAX_LABEL


@dataclass(frozen=True)
class TreeStar(PathTask):
    """Ask for the path from the root of a tree to one of its leaves, which are all equally deep.

    The root has `degree` children, each node of the next `splits` levels has `branching`, and each later one has a
    single child. The first `1 + splits` nodes behind the root therefore need planning: only the leaf, at the other end
    of the path, says which child is the right one. The nodes after them follow the single edge that leaves the node
    before. In a star graph one choice decides everything; here a choice near the leaf is easier than one at the root.
    Reversed, from the leaf to the root, a path needs no plan: one edge leads to each node.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 2): the children of the root.
        branching (`int`, >= 2, *optional*, defaults to 2): the children of a node that splits again.
        splits (`int`, 1 to `path_length - 2`, *optional*, defaults to 2): the levels behind the root that split again.
        path_length (`int`, >= 3, *optional*, defaults to 5): the nodes from the root to a leaf, both included.
        num_nodes (`int`, *optional*, defaults to 50): the labels to draw from, at least the nodes of the tree.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Frydenlund, "Language Models, Graph Searching, and Supervision Adulteration", ACL 2025
    (arXiv 2503.10542), which has trees in the place of the star. That splits stand directly behind the root, all sizes
    and the text are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = TreeStar(splits=1, path_length=3, num_nodes=10)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['8,6|8,1|1,2|1,3|6,4|6,5/8,4='], ['8,6,4'])

    ```
    """

    name: ClassVar[str] = "tree_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = SUPERVISION_ADULTERATION
    fixed_length: ClassVar[bool] = True
    codes: ClassVar[Mapping[str, str]] = {
        "degree": "d",
        "branching": "b",
        "splits": "s",
        "path_length": "l",
        "num_nodes": "n",
    }
    grid: ClassVar[tuple[str, ...]] = (
        "d2_b2_s2_l5_n50",
        "d2_b2_s1_l3_n20",
        "d2_b2_s1_l5_n50",
        "d2_b2_s3_l5_n50",
        "d2_b2_s3_l7_n100",
        "d2_b3_s1_l5_n50",
        "d3_b2_s1_l5_n50",
        "d5_b2_s1_l5_n50",
    )

    degree: int = 2
    branching: int = 2
    splits: int = 2
    path_length: int = 5
    num_nodes: int = 50

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 2)
        keep_integer(self, "branching", 2)
        keep_integer(self, "path_length", 3)
        keep_integer(self, "splits", 1, self.path_length - 2, f" for paths of {self.path_length} nodes")
        size = sum(self.level_sizes)
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for the {size} nodes of the tree")

    @property
    def level_sizes(self) -> list[int]:
        """The number of nodes at each distance from the root."""
        splitting = [self.degree * self.branching**level for level in range(self.splits + 1)]
        return [1, *splitting, *splitting[-1:] * (self.path_length - 2 - self.splits)]

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        more = f"{self.splits} more split{'s' * (self.splits != 1)} of {self.branching}"
        return f"tree of degree {self.degree}, {more}, {self.path_length} nodes a path, {self.num_nodes} labels"

    @property
    def hard_parts(self) -> tuple[int, ...]:
        """The places of the nodes behind a split, which need planning. A reversed path has none."""
        return () if self.reverse else tuple(range(1, self.splits + 2))

    @property
    def hard_part(self) -> int:
        """The place of the node next to the root, the first that needs planning forwards."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree for the first choice, and one of the leaves for the whole path. A reversed path needs no guess."""
        if self.reverse:
            return {"hard_token_accuracy": None}
        return {"hard_token_accuracy": 1 / self.degree, "accuracy": 1 / self.level_sizes[-1]}

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, E, 2)` in random order, `path` `(count, path_length)`, `start` (the
            root) and `goal` (a leaf) `(count,)`.
        """
        sizes = np.array(self.level_sizes)
        first = np.cumsum(sizes) - sizes  # of each level, whose nodes are numbered one after the other
        labels = sample_without_replacement(rng, count, self.num_nodes, sizes.sum())
        children = [np.arange(size) for size in sizes[1:]]
        parents = [
            begin + nodes // (size // above)
            for begin, nodes, size, above in zip(first, children, sizes[1:], sizes, strict=False)
        ]
        pairs = np.stack([np.concatenate(parents), np.arange(1, sizes.sum())], axis=1)
        # Labels are exchangeable, so the goal may as well be the first leaf.
        return self.columns_of(shuffled_edges(rng, labels, pairs), labels[first].T)
