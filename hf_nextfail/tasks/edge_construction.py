"""What the construction of circles and of lines share: edges in any order that fit together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer
from hf_nextfail.tasks.creative import CreativeTask
from hf_nextfail.tasks.graphs import sample_without_replacement
from hf_nextfail.tasks.text import MAX_LABEL, TextColumn, format_labels, read_labels


@dataclass(frozen=True)
class EdgeConstruction(CreativeTask):
    """Ask for the edges of a walk over different names, in any order.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): how many names the walk goes over.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.
    """

    codes: ClassVar[Mapping[str, str]] = {"length": "l", "num_names": "n"}
    #: Whether the last name leads back to the first.
    closed: ClassVar[bool]

    length: int = 9
    num_names: int = 15

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "length", 3, 30)
        keep_integer(self, "num_names", self.length, MAX_LABEL + 1, f" for {self.length} different ones")

    @property
    def title(self) -> str:
        """`Circle construction, 9 of 15 names`."""
        title = f"{self.name.replace('_', ' ').capitalize()}, {self.length} of {self.num_names} names"
        return title + self.seed_in_words

    @property
    def num_edges(self) -> int:
        """How many edges a completion has."""
        return self.length - (not self.closed)

    @property
    def words(self) -> list[str]:
        """The names, and the signs between edges and at the end of the prompt."""
        return [*map(str, range(self.num_names)), "|", *self.prompt_words]

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` walks: `edges` of `int32` in random order, `(count, num_edges, 2)`."""
        names = sample_without_replacement(rng, count, self.num_names, self.length).T
        first = sample_without_replacement(rng, count, self.num_edges, self.num_edges).T
        ends = np.stack([first, (first + 1) % self.length], axis=2).reshape(count, -1)
        return {"edges": np.take_along_axis(names, ends, axis=1).reshape(count, -1, 2)}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `a,b|c,d|...`."""
        edges = columns["edges"]
        return format_labels(edges.reshape(len(edges), -1), ",|" * (edges.shape[1] - 1) + ",\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the walk; numbers say where its edges stand in the text. See [`Task.drawing`]."""
        edges = [list(edge) for edge in row["edges"]]
        after = dict(edges)
        (name,) = set(after) - set(after.values()) or edges[0][:1]
        path = [name]
        while path[-1] in after and len(path) <= len(edges):
            path.append(after[path[-1]])
        note = "the numbers are the places of the edges in the text"
        return {"edges": edges, "path": path, "start": None, "goal": None, "numbered": True, "note": note}

    def canonical(self, prediction: str) -> tuple[int, ...] | None:
        """Return the resolving permutation: where the edges stand in the text, in the order of the walk.

        That of a circle begins at 0. The names do not matter. See [`CreativeTask.canonical`].
        """
        edges = [read_labels(text) for text in prediction.split("|")]
        if len(edges) != self.num_edges or any(edge is None or len(edge) != 2 for edge in edges):
            return None
        places = {source: place for place, (source, _) in enumerate(edges)}
        names, targets = {name for edge in edges for name in edge}, {target for _, target in edges}
        if len(names) != self.length or max(names) >= self.num_names or not len(places) == len(targets) == len(edges):
            return None
        name = edges[0][0] if self.closed else next(iter(names - targets))
        walk: list[int] = []
        while name in places and len(walk) < len(edges):
            walk.append(places[name])
            name = edges[walk[-1]][1]
        if len(set(walk)) < len(edges):  # there is another circle
            return None
        return tuple(walk)

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the resolving permutation of each row."""
        edges = columns["edges"]
        follows = edges[:, :, None, 1] == edges[:, None, :, 0]
        after = follows.argmax(axis=2)
        walk = np.empty(edges.shape[:2], np.int64)
        walk[:, 0] = (~follows.any(axis=1)).argmax(axis=1)  # the edge that follows none; of a circle, the first
        for step in range(1, walk.shape[1]):
            walk[:, step] = np.take_along_axis(after, walk[:, step - 1 : step], axis=1)[:, 0]
        return walk
