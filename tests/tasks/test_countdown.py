"""Countdown rows have a solution, and the verifier takes all solutions and nothing else."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_rows import rows_of
from problem_strategies import examples

from hf_nextfail.tasks import SPLITS, Countdown, split_of

ROW = {"numbers": [14, 83, 88, 91], "target": 23}
RIGHT = "83-14=69,91-88=3,69/3=23"


def solutions(numbers: list[int]) -> dict[int, list[str]]:
    """All ways to use each number once, by their last result; with exact fractions instead of whole numbers."""
    if len(numbers) == 1:
        return {numbers[0]: [""]}
    found = {}
    for i, j in itertools.permutations(range(len(numbers)), 2):
        a, b = numbers[i], numbers[j]
        rest = [number for place, number in enumerate(numbers) if place not in (i, j)]
        results = {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b)}
        if b:
            results["/"] = Fraction(a, b)
        for sign, result in results.items():
            if result.denominator == 1 and result >= 0:
                for last, later in solutions([int(result), *rest]).items():
                    texts = [f"{a}{sign}{b}={result}" + ("," + text if text else "") for text in later]
                    found.setdefault(last, []).extend(texts)
    return found


def test_brute_force_finds_the_answer_of_each_row_and_the_verifier_takes_all_that_it_finds():
    task = Countdown(3)
    for row in rows_of(task, 25):
        found = solutions(row["numbers"])
        assert row["completion"] in found[row["target"]]
        for last, texts in found.items():
            assert {task.score(text, row) for text in texts} == {float(last == row["target"])}
            assert all(all(task.valid_equations(text, row)) for text in texts)


@pytest.mark.parametrize("num_numbers", [3, 4, 5, 6])
def test_rows_are_in_range_and_their_columns_say_what_their_texts_say(num_numbers):
    task = Countdown(num_numbers)
    for row in rows_of(task, 300):
        assert row["prompt"] == ",".join(map(str, [*row["numbers"], row["target"]])) + "|"
        equations = [
            f"{a}{'+-*/'[sign]}{b}={c}" for (a, b, c), sign in zip(row["equations"], row["operations"], strict=True)
        ]
        assert row["completion"] == ",".join(equations)
        assert len(row["numbers"]) == num_numbers == len(equations) + 1
        assert all(1 <= number <= 99 for number in row["numbers"])
        assert 10 <= row["target"] <= 100
        assert all(1 <= c <= 9_999 for _, _, c in row["equations"])
        assert task.score(row["completion"], row) == 1.0
        assert set(row["prompt"] + row["completion"]) <= set(task.words)


def test_each_operation_place_and_target_occurs():
    columns = Countdown().sample(np.random.default_rng(0), 20_000)
    assert np.unique(columns["target"]).tolist() == list(range(10, 101))
    for step in range(3):
        assert np.unique(columns["operations"][:, step]).tolist() == [0, 1, 2, 3]
    uses = (columns["equations"][:, 0, :1] == columns["numbers"]).mean(axis=0)
    assert np.ptp(uses) < 0.03  # no place among the numbers is used first more often than another


@pytest.mark.parametrize(
    ("prediction", "valid"),
    [
        (RIGHT, [True, True, True]),
        (" 83-14=69 ,\n91-88=3, 69/3=23 ", [True, True, True]),
        ("91-88=3,83-14=69,69/3=23", [True, True, True]),
        ("83-14=69,91-88=3,69/3=24", [True, True, False]),  # wrong
        ("83-14=69,91-88=3,69*3=207", [True, True, True]),  # another target
        ("83-14=69,69/3=23,91-88=3", [True, False, True]),  # uses a result before it is there
        ("83-14=69,91-88=3,69-46=23", [True, True, False]),  # 46 is not there
        ("83-14=69,83-14=69,69/3=23", [True, False, False]),  # uses two numbers twice
        ("83-14=69,91-88=3", [True, True]),  # too few
        (RIGHT + ",23+0=23", [True, True, True, False]),  # too many
        ("14-83=-69,91-88=3,69/3=23", [False, True, False]),  # below zero
        ("88/14=6,91-83=8,6+8=14", [False, True, False]),  # not exact
        ("83 - 14=69,91-88=3,69/3=23", [False, True, False]),
        ("083-14=69,91-88=3,69/3=23", [False, True, False]),
        ("83-14=69;91-88=3;69/3=23", [False]),
        (RIGHT + ",", [True, True, True, False]),
        ("83-14", [False]),
        ("83/0=0", [False]),
        ("", [False]),
        (None, []),
    ],
)
def test_what_is_valid(prediction, valid):
    assert Countdown().valid_equations(prediction, ROW) == valid
    right = len(valid) == 3 and all(valid) and prediction.rstrip().endswith("=23")
    assert Countdown().score(prediction, ROW) == float(right)
    assert Countdown().measures(prediction, ROW) == {"valid_equations": sum(valid) / max(len(valid), 3)}


def test_a_number_that_is_there_twice_is_used_twice():
    row = {"numbers": [7, 7, 9], "target": 10}
    assert Countdown(3).score("7/7=1,1+9=10", row) == 1.0
    assert Countdown(3).valid_equations("7/7=1,7+1=8", row) == [True, False]
    assert Countdown(3).valid_equations("9/9=1", row) == [False]


@examples(max_examples=150)
@given(st.one_of(st.text(), st.text("0123456789+-*/=, ", max_size=40), st.none(), st.binary(), st.integers()))
def test_any_prediction_at_all_scores_zero_unless_it_is_an_answer(prediction):
    assert Countdown().score(prediction, ROW) == 0.0
    assert Countdown().score("9" * 5_000 + "+1=2,1+1=2,2+2=4", ROW) == 0.0


def test_whole_targets_are_held_out():
    targets = np.arange(10, 101)
    splits = split_of(Countdown().split_key({"target": targets}))
    assert {split: (splits == split).sum() for split in SPLITS} == {"train": 71, "validation": 10, "test": 10}
    assert targets[splits == "test"].tolist() == [13, 14, 20, 26, 27, 32, 36, 40, 59, 70]
    for num_numbers in (3, 5):  # whatever the configuration
        for split in SPLITS:
            drawn = Countdown(num_numbers).sample_shard(split, 0, num_rows=2_000)["target"]
            assert set(drawn.tolist()) == set(targets[splits == split].tolist())


@pytest.mark.parametrize("value", [2, 7, 4.0, "4", True])
def test_fields_are_checked(value):
    with pytest.raises(ValueError, match=f"num_numbers must be an integer from 3 to 6, got {value!r}"):
        Countdown(num_numbers=value)


@pytest.mark.parametrize("name", ["n2", "n4_", "k4", "4", "n04", ""])
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(ValueError) as failure:
        Countdown.from_config_name(name)
    assert "\n" not in str(failure.value)
