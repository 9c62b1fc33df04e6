import pytest
from datasets import load_dataset
from known_models import (
    CleverHans,
    EdgeFollower,
    ErringOracle,
    GraphGuesser,
    Memoriser,
    NearGoalOracle,
    Oracle,
    UniformGuesser,
)

from hf_nextfail.diagnoses.star_graph_verdict import equal, percent, verdict
from hf_nextfail.evaluation.diagnose import diagnose
from hf_nextfail.tasks import StarGraph


def number(value, standard_error=0.01):
    if isinstance(value, list):
        standard_error = [standard_error] * len(value)
    return {"value": value, "standard_error": standard_error, "n": 1000, "num_graphs": 1000}


CLEVER_HANS = {
    "accuracy": 0.51,
    "hard_token_accuracy": 0.51,
    "token_accuracy": [1.0, 0.51, 0.51, 0.51],
    "forced_token_accuracy": [1.0, 0.51, 1.0, 1.0],
    "independent_errors_accuracy": 0.51,
    "accuracy_given_first_step": 0.998,
    "counterfactual_accuracy": 0.997,
    "counterfactual_end_accuracy": 0.996,
    "hard_token_mass": 0.999,
    "hard_token_confidence": 0.52,
    "hard_token_overconfidence": 0.01,
}


def verdict_on(degree=2, path_length=4, reverse=False, decoding="autoregressive", **changes):
    """The verdict on the numbers of a Clever Hans, but for some of them."""
    numbers = {
        name: None if value is None else value if isinstance(value, dict) else number(value)
        for name, value in (CLEVER_HANS | changes).items()
    }
    if decoding != "autoregressive":
        numbers["forced_token_accuracy"] = None
    task = {"degree": degree, "path_length": path_length, "reverse": reverse, "decoding": decoding}
    return verdict({"task": task, "numbers": numbers})


# Percentages


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50.0 %"),
        (0.998, "99.8 %"),
        (0.2, "20.0 %"),
        (1 / 3, "33.3 %"),
        (0.9994, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.001, "0.1 %"),
        (0.00001, "0.001 %"),
        (0.0004, "0.04 %"),
    ],
)
def test_percent_is_all_or_nothing_only_where_it_is(share, text):
    assert percent(share) == text


@pytest.mark.parametrize("rows", [7, 1000, 20_000, 10**6])
def test_one_row_of_many_is_neither_all_nor_nothing(rows):
    assert float(percent(1 / rows).removesuffix(" %")) > 0
    assert float(percent(1 - 1 / rows).removesuffix(" %")) < 100


# When numbers agree


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        (number(0.50, 0.01), 0.52, True),
        (number(0.50, 0.01), 0.535, False),
        (number(0.50, 0.02), 0.555, True),  # three standard errors
        (number(0.50, 0.02), 0.565, False),
        (number(0.50, 0.0), 0.515, True),  # the margin
        (number(0.50, 0.0), 0.525, False),
        (number(0.50, 0.03), number(0.64, 0.04), True),  # errors of 0.05 together
        (number(0.50, 0.03), number(0.66, 0.04), False),
    ],
)
def test_numbers_agree_within_their_errors_and_a_margin(first, second, agree):
    assert equal(first, second) == agree
    if isinstance(second, dict):
        assert equal(second, first) == agree


# One sentence for each thing that a model can be


def test_solved():
    assert verdict_on(accuracy=0.998, hard_token_accuracy=0.998) == (
        "It solves the task: 99.8 % of its paths are right as a whole, the first step among them, where guessing an "
        "arm gives 50.0 %."
    )
    assert verdict_on(accuracy=0.95, degree=5).endswith("where guessing an arm gives 20.0 %.")
    assert not verdict_on(accuracy=0.949).startswith("It solves the task")


@pytest.mark.parametrize("decoding", ["autoregressive", "parallel"])
def test_solved_backwards(decoding):
    assert verdict_on(accuracy=1.0, reverse=True, decoding=decoding) == (
        "It solves the task: 100 % of its paths are right as a whole. Written from the goal to the start, no step "
        "needs a guess."
    )


def test_solved_where_there_is_one_arm():
    assert verdict_on(accuracy=1.0, degree=1) == (
        "It solves the task: 100 % of its paths are right as a whole, on graphs of one arm."
    )


@pytest.mark.parametrize("decoding", ["autoregressive", "parallel"])
@pytest.mark.parametrize("reverse", [False, True])
def test_untrained(decoding, reverse):
    text = verdict_on(accuracy=0.0, hard_token_mass=0.1, decoding=decoding, reverse=reverse)
    assert text == (
        "It has not learnt to read the graph: where the node next to the start is due, only 10.0 % of its probability "
        "lies on the start's neighbours."
    )
    assert not verdict_on(accuracy=0.0, hard_token_mass=0.5, decoding=decoding).startswith("It has not learnt to re")


def test_clever_hans():
    assert verdict_on() == (
        "Errors do not snowball: given the right first step it is right 99.8 % of the time; it fails because the "
        "first step is a coin toss (right 51.0 % of the time). Led into a wrong arm, it follows it 99.7 % of the "
        "time and writes its end 99.6 % of the time: it follows edges and does not look for the goal (the Clever "
        "Hans cheat)."
    )


def test_clever_hans_among_five_arms():
    text = verdict_on(degree=5, accuracy=0.2, hard_token_accuracy=0.21)
    assert "it fails because the first step is a guess among 5 arms (right 21.0 % of the time)." in text


def test_copying_the_goal_is_told_from_following_the_last_edge():
    text = verdict_on(counterfactual_end_accuracy=0.01)
    assert "follows it 99.7 % of the time and writes the goal, which stands in the prompt, at its end: " in text
    text = verdict_on(path_length=3, counterfactual_accuracy=None, counterfactual_end_accuracy=0.01)
    assert text.endswith(" Led into a wrong arm, it writes the goal, which stands in the prompt, at its end.")
    text = verdict_on(path_length=3, counterfactual_accuracy=None)
    assert text.endswith(" Led into a wrong arm, it writes its end 99.6 % of the time.")


def test_clever_hans_that_is_surer_than_it_may_be():
    text = verdict_on(hard_token_confidence=0.97, hard_token_overconfidence=0.46)
    assert text.startswith(verdict_on())
    assert text.removeprefix(verdict_on()) == (
        " It is surer of its first step than it may be: 97.0 % on average, and right 51.0 % of the time."
    )
    assert verdict_on(hard_token_overconfidence=0.1) == verdict_on()


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.7, "the first step is right 70.0 % of the time, more often than a coin toss would be"),
        (0.3, "the first step is right 30.0 % of the time, less often than even a coin toss would be"),
    ],
)
def test_first_step_that_is_no_coin_toss(accuracy, words):
    text = verdict_on(accuracy=accuracy, hard_token_accuracy=accuracy)
    assert f"it fails because {words}." in text


def test_model_that_turns_to_the_goal_is_not_called_a_clever_hans():
    text = verdict_on(counterfactual_accuracy=0.1, counterfactual_end_accuracy=0.2)
    assert text.endswith(
        "Led into a wrong arm, it follows it 10.0 % of the time and writes its end 20.0 % of the time."
    )
    assert "Clever Hans" not in text


def test_graph_without_a_wrong_arm_says_nothing_of_one():
    text = verdict_on(
        degree=1, accuracy=0.9, hard_token_accuracy=0.9, counterfactual_accuracy=None, counterfactual_end_accuracy=None
    )
    assert "wrong arm" not in text and "right 90.0 % of the time" in text


def test_errors_that_add_up():
    errors = {"accuracy": 0.64, "hard_token_accuracy": 0.9, "accuracy_given_first_step": 0.72}
    assert verdict_on(**errors, independent_errors_accuracy=0.65) == (
        "It has not learnt to follow edges: given the right first step it is right 72.0 % of the time, and the first "
        "step is right 90.0 % of the time, more often than a coin toss would be; errors add up along the path: "
        "independent ones would leave 65.0 % of the paths right, and 64.0 % are."
    )
    assert verdict_on(**errors, independent_errors_accuracy=0.2).endswith(
        "would be; 64.0 % of the paths are right, where independent errors would leave 20.0 %."
    )


def test_memorising_is_told_from_guessing():
    # As a replication of nextlat found on one seed: some paths right, and the nodes in between wrong.
    forced = [1.0, 0.5, 0.06, 0.058, 1.0]
    text = verdict_on(path_length=5, accuracy=0.18, accuracy_given_first_step=0.36, forced_token_accuracy=forced)
    assert text == (
        "It does not guess an arm and follow it, but fails as models do that learn rows by heart: with the true nodes "
        "before them shown, the nodes in between are right 6.0 % and 5.8 % of the time; the first step is a coin toss "
        "(right 51.0 % of the time)."
    )
    assert "by heart" not in verdict_on(path_length=5, forced_token_accuracy=[1.0, 0.5, 0.6, 0.4, 1.0])
    assert "by heart" not in verdict_on(path_length=3, forced_token_accuracy=[1.0, 0.5, 0.4])


def test_paths_of_two_nodes_are_their_first_step():
    text = verdict_on(
        path_length=2, accuracy_given_first_step=None, counterfactual_accuracy=None, counterfactual_end_accuracy=None
    )
    assert text == "It solves 51.0 % of the paths: the first step is a coin toss (right 51.0 % of the time)."


def test_reversed_paths_that_are_not_solved():
    text = verdict_on(reverse=True, accuracy=0.6, accuracy_given_first_step=0.7)
    assert text == (
        "It solves 60.0 % of the reversed paths, in which no step needs a guess; given the first step, 70.0 %."
    )
    text = verdict_on(reverse=True, path_length=2, accuracy=0.6, accuracy_given_first_step=None)
    assert text == "It solves 60.0 % of the reversed paths, in which no step needs a guess."


def test_teacherless_model_sees_backwards_from_the_goal():
    nothing_forced = {
        "decoding": "parallel",
        "accuracy_given_first_step": None,
        "counterfactual_accuracy": None,
        "counterfactual_end_accuracy": None,
    }
    nodes = {"token_accuracy": [1.0, 0.5, 0.6, 0.7, 1.0]}
    text = verdict_on(path_length=5, accuracy=0.4, hard_token_accuracy=0.5, **nothing_forced, **nodes)
    assert text == (
        "It is shown nothing to follow, and solves 40.0 % of the paths. From the goal backwards, the nodes in between "
        "are right 70.0 %, 60.0 % and 50.0 % of the time; the first step is a coin toss (right 50.0 % of the time)."
    )
    text = verdict_on(path_length=5, accuracy=0.4, reverse=True, **nothing_forced, **nodes)
    assert text.endswith("the nodes in between are right 50.0 %, 60.0 % and 70.0 % of the time.")
    unmasking = nothing_forced | {"decoding": "unmasking"}
    text = verdict_on(path_length=5, accuracy=0.4, hard_token_accuracy=0.5, **unmasking, **nodes)
    assert text.startswith("It writes in an order of its own, and solves 40.0 % of the paths. From the goal backwards")
    text = verdict_on(path_length=3, **nothing_forced, token_accuracy=[1.0, 0.51, 1.0])
    assert "the nodes in between are right 51.0 % of the time; the first step is a coin toss" in text


@pytest.mark.parametrize("reverse", [False, True])
def test_teacherless_model_on_paths_of_two_nodes(reverse):
    nothing_forced = {
        "accuracy_given_first_step": None,
        "counterfactual_accuracy": None,
        "counterfactual_end_accuracy": None,
    }
    options = {"path_length": 2, "reverse": reverse, "decoding": "parallel", "token_accuracy": [1.0, 0.51]}
    text = verdict_on(**options, **nothing_forced)
    assert "51.0 %" in text
    assert "in between" not in text and "  " not in text


def test_first_step_is_no_guess_where_there_is_one_arm():
    text = verdict_on(degree=1, accuracy=0.94, hard_token_accuracy=0.99, accuracy_given_first_step=0.9)
    assert "among 1 arms" not in text


# The verdict on models whose answer is known


def verdict_of(rule, config_name, *arguments, num_rows=300, **options):
    task = StarGraph.from_config_name(config_name)
    sizes = {"num_train": num_rows, "num_validation": 0, "num_test": 0}
    rows = load_dataset("nextfail/star_graph", config_name, split="train", **sizes)
    model = rule(task.num_nodes, *arguments, reverse=task.reverse)
    return diagnose(model, model.tokenizer, rows, **options)["verdict"]


SOLVED = "It solves the task: 100 % of its paths are right as a whole"
COIN_TOSS, GUESS = "the first step is a coin toss (right ", "the first step is a guess among 5 arms (right "
CHEAT = "Led into a wrong arm, it follows it 100 % of the time and writes its end 100 % of the time: it follows edges"
END = "Led into a wrong arm, it writes its end 100 % of the time."


@pytest.mark.parametrize(
    ("rule", "config_name", "arguments", "decoding", "parts"),
    [
        (Oracle, "d2_l4_n8", [], "autoregressive", [SOLVED, "guessing an arm gives 50.0 %"]),
        (Oracle, "d2_l4_n8", [], "parallel", [SOLVED, "guessing an arm gives 50.0 %"]),
        (EdgeFollower, "d5_l3_n25", [], "autoregressive", [SOLVED, "guessing an arm gives 20.0 %"]),
        (Oracle, "d2_l4_n8_rev", [], "autoregressive", [SOLVED, "no step needs a guess"]),
        (CleverHans, "d1_l4_n8", [], "autoregressive", [SOLVED, "on graphs of one arm"]),
        (CleverHans, "d2_l4_n8", [], "autoregressive", ["Errors do not snowball", COIN_TOSS, CHEAT]),
        (CleverHans, "d2_l3_n8", [], "autoregressive", ["Errors do not snowball", COIN_TOSS, END]),
        (CleverHans, "d5_l3_n25", [], "autoregressive", ["Errors do not snowball", GUESS, END]),
        (CleverHans, "d2_l2_n8", [], "autoregressive", ["It solves ", " of the paths: " + COIN_TOSS]),
        (Memoriser, "d2_l4_n8", [], "autoregressive", [COIN_TOSS, CHEAT, "surer of its first step than it may be"]),
        (ErringOracle, "d2_l4_n8", [0.1], "autoregressive", ["has not learnt to follow edges", "errors add up along"]),
        (ErringOracle, "d2_l4_n8", [0.4, True], "autoregressive", ["where independent errors would leave"]),
        (ErringOracle, "d2_l4_n8_rev", [0.1], "autoregressive", ["of the reversed paths", "given the first step,"]),
        (UniformGuesser, "d2_l3_n8", [], "autoregressive", ["not learnt to read the graph", "only 25.0 % of its"]),
        (GraphGuesser, "d2_l4_n8", [], "autoregressive", ["not learnt to read the graph", "only 28.6 % of its"]),
        (NearGoalOracle, "d2_l5_n12", [2], "parallel", ["are right 100 %, 0 % and 0 % of the time"]),
        (NearGoalOracle, "d2_l5_n12", [3, True], "parallel", ["are right 100 %, 100 % and ", COIN_TOSS]),
    ],
)
def test_verdict_on_a_known_model(rule, config_name, arguments, decoding, parts):
    text = verdict_of(rule, config_name, *arguments, decoding=decoding)
    assert text.endswith(".")
    for part in parts:
        assert part in text
