"""The in-weights path-star task: one fixed star graph, learnt edge by edge, and paths to leaves that were held out."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import NUM_BUCKETS, SHARD_ROWS, SPLITS, Columns, keep_integer, split_of
from hf_nextfail.tasks.graphs import GraphTask
from hf_nextfail.tasks.hashing import mix_bits
from hf_nextfail.tasks.papers import GEOMETRIC_MEMORY, Paper
from hf_nextfail.tasks.paths import nodes_match, write_nodes, written_nodes
from hf_nextfail.tasks.reversal import ReversibleTask
from hf_nextfail.tasks.text import MAX_LABEL, TextColumn, labels_of, read_labels

#: The kinds of rows, and the sign behind the node that is asked about.
PATH, FORWARD, BACKWARD = range(3)
KINDS = "=><"
ARMS_DRAWN = 4  # of thousands


@dataclass(frozen=True)
class InWeightsStar(ReversibleTask, GraphTask):
    """Ask for the path from the root of one fixed star graph to a leaf, such as `17....=`, answered by `3,9,17`.

    No prompt shows the graph. Its edges are training rows of their own, in both directions: `9>` is answered by `17`,
    and `17<` by `9`. The paths to three of four leaves are training rows, too; those to the others are held out for
    validation and test. The first step away from the root needs planning, as in a star graph whose edges are in the
    prompt; here the graph must be read from the weights. Reversed, from the leaf to the root, a path needs no plan:
    one edge leads to each node. The rows of edges are the same.

    Training rows are all edges and paths in random order, and again in another, until there are as many as asked for;
    validation and test rows are their paths in the same way. From the root, an edge leads to each arm: any is right.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 5,000): the number of arms.
        path_length (`int`, >= 2, *optional*, defaults to 5): the nodes on an arm, the root included.
        num_pauses (`int`, 0 to 100, *optional*, defaults to 4): the tokens `.` between a leaf and its path, in which a
            model may think.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): the seed of the labels, and so of the graph.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Noroozizadeh et al., "Deep sequence models tend to memorize geometrically", 2025 (arXiv 2510.26745). The
    number of pauses, and the shares of 12, 2 and 2 of 16 leaves are ours.

    Example:

    ```python
    >>> task = InWeightsStar(degree=50, path_length=3)
    >>> for split in ("train", "test"):
    ...     text = task.to_text(task.sample_shard(split, shard=0, num_rows=3))
    ...     print(text["prompt"].tolist(), text["completion"].tolist())
    ['83>', '4<', '83>'] ['57', '83', '45']
    ['30....=', '14....=', '14....='] ['83,15,30', '83,58,14', '83,58,14']

    ```
    """

    name: ClassVar[str] = "in_weights_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = GEOMETRIC_MEMORY
    answers_are_unique: ClassVar[bool] = False
    codes: ClassVar[Mapping[str, str]] = {"degree": "d", "path_length": "l", "num_pauses": "p", "graph_seed": "g"}
    grid: ClassVar[tuple[str, ...]] = ("d5000_l5_p4_g0", "d100_l5_p4_g0", "d1000_l5_p4_g0", "d10000_l6_p4_g0")

    degree: int = 5000
    path_length: int = 5
    num_pauses: int = 4
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "path_length", 2)
        keep_integer(self, "degree", 2, MAX_LABEL // (self.path_length - 1), f" for path_length={self.path_length}")
        keep_integer(self, "num_pauses", 0, 100)
        keep_integer(self, "graph_seed", 0)

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        return f"G({self.degree},{self.path_length}) in the weights, {self.num_pauses} pauses, graph {self.graph_seed}"

    @property
    def words(self) -> list[str]:
        """The labels, the signs of the kinds of rows, and the pause."""
        return [*map(str, range(1 + self.degree * (self.path_length - 1))), *KINDS, "."]

    @property
    def hard_part(self) -> int:
        """The place of the node next to the root, the one that needs planning."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing among the arms. A reversed path needs no guess."""
        return {"hard_token_accuracy": None if self.reverse else 1 / self.degree}

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say which rows ask for a path, whose first step needs a plan. See [`Task.hard_places`]."""
        of_paths = super().hard_places(columns)
        return [choice if kind == PATH else {} for kind, choice in zip(columns["kind"], of_paths, strict=True)]

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` rows, whatever their split and kind.

        Returns:
            `Columns` of `int32`: `kind` `(count,)`, 0 for a path, 1 for an edge and 2 for an edge backwards; `node`
            `(count,)`, which is asked about; `answer` `(count, path_length)`, the nodes from the root to the leaf, or
            one node, filled up with -1.
        """
        rows = all_rows(self)
        return taken(rows, rng.integers(len(rows["kind"]), size=count))

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when there are so few leaves that none is in `split`."""
        if not len(rows_of_split(self, split)):
            raise ValueError(
                f"{self.config_name} has no leaf in the {split} split; raise degree, or set num_{split}=0"
            )

    def draw_shard(self, split: str, shard: int, seed: int, num_rows: int) -> Columns:
        """Take the rows of a split in random order, all of them before one comes again: a training sees each edge."""
        rows = rows_of_split(self, split)
        rounds, places = np.divmod(shard * SHARD_ROWS + np.arange(num_rows), len(rows))
        chosen = [
            np.random.default_rng([seed, list(SPLITS).index(split), round_]).permutation(rows)[
                places[rounds == round_]
            ]
            for round_ in range(rounds[0], rounds[-1] + 1)
        ]
        return taken(all_rows(self), np.concatenate(chosen))

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash the leaf of a path. The keys of edges end in the bits of the first bucket of train, which has all."""
        node, answer = (values.astype(np.uint64) for values in (columns["node"], columns["answer"][:, 0]))
        edges = mix_bits(node << np.uint64(32) | answer) // np.uint64(NUM_BUCKETS) * np.uint64(NUM_BUCKETS)
        return np.where(columns["kind"] == PATH, mix_bits(node), edges + np.uint64(SPLITS["train"][0]))

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `leaf....=` and `root,...,leaf` (`leaf,...,root` when reversed) for a path.

        For the edge from a to b write `a>` and `b`, and `b<` and `a`.
        """
        ends = ["." * self.num_pauses + KINDS[PATH], KINDS[FORWARD], KINDS[BACKWARD]]
        asked = zip(columns["node"].tolist(), columns["kind"].tolist(), strict=True)
        prompts = TextColumn.of([f"{node}{ends[kind]}" for node, kind in asked])
        return {"prompt": prompts, "completion": write_nodes(self.turned(columns["answer"]), ",")}

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the kind, the node that is asked about, and the answer. See [`Task.read_row`]."""
        asked = prompt.strip().rstrip(".=><")
        kind = KINDS.find(prompt.strip()[-1:] or "?")
        if kind < 0 or not asked.isdecimal():
            raise ValueError(f"a prompt must be a node and one of {KINDS}, pauses between them, got {prompt!r}")
        return {"kind": kind, "node": int(asked), "answer": self.turned(labels_of(completion))}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path or the node at the other end of an edge, else 0.0."""
        if (row["kind"], row["node"]) != (FORWARD, arms_of_graph(self)[0, 0]):
            return nodes_match(prediction, self.turned(written_nodes(row["answer"])))
        nodes = read_labels(prediction) if isinstance(prediction, str) else None
        return float(nodes is not None and len(nodes) == 1 and nodes[0] in arms_of_graph(self)[:, 1])

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the arm that is asked about, and some others. See [`Task.drawing`]."""
        arms = arms_of_graph(self)
        on_one_arm = row["answer"][0] if row["kind"] == FORWARD else row["node"]  # not the root
        own = int(np.nonzero((arms == on_one_arm).any(axis=1))[0][0])
        others = [arm for arm in range(min(self.degree, ARMS_DRAWN + 1)) if arm != own][: ARMS_DRAWN - 1]
        shown = arms[[own, *others]]
        answer = [node for node in row["answer"] if node >= 0]
        path = answer if row["kind"] == PATH else [row["node"], *answer]
        rest = self.degree - len(shown)
        return {
            "edges": np.stack([shown[:, :-1], shown[:, 1:]], axis=-1).reshape(-1, 2).tolist(),
            "path": path[::-1] if row["kind"] == BACKWARD else path,
            "start": path[0] if row["kind"] == PATH else row["node"],
            "goal": row["node"] if row["kind"] == PATH else answer[0],
            "note": f"{rest:,} more arms are not drawn; no prompt shows the graph" if rest else None,
        }


@functools.lru_cache(maxsize=4)
def arms_of_graph(task: InWeightsStar) -> np.ndarray:
    """Return the nodes of each arm from the root, `(degree, path_length)`: a function of sizes and `graph_seed`."""
    size = 1 + task.degree * (task.path_length - 1)
    labels = np.random.default_rng(task.graph_seed).permutation(size).astype(np.int32)
    return np.insert(labels[1:].reshape(task.degree, -1), 0, labels[0], axis=1)


@functools.lru_cache(maxsize=4)
def all_rows(task: InWeightsStar) -> Columns:
    """Return each row there is once: the paths, the edges, and the edges backwards."""
    arms = arms_of_graph(task)
    edges = np.stack([arms[:, :-1], arms[:, 1:]], axis=-1).reshape(-1, 2)
    counts = [len(arms), len(edges), len(edges)]
    answer = np.full((sum(counts), task.path_length), -1, np.int32)
    answer[: len(arms)] = arms
    answer[len(arms) :, 0] = np.concatenate([edges[:, 1], edges[:, 0]])
    return {
        "kind": np.repeat(np.array([PATH, FORWARD, BACKWARD], np.int32), counts),
        "node": np.concatenate([arms[:, -1], edges[:, 0], edges[:, 1]]),
        "answer": answer,
    }


@functools.lru_cache(maxsize=16)
def rows_of_split(task: InWeightsStar, split: str) -> np.ndarray:
    """Return which of all rows are in a split."""
    return np.flatnonzero(split_of(task.split_key(all_rows(task))) == split)


def taken(columns: Columns, places: np.ndarray) -> Columns:
    """Return some rows."""
    return {name: values[places] for name, values in columns.items()}
