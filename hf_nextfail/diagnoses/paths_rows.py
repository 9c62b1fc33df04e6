"""The rows of a diagnosis of paths: where a plan is needed, and means over those rows and nodes that have a number."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from hf_nextfail.metrics.standard_error import Estimate, mean_and_standard_error, summarise
from hf_nextfail.tasks import PathTask
from hf_nextfail.tasks.paths import paths_from, successors_of, written_nodes

#: The kinds of parts beside the first, second, ... that needs a plan, which are 0, 1, ...: others, those that stand in
#: the prompt as the start or the goal, the goal of a row that needs no plan, and what is past the end of a row.
OTHER, IN_PROMPT, NO_PLAN, PAST_THE_END = -1, -2, -3, -4
#: A number, one or `L` a row, and the rows that have it.
Values = tuple[np.ndarray, np.ndarray]


class Problem(NamedTuple):
    """A row, read.

    Args:
        row (`dict`): as it is in the dataset, but turned around where its path is reversed.
        path (list of `int`): the right nodes, in the order of writing.
        parts (list of `str`): the right completion, in the parts of the task.
        hard (`dict`): the index of a part that needs a plan -> what guessing gives.
        ends (list of lists of `int`): every path along edges from the start to an end, the right path first.
        branches (list of lists of `int`): paths that are right up to the last choice, and then follow a wrong branch.
        nodes (list of `int`): of the graph.
    """

    row: Mapping[str, Any]
    path: list[int]
    parts: list[str]
    hard: dict[int, float]
    ends: list[list[int]]
    branches: list[list[int]]
    nodes: list[int]


def read_problem(task: PathTask, row: Mapping[str, Any], hard: dict[int, float]) -> Problem:
    """Read a row of a task.

    Raises:
        ValueError: if its path does not lead along edges from its start to its goal, or is not its completion.
    """
    path, after = written_nodes(row["path"]), successors_of(row["edges"])
    follows = all(target in after.get(source, ()) for source, target in itertools.pairwise(path))
    text = task.write_path(path)
    if not follows or [path[0], path[-1]] != [row["start"], row["goal"]] or task.score(row["completion"], row) != 1:
        raise ValueError(f"the path of {row['prompt']!r} is {text!r}, but the row says {row['completion']!r}")
    if len(after) != sum(map(len, after.values())) + 1:
        raise ValueError(f"the edges of {row['prompt']!r} make a circle, or are not connected")
    ends = [end for end in paths_from(after, path[0]) if path[-1] not in end]
    branches = []
    if hard:
        last = max(hard) + len(path) - len(task.parts(text))
        wrong = [target for target in after[path[last - 1]] if target != path[last]]
        branches = [[*path[:last], *paths_from(after, target)[0]] for target in wrong]
    parts = [text[begin:end] for begin, end in task.parts(text)]
    return Problem(row, path, parts, hard, [path, *ends], branches, list(after))


def turned_around(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the edges and the path of a row around: a reversed path is a forward one of this graph, from its goal."""
    edges, path = [edge[::-1] for edge in row["edges"]], row["path"][::-1]
    return {**row, "edges": edges, "path": path, "start": row["goal"], "goal": row["start"]}


def with_branch(problem: Problem, number: int) -> list[int]:
    """Return one of the wrong branches of a row, or the right path where it has not so many."""
    return problem.branches[number] if number < len(problem.branches) else problem.path


def with_one_node(problem: Problem, branch: Sequence[int]) -> list[int]:
    """Return the right path with the one wrong node that a branch begins with."""
    path = problem.path
    differs = next((i for i, (right, wrong) in enumerate(zip(path, branch, strict=False)) if right != wrong), None)
    return path if differs is None else [*path[:differs], branch[differs], *path[differs + 1 :]]


class Places(NamedTuple):
    """Where in the completions of rows a plan is needed.

    Args:
        kind (`np.ndarray` of `int`, `(n, L)`): of each part: which of those it is that need a plan, or what else.
        length (`np.ndarray` of `int`, `(n,)`): the parts of each row.
        first, last (`np.ndarray` of `int`, `(n,)`): the first and the last part that needs a plan; -1 without one.
        chance (`np.ndarray` `(K,)`): what guessing gives at the first, second, ... of them, the mean over rows.
        distance (`np.ndarray` of `int`, `(n,)`): the steps from the node before the first choice to the end.
        nodes_before (`int`): the nodes of a path before its first part: one where parts are edges, else none.
    """

    kind: np.ndarray
    length: np.ndarray
    first: np.ndarray
    last: np.ndarray
    chance: np.ndarray
    distance: np.ndarray
    nodes_before: int

    @classmethod
    def of(cls, problems: Sequence[Problem], without_choice: int) -> Self:
        """Find the places of rows; `without_choice` is the distance of those that have none."""
        length = np.array([len(problem.parts) for problem in problems])
        kind = np.full((len(problems), length.max(initial=0)), PAST_THE_END)
        most = max((len(problem.hard) for problem in problems), default=0)
        chances: list[list[float]] = [[] for _ in range(most)]
        for row, problem in enumerate(problems):
            ends = {str(problem.path[0]), str(problem.path[-1])}
            kind[row, : length[row]] = [IN_PROMPT if part in ends else OTHER for part in problem.parts]
            if not problem.hard:
                kind[row, length[row] - 1] = NO_PLAN
            for number, (place, chance) in enumerate(problem.hard.items()):
                kind[row, place] = number
                chances[number].append(chance)
        first = np.array([min(problem.hard, default=-1) for problem in problems])
        last = np.array([max(problem.hard, default=-1) for problem in problems])
        distance = np.where(first >= 0, length - first, without_choice)
        nodes_before = len(problems[0].path) - len(problems[0].parts) if problems else 0
        return cls(kind, length, first, last, np.array(list(map(statistics.fmean, chances))), distance, nodes_before)

    def at_hard_ones(self, values: np.ndarray) -> Values:
        """Take a number of each part, `(n, L)`, at the parts that need a plan, `(n, K)`, of rows that have all K."""
        count = max(len(self.chance), 1)
        taken = np.zeros((len(values), count))
        for number in range(count):
            row, place = np.nonzero(self.kind == number)
            taken[row, number] = values[row, place]
        return taken, (self.kind >= 0).sum(axis=1) == count


def at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Take one number of each row, `(n,)` of `(n, L)`; where there is no place, any."""
    return values[np.arange(len(values)), place]


def row_means(values: np.ndarray, mask: np.ndarray) -> Values:
    """Average the marked numbers of each row, and say which rows have some."""
    counts = mask.sum(axis=1)
    return np.where(mask, values, 0).sum(axis=1) / np.maximum(counts, 1), counts > 0


def of_rows(groups: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Take the groups of some rows."""
    return groups if groups is None else groups[rows]


def estimate(values: Values | None, groups: np.ndarray | None) -> Estimate | None:
    """Average a number over the rows that have it; `None` if there is no such row."""
    if values is None or not values[1].any():
        return None
    numbers, there = values
    return summarise(numbers[there], of_rows(groups, there))


def by_distance(right: np.ndarray, distance: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Average over the rows of each distance, the nearest first."""
    total = summarise(right, groups)
    rows = [distance == steps for steps in np.unique(distance)]
    pairs = [mean_and_standard_error(right[inside], of_rows(groups, inside)) for inside in rows]
    means, errors = zip(*pairs, strict=True)
    return total | {"value": [*map(float, means)], "standard_error": [*map(float, errors)]}


def product_over_kinds(nodes: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Give each row its share in what accuracy would be if each node erred by itself, as often as those of its kind.

    Averaged, they are the mean over rows of the product of their nodes' mean accuracies; its standard error is that of
    the product linearised at the means (the delta method).

    Args:
        nodes (`np.ndarray` `(n, L)`): 1.0 where a node is right.
        kind (`np.ndarray` of `int`, `(n, L)`): of each node.

    Returns:
        `np.ndarray` of `float64`, shape `(n,)`.
    """
    kinds = [one for one in np.unique(kind) if one != PAST_THE_END]
    counts = np.stack([(kind == one).sum(axis=1) for one in kinds], axis=1)  # (n, C)
    right = np.stack([np.where(kind == one, nodes, 0).sum(axis=1) for one in kinds], axis=1)
    means = right.sum(axis=0) / counts.sum(axis=0)
    products = (means**counts).prod(axis=1)
    shares = products.copy()
    for one, mean in enumerate(means):
        others = np.delete(means, one) ** np.delete(counts, one, axis=1)
        slope = (counts[:, one] * mean ** np.maximum(counts[:, one] - 1, 0) * others.prod(axis=1)).mean()
        shares += slope * (right[:, one] - counts[:, one] * mean) / counts[:, one].mean()
    return shares
