"""What tasks share that ask for the path from a start to a goal, given the shuffled edges of a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns
from hf_nextfail.tasks.graphs import GraphTask, sample_without_replacement
from hf_nextfail.tasks.reversal import ReversibleTask
from hf_nextfail.tasks.text import TextColumn, format_labels, labels_of


@dataclass(frozen=True, kw_only=True)
class PathTask(ReversibleTask, GraphTask):
    """Ask for the only path from a start to a goal, given the shuffled edges of a graph.

    A subclass has a field `num_nodes` and the columns of `columns_of`, which run from the start also where completions
    are reversed. Where the graphs of a configuration have several sizes, edges and paths are filled up with -1 at
    their ends.
    """

    #: After an edge in the prompt, after the last edge, and after the goal.
    signs: ClassVar[str] = "|/="
    #: What stands between two parts of a completion.
    between_parts: ClassVar[str] = ","

    @property
    def words(self) -> list[str]:
        """The labels and signs, in the order of their ids in the paper's tokenizer."""
        return [*map(str, range(self.num_nodes)), *self.signs]

    @staticmethod
    def columns_of(edges: np.ndarray, path: np.ndarray) -> Columns:
        """Return the columns `edges` `(rows, E, 2)`, `path` `(rows, L)`, and its ends `start` and `goal` `(rows,)`."""
        last = (path >= 0).sum(axis=1) - 1
        columns = {"edges": edges, "path": path, "start": path[:, 0], "goal": path[np.arange(len(path)), last]}
        return {name: np.ascontiguousarray(values) for name, values in columns.items()}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b|c,d|.../start,goal=` and `start,...,goal` (`goal,...,start` when reversed)."""
        return {"prompt": self.prompts(columns), "completion": write_nodes(self.turned(columns["path"]), ",")}

    def prompts(self, columns: Columns) -> TextColumn:
        """Write `a,b|c,d|.../start,goal=`, with the signs of the task."""
        edges = padding_first(columns["edges"])
        problem = np.concatenate(
            [edges.reshape(len(edges), -1), columns["start"][:, None], columns["goal"][:, None]], axis=1
        )
        between, behind, ends = self.signs
        return format_labels(problem, f",{between}" * (edges.shape[1] - 1) + f",{behind}" + f",{ends}")

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the path. See [`Task.read_row`]."""
        return {"path": self.turned(labels_of(completion))}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path of `row` in this task's direction, else 0.0."""
        return nodes_match(prediction, self.turned(written_nodes(row["path"])))

    def write_path(self, nodes: Sequence[int]) -> str:
        """Write the completion of one row whose path has these nodes, from the start to the goal."""
        return self.between_parts.join(map(str, self.turned(nodes)))

    def nodes_of(self, parts: Sequence[str]) -> list[str]:
        """Return the nodes, as texts, of the parts of whatever was written."""
        return list(parts)

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say which parts follow a node that several edges leave, or lead to when reversed. See [`Task.hard_places`].

        Where no reversed path has such a part, it is the one that needs planning forwards.
        """
        if self.reverse and self.hard_part is not None:
            return super().hard_places(columns)
        rows = zip(columns["edges"], columns["path"], strict=True)
        return [self.choices(self.ways_on(edges), self.turned(written_nodes(path))) for edges, path in rows]

    def ways_on(self, edges: Sequence[Sequence[int]]) -> dict[int, list[int]]:
        """Return the nodes that may be written behind each node of a graph: those that edges lead to, or come from."""
        return successors_of([edge[::-1] for edge in edges] if self.reverse else edges)

    def choices(self, after: Mapping[int, Sequence[int]], path: Sequence[int]) -> dict[int, float]:
        """Return what guessing gives at the parts of a path, in the order of writing, that are one of several ways."""
        first = len(path) - len(self.parts(self.write_path(path)))  # where parts are edges, one node comes before all
        return {
            place - first: 1 / len(after[node])
            for place, node in enumerate(path[:-1], start=1)
            if len(after.get(node, ())) > 1
        }

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the graph, with the path marked. See [`Task.drawing`]."""
        edges = [list(edge) for edge in row["edges"] if min(edge) >= 0]
        return {"edges": edges, "path": written_nodes(row["path"]), "start": row["start"], "goal": row["goal"]}


def successors_of(edges: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Return the nodes that edges lead to, of every node of a graph; what is filled up with -1 is left out."""
    after: dict[int, list[int]] = {}
    for source, target in edges:
        if source >= 0:
            after.setdefault(int(source), []).append(int(target))
            after.setdefault(int(target), [])
    return after


def written_nodes(path: Sequence[int]) -> list[int]:
    """Return the nodes of a path without what it is filled up with."""
    return [int(node) for node in path if node >= 0]


def paths_from(after: Mapping[int, Sequence[int]], node: int) -> list[list[int]]:
    """Follow the edges of a graph without cycles from a node to each of its ends."""
    return [[node, *rest] for target in after[node] for rest in paths_from(after, target)] or [[node]]


def nodes_match(prediction: str, nodes: Sequence[int]) -> float:
    """Return 1.0 when a text is these nodes with commas between them, else 0.0; spaces around nodes do not count."""
    written = [node.strip() for node in prediction.split(",")] if isinstance(prediction, str) else []
    return float(written == [str(node) for node in nodes])


def write_nodes(nodes: np.ndarray, between: str) -> TextColumn:
    """Write rows of labels with a sign between two."""
    return format_labels(padding_first(nodes), between * (nodes.shape[1] - 1) + "\0")


def padding_first(labels: np.ndarray) -> np.ndarray:
    """Move what is filled up with -1 to the front of each row, `(rows, M)` or `(rows, M, 2)`: the last is a label."""
    written = labels.reshape(*labels.shape[:2], -1)[..., 0] >= 0
    return labels if written.all() else in_order(labels, np.argsort(written, axis=1, kind="stable"))


def in_order(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Reorder each row of `(rows, M, ...)` by its own order, `(rows, M)`."""
    return values[np.arange(len(values))[:, None], order]


def shuffled_edges(rng: np.random.Generator, labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Label the edges of a graph that all rows share, in random order.

    Args:
        labels (`np.ndarray` of `int32`, shape `(S, rows)`): of the nodes.
        pairs (`np.ndarray` of integers, shape `(E, 2)`): the edges between nodes 0 to S - 1.

    Returns:
        `np.ndarray` of `int32`, shape `(rows, E, 2)`.
    """
    count = labels.shape[1]
    order = sample_without_replacement(rng, count, len(pairs), len(pairs))  # (E, count)
    edges = np.stack([labels[pairs[order, end], np.arange(count)] for end in (0, 1)])  # (2, E, count)
    return np.ascontiguousarray(edges.transpose(2, 1, 0))


def sample_crossing_arms(
    rng: np.random.Generator, num_nodes: int, places: np.ndarray, lengths: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Label arms that have one node in common, the centre, and shuffle their edges.

    Args:
        num_nodes (`int`): the labels to draw from.
        places (`np.ndarray` of integers, shape `(rows, degree)`): where the centre stands on each arm.
        lengths (`np.ndarray` of integers, shape `(rows, degree)`): the nodes of each arm, the centre included.
        longest (`int`): the largest length there is.

    Returns:
        `edges`, `(rows, E, 2)`, and the nodes of the first arm, `(rows, longest)`: both `int32` and filled up with -1.
    """
    count, degree = places.shape
    labels = sample_without_replacement(rng, count, num_nodes, 1 + degree * (longest - 1)).T  # (rows, S)
    place = np.arange(longest)
    own = 1 + (longest - 1) * np.arange(degree)[:, None] + place  # node 0 is the centre; others are on one arm
    nodes = np.where(place < places[..., None], own, np.where(place > places[..., None], own - 1, 0))
    arms = in_order(labels, nodes.reshape(count, -1)).reshape(nodes.shape)
    arms[place >= lengths[..., None]] = -1
    edges = np.stack([arms[..., :-1], arms[..., 1:]], axis=-1).reshape(count, -1, 2)
    edges[edges[..., 1] < 0] = -1
    order = sample_without_replacement(rng, count, edges.shape[1], edges.shape[1]).T
    edges = in_order(edges, order)
    return padding_first(edges[:, ::-1])[:, ::-1], arms[:, 0]
