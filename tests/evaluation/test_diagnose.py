"""Models whose answers are known, and what must come out; small GPT-2s, and what they really write."""

import functools
import json
import math

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets, load_dataset
from known_models import (
    EDGE,
    CleverHans,
    EdgeFollower,
    ErringOracle,
    GraphGuesser,
    KnownModel,
    Memoriser,
    NearGoalOracle,
    Oracle,
    ReversedOracle,
    UniformGuesser,
    chosen,
    draw,
)
from small_tokenizers import TOKENIZERS
from tiny_models import mean_loss, tiny_gpt2

from hf_nextfail import load_paper_file
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import tokenize_dataset
from hf_nextfail.decoding import DECODINGS, InsertingDecoding
from hf_nextfail.diagnoses.star_graph import StarGraphDiagnosis, product_of_means
from hf_nextfail.evaluation.diagnose import diagnose, read_diagnosis
from hf_nextfail.metrics import KINDS, mean_and_standard_error
from hf_nextfail.objectives import TeacherForcedObjective
from hf_nextfail.tasks import StarGraph
from hf_nextfail.training.collator import CompletionCollator

COUNTERFACTUAL = ["counterfactual_accuracy", "counterfactual_end_accuracy"]
AFTER_FIRST_STEP = ["accuracy_given_first_step", "clever_hans_accuracy", *COUNTERFACTUAL]
FORCED = ["forced_token_accuracy", "independent_errors_accuracy"]


@functools.cache
def star_graphs(config_name, num_rows):
    sizes = {"num_train": num_rows, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", **sizes)


def known(rule, config_name, *arguments, tokenizer=None):
    task = StarGraph.from_config_name(config_name)
    return rule(task.num_nodes, *arguments, reverse=task.reverse, tokenizer=tokenizer)


def diagnosis_of(rule, config_name, *arguments, num_rows=100, tokenizer=None, **options):
    model = known(rule, config_name, *arguments, tokenizer=tokenizer)
    return diagnose(model, model.tokenizer, star_graphs(config_name, num_rows), **options)


def values_of(diagnosis):
    """The numbers that exist, without their errors."""
    return {name: number["value"] for name, number in diagnosis["numbers"].items() if number is not None}


def shares_of(diagnosis):
    return {kind: share["value"] for kind, share in diagnosis["errors"].items() if share["value"]}


def neighbours_of(row):
    return [target for source, target in row["edges"] if source == row["start"]]


def guessed_right(rows):
    """Which rows a model gets right that guesses the first step as `CleverHans` does."""
    return np.array([CleverHans.guess(neighbours_of(row), row["prompt"]) == row["path"][1] for row in rows])


# An oracle


SHAPES = ["d1_l2_n8", "d1_l4_n8", "d2_l2_n8", "d2_l3_n8", "d2_l4_n8", "d5_l5_n25"]
forward_and_reversed = pytest.mark.parametrize("config_name", [name + end for name in SHAPES for end in ("", "_rev")])


@forward_and_reversed
def test_oracle_is_right_everywhere(config_name):
    task = StarGraph.from_config_name(config_name)
    values = values_of(diagnosis_of(Oracle, config_name))
    for name in COUNTERFACTUAL:
        values.pop(name, None)
    assert values.pop("hard_token_overconfidence") == pytest.approx(0, abs=1e-6)
    for name in ("token_accuracy", "forced_token_accuracy"):
        assert values.pop(name) == [1.0] * task.path_length
    assert values == {name: pytest.approx(1, abs=1e-6) for name in values}
    assert len(values) >= 6


@forward_and_reversed
def test_task_is_read_from_the_rows(config_name):
    task, diagnosis = StarGraph.from_config_name(config_name), diagnosis_of(Oracle, config_name, num_rows=20)
    assert diagnosis["task"] == {
        "degree": task.degree,
        "path_length": task.path_length,
        "reverse": task.reverse,
        "hard_node": task.hard_part,
        "decoding": "autoregressive",
    }


def test_reversed_oracle_is_wrong_on_paths_from_the_start():
    rows, model = star_graphs("d2_l4_n8", 50), ReversedOracle(8)
    diagnosis = diagnose(model, model.tokenizer, rows)
    assert values_of(diagnosis)["accuracy"] == values_of(diagnosis)["hard_token_accuracy"] == 0.0
    assert shares_of(diagnosis) == {"jump": 1.0}
    assert diagnosis["examples"]["jump"][0]["written"] == ",".join(rows["completion"][0].split(",")[::-1])
    assert values_of(diagnosis_of(ReversedOracle, "d2_l4_n8_rev"))["accuracy"] == 1.0


@pytest.mark.parametrize("config_name", ["d2_l3_n8", "d2_l4_n8", "d5_l5_n25", "d2_l4_n8_rev", "d5_l5_n25_rev"])
def test_planner_that_turns_to_the_goal_walks_no_wrong_arm(config_name):
    values = values_of(diagnosis_of(Oracle, config_name))
    assert values["accuracy"] == 1.0
    assert {values[name] for name in COUNTERFACTUAL if name in values} == {0.0}


@pytest.mark.parametrize("config_name", ["d2_l3_n8", "d2_l4_n8", "d5_l5_n25", "d2_l4_n8_rev", "d5_l5_n25_rev"])
def test_planner_that_follows_edges_walks_wrong_arms_as_well(config_name):
    values = values_of(diagnosis_of(EdgeFollower, config_name))
    assert values["accuracy"] == 1.0
    assert {values[name] for name in COUNTERFACTUAL if name in values} == {1.0}


class FollowerOfHalf(EdgeFollower):
    """Follows edges out of even nodes, and turns to the goal from odd ones."""

    def next_node(self, graph, nodes):
        odd = len(nodes) > 1 and nodes[-1] % 2
        return {graph.path[len(nodes)]: 1.0} if odd else super().next_node(graph, nodes)


@pytest.mark.parametrize("config_name", ["d5_l3_n25", "d5_l4_n25", "d2_l5_n25"])
def test_counterfactual_accuracy_is_a_mean_over_all_wrong_arms(config_name):
    rows, followed, ended = star_graphs(config_name, 60), [], []
    for row, arms in zip(rows, read_diagnosis(rows).graphs, strict=True):
        assert list(map(int, arms[0])) == row["path"]
        # Each step along the arm leaves a node; the last step leaves the one before the end.
        followed.append([all(int(node) % 2 == 0 for node in arm[1:-2]) for arm in arms[1:]])
        ended.append([int(arm[-2]) % 2 == 0 for arm in arms[1:]])
    numbers = diagnosis_of(FollowerOfHalf, config_name, num_rows=60)["numbers"]
    for name, right in zip(COUNTERFACTUAL, (followed, ended), strict=True):
        if numbers[name] is None:
            assert (name, len(arms[0])) == ("counterfactual_accuracy", 3)
            continue
        assert 0.1 < np.mean(right) < 0.9
        assert numbers[name]["value"] == pytest.approx(np.mean(right))
        _, error = mean_and_standard_error(np.mean(right, axis=1))
        assert numbers[name]["standard_error"] == pytest.approx(error)


# Clever Hans


@pytest.mark.parametrize("config_name", ["d1_l4_n8", "d2_l3_n8", "d2_l4_n8", "d2_l5_n12", "d5_l4_n25", "d5_l2_n25"])
def test_clever_hans_guesses_and_follows(config_name):
    task = StarGraph.from_config_name(config_name)
    diagnosis = diagnosis_of(CleverHans, config_name, num_rows=200)
    rate, values = guessed_right(star_graphs(config_name, 200)).mean(), values_of(diagnosis)
    assert task.degree == 1 or abs(rate - 1 / task.degree) < 0.1
    confidence = (1 + EDGE) / (task.degree + EDGE)
    later = [1.0] * (task.path_length - 2)
    expected = {
        "accuracy": rate,
        "hard_token_accuracy": rate,
        "token_accuracy": [1.0] + [rate] * (task.path_length - 1),
        "forced_token_accuracy": [1.0, rate, *later],
        "independent_errors_accuracy": rate,
        "accuracy_given_first_step": 1.0,
        "clever_hans_accuracy": 1.0,
        "counterfactual_accuracy": 1.0,
        "counterfactual_end_accuracy": 1.0,
        "hard_token_mass": 1.0,
        "hard_token_confidence": confidence,
        "hard_token_overconfidence": confidence - rate,
        "valid_path_rate": 1.0,
    }
    for name in diagnosis["absent"]:
        del expected[name]
    assert values == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}
    arms = {"right arm": pytest.approx(rate)} | ({"wrong arm": pytest.approx(1 - rate)} if rate < 1 else {})
    assert shares_of(diagnosis) == arms


@pytest.mark.parametrize("config_name", ["d2_l4_n8_rev", "d5_l4_n25_rev"])
def test_following_edges_backwards_solves_reversed_paths(config_name):
    values = values_of(diagnosis_of(CleverHans, config_name))
    assert values["accuracy"] == values["clever_hans_accuracy"] == values["counterfactual_accuracy"] == 1.0
    assert values["hard_token_confidence"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d5_l3_n25"])
def test_memoriser_is_surer_than_it_is_right(config_name):
    diagnosis = diagnosis_of(Memoriser, config_name, num_rows=200)
    rate, values = guessed_right(star_graphs(config_name, 200)).mean(), values_of(diagnosis)
    assert values["accuracy"] == pytest.approx(rate)
    assert values["hard_token_confidence"] == pytest.approx(1, abs=1e-6)
    assert values["hard_token_overconfidence"] == pytest.approx(1 - rate, abs=1e-6)
    [only] = diagnosis["calibration"]
    assert (only["from"], only["to"], only["accuracy"]["value"]) == (0.9, 1.0, pytest.approx(rate))


# Models that know little


def test_guesser_among_all_labels():
    rows, model = star_graphs("d2_l3_n8", 200), UniformGuesser(8)
    diagnosis = diagnose(model, model.tokenizer, rows)
    values = values_of(diagnosis)
    guessed = [[model.guess(row["prompt"], position) for position in range(3)] for row in rows]
    right = np.array(guessed) == np.array(rows["path"])
    assert (right.mean(axis=0) > 0).all()
    np.testing.assert_allclose(values["forced_token_accuracy"], right.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(values["token_accuracy"], right.mean(axis=0), rtol=1e-12)
    assert values["accuracy"] == right.all(axis=1).mean()
    assert values["accuracy_given_first_step"] == right[:, 2].mean()
    assert values["independent_errors_accuracy"] == pytest.approx(right.mean(axis=0).prod())
    favoured = [nodes[1] in neighbours_of(row) for nodes, row in zip(guessed, rows, strict=True)]
    mass = np.mean([(2 + EDGE * one) / (8 + EDGE) for one in favoured])
    assert values["hard_token_mass"] == pytest.approx(mass, abs=1e-6)
    assert values["hard_token_confidence"] == pytest.approx(1 / 8, rel=2 * EDGE)
    nodes_of_graphs = [set(np.ravel(row["edges"])) for row in rows]
    strangers = [not nodes >= set(path) for nodes, path in zip(nodes_of_graphs, guessed, strict=True)]
    assert shares_of(diagnosis)["not a node"] == pytest.approx(np.mean(strangers))


@pytest.mark.parametrize(("config_name", "graph_size"), [("d2_l3_n8", 5), ("d5_l3_n25", 11)])
def test_guesser_among_the_nodes_of_the_graph(config_name, graph_size):
    degree = StarGraph.from_config_name(config_name).degree
    diagnosis = diagnosis_of(GraphGuesser, config_name)
    values = values_of(diagnosis)
    assert values["hard_token_mass"] == pytest.approx(degree / graph_size, rel=2 * EDGE)
    assert values["hard_token_confidence"] == pytest.approx(1 / graph_size, rel=2 * EDGE)
    assert "not a node" not in shares_of(diagnosis)


def test_the_right_one_of_equally_likely_neighbours_is_not_counted_as_foreseen():
    values = values_of(diagnosis_of(GraphGuesser, "d2_l3_n8", num_rows=200))
    right = values["hard_token_confidence"] - values["hard_token_overconfidence"]
    assert right == pytest.approx(1 / 2, abs=0.12)  # three standard errors


# Errors along the path


@pytest.mark.parametrize(("config_name", "num_rows"), [("d2_l5_n12", 4000), ("d2_l5_n12_rev", 1000)])
def test_independent_errors_multiply(config_name, num_rows):
    rows, model = star_graphs(config_name, num_rows), known(ErringOracle, config_name, 0.1)
    diagnosis = diagnose(model, model.tokenizer, rows)
    numbers, values = diagnosis["numbers"], values_of(diagnosis)
    right = np.array([[not model.errs(prompt, position) for position in range(5)] for prompt in rows["prompt"]])
    rates = right.mean(axis=0)
    assert rates[0] == 1 and (abs(rates[1:] - 0.9) < 0.04).all()
    np.testing.assert_allclose(values["forced_token_accuracy"], rates, rtol=1e-12)
    np.testing.assert_allclose(values["token_accuracy"], rates, rtol=1e-12)
    assert values["independent_errors_accuracy"] == pytest.approx(rates.prod(), rel=1e-12)
    assert values["accuracy"] == right.all(axis=1).mean()
    for name in ("accuracy_given_first_step", "clever_hans_accuracy"):
        assert values[name] == right[:, 2:].all(axis=1).mean()
    errors = [numbers[name]["standard_error"] for name in ("accuracy", "independent_errors_accuracy")]
    assert abs(values["accuracy"] - values["independent_errors_accuracy"]) < 3 * math.hypot(*errors)
    given = numbers["accuracy_given_first_step"]
    assert abs(given["value"] - rates[2:].prod()) < 3 * given["standard_error"]


def test_errors_that_come_together_do_not_multiply():
    model, rows = ErringOracle(12, 0.3, together=True), star_graphs("d2_l5_n12", 400)
    values = values_of(diagnose(model, model.tokenizer, rows))
    rate = np.mean([not model.errs(prompt, 1) for prompt in rows["prompt"]])
    assert values["accuracy"] == values["accuracy_given_first_step"] == pytest.approx(rate)
    assert values["independent_errors_accuracy"] == pytest.approx(rate**4)


def test_error_of_a_product_of_means_is_the_jackknife_one():
    rng = np.random.default_rng(0)
    values = (rng.random((500, 3)) < [0.9, 0.7, 0.95]).astype(float)
    values[:, 2] *= values[:, 1]  # and they need not be independent
    shares = product_of_means(values)
    assert shares.shape == (500,)
    assert shares.mean() == pytest.approx(values.mean(axis=0).prod(), rel=1e-12)
    left_out = ((values.sum(axis=0) - values) / 499).prod(axis=1)
    jackknife = np.sqrt(499 * np.mean((left_out - left_out.mean()) ** 2))
    assert mean_and_standard_error(shares)[1] == pytest.approx(jackknife, rel=0.01)


# Teacherless models


@pytest.mark.parametrize("config_name", ["d2_l2_n8", "d2_l4_n8", "d2_l4_n8_rev", "d5_l3_n25"])
def test_teacherless_oracle_is_right_and_is_not_shown_anything(config_name):
    diagnosis = diagnosis_of(Oracle, config_name, decoding="parallel")
    values = values_of(diagnosis)
    assert values["accuracy"] == values["valid_path_rate"] == 1.0
    assert values["hard_token_mass"] == pytest.approx(1, abs=1e-6)
    assert diagnosis["task"]["decoding"] == "parallel"
    assert set(diagnosis["absent"]) == {*FORCED, *AFTER_FIRST_STEP}
    assert set(diagnosis["absent"].values()) == {"with the decoding parallel it is not shown the true previous nodes"}
    assert all(diagnosis["numbers"][name] is None for name in diagnosis["absent"])


@pytest.mark.parametrize("known_nodes", [1, 2, 3])
@pytest.mark.parametrize("end", ["", "_rev"])
def test_teacherless_model_that_knows_the_nodes_near_the_goal(known_nodes, end):
    config_name = f"d2_l5_n12{end}"
    diagnosis = diagnosis_of(NearGoalOracle, config_name, known_nodes, decoding="parallel")
    expected = [1.0] + [0.0] * (4 - known_nodes) + [1.0] * known_nodes
    expected = expected[::-1] if end else expected
    assert values_of(diagnosis)["token_accuracy"] == expected
    assert values_of(diagnosis)["hard_token_accuracy"] == 0.0
    assert values_of(diagnosis)["accuracy"] == 0.0
    # The neighbour it names lies on the other arm, and it is sure of it.
    assert values_of(diagnosis)["hard_token_mass"] == pytest.approx(1, abs=1e-6)
    assert values_of(diagnosis)["hard_token_overconfidence"] == pytest.approx(1, abs=1e-6)


def test_teacherless_model_that_guesses_what_is_far_from_the_goal():
    rows, model = star_graphs("d2_l4_n8", 200), NearGoalOracle(8, known=2, guesses=True)
    arms = [model.graph_of(model.ids_of(prompt)).arms for prompt in rows["prompt"]]
    guesses = [chosen(its_arms, prompt, 1)[1] for its_arms, prompt in zip(arms, rows["prompt"], strict=True)]
    right = np.mean([guess == path[1] for guess, path in zip(guesses, rows["path"], strict=True)])
    diagnosis = diagnose(model, model.tokenizer, rows, "parallel")
    assert 0.4 < right < 0.6
    assert values_of(diagnosis)["token_accuracy"] == pytest.approx([1, right, 1, 1])
    assert values_of(diagnosis)["accuracy"] == pytest.approx(right)
    assert shares_of(diagnosis) == {"right arm": pytest.approx(right), "jump": pytest.approx(1 - right)}


def test_decoding_is_what_the_generation_config_says():
    model, rows = Oracle(8), star_graphs("d2_l4_n8", 10)
    model.generation_config.decoding = "parallel"
    assert diagnose(model, model.tokenizer, rows)["task"]["decoding"] == "parallel"
    asked = DECODINGS["autoregressive"](model.tokenizer)
    assert diagnose(model, model.tokenizer, rows, asked)["task"]["decoding"] == "autoregressive"


# Numbers that do not exist


IN_PROMPT = "not identifiable: the one later node stands in the prompt"
TO_START = {"counterfactual_end_accuracy": "all arms lead to the start, which stands in the prompt"}
NO_WRONG_ARM = dict.fromkeys(COUNTERFACTUAL, "there is no wrong arm")
ABSENT = {
    "d2_l2_n8": dict.fromkeys(AFTER_FIRST_STEP, "paths of 2 nodes end with the first step"),
    "d2_l2_n8_rev": dict.fromkeys(AFTER_FIRST_STEP, "paths of 2 nodes end with the first step"),
    "d2_l3_n8": {"clever_hans_accuracy": IN_PROMPT, "counterfactual_accuracy": IN_PROMPT},
    "d2_l3_n8_rev": {"clever_hans_accuracy": IN_PROMPT, "counterfactual_accuracy": IN_PROMPT} | TO_START,
    "d1_l4_n8": NO_WRONG_ARM,
    "d1_l3_n8": {"clever_hans_accuracy": IN_PROMPT} | NO_WRONG_ARM,
    "d2_l4_n8": {},
    "d2_l4_n8_rev": TO_START,
}


@pytest.mark.parametrize("config_name", ABSENT)
def test_number_that_does_not_exist_is_none_and_says_why(config_name):
    diagnosis = diagnosis_of(CleverHans, config_name, num_rows=20)
    assert diagnosis["absent"] == ABSENT[config_name]
    assert {name for name, number in diagnosis["numbers"].items() if number is None} == set(ABSENT[config_name])


# Rows, graphs and standard errors


def test_rows_of_one_graph_are_one_piece_of_evidence():
    rows = star_graphs("d2_l3_n5", 300)
    diagnosis = diagnosis_of(CleverHans, "d2_l3_n5", num_rows=300)
    graphs = [frozenset(map(tuple, edges)) for edges in rows["edges"]]
    groups = np.array([sorted(map(sorted, set(graphs))).index(sorted(graph)) for graph in graphs])
    assert len(set(graphs)) < 100
    _, error = mean_and_standard_error(guessed_right(rows), groups)
    assert diagnosis["numbers"]["accuracy"]["standard_error"] == pytest.approx(error)
    assert diagnosis["numbers"]["token_accuracy"]["standard_error"] == pytest.approx([0, error, error])
    assert diagnosis["numbers"]["independent_errors_accuracy"]["standard_error"] == pytest.approx(error)
    assert diagnosis["errors"]["wrong arm"]["standard_error"] == pytest.approx(error)
    assert diagnosis["calibration"][0]["accuracy"]["standard_error"] == pytest.approx(error)
    numbers = [number for number in diagnosis["numbers"].values() if number is not None]
    for number in [*numbers, *diagnosis["errors"].values()]:
        assert (number["n"], number["num_graphs"]) == (300, len(set(graphs)))


@pytest.mark.parametrize("reverse", [False, True])
def test_file_of_the_paper_is_diagnosed_as_well(tmp_path, reverse):
    ours = star_graphs("d2_l4_n8" + "_rev" * reverse, 50)
    lines = [f"{row['prompt']}{','.join(map(str, row['path']))}\n" for row in ours]
    (tmp_path / "rows.txt").write_text("".join(lines))
    theirs = load_paper_file(tmp_path / "rows.txt", reverse=reverse)
    model = ErringOracle(8, 0.2, reverse=reverse)
    expected = diagnose(model, model.tokenizer, ours)
    assert 0.2 < expected["numbers"]["accuracy"]["value"] < 0.8
    assert diagnose(model, model.tokenizer, theirs) == expected


# What else is returned


class Hesitant(CleverHans):
    """Gives its guess a probability between a half and one, which looks random."""

    @staticmethod
    def confidence(prompt):
        return 0.5 + draw(prompt, "confidence") / 2

    def first_step(self, graph):
        favourite, other = sorted(super().first_step(graph).items(), key=lambda item: -item[1])
        confidence = self.confidence(graph.prompt)
        return {favourite[0]: confidence, other[0]: 1 - confidence}


def test_calibration_bins_are_of_equal_width_and_hold_every_row():
    rows = star_graphs("d2_l4_n8", 300)
    diagnosis = diagnosis_of(Hesitant, "d2_l4_n8", num_rows=300)
    confidence, right = np.array([Hesitant.confidence(prompt) for prompt in rows["prompt"]]), guessed_right(rows)
    bins = diagnosis["calibration"]
    assert [(one["from"], one["to"]) for one in bins] == [(i / 10, (i + 1) / 10) for i in range(5, 10)]
    assert sum(one["accuracy"]["n"] for one in bins) == sum(one["confidence"]["n"] for one in bins) == 300
    for one in bins:
        inside = (confidence >= one["from"]) & (confidence < one["to"])
        assert one["accuracy"]["n"] == inside.sum()
        assert one["accuracy"]["value"] == pytest.approx(right[inside].mean())
        assert one["confidence"]["value"] == pytest.approx(confidence[inside].mean(), abs=1e-6)
    assert values_of(diagnosis)["hard_token_overconfidence"] == pytest.approx((confidence - right).mean(), abs=1e-6)


class Stutterer(Oracle):
    """Makes one kind of error in each row, which looks random."""

    def path_of(self, prompt):
        graph = self.graph_of(self.ids_of(prompt))
        (start, first, second, goal), wrong = graph.path, graph.wrong_arms()[0]
        label = next(label for label in range(self.num_nodes) if all(label not in arm for arm in graph.arms))
        return {
            "right arm": [start, first, second, goal],
            "wrong arm": list(wrong),
            "wrong arm to the goal": [*wrong[:-1], goal],
            "jump": [start, first, wrong[2], goal],
            "repeated node": [start, first, first, goal],
            "not a node": [start, first, label, goal],
        }[chosen(KINDS[:6], prompt)]

    def next_node(self, graph, nodes):
        return {self.path_of(graph.prompt)[len(nodes)]: 1.0}


def test_errors_are_shares_of_kinds_and_examples_are_the_first_of_each():
    rows, model = star_graphs("d2_l4_n8", 60), Stutterer(8)
    diagnosis = diagnose(model, model.tokenizer, rows)
    kinds = [chosen(KINDS[:6], prompt) for prompt in rows["prompt"]]
    assert list(diagnosis["errors"]) == list(KINDS)
    for kind in KINDS:
        assert diagnosis["errors"][kind]["value"] == pytest.approx(kinds.count(kind) / 60)
    assert sum(share["value"] for share in diagnosis["errors"].values()) == pytest.approx(1)
    assert values_of(diagnosis)["valid_path_rate"] == pytest.approx(
        (kinds.count("right arm") + kinds.count("wrong arm")) / 60
    )
    assert set(diagnosis["examples"]) == set(KINDS[1:6])
    for kind, examples in diagnosis["examples"].items():
        first = [row for row, its_kind in zip(rows, kinds, strict=True) if its_kind == kind][:3]
        assert examples == [
            {
                "prompt": row["prompt"],
                "completion": row["completion"],
                "written": ",".join(map(str, model.path_of(row["prompt"]))),
            }
            for row in first
        ]


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d5_l3_n25"])
def test_drawing_is_of_the_first_row_that_is_wrong(config_name):
    rows = star_graphs(config_name, 40)
    drawing = diagnosis_of(Memoriser, config_name, num_rows=40)["drawing"]
    wrong = rows[int(np.nonzero(~guessed_right(rows))[0][0])]
    assert {name: drawing[name] for name in ("edges", "path", "start", "goal")} == {
        name: wrong[name] for name in ("edges", "path", "start", "goal")
    }
    guess = CleverHans.guess(neighbours_of(wrong), wrong["prompt"])
    assert drawing["written"][:2] == [str(wrong["start"]), str(guess)]
    assert set(drawing["probabilities"]) == set(map(str, neighbours_of(wrong)))
    assert drawing["probabilities"].pop(str(guess)) == pytest.approx(1, abs=1e-6)
    assert list(drawing["probabilities"].values()) == pytest.approx([0] * (len(neighbours_of(wrong)) - 1), abs=1e-6)


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d2_l4_n8_rev", "d1_l3_n8"])
def test_drawing_is_of_the_first_row_where_none_is_wrong(config_name):
    row, diagnosis = star_graphs(config_name, 20)[0], diagnosis_of(Oracle, config_name, num_rows=20)
    assert diagnosis["drawing"]["edges"] == row["edges"]
    assert diagnosis["drawing"]["written"] == row["completion"].split(",")
    assert diagnosis["drawing"]["probabilities"][str(row["path"][1])] == pytest.approx(1, abs=1e-6)
    assert len(diagnosis["drawing"]["probabilities"]) == diagnosis["task"]["degree"]
    assert diagnosis["examples"] == {}


@pytest.mark.parametrize("config_name", ["d1_l2_n8", "d2_l4_n8", "d2_l4_n8_rev"])
@pytest.mark.parametrize("decoding", DECODINGS)
def test_diagnosis_is_ready_for_json(config_name, decoding):
    decoding = DECODINGS[decoding](numeral_tokenizer(StarGraph.from_config_name(config_name).num_nodes))
    diagnosis = diagnosis_of(ErringOracle, config_name, 0.2, num_rows=30, decoding=decoding)
    assert json.loads(json.dumps(diagnosis, allow_nan=False)) == diagnosis
    assert diagnosis["verdict"].endswith(".")


def test_where_no_pass_scores_tokens_what_is_written_is_all_there_is():
    tokenizer, rows = numeral_tokenizer(8), star_graphs("d2_l4_n8", 30)
    model, decoding = tiny_gpt2(tokenizer, initializer_range=0.5).eval(), InsertingDecoding(tokenizer)
    diagnosis = diagnose(model, tokenizer, rows, decoding)
    of_rows = RowStore.of(rows, tokenizer)
    ids = decoding.write(model, of_rows.take(torch.arange(30)), 4)
    written = [text.split(",") for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    right = [
        [place < len(nodes) and nodes[place] == node for place, node in enumerate(row["completion"].split(","))]
        for nodes, row in zip(written, rows, strict=True)
    ]
    assert values_of(diagnosis) == {
        "accuracy": np.mean([all(nodes) for nodes in right]),
        "hard_token_accuracy": np.mean([nodes[1] for nodes in right]),
        "token_accuracy": np.mean(right, axis=0).tolist(),
        "valid_path_rate": sum(shares_of(diagnosis).get(kind, 0) for kind in ("right arm", "wrong arm")),
    }
    assert 0 < np.mean(right) < 1
    assert diagnosis["absent"].keys() == {name for name, number in diagnosis["numbers"].items() if number is None}
    assert diagnosis["absent"]["hard_token_mass"] == (
        "with the decoding inserting one pass does not say how likely a node is"
    )
    assert list(diagnosis["numbers"]) == list(StarGraphDiagnosis.definitions)
    assert diagnosis["calibration"] == []
    assert diagnosis["drawing"]["probabilities"] == {}
    assert diagnosis["drawing"]["written"] in written


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_does_not_matter(batch_size):
    expected = diagnosis_of(ErringOracle, "d2_l4_n8", 0.3, num_rows=40)
    assert diagnosis_of(ErringOracle, "d2_l4_n8", 0.3, num_rows=40, batch_size=batch_size) == expected


def test_progress_bar_changes_no_number():
    expected = diagnosis_of(ErringOracle, "d2_l4_n8", 0.3, num_rows=40)
    assert diagnosis_of(ErringOracle, "d2_l4_n8", 0.3, num_rows=40, description="Diagnosing") == expected


# What a GPT-2 really writes


def small_gpt2(tokenizer, **overrides):
    return tiny_gpt2(tokenizer, n_embd=32, **overrides).float()


def half_trained(config_name, steps, learning_rate):
    tokenizer = numeral_tokenizer(StarGraph.from_config_name(config_name).num_nodes)
    model, objective = small_gpt2(tokenizer), TeacherForcedObjective(tokenizer)
    rows = tokenize_dataset(star_graphs(config_name, 3000), tokenizer).select_columns(["prompt_ids", "completion_ids"])
    rows, collator = list(rows), CompletionCollator(objective)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        chosen_rows = torch.randint(len(rows), (32,)).tolist()
        optimizer.zero_grad()
        mean_loss(objective, model, collator([rows[i] for i in chosen_rows])).backward()
        optimizer.step()
    return model.eval(), tokenizer


def writes_the_rest(model, tokenizer, prompts, paths, num_shown, num_left_out=0):
    """Whether free-running decoding after the first nodes of each path writes the others."""
    ids = torch.tensor(tokenizer(prompts, add_special_tokens=False)["input_ids"])
    paths = torch.tensor([list(map(int, path)) for path in paths])  # a label is its own id
    shown = torch.cat([ids, paths[:, :num_shown]], dim=1)
    rest = paths.shape[1] - num_shown
    options = {"max_new_tokens": rest, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    written = model.generate(shown, attention_mask=torch.ones_like(shown), **options)[:, -rest:]
    right = written == paths[:, num_shown:]
    return right[:, : rest - num_left_out].all(dim=1).double().numpy()


@pytest.mark.parametrize(
    ("config_name", "steps", "learning_rate"), [("d2_l3_n8", 150, 6e-3), ("d2_l4_n8_rev", 300, 1e-2)]
)
def test_accuracy_given_the_first_step_is_what_is_written_after_it(config_name, steps, learning_rate):
    (model, tokenizer), rows = half_trained(config_name, steps, learning_rate), star_graphs(config_name, 300)
    arms = read_diagnosis(rows).graphs
    prompts, true = list(rows["prompt"]), [one[0] for one in arms]
    entered = [one[0][:1] + one[1][1:] for one in arms]  # the first node, and the other arm from there
    values = values_of(diagnose(model, tokenizer, rows))
    given = writes_the_rest(model, tokenizer, prompts, true, num_shown=2).mean()
    name, num_left_out = ("counterfactual_accuracy", 1) if len(true[0]) > 3 else ("counterfactual_end_accuracy", 0)
    counterfactual = writes_the_rest(model, tokenizer, prompts, entered, 2, num_left_out).mean()
    assert 0.02 < given < 0.98 and 0.02 < counterfactual < 0.98 and given != counterfactual
    assert values["accuracy_given_first_step"] == pytest.approx(given)
    assert values[name] == pytest.approx(counterfactual)
    assert values["accuracy"] == pytest.approx(writes_the_rest(model, tokenizer, prompts, true, num_shown=0).mean())


def test_dropout_is_off_and_the_mode_of_the_model_restored():
    tokenizer, rows = numeral_tokenizer(8), star_graphs("d2_l4_n8", 20)
    model = small_gpt2(tokenizer, resid_pdrop=0.5, initializer_range=0.3)
    first, second = diagnose(model.train(), tokenizer, rows), diagnose(model, tokenizer, rows)
    assert model.training
    assert first == second == diagnose(model.eval(), tokenizer, rows)
    assert not model.training


# Nodes of several tokens


def with_padding(tokenizer):
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


every_tokenizer = pytest.mark.parametrize("tokenizer_name", TOKENIZERS)


@every_tokenizer
@pytest.mark.parametrize("config_name", ["d2_l2_n20", "d2_l4_n20", "d2_l4_n20_rev"])
def test_oracle_in_other_tokens(tokenizer_name, config_name):
    tokenizer = with_padding(TOKENIZERS[tokenizer_name]())
    values = values_of(diagnosis_of(Oracle, config_name, num_rows=50, tokenizer=tokenizer))
    for name in ("accuracy", "hard_token_accuracy", "valid_path_rate"):
        assert values[name] == 1.0
    assert values["hard_token_mass"] == pytest.approx(1, abs=1e-5)
    assert values["hard_token_confidence"] == pytest.approx(1, abs=1e-5)
    assert values.get("counterfactual_accuracy", 0.0) == 0.0


@every_tokenizer
def test_probabilities_of_the_hard_token_do_not_depend_on_the_tokens(tokenizer_name):
    tokenizer = with_padding(TOKENIZERS[tokenizer_name]())
    rate = guessed_right(star_graphs("d2_l4_n20", 100)).mean()
    diagnosis = diagnosis_of(CleverHans, "d2_l4_n20", tokenizer=tokenizer)
    values = values_of(diagnosis)
    assert values["accuracy"] == values["hard_token_accuracy"] == pytest.approx(rate)
    assert values["hard_token_mass"] == pytest.approx(1, abs=1e-5)
    assert values["hard_token_confidence"] == pytest.approx((1 + EDGE) / (2 + EDGE), abs=1e-5)
    assert shares_of(diagnosis) == {"right arm": pytest.approx(rate), "wrong arm": pytest.approx(1 - rate)}
    guesser = values_of(diagnosis_of(UniformGuesser, "d2_l4_n20", num_rows=20, tokenizer=tokenizer))
    assert guesser["hard_token_mass"] == pytest.approx(2 / 20, rel=2 * EDGE)
    assert guesser["hard_token_confidence"] == pytest.approx(1 / 20, rel=2 * EDGE)


@every_tokenizer
def test_what_is_forced_does_not_depend_on_the_tokens(tokenizer_name):
    tokenizer = with_padding(TOKENIZERS[tokenizer_name]())
    expected = values_of(diagnosis_of(CleverHans, "d2_l4_n20"))
    values = values_of(diagnosis_of(CleverHans, "d2_l4_n20", tokenizer=tokenizer))
    for name in (*FORCED, *AFTER_FIRST_STEP):
        assert values[name] == pytest.approx(expected[name])


@torch.no_grad()
def probability_by_hand(model, prompt_ids, completion_ids, first, last):
    """The product of the probabilities of some tokens of a completion, each predicted in a pass of its own."""
    product = 1.0
    for position in range(first, last):
        logits = model(input_ids=torch.tensor([prompt_ids + completion_ids[:position]])).logits[0, -1]
        product *= logits.double().softmax(dim=-1)[completion_ids[position]].item()
    return product


@every_tokenizer
@pytest.mark.parametrize("config_name", ["d2_l2_n20", "d2_l3_n20", "d2_l3_n20_rev"])
def test_probability_of_a_node_is_the_product_of_its_tokens(tokenizer_name, config_name):
    tokenizer = with_padding(TOKENIZERS[tokenizer_name]())
    model, rows = small_gpt2(tokenizer, initializer_range=0.1).eval(), star_graphs(config_name, 40)
    bos = [tokenizer.bos_token_id] if tokenizer_name == "sentencepiece style" else []
    hard_node = StarGraph.from_config_name(config_name).hard_part
    lengths, masses, likeliest = set(), [], []

    def ids_of(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def probability(row, arms, arm):
        """Of the node of an arm, and of what ends it, after the true nodes."""
        nodes = [*arms[0][:hard_node], arm[hard_node]]
        is_last = len(nodes) == len(arm)
        before = len(ids_of(",".join(nodes[:-1]) + ",")) if nodes[:-1] else len(ids_of("0")) - 1
        completion = ids_of(",".join(nodes)) + ([tokenizer.eos_token_id] if is_last else ids_of("0,0")[-2:-1])
        lengths.add(len(completion) - before)
        return probability_by_hand(model, bos + ids_of(row["prompt"]), completion, before, len(completion))

    for row, arms in zip(rows, read_diagnosis(rows).graphs, strict=True):
        candidates = [probability(row, arms, arm) for arm in arms]
        masses.append(sum(candidates))
        likeliest.append(max(candidates))
    assert lengths == ({2} if tokenizer_name == "whole numbers" else {2, 3})
    diagnosis = diagnose(model, tokenizer, rows)
    assert values_of(diagnosis)["hard_token_mass"] == pytest.approx(np.mean(masses), rel=1e-4)
    assert values_of(diagnosis)["hard_token_confidence"] == pytest.approx(np.mean(likeliest), rel=1e-4)
    # and node by node
    drawn = next(i for i, row in enumerate(rows) if row["edges"] == diagnosis["drawing"]["edges"])
    arms = read_diagnosis(rows).graphs[drawn]
    expected = {arm[hard_node]: probability(rows[drawn], arms, arm) for arm in arms}
    assert diagnosis["drawing"]["probabilities"] == pytest.approx(expected, rel=1e-4)


class Masked(Oracle):
    """An oracle whose other tokens have no probability at all."""

    def forward(self, *arguments, **options):
        output = super().forward(*arguments, **options)
        output.logits = output.logits.masked_fill(output.logits < -10, -math.inf)
        return output


def test_probability_of_zero_is_a_number():
    values = values_of(diagnosis_of(Masked, "d2_l4_n8", num_rows=20))
    assert values["accuracy"] == 1.0
    assert values["hard_token_mass"] == values["hard_token_confidence"] == pytest.approx(1)


# What cannot be diagnosed


def without(column):
    return star_graphs("d2_l3_n8", 4).remove_columns(column)


def changed(**columns):
    return star_graphs("d2_l3_n8", 4).map(lambda row: {name: change(row) for name, change in columns.items()})


def mixed(*config_names):
    return concatenate_datasets([star_graphs(name, 4) for name in config_names])


REFUSED = {
    "no edges": (without("edges"), "needs the edges of star graphs; the dataset has no column edges"),
    "no goal": (without("goal"), "the dataset has no column goal"),
    "no prompt": (without("prompt"), "the dataset has no column prompt"),
    "no rows": (star_graphs("d2_l3_n8", 4).select([]), "cannot evaluate on an empty dataset"),
    "stream": (star_graphs("d2_l3_n8", 4).to_iterable_dataset(), "needs a map-style dataset"),
    "two lengths": (mixed("d2_l3_n8", "d2_l4_n8"), r"graphs of one shape and direction, got G\(2,3\) and G\(2,4\)"),
    "two degrees": (mixed("d2_l3_n8", "d1_l3_n8"), r"graphs of one shape and direction, got G\(1,3\) and G\(2,3\)"),
    "two directions": (mixed("d2_l3_n8", "d2_l3_n8_rev"), "needs graphs of one shape and direction"),
    "wrong path": (changed(path=lambda row: row["path"][::-1]), "the path of '.*' is .*, but the row says"),
    "wrong completion": (changed(completion=lambda row: "0,0,0"), "is .*, but the row says '0,0,0'"),
    "wrong goal": (changed(goal=lambda row: row["path"][1]), "the path of '.*' is .*, but the row says"),
    "wrong start": (changed(start=lambda row: row["goal"]), "the start by one|have several"),
    "no star": (changed(edges=lambda row: row["edges"][:-1] + row["edges"][:1]), "two edges lead to one node"),
    "labels out of range": (star_graphs("d2_l3_n50", 4), "does it know all labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_diagnosed_is_refused(case):
    dataset, message = REFUSED[case]
    model = Oracle(8)
    with pytest.raises(ValueError, match=message):
        diagnose(model, model.tokenizer, dataset)


def test_a_rule_is_all_that_a_known_model_needs():
    with pytest.raises(NotImplementedError):
        diagnosis_of(KnownModel, "d2_l3_n8", num_rows=2)
