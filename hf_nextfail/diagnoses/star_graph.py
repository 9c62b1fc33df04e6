"""Why a model fails on star graphs: which token it cannot decipher, and what it does instead of planning."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.diagnoses.answers import (
    calibration,
    choice_at_the_hard_token,
    examples_of,
    probability_of_node,
    product_of_means,
    right_nodes,
    share_right,
)
from hf_nextfail.diagnoses.base import Answer, Definition, Diagnosis
from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.diagnoses.star_graph_verdict import verdict
from hf_nextfail.metrics import KINDS, correct_nodes, path_kind, token_accuracy, valid_path
from hf_nextfail.metrics.standard_error import summarise
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph_instruct import ARROW
from hf_nextfail.tasks.star_graph_text import arms_of

COUNTERFACTUAL = ("counterfactual_accuracy", "counterfactual_end_accuracy")
AT_THE_HARD_TOKEN = ("hard_token_mass", "hard_token_confidence", "hard_token_overconfidence")
AFTER_FIRST_STEP = ("accuracy_given_first_step", "clever_hans_accuracy", *COUNTERFACTUAL)
#: The probes that lead a model into a wrong arm before the hard token, and right after the first node.
AT_HARD_TOKEN, AT_FIRST_STEP = "wrong arm", "entering wrong arm"


class StarGraphDiagnosis(Diagnosis):
    """Find out why a model fails on star graphs of one shape and direction. See [`Diagnosis`].

    Its probes are the wrong arms of every graph, entered at a place of the true path.
    """

    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion", "edges", "path", "start", "goal")
    definitions: ClassVar[Mapping[str, Definition]] = DEFINITIONS

    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        if missing := [name for name in self.columns if name not in columns]:
            raise ValueError(f"a diagnosis needs the edges of star graphs; the dataset has no column {missing[0]}")
        names = self.columns
        self.rows = [
            dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)
        ]
        #: What the rows are of, and for each row all arms as texts, as its path is written, the right one first.
        self.task, self.graphs = read_graphs(self.rows)

    @property
    def references(self) -> list[list[str]]:
        """The right paths. See [`Diagnosis`]."""
        return [arms[0] for arms in self.graphs]

    def probes(self, shows_true_tokens: bool) -> dict[str, list[str]]:
        """Name the wrong arms. See [`Diagnosis.probes`]."""
        places = {AT_HARD_TOKEN: self.task.hard_part}
        if shows_true_tokens and self.task.hard_part != 1:
            places[AT_FIRST_STEP] = 1
        return {
            f"{what} {number}": [",".join(arms[0][:place] + arms[number][place:]) for arms in self.graphs]
            for what, place in places.items()
            for number in range(1, self.task.degree)
        }

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
        task = self.task
        kinds = np.array([path_kind(path, arms, arms[0]) for path, arms in zip(written, self.graphs, strict=True)])
        tokens = token_accuracy(written, self.references)
        values = {
            "accuracy": (kinds == KINDS[0]).astype(np.float64),
            "hard_token_accuracy": tokens[:, task.hard_part],
            "token_accuracy": tokens,
            "valid_path_rate": valid_path(kinds),
        }
        if one_pass_exact:
            values["accuracy"] = truth.correct.all(axis=1).astype(np.float64)
        candidates, bins = None, []
        if truth is not None:
            neighbours = [answer for name, answer in probes.items() if name.startswith(AT_HARD_TOKEN)]
            entered = [answer for name, answer in probes.items() if name.startswith(AT_FIRST_STEP)] or neighbours
            candidates = np.stack(  # (n, degree), the right one first
                [probability_of_node(answer, task.hard_part) for answer in (truth, *neighbours)], axis=1
            )
            at_the_hard_token, right = choice_at_the_hard_token(candidates)
            values |= self.values_of_one_pass(truth, entered) | at_the_hard_token
            bins = calibration(at_the_hard_token["hard_token_confidence"], right, groups)
        absent = why_absent(task, decoding, shows_true_tokens, truth is not None)
        diagnosis = {
            "task": {
                "degree": task.degree,
                "path_length": task.path_length,
                "reverse": task.reverse,
                "hard_node": task.hard_part,
                "decoding": decoding,
            },
            "numbers": {
                name: None if name in absent else summarise(values[name], groups) for name in self.definitions
            },
            "absent": absent,
            "calibration": bins,
            "errors": {kind: summarise((kinds == kind).astype(np.float64), groups) for kind in KINDS},
            "examples": examples_of(self.rows, kinds, list(map(",".join, written))),
            "drawing": self.drawing(kinds, written, candidates),
        }
        return diagnosis | {"verdict": verdict(diagnosis)}

    def values_of_one_pass(self, truth: Answer, entered: Sequence[Answer]) -> dict[str, np.ndarray]:
        """Give each row its share in the numbers of nodes that were right in one pass: `(n,)`, or `(n, L)` a node."""
        end = self.task.path_length - 1
        forced = correct_nodes(truth.correct, truth.part_of_token)
        given = right_nodes(truth, 2, end)
        return {
            "forced_token_accuracy": forced,
            "independent_errors_accuracy": product_of_means(forced),
            "accuracy_given_first_step": given,
            "clever_hans_accuracy": given,
            "counterfactual_accuracy": share_right(entered, 2, end - 1),
            "counterfactual_end_accuracy": share_right(entered, end, end),
        }

    def drawing(
        self, kinds: np.ndarray, written: Sequence[Sequence[str]], candidates: np.ndarray | None
    ) -> dict[str, Any]:
        """Choose the row to draw: the first wrong one, or the first of all."""
        shown = next((row for row, kind in enumerate(kinds) if kind != KINDS[0]), 0)
        probabilities = [] if candidates is None else zip(self.graphs[shown], candidates[shown].tolist(), strict=True)
        return {
            **{name: self.rows[shown][name] for name in ("edges", "path", "start", "goal")},
            "written": written[shown],
            "probabilities": {arm[self.task.hard_part]: probability for arm, probability in probabilities},
        }


def read_graphs(rows: Sequence[Mapping[str, Any]]) -> tuple[StarGraph, list[list[list[str]]]]:
    """Read the graphs of rows, and what task they are of.

    Returns:
        The task, and for each row all arms as texts in the direction in which its paths are written, the right one
        first.

    Raises:
        ValueError: if the rows hold other things than star graphs of one shape and direction.
    """
    graphs, shapes, largest = [], set(), 0
    for row in rows:
        if ARROW in row["completion"]:
            raise ValueError("a diagnosis needs paths in symbols, and here they are written in plain English")
        arms = sorted(arms_of(row["edges"], row["start"]), key=lambda arm: arm[-1] != row["goal"])
        written = [int(node) for node in row["completion"].split(",")]
        if arms[0] != row["path"] or written not in (arms[0], arms[0][::-1]):
            raise ValueError(f"the path of {row['prompt']!r} is {arms[0]}, but the row says {row['completion']!r}")
        reverse = written != arms[0]
        shapes.add((len(arms), len(arms[0]), reverse))
        largest = max(largest, *itertools.chain(*arms))
        graphs.append([list(map(str, arm[::-1] if reverse else arm)) for arm in arms])
    if len(shapes) > 1:
        first, second, *_ = (f"G({d},{n})" + " reversed" * reverse for d, n, reverse in sorted(shapes))
        raise ValueError(f"a diagnosis needs graphs of one shape and direction, got {first} and {second}")
    degree, path_length, reverse = shapes.pop()
    return StarGraph(degree=degree, path_length=path_length, num_nodes=largest + 1, reverse=reverse), graphs


def why_absent(task: StarGraph, decoding: str, shows_true_tokens: bool, scores_tokens: bool) -> dict[str, str]:
    """Say which numbers do not exist for a task and a decoding, and why."""
    absent = {}
    in_prompt = "not identifiable: the one later node stands in the prompt"
    if task.path_length == 3:
        absent |= {"clever_hans_accuracy": in_prompt, "counterfactual_accuracy": in_prompt}
    if task.reverse:
        absent["counterfactual_end_accuracy"] = "all arms lead to the start, which stands in the prompt"
    if task.path_length == 2:
        absent |= dict.fromkeys(AFTER_FIRST_STEP, "paths of 2 nodes end with the first step")
    if task.degree == 1:
        absent |= dict.fromkeys(COUNTERFACTUAL, "there is no wrong arm")
    if not shows_true_tokens:
        for name in ("forced_token_accuracy", "independent_errors_accuracy", *AFTER_FIRST_STEP):
            absent[name] = f"with the decoding {decoding} it is not shown the true previous nodes"
    if not scores_tokens:
        for name in AT_THE_HARD_TOKEN:
            absent[name] = f"with the decoding {decoding} one pass does not say how likely a node is"
    return absent
