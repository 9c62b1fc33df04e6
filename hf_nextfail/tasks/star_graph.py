"""The star-graph path task: find the one arm that leads from the start to the goal."""

import functools
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, keep_integer, split_of
from hf_nextfail.tasks.graphs import all_stars, hash_edges, sample_without_replacement
from hf_nextfail.tasks.papers import PITFALLS, Paper
from hf_nextfail.tasks.paths import PathTask, shuffled_edges, written_nodes
from hf_nextfail.tasks.star_graph_instruct import in_symbols, read_path, write_paths, write_prompts
from hf_nextfail.tasks.star_graph_text import parse_problem
from hf_nextfail.tasks.text import MAX_LABEL, Messages, TextColumn

#: A space with fewer graphs than this is enumerated, to learn whether each split owns a graph at all.
ENUMERABLE_GRAPHS = 10_000
CONFIG_NAME = re.compile(
    r"d(?P<degree>\d+)_l(?P<path_length>\d+)_n(?P<num_nodes>\d+)(?P<goal>_any)?(?P<reverse>_rev)?(?P<style>_instruct)?",
    re.ASCII,
)
GOALS = ("end", "any")
STYLES = ("symbols", "instruct")


@dataclass(frozen=True)
class StarGraph(PathTask):
    """Ask for the path from the start of a star graph G(degree, path_length) to the end of one of its arms.

    `degree` arms share the start; only the first step needs planning, since every later one follows the single edge
    that leaves the node before it. Labels are drawn from `num_nodes` without replacement and the edges are shuffled.

    Args:
        degree (`int`, >= 1, *optional*, defaults to 2): the number of arms.
        path_length (`int`, >= 2, *optional*, defaults to 5): the nodes on an arm, the start included.
        num_nodes (`int`, *optional*, defaults to 50): the labels to draw from, at least the nodes of the graph,
            `1 + degree * (path_length - 1)`.
        goal (`str`, *optional*, defaults to `"end"`): `"end"`, the goal is the end of an arm, or `"any"`, it is any
            node of an arm but the start, each as likely, and the path stops there; not together with `reverse`.
        style (`str`, *optional*, defaults to `"symbols"`): how a problem is written: `"symbols"` as in the paper,
            `"instruct"` in plain English, with a column `messages`, for models that were never trained on it. The
            graphs are the same.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Bachmann and Nagarajan, "The Pitfalls of Next-Token Prediction", ICML 2024 (arXiv 2403.06963).

    Example:

    ```python
    >>> import numpy as np
    >>> task = StarGraph(degree=2, path_length=3, num_nodes=20)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['17,13|13,11|17,7|7,8/17,11='], ['17,13,11'])
    >>> task.score("17,13,11", task.parse("17,13|13,11|17,7|7,8/17,11=17,13,11"))
    1.0

    ```
    """

    name: ClassVar[str] = "star_graph"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = PITFALLS
    grid: ClassVar[tuple[str, ...]] = (
        "d2_l5_n50",
        "d2_l2_n50",
        "d2_l3_n20",
        "d2_l3_n50",
        "d2_l10_n50",
        "d2_l20_n50",
        "d3_l3_n50",
        "d5_l3_n50",
        "d5_l5_n50",
        "d10_l5_n50",
        "d20_l5_n100",
    )

    degree: int = 2
    path_length: int = 5
    num_nodes: int = 50
    goal: str = "end"
    style: str = "symbols"

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 1)
        keep_integer(self, "path_length", 2)
        why = f" for the {self.graph_size} nodes of G({self.degree},{self.path_length})"
        keep_integer(self, "num_nodes", self.graph_size, MAX_LABEL + 1, why)
        if self.goal not in GOALS:
            raise ValueError(f"goal must be 'end' or 'any', got {self.goal!r}")
        if self.style not in STYLES:
            raise ValueError(f"style must be 'symbols' or 'instruct', got {self.style!r}")
        if self.reverse and self.goal == "any":
            raise ValueError("reverse must be false where goal is 'any', got True")

    @property
    def fixed_length(self) -> bool:
        """Whether all paths have one length: unless the goal is any node."""
        return self.goal == "end"

    @property
    def answers_are_unique(self) -> bool:
        """Whether a path is written in one way only: not in plain English."""
        return self.style == "symbols"

    @property
    def words(self) -> list[str]:
        """The labels and signs; raises `ValueError` for plain English, which has no vocabulary of its own."""
        if self.style == "instruct":
            raise ValueError(
                f"{self.config_name} is plain English, which takes the tokenizer of a pretrained model: give "
                "model_name_or_path or a tokenizer, or leave _instruct out"
            )
        return super().words

    @property
    def graph_size(self) -> int:
        """The number of nodes of one graph."""
        return 1 + self.degree * (self.path_length - 1)

    @property
    def config_name(self) -> str:
        """`d{degree}_l{path_length}_n{num_nodes}`, with `_any`, `_rev` and `_instruct` where these are chosen."""
        shape = f"d{self.degree}_l{self.path_length}_n{self.num_nodes}"
        return shape + "_any" * (self.goal == "any") + "_rev" * self.reverse + "_instruct" * (self.style == "instruct")

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> "StarGraph":
        """Read a configuration name such as `d2_l5_n50_rev`.

        Raises:
            ValueError: if it is not such a name, a value is out of range, or `overrides` says something else.
        """
        match = CONFIG_NAME.fullmatch(config_name)
        if match is None:
            raise ValueError(
                f"unknown config {config_name!r}: use d<degree>_l<path_length>_n<num_nodes>, with _rev for reversed "
                f"paths, _any for goals anywhere, _instruct for plain English, e.g. {cls.grid[0]!r}"
            )
        numbers = {name: int(match[name]) for name in ("degree", "path_length", "num_nodes")}
        named = numbers | {"reverse": bool(match["reverse"]), "goal": GOALS[bool(match["goal"])]}
        named["style"] = STYLES[bool(match["style"])]
        switches = (("reverse", True), ("goal", "any"), ("style", "instruct"))
        for field, value in overrides.items():
            if named.get(field) != value and (field, value) not in switches:
                raise ValueError(
                    f"config {config_name!r} says {field}={named.get(field)}, but {field}={value!r} was given"
                )
        return cls(**(named | overrides))

    @property
    def title(self) -> str:
        """`G(2,3), 20 labels`."""
        shape = f"G({self.degree},{self.path_length}), {self.num_nodes} labels"
        return shape + ", any goal" * (self.goal == "any") + ", in English" * (self.style == "instruct")

    @property
    def hard_part(self) -> int:
        """The place of the node next to the start, the one that needs planning."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing among the arms. A reversed path needs no guess.

        Where the goal is any node, a goal next to the start needs none, so that more of the whole answers are right.
        """
        guess = None if self.reverse else 1 / self.degree
        chances = {"hard_token_accuracy": guess}
        if self.goal == "any":
            unguessed = 1 / (self.path_length - 1)
            chances["accuracy"] = unguessed + (1 - unguessed) / self.degree
        if self.style == "instruct":
            chances["choice_accuracy"] = None if self.reverse else chances.get("accuracy", guess)
        return chances

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say of each row whether the node next to the start needs a plan. See [`Task.hard_places`].

        Where the goal is any node, it needs none if it is the goal, which stands in the prompt.
        """
        if self.goal == "end":
            return super(PathTask, self).hard_places(columns)
        return [
            {} if len(written_nodes(path)) == 2 else choices
            for path, choices in zip(columns["path"], super().hard_places(columns), strict=True)
        ]

    @property
    def num_graphs(self) -> int:
        """N!/((N-S)! d!) graphs of S nodes over N labels: the d arms have no order."""
        return math.perm(self.num_nodes, self.graph_size) // math.factorial(self.degree)

    def all_graphs(self) -> np.ndarray:
        """Enumerate the edges of every graph once, shape `(num_graphs, E, 2)`."""
        return all_stars(self.num_nodes, self.degree, self.path_length)

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no graph of it falls into `split`."""
        if self.num_graphs < ENUMERABLE_GRAPHS and split not in enumerated_splits(self):
            raise ValueError(
                f"{self.config_name} has only {self.num_graphs} graphs, all of them outside the {split} split; "
                f"raise num_nodes, or set num_{split}=0"
            )

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Args:
            rng (`np.random.Generator`): where the randomness comes from.
            count (`int`): the number of rows.

        Returns:
            `Columns` of `int32`: `edges` `(count, E, 2)` in random order, `path` `(count, path_length)` from the
            start to the goal (also when reversed), filled up with -1 behind it, `start` and `goal` `(count,)`.
        """
        labels = sample_without_replacement(rng, count, self.num_nodes, self.graph_size)  # (S, count)
        arms = 1 + np.arange(self.graph_size - 1).reshape(self.degree, -1)
        arms = np.insert(arms, 0, 0, axis=1)  # (degree, path_length), node 0 being the start
        pairs = np.stack([arms[:, :-1], arms[:, 1:]], axis=-1).reshape(-1, 2)  # (E, 2)
        edges, path = shuffled_edges(rng, labels, pairs), labels[arms[0]].T  # labels are exchangeable: take arm 0
        if self.goal == "any":
            lengths = rng.integers(2, self.path_length + 1, size=count)
            path = np.where(np.arange(self.path_length) < lengths[:, None], path, np.int32(-1))
        return self.columns_of(edges, path)

    def to_text(self, columns: Columns) -> dict[str, TextColumn | Messages]:
        """Write `a,b|c,d|.../start,goal=` and `start,...,goal` (`goal,...,start` when reversed), as in the paper.

        In plain English there are `messages`, too: what a user asks and an assistant answers.
        """
        if self.style == "symbols":
            return super().to_text(columns)
        completions = write_paths(self.turned(columns["path"]))
        texts = {"prompt": write_prompts(columns, self.reverse), "completion": completions}
        return texts | {"messages": Messages(**texts)}

    def parse(self, text: str) -> dict[str, Any]:
        """Read `prompt + completion` of this configuration back into a row.

        Raises:
            ValueError: with the reason, unless it is a problem of this configuration with its right completion.
        """
        instruct = self.style == "instruct"
        problem = parse_problem(in_symbols(text, self.reverse) if instruct else text, self.goal)
        if problem.reverse != self.reverse:
            raise ValueError(f"the path runs from the {problem.way}, but {self.config_name} writes it the other way")
        if (problem.degree, problem.path_length) != (self.degree, self.path_length):
            raise ValueError(
                f"this is G({problem.degree},{problem.path_length}), not G({self.degree},{self.path_length})"
            )
        if problem.edges.max() >= self.num_nodes:
            raise ValueError(f"the label {problem.edges.max()} is not below num_nodes={self.num_nodes}")
        ends = text.rindex("\n" if instruct else "=") + 1
        texts = {"prompt": text[:ends], "completion": text[ends:]}
        if instruct:
            texts["messages"] = Messages(*(TextColumn.of([said]) for said in texts.values())).tolist()[0]
        return texts | {
            "edges": problem.edges.tolist(),
            "path": problem.path + [-1] * (self.path_length - len(problem.path)),
            "start": problem.path[0],
            "goal": problem.path[-1],
        }

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the row. See [`StarGraph.parse`]."""
        return self.parse(prompt + completion)

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path of `row` in this task's direction, else 0.0.

        In plain English the path may stand in a sentence, in brackets, behind reasoning: see [`read_path`].
        """
        if self.style == "symbols":
            return super().score(prediction, row)
        return float(self.canonical(prediction) == tuple(self.turned(written_nodes(row["path"]))))

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its nodes: in plain English those of the path that it ends with."""
        if self.style == "symbols":
            return super().parts(completion)
        return [span for _, span in read_path(completion)]

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the nodes that are written as integers; `None` where there is no one path."""
        if self.style == "symbols":
            return super().canonical(prediction)
        nodes = tuple(node for node, _ in read_path(prediction)) if isinstance(prediction, str) else ()
        return None if None in nodes else nodes or None


@functools.lru_cache
def enumerated_splits(task: StarGraph) -> frozenset[str]:
    """Enumerate the graphs of a task with a small space and say which splits they fall into."""
    return frozenset(split_of(hash_edges(task.all_graphs())).tolist())
