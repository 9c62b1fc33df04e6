"""Triangle discovery: three nodes that are all connected, in a graph that only the weights know."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer
from hf_nextfail.tasks.creative import CreativeTask
from hf_nextfail.tasks.graphs import sample_without_replacement
from hf_nextfail.tasks.text import TextColumn, format_labels, read_labels


@dataclass(frozen=True)
class TriangleDiscovery(CreativeTask):
    """Ask for any triangle, such as `17,4,101`, of a hidden graph.

    The graph is the same in all rows, and undirected. It stands in no prompt; a model learns it from the rows, which
    are triangles, drawn uniformly, their nodes in any order. Two completions are the same when they name the same
    three nodes.

    The hard part is the third node, which must be a neighbour of both others: a model that looks no further than the
    next node may write a second one that shares no neighbour with the first, or a third that is connected to one.

    The recipe of the paper's graph was not found. Ours has `num_nodes * degree / 2` edges, rounded down, every such
    graph being as likely. By default there are about 36,000 triangles, and an edge is in 18 of them, so that
    nearly every edge of a triangle that is held out is in others that are trained on.

    Args:
        num_nodes (`int`, 3 to 300, *optional*, defaults to 200): of the graph.
        degree (`int`, 2 to `num_nodes - 1`, *optional*, defaults to 60): the mean number of neighbours of a node.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): which graph.

    Raises:
        ValueError: naming the field, its value and the allowed range, or if the graph has no triangle.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266).

    Example:

    ```python
    >>> import numpy as np
    >>> task = TriangleDiscovery(num_nodes=6, degree=3)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['='], ['3,4,1'])
    >>> task.canonical("1,3,4"), task.canonical("3,4,3")
    ((1, 3, 4), None)

    ```
    """

    name: ClassVar[str] = "triangle_discovery"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("n200_d60_g0", "n100_d40_g0")
    codes: ClassVar[Mapping[str, str]] = {"num_nodes": "n", "degree": "d", "graph_seed": "g"}

    num_nodes: int = 200
    degree: int = 60
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "num_nodes", 3, 300)
        keep_integer(self, "degree", 2, self.num_nodes - 1, f" for {self.num_nodes} nodes")
        keep_integer(self, "graph_seed", 0)
        if not len(self.triangles):
            raise ValueError(
                f"degree must be larger: with degree={self.degree} the graph {self.graph_seed} of {self.num_nodes} "
                "nodes has no triangle"
            )

    @property
    def title(self) -> str:
        """`Triangle discovery, 200 nodes, degree 60, graph 0`."""
        size = f"{self.num_nodes} nodes, degree {self.degree}, graph {self.graph_seed}"
        return f"Triangle discovery, {size}{self.seed_in_words}"

    @property
    def words(self) -> list[str]:
        """The nodes, and the prompt."""
        return [*map(str, range(self.num_nodes)), *self.prompt_words]

    @property
    def adjacency(self) -> np.ndarray:
        """The graph: which nodes are neighbours, `bool`, shape `(num_nodes, num_nodes)`."""
        return adjacency_of(self.num_nodes, self.degree, self.graph_seed)

    @property
    def triangles(self) -> np.ndarray:
        """All triangles of the graph, each once and sorted, shape `(triangles, 3)`."""
        return triangles_of(self.num_nodes, self.degree, self.graph_seed)

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` triangles: `nodes` of `int32`, `(count, 3)`."""
        drawn = self.triangles[rng.integers(len(self.triangles), size=count)]
        order = sample_without_replacement(rng, count, 3, 3).T
        return {"nodes": np.take_along_axis(drawn, order, axis=1)}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `node,node,node`."""
        return format_labels(columns["nodes"], ",,\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the triangle alone. See [`Task.drawing`]."""
        a, b, c = row["nodes"]
        note = f"one of {len(self.triangles):,} triangles; no prompt shows the graph"
        path = {"edges": [[a, b], [b, c], [c, a]], "path": [a, b, c, a], "start": None, "goal": None}
        return path | {"directed": False, "note": note}

    def canonical(self, prediction: str) -> tuple[int, int, int] | None:
        """Return the nodes in the order of their labels. See [`CreativeTask.canonical`]."""
        labels = read_labels(prediction)
        if labels is None or len(labels) != 3 or max(labels) >= self.num_nodes:
            return None
        a, b, c = sorted(labels)  # a node is not its own neighbour
        return (a, b, c) if self.adjacency[a, b] and self.adjacency[b, c] and self.adjacency[a, c] else None

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the nodes in the order of their labels."""
        return np.sort(columns["nodes"], axis=1)


@functools.lru_cache(maxsize=8)
def adjacency_of(num_nodes: int, degree: int, graph_seed: int) -> np.ndarray:
    """Draw the graph: which nodes are neighbours."""
    sources, targets = np.triu_indices(num_nodes, 1)
    num_edges = num_nodes * degree // 2
    drawn = sample_without_replacement(np.random.default_rng(graph_seed), 1, len(sources), num_edges)[:, 0]
    adjacency = np.zeros((num_nodes, num_nodes), bool)
    adjacency[sources[drawn], targets[drawn]] = True
    return adjacency | adjacency.T


@functools.lru_cache(maxsize=8)
def triangles_of(num_nodes: int, degree: int, graph_seed: int) -> np.ndarray:
    """Enumerate the triangles of the graph: `int32`, each row sorted."""
    later = np.triu(adjacency_of(num_nodes, degree, graph_seed))
    found = []
    for first in range(num_nodes):
        neighbours = np.flatnonzero(later[first])
        second, third = later[np.ix_(neighbours, neighbours)].nonzero()
        found.append(np.stack([np.full(len(second), first), neighbours[second], neighbours[third]], axis=1))
    return np.concatenate(found).astype(np.int32)
