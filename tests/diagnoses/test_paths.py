"""Models whose answers are known on every task with hard places of its own, and what must come out."""

import functools
import itertools
import math
import re

import numpy as np
import pytest
from datasets import Dataset
from known_path_models import (
    GuessingWalker,
    NodeGuesser,
    PathOracle,
    StumblingPlanner,
    SureWalker,
    WalkingPlanner,
)
from known_rows import rows_of

from hf_nextfail.diagnoses import DIAGNOSES, NoDiagnosis, PathDiagnosis, definitions_of, diagnosis_of
from hf_nextfail.diagnoses.paths_numbers import DEFINITIONS
from hf_nextfail.evaluation.diagnose import diagnose
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.reporting.schema import check_diagnosis
from hf_nextfail.tasks import TASKS
from hf_nextfail.tasks.paths import successors_of, written_nodes

COUNTERFACTUAL = ("counterfactual_accuracy", "counterfactual_end_accuracy", "counterfactual_goal_rate")
# Trees split at two nodes; the others have one hard place, which varies, or paths of several lengths.
CASES = [
    ("tree_star", "d2_b3_s1_l5_n21"),
    ("crossing_star", "d2_l3_to5_p2_n12"),
    ("minimal_planning", "l5_n10"),
    ("star_graph", "d3_l5_n20_any"),
    ("crossing_star", "d2_l3_to6_p1_n12_rev"),
    ("minimal_planning", "l5_n10_rev"),
]
on_every_task = pytest.mark.parametrize(("name", "config_name"), CASES, ids=["-".join(case) for case in CASES])


@functools.cache
def rows_and_task(name, config_name, num_rows):
    task = TASKS[name].from_config_name(config_name)
    return Dataset.from_list(rows_of(task, num_rows)), task


def diagnosis_by(rule, name, config_name, num_rows=60, **options):
    rows, task = rows_and_task(name, config_name, num_rows)
    model = rule(task)
    diagnosis = diagnose(model, model.tokenizer, rows, task_name=name, **options)
    check_diagnosis(diagnosis)
    assert definitions_of(diagnosis) is DEFINITIONS
    assert set(diagnosis["numbers"]) == set(DEFINITIONS)
    assert diagnosis["absent"].keys() == {name for name, number in diagnosis["numbers"].items() if number is None}
    return diagnosis


def values_of(diagnosis):
    return {name: number["value"] for name, number in diagnosis["numbers"].items() if number is not None}


def places_of(row, task):
    """The path as it is written, and the nodes of it where several edges compete, but for a goal beside the start."""
    path, edges = written_nodes(row["path"]), row["edges"]
    if task.reverse:
        path, edges = path[::-1], [edge[::-1] for edge in edges]
    after = successors_of(edges)
    hard = [place for place in range(1, len(path)) if len(after[path[place - 1]]) > 1]
    return path, after, [] if task.name == "star_graph" and len(path) == 2 else hard


def guesses(rows, task):
    """For each row, whether each guess of a `GuessingWalker` on the right path is right, at every choice there is."""
    found = []
    for row in rows:
        path, after, _ = places_of(row, task)
        forks = [place for place in range(1, len(path)) if len(after[path[place - 1]]) > 1]
        right = [
            GuessingWalker.guess(row["prompt"], after[path[place - 1]], path[place - 1]) == path[place]
            for place in forks
        ]
        found.append(right)
    return found


@on_every_task
def test_a_task_says_which_nodes_need_a_plan_and_what_guessing_gives(name, config_name):
    rows, task = rows_and_task(name, config_name, 60)
    shift = 1 if name == "minimal_planning" else 0
    for row, hard in zip(rows, task.hard_places(rows.to_dict()), strict=True):
        path, after, places = places_of(row, task)
        assert hard == {place - shift: 1 / len(after[path[place - 1]]) for place in places}
        for column in {"hard_place", "crossing"} & row.keys() if not task.reverse else ():
            assert list(hard) == [row[column]]
    some_have_none = name == "star_graph" or task.reverse
    assert len({len(hard) for hard in task.hard_places(rows.to_dict())}) == 1 + some_have_none


@on_every_task
@pytest.mark.parametrize("rule", [PathOracle, WalkingPlanner])
def test_planners_are_right_everywhere_and_differ_in_wrong_branches(name, config_name, rule):
    values = values_of(diagnosis := diagnosis_by(rule, name, config_name, 30))
    led_astray = [values.pop(number) for number in COUNTERFACTUAL]
    if rule is WalkingPlanner:
        assert led_astray == [1.0, 1.0, 0.0]
    else:  # by position, it writes the goal at the end of a branch that is as long as the path
        assert led_astray[:2] == [0.0, 0.0]
        assert led_astray[2] == 1.0 if name in ("tree_star", "minimal_planning") else 0 < led_astray[2] < 1
    assert values.pop("hard_token_overconfidence") == pytest.approx(0, abs=1e-6)
    for number, value in values.items():
        assert np.array(value) == pytest.approx(1.0, abs=1e-6), number
    chance = math.prod(diagnosis["task"]["chance"])
    assert diagnosis["verdict"].startswith("It solves the task: 100 % of its paths are right as a whole, the node")
    assert diagnosis["verdict"].endswith(f"where guessing gives {100 * chance:.1f} %.")


@on_every_task
def test_a_clever_hans_guesses_at_hard_places_and_is_right_elsewhere(name, config_name):
    rows, task = rows_and_task(name, config_name, 60)
    diagnosis, right = diagnosis_by(GuessingWalker, name, config_name), guesses(rows, task)
    hard = [row for row, row_right in zip(rows, right, strict=True) if places_of(row, task)[2]]
    at_choices = np.array([r for row, r in zip(rows, right, strict=True) if places_of(row, task)[2]], dtype=float)
    values, degree = values_of(diagnosis), round(1 / diagnosis["task"]["chance"][-1])
    accuracy = np.mean([all(row_right) for row_right in right])
    expected = {
        "accuracy": accuracy,
        "hard_token_accuracy": at_choices[:, 0].mean(),
        "hard_places_accuracy": np.cumprod(at_choices, axis=1).mean(axis=0).tolist(),
        "forced_hard_places_accuracy": at_choices.mean(axis=0).tolist(),
        "forced_other_token_accuracy": 1.0,
        "accuracy_given_hard_token": 1.0,
        "clever_hans_accuracy": 1.0,
        "counterfactual_accuracy": 1.0,
        "counterfactual_end_accuracy": 1.0,
        "counterfactual_goal_rate": 0.0,
        "hard_token_mass": 1.0,
        "hard_token_confidence": 1 / degree,
        "hard_token_overconfidence": 1 / degree - at_choices[:, -1].mean(),
    }
    for number, value in expected.items():
        assert values[number] == pytest.approx(value, abs=1e-4), number
    for number in ("hard_token_accuracy", "hard_token_mass"):
        assert diagnosis["numbers"][number]["n"] == len(hard)
    # Guesses at one place are as independent of each other as can be.
    unplanned = [all(r) for row, r in zip(rows, right, strict=True) if not places_of(row, task)[2]]
    independent = np.prod(at_choices.mean(axis=0)) * len(hard) / len(rows) + sum(unplanned) / len(rows)
    assert values["independent_errors_accuracy"] == pytest.approx(independent)
    if "accuracy_by_distance" in values:
        read = [places_of(row, task) for row in rows]
        none = 0 if task.reverse else 1
        distance = [len(path) - places[0] if places else none for path, _, places in read]
        assert diagnosis["task"]["distances"] == sorted(set(distance))
        for steps, value in zip(diagnosis["task"]["distances"], values["accuracy_by_distance"], strict=True):
            of_steps = [all(r) for d, r in zip(distance, right, strict=True) if d == steps]
            assert value == pytest.approx(np.mean(of_steps))
    else:
        assert name == "tree_star"
    shares = {kind: share["value"] for kind, share in diagnosis["errors"].items()}
    assert shares["right arm"] == pytest.approx(accuracy)
    # It writes no more than the longest right answer, and a wrong arm may be longer.
    assert shares["wrong arm"] + shares["wrong length"] == pytest.approx(1 - accuracy)
    assert shares["wrong length"] < 0.05
    verdict = diagnosis["verdict"]
    assert "Errors do not snowball: given the right choice, the rest is right 100 % of the time; it fails" in verdict
    assert re.search("because the (first )?node that needs a plan is (a coin toss|a guess)", verdict)
    assert "Led into a wrong branch, it follows it 100 % of the time and writes its end 100 %" in verdict
    assert "surer of its choice" not in verdict


@on_every_task
def test_a_guesser_has_not_learnt_to_read_the_graph(name, config_name):
    rows, task = rows_and_task(name, config_name, 30)
    diagnosis = diagnosis_by(NodeGuesser, name, config_name, 30)
    values, sizes = values_of(diagnosis), [len(successors_of(row["edges"])) for row in rows]
    chance, degree = np.mean([1 / size for size in sizes]), round(1 / diagnosis["task"]["chance"][-1])
    # Of an edge that leaves the start, it guesses that as well.
    hard = [min(places, default=None) for places in task.hard_places(rows.to_dict())]
    chosen = [(place, size) for place, size in zip(hard, sizes, strict=True) if place is not None]
    both = np.mean([1 / size ** (1 + (place == 0)) for place, size in chosen])
    # Back from the centre, an arm may end with its first node: a guess that does not end with it is none of that arm.
    least = 0.0 if name == "crossing_star" and task.reverse else 0.9
    for number, value in (("hard_token_mass", degree * both), ("hard_token_confidence", both)):
        assert least * value < values[number] < 1.1 * value, number
    for number in ("forced_other_token_accuracy", "counterfactual_end_accuracy", "counterfactual_goal_rate"):
        if (name, number) == ("minimal_planning", "forced_other_token_accuracy"):  # of an edge the source is known
            continue
        if least == 0 and number == "counterfactual_end_accuracy":  # it ends where the right path would
            continue
        error = diagnosis["numbers"][number]["standard_error"]
        assert abs(values[number] - chance) < 4 * error + 0.05, number
    assert values["accuracy"] < 0.1
    assert values["valid_path_rate"] < 0.1
    assert diagnosis["verdict"].startswith("It has not learnt to read the graph: where a node that needs a plan")
    shown = diagnosis["drawing"]
    assert {"edges", "path", "start", "goal", "written", "probabilities"} <= shown.keys()
    size = len(successors_of(shown["edges"]))
    if shown["probabilities"]:
        assert sum(shown["probabilities"].values()) == pytest.approx(degree / size, rel=0.01)
    else:  # of a row that needs no plan
        assert task.reverse


def test_errors_at_every_node_add_up():
    diagnosis = diagnosis_by(StumblingPlanner, "crossing_star", "d2_l3_to5_p2_n12", 120)
    values = values_of(diagnosis)
    assert values["forced_other_token_accuracy"] == pytest.approx(1 - StumblingPlanner.error, abs=0.1)
    assert values["independent_errors_accuracy"] == pytest.approx(values["accuracy"], abs=0.08)
    assert "It has not learnt to follow edges" in diagnosis["verdict"]
    assert "errors add up along the path" in diagnosis["verdict"]


def test_a_memoriser_is_surer_than_it_may_be():
    diagnosis = diagnosis_by(SureWalker, "minimal_planning", "l5_n10", 60)
    assert values_of(diagnosis)["hard_token_confidence"] == pytest.approx(1.0, abs=1e-6)
    assert "It is surer of its choice than it may be: 100 % on average" in diagnosis["verdict"]


@pytest.mark.parametrize("decoding", ["parallel", "inserting"])
def test_what_a_decoding_does_not_show_is_absent(decoding):
    class Blind(PathOracle):
        """Reads dummies, of which none is a number, by their places."""

        def next_word(self, graph, shown):
            return {str(graph.path[len(shown)]): 1.0} if len(shown) < len(graph.path) else {"<eos>": 1.0}

    rows, task = rows_and_task("crossing_star", "d2_l3_to5_p2_n12", 20)
    model = Blind(task)
    if decoding == "inserting":
        diagnosis = diagnosis_of("crossing_star", rows.to_dict()).conclude(
            None, {}, [completion.split(",") for completion in rows["completion"]], None, decoding, False, False
        )
    else:
        diagnosis = diagnose(model, model.tokenizer, rows, decoding, task_name="crossing_star")
    check_diagnosis(diagnosis)
    values = values_of(diagnosis)
    assert values["accuracy"] == values["hard_token_accuracy"] == values["other_token_accuracy"] == 1.0
    assert not {*COUNTERFACTUAL, "clever_hans_accuracy", "forced_hard_places_accuracy"} & values.keys()
    assert ("hard_token_mass" in values) == (decoding == "parallel")
    assert f"with the decoding {decoding} it is not shown" in diagnosis["absent"]["clever_hans_accuracy"]


@on_every_task
def test_evaluation_has_the_hard_token_of_every_row(name, config_name):
    rows, task = rows_and_task(name, config_name, 60)
    model = GuessingWalker(task)
    results = evaluate(model, rows, None, model.tokenizer, task)
    hard = [r[0] for row, r in zip(rows, guesses(rows, task), strict=True) if places_of(row, task)[2]]
    for prefix in ("", "forced_"):
        assert results[f"{prefix}hard_token_accuracy"]["value"] == pytest.approx(np.mean(hard))
        assert results[f"{prefix}hard_token_accuracy"]["n"] == len(hard)
        assert (results[f"{prefix}token_accuracy"] is None) == (not task.fixed_length)
    first = {next(iter(places.values())) for places in task.hard_places(rows.to_dict()) if places}
    assert first == {task.chance["hard_token_accuracy"]}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_a_diagnosis_or_says_in_one_line_that_it_has_none(name):
    rows = rows_of(TASKS[name](), 3)
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    if name in DIAGNOSES:
        assert diagnosis_of(name, columns).task.name == name
    else:
        with pytest.raises(NoDiagnosis, match=rf"^{name} has no diagnosis, only star_graph, .* have one: [^\n]+$"):
            diagnosis_of(name, columns)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path": lambda row: row["path"][::-1]}, "but the row says"),
        ({"completion": lambda row: "0,0,0"}, "but the row says '0,0,0'"),
        ({"goal": lambda row: row["start"]}, "the path of '.*' is"),
        ({"edges": lambda row: [*row["edges"], [row["goal"], row["start"]]]}, "make a circle"),
    ],
)
def test_other_rows_are_refused(changes, reason):
    rows, _ = rows_and_task("tree_star", "d2_b3_s1_l5_n21", 30)
    changed = rows.select(range(2)).map(lambda row: {name: change(row) for name, change in changes.items()})
    with pytest.raises(NoDiagnosis, match=reason):
        diagnosis_of("tree_star", changed.to_dict())
    with pytest.raises(NoDiagnosis, match="no column edges"):
        diagnosis_of("tree_star", rows.remove_columns("edges").to_dict())


def test_every_definition_says_everything_in_one_line():
    assert PathDiagnosis.definitions is DEFINITIONS
    for part in itertools.chain(*DEFINITIONS.values()):
        assert part and part == part.strip() and "\n" not in part


def test_reversed_trees_need_no_plan_and_are_read_from_the_leaf():
    diagnosis = diagnosis_by(WalkingPlanner, "tree_star", "d2_b3_s1_l5_n21_rev", 20)
    of_task = diagnosis["task"]
    assert (of_task["reverse"], of_task["chance"], of_task["distances"]) == (True, [], [0])
    assert diagnosis["verdict"].endswith("right as a whole, in which no node needs a plan.")
    clumsy = diagnosis_by(NodeGuesser, "tree_star", "d2_b3_s1_l5_n21_rev", 20)["verdict"]
    assert clumsy.startswith("It has not learnt to follow edges") and "no node needs a plan" in clumsy
    rows, _ = rows_and_task("tree_star", "d2_b3_s1_l5_n21_rev", 20)
    shown = diagnosis["drawing"]
    assert shown["reverse"] and shown["written"] == list(map(str, shown["path"][::-1]))
    assert [shown[name] for name in ("edges", "path", "start", "goal")] == [
        rows[0][name] for name in ("edges", "path", "start", "goal")
    ]


def test_a_verdict_on_reversed_paths_speaks_of_the_start():
    verdict = diagnosis_by(GuessingWalker, "minimal_planning", "l5_n10_rev", 120)["verdict"]
    assert "it follows edges and does not look for the start" in verdict
    assert "Of paths whose start is 0 steps from the choice 100 % are right" in verdict


def test_rows_of_two_directions_are_refused():
    forwards, backwards = (rows_and_task("tree_star", f"d2_b3_s1_l5_n21{end}", 20)[0] for end in ("", "_rev"))
    mixed = {name: [forwards[name][0], backwards[name][0]] for name in forwards.column_names}
    with pytest.raises(NoDiagnosis, match="but the row says"):
        diagnosis_of("tree_star", mixed)
