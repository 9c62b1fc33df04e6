"""The minimal planning task: two streams cross once, and the path must leave the crossing on the right one."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer
from hf_nextfail.tasks.papers import BEYOND_AUTOREGRESSION, Paper
from hf_nextfail.tasks.paths import PathTask, sample_crossing_arms
from hf_nextfail.tasks.text import MAX_LABEL, TextColumn, format_labels, label_spans, read_labels


@dataclass(frozen=True)
class MinimalPlanning(PathTask):
    """Ask for the edges of the path along one of two streams that have one node in common, at the same place of both.

    Up to the crossing, each edge follows from the one before; there two edges go on, and only the goal says which is
    the right one. The farther the goal is from there, the more steps must be planned. So accuracy is a matter of
    `crossing`: the place of the common node in the path, and of the edge that needs planning among the edges.

    Reversed, edges run from the goal to the start, each backwards: `goal,b/b,a/...`. At the crossing, a path must
    still be guessed wherever both streams lead there: unless they begin there.

    Args:
        path_length (`int`, >= 2, *optional*, defaults to 7): the nodes of each stream.
        num_nodes (`int`, *optional*, defaults to 14): the labels to draw from, at least the nodes of the graph,
            `2 * path_length - 1`.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Ye et al., "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning", ICLR 2025
    (arXiv 2410.14157), minimal planning. That streams never cross at their last node, where both would have the same
    goal, and that a prompt ends with `=`, are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = MinimalPlanning(path_length=3, num_nodes=9)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist(), columns["crossing"].tolist()
    (['0,5/5,3/4,5/5,2-0,3='], ['0,5/5,3'], [1])

    ```
    """

    name: ClassVar[str] = "minimal_planning"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = BEYOND_AUTOREGRESSION
    fixed_length: ClassVar[bool] = True
    signs: ClassVar[str] = "/-="
    between_parts: ClassVar[str] = "/"
    codes: ClassVar[Mapping[str, str]] = {"path_length": "l", "num_nodes": "n"}
    grid: ClassVar[tuple[str, ...]] = ("l7_n14", "l4_n14", "l5_n10", "l7_n50", "l10_n20")

    path_length: int = 7
    num_nodes: int = 14

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "path_length", 2)
        size = 2 * self.path_length - 1
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for the {size} nodes of two streams that cross")

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        return f"two streams of {self.path_length} nodes, {self.num_nodes} labels"

    @property
    def chance(self) -> dict[str, float | None]:
        """1/2: the accuracy of guessing at the crossing, and so of all.

        Reversed, a path that begins at the crossing needs no guess, so that more of the whole answers are right.
        """
        if not self.reverse:
            return {"hard_token_accuracy": 1 / 2, "accuracy": 1 / 2}
        if self.path_length == 2:  # all begin there
            return {"hard_token_accuracy": None}
        unguessed = 1 / (self.path_length - 1)
        return {"hard_token_accuracy": 1 / 2, "accuracy": unguessed + (1 - unguessed) / 2}

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, 2 * (path_length - 1), 2)` in random order, `path`
            `(count, path_length)`, `start`, `goal` and `crossing` `(count,)`, the index in `path` of the common node.
        """
        crossing = rng.integers(self.path_length - 1, size=count, dtype=np.int32)
        places = np.stack([crossing, crossing], axis=1)
        lengths = np.full_like(places, self.path_length)
        edges, path = sample_crossing_arms(rng, self.num_nodes, places, lengths, self.path_length)
        return self.columns_of(edges, path) | {"crossing": crossing}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b/c,d/...-start,goal=` and the edges of the path, `start,b/b,c/...` or `goal,b/b,a/...`."""
        path = self.turned(columns["path"])
        edges = np.stack([path[:, :-1], path[:, 1:]], axis=-1).reshape(len(path), -1)
        return {
            "prompt": self.prompts(columns),
            "completion": format_labels(edges, ",/" * (path.shape[1] - 2) + ",\0"),
        }

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the path. See [`Task.read_row`]."""
        edges = self.canonical(completion)
        if edges is None:
            raise ValueError(f"a completion must be edges with slashes between them, got {completion!r}")
        return {"path": self.turned([edges[0][0], *(target for _, target in edges)])}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` are the edges of the path of `row` in this task's direction, else 0.0."""
        return float(self.canonical(prediction) == tuple(itertools.pairwise(self.turned(row["path"]))))

    def write_path(self, nodes: Sequence[int]) -> str:
        """Write the edges of a path. See [`PathTask.write_path`]."""
        return self.between_parts.join(
            f"{source},{target}" for source, target in itertools.pairwise(self.turned(nodes))
        )

    def nodes_of(self, parts: Sequence[str]) -> list[str]:
        """Return the nodes of edges; one where an edge ends and the next begins, once. See [`PathTask.nodes_of`]."""
        nodes: list[str] = []
        for part in parts:
            source, *target = (text.strip() for text in part.split(","))
            nodes += ([] if nodes[-1:] == [source] else [source]) + target
        return nodes

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its edges: what stands between slashes. See [`Task.parts`]."""
        return label_spans(completion, self.between_parts)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the edges as pairs of integers; `None` if some are none. See [`Task.canonical`]."""
        edges = [read_labels(edge) for edge in prediction.split("/")] if isinstance(prediction, str) else [None]
        return tuple(edges) if all(edge is not None and len(edge) == 2 for edge in edges) else None
