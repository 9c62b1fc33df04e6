"""Why a model fails on paths whose hard places are several, stand inside the path, or in paths of several lengths."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.diagnoses.answers import (
    calibration,
    choice_at_the_hard_token,
    examples_of,
    probability_of_node,
    right_nodes,
)
from hf_nextfail.diagnoses.base import Answer, Definition, Diagnosis
from hf_nextfail.diagnoses.paths_numbers import DEFINITIONS
from hf_nextfail.diagnoses.paths_rows import (
    OTHER,
    Places,
    Problem,
    Values,
    at,
    by_distance,
    estimate,
    of_rows,
    product_over_kinds,
    read_problem,
    row_means,
    turned_around,
    with_branch,
    with_one_node,
)
from hf_nextfail.diagnoses.paths_verdict import verdict
from hf_nextfail.metrics import KINDS, correct_nodes, path_kind, token_accuracy, valid_path
from hf_nextfail.metrics.standard_error import summarise
from hf_nextfail.tasks import CrossingStar, MinimalPlanning, PathTask, StarGraph, TreeStar

#: The probes: a wrong branch, the same with the last node of the right path, and the right path with one wrong node.
BRANCH, TO_GOAL, CANDIDATE = "wrong branch", "wrong branch to the goal", "wrong node"
FORCED = (
    *("forced_hard_places_accuracy", "forced_other_token_accuracy", "independent_errors_accuracy"),
    *("accuracy_given_hard_token", "clever_hans_accuracy"),
)
COUNTERFACTUAL = ("counterfactual_accuracy", "counterfactual_end_accuracy", "counterfactual_goal_rate")
CHOICE = ("hard_token_mass", "hard_token_confidence", "hard_token_overconfidence")


class PathDiagnosis(Diagnosis):
    """Find out why a model fails on the paths of a task that says itself which nodes need a plan. See [`Diagnosis`].

    Its probes are the branches that are wrong at the last of these nodes, of every graph. Rows are forward, or all
    reversed, which is recognised.
    """

    task: PathTask
    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion", "edges", "path", "start", "goal")
    definitions: ClassVar[Mapping[str, Definition]] = DEFINITIONS

    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        if missing := [name for name in self.columns if name not in columns]:
            raise ValueError(f"a diagnosis needs the edges of graphs; the dataset has no column {missing[0]}")
        names = self.columns
        rows = [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]
        turned = list(map(turned_around, rows))
        #: Whether paths are written from the goal to the start. Rows are then read as those of graphs turned around.
        self.reverse = bool(rows) and self.task.score(rows[0]["completion"], turned[0]) == 1
        rows = turned if self.reverse else rows
        places = self.task.hard_places({name: [row[name] for row in rows] for name in names})
        self.problems = [read_problem(self.task, row, hard) for row, hard in zip(rows, places, strict=True)]
        self.places = Places.of(self.problems, without_choice=0 if self.reverse else 1)

    @property
    def references(self) -> list[list[str]]:
        """The right parts. See [`Diagnosis`]."""
        return [problem.parts for problem in self.problems]

    def probes(self, shows_true_tokens: bool) -> dict[str, list[str]]:
        """Name the wrong branches; where nothing true is shown, what stands in the place. See [`Diagnosis.probes`]."""
        found: dict[str, list[str]] = {}
        for number in range(max(len(problem.branches) for problem in self.problems)):
            branches = [with_branch(problem, number) for problem in self.problems]
            if not shows_true_tokens:
                found[f"{CANDIDATE} {number}"] = [
                    self.task.write_path(with_one_node(problem, branch))
                    for problem, branch in zip(self.problems, branches, strict=True)
                ]
                continue
            found[f"{BRANCH} {number}"] = list(map(self.task.write_path, branches))
            found[f"{TO_GOAL} {number}"] = [
                self.task.write_path([*branch[:-1], problem.path[-1]])
                for problem, branch in zip(self.problems, branches, strict=True)
            ]
        return found

    def conclude(
        self,
        truth: Answer | None,
        probes: Mapping[str, Answer],
        written: Sequence[Sequence[str]],
        groups: np.ndarray | None,
        decoding: str,
        shows_true_tokens: bool,
        one_pass_exact: bool,
    ) -> dict[str, Any]:
        """Turn answers into numbers and a verdict. See [`Diagnosis.conclude`]."""
        kinds = np.array([self.kind_of(*pair) for pair in zip(self.problems, written, strict=True)])
        right = (kinds == KINDS[0]).astype(np.float64)
        if one_pass_exact:
            right = truth.correct.all(axis=1).astype(np.float64)
        values = self.free_running(right, kinds, written)
        candidates, bins = None, []
        if truth is not None:
            candidates = self.candidates(truth, probes)
            at_the_hard_token, likeliest_right = choice_at_the_hard_token(candidates)
            chosen = self.places.last >= 0
            values |= {name: (value, chosen) for name, value in at_the_hard_token.items()}
            confidence = at_the_hard_token["hard_token_confidence"]
            bins = calibration(confidence[chosen], likeliest_right[chosen], of_rows(groups, chosen))
            if shows_true_tokens:
                values |= self.forced(truth) | self.counterfactual(probes)
        numbers = {name: estimate(values.get(name), groups) for name in self.definitions}
        distances = np.unique(self.places.distance)
        if len(distances) > 1:
            numbers["accuracy_by_distance"] = by_distance(right, self.places.distance, groups)
        absent = why_absent(decoding, shows_true_tokens, truth is not None)
        diagnosis = {
            "task": {
                "name": self.task.name,
                "reverse": self.reverse,
                "decoding": decoding,
                "chance": self.places.chance.tolist(),
                "distances": distances.tolist(),
            },
            "numbers": numbers,
            "absent": {name: absent[name] for name, number in numbers.items() if number is None},
            "calibration": bins,
            "errors": {kind: summarise((kinds == kind).astype(np.float64), groups) for kind in KINDS},
            "examples": examples_of(
                [problem.row for problem in self.problems], kinds, [self.joined(parts) for parts in written]
            ),
            "drawing": self.drawing(kinds, written, candidates),
        }
        return diagnosis | {"verdict": verdict(diagnosis)}

    def free_running(
        self, right: np.ndarray, kinds: np.ndarray, written: Sequence[Sequence[str]]
    ) -> dict[str, Values]:
        """Measure what was written."""
        places, everywhere = self.places, np.ones(len(right), bool)
        tokens = token_accuracy(written, self.references)
        return {
            "accuracy": (right, everywhere),
            "hard_token_accuracy": (at(tokens, places.first), places.first >= 0),
            "hard_places_accuracy": places.at_hard_ones(tokens),
            "other_token_accuracy": row_means(tokens, places.kind == OTHER),
            "valid_path_rate": (valid_path(kinds), everywhere),
        }

    def forced(self, truth: Answer) -> dict[str, Values]:
        """Measure what was right in one pass, with the true nodes shown."""
        places = self.places
        nodes = correct_nodes(truth.correct, truth.part_of_token)
        given = right_nodes(truth, places.last + 1, places.length)
        behind = places.length - 1 - places.last
        return {
            "forced_hard_places_accuracy": places.at_hard_ones(nodes),
            "forced_other_token_accuracy": row_means(nodes, places.kind == OTHER),
            "independent_errors_accuracy": (product_over_kinds(nodes, places.kind), np.ones(len(nodes), bool)),
            "accuracy_given_hard_token": (given, (places.last >= 0) & (behind >= 1)),
            "clever_hans_accuracy": (given, (places.last >= 0) & (behind >= 2)),
        }

    def counterfactual(self, probes: Mapping[str, Answer]) -> dict[str, Values]:
        """Measure what is written behind the first step into each wrong branch."""
        shares: dict[str, list[Values]] = {name: [] for name in COUNTERFACTUAL}
        for number in range(sum(name.startswith(TO_GOAL) for name in probes)):
            branch, to_goal = probes[f"{BRANCH} {number}"], probes[f"{TO_GOAL} {number}"]
            there = np.array([number < len(problem.branches) for problem in self.problems])
            nodes = np.array([len(with_branch(problem, number)) for problem in self.problems])
            end = nodes - 1 - self.places.nodes_before
            entered = self.places.last
            shares["counterfactual_accuracy"].append(
                (right_nodes(branch, entered + 1, end - 1), there & (end >= entered + 2))
            )
            behind = there & (end > entered)
            shares["counterfactual_end_accuracy"].append((right_nodes(branch, end, end), behind))
            shares["counterfactual_goal_rate"].append((right_nodes(to_goal, end, end), behind))
        found = {}
        for name, pairs in shares.items():
            if pairs:
                values, there = (np.stack(arrays, axis=1) for arrays in zip(*pairs, strict=True))
                found[name] = row_means(values, there)
        return found

    def candidates(self, truth: Answer, probes: Mapping[str, Answer]) -> np.ndarray:
        """Return the probabilities, at the last hard place, of the nodes to choose from, the right one first."""
        found = [probability_of_node(truth, self.places.last)]
        named = [name for name in probes if not name.startswith(TO_GOAL)]
        for number, name in enumerate(named):
            there = np.array([number < len(problem.branches) for problem in self.problems])
            found.append(np.where(there, probability_of_node(probes[name], self.places.last), 0.0))
        return np.stack(found, axis=1)

    def kind_of(self, problem: Problem, written: Sequence[str]) -> str:
        """Name what was written for a row, one of `KINDS`: arms are the paths along edges from the start to an end."""
        nodes = [*map(str, problem.nodes)]
        walked = self.task.nodes_of(written)
        ends = [[*map(str, path)] for path in problem.ends]
        kind = path_kind(walked, ends, ends[0], nodes)
        if kind == "wrong length" and len(written) == len(problem.parts):  # as many edges, which do not meet
            return "jump" if set(walked) <= set(nodes) else "not a node"
        return kind

    def joined(self, parts: Sequence[str]) -> str:
        """Write parts one behind the other, as a completion has them."""
        return self.task.between_parts.join(parts)

    def drawing(
        self, kinds: np.ndarray, written: Sequence[Sequence[str]], candidates: np.ndarray | None
    ) -> dict[str, Any]:
        """Choose the row to draw: the first wrong one, or the first of all."""
        shown = next((row for row, kind in enumerate(kinds) if kind != KINDS[0]), 0)
        problem, probabilities = self.problems[shown], {}
        if candidates is not None and problem.hard:
            place = self.places.last[shown] + self.places.nodes_before
            paths = [problem.path, *problem.branches]
            probabilities = {
                str(path[place]): float(value) for path, value in zip(paths, candidates[shown], strict=False)
            }
        row = turned_around(problem.row) if self.reverse else problem.row
        return self.task.drawing(row) | {
            "written": self.task.nodes_of(written[shown]),
            "reverse": self.reverse,
            "probabilities": probabilities,
        }


class TreeStarDiagnosis(PathDiagnosis):
    """Find out why a model fails on trees: see [`PathDiagnosis`]."""

    task = TreeStar()


class CrossingStarDiagnosis(PathDiagnosis):
    """Find out why a model fails on arms that cross: see [`PathDiagnosis`]."""

    task = CrossingStar()


class MinimalPlanningDiagnosis(PathDiagnosis):
    """Find out why a model fails on two streams that cross: see [`PathDiagnosis`]."""

    task = MinimalPlanning()


class WaypointsDiagnosis(PathDiagnosis):
    """Find out why a model fails on star graphs whose goals stand anywhere: see [`PathDiagnosis`]."""

    task = StarGraph(goal="any")


def why_absent(decoding: str, shows_true_tokens: bool, scores_tokens: bool) -> dict[str, str]:
    """Say why a number does not exist, if it does not."""
    needs_plan = "no node of these rows needs a plan"
    absent = dict.fromkeys(("hard_token_accuracy", "hard_places_accuracy", "forced_hard_places_accuracy"), needs_plan)
    absent |= dict.fromkeys(CHOICE, needs_plan)
    absent |= dict.fromkeys(
        ("other_token_accuracy", "forced_other_token_accuracy"),
        "every node of these rows needs a plan or stands in the prompt",
    )
    absent["accuracy_given_hard_token"] = "nothing comes behind the last node that needs a plan"
    absent["clever_hans_accuracy"] = "not identifiable: behind the last node that needs a plan comes at most the goal"
    absent["counterfactual_accuracy"] = "wrong branches have no node between their first and their last"
    absent |= dict.fromkeys(COUNTERFACTUAL[1:], "wrong branches end with their first node")
    absent["accuracy_by_distance"] = "the goal is as far from the choice in all rows"
    if not shows_true_tokens:
        absent |= dict.fromkeys(
            (*FORCED, *COUNTERFACTUAL), f"with the decoding {decoding} it is not shown the true previous nodes"
        )
    if not scores_tokens:
        absent |= dict.fromkeys(CHOICE, f"with the decoding {decoding} one pass does not say how likely a node is")
    return absent
