"""The word problem: running products that a pile of five cards agrees with."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_rows import rows_of
from problem_strategies import examples

from hf_nextfail.tasks import SPLITS, WordProblem
from hf_nextfail.tasks.word_problem import multiplication_table, products_of


def is_even(permutation) -> bool:
    """Whether it takes an even number of swaps to sort it: five less its cycles."""
    left, cycles = set(range(5)), 0
    while left:
        thing, cycles = min(left), cycles + 1
        while thing in left:
            left.remove(thing)
            thing = permutation[thing]
    return (5 - cycles) % 2 == 0


def elements_of(group: str) -> list[tuple[int, ...]]:
    return sorted(p for p in itertools.permutations(range(5)) if group == "s5" or is_even(p))


@pytest.mark.parametrize("config_name", ["a5_l1", "a5_l12", "s5_l12", "s5_l64"])
def test_moving_five_things_gives_the_products(config_name):
    task = WordProblem.from_config_name(config_name)
    permutations = elements_of(task.group)
    assert task.words == [*map(str, range(len(permutations))), "="]
    for row in rows_of(task, 100):
        things, products = [0, 1, 2, 3, 4], []
        for element in map(int, row["prompt"].removesuffix("=").split(",")):
            things = [permutations[element][place] for place in things]  # each moves on from where it is
            products.append(permutations.index(tuple(things)))
        assert row["completion"] == ",".join(map(str, products))
        assert row["products"] == products
        assert len(row["elements"]) == task.length


@pytest.mark.parametrize(("group", "order"), [("a5", 60), ("s5", 120)])
def test_tables_are_those_of_groups_that_do_not_commute(group, order):
    table, all_of_it = multiplication_table(group), np.arange(order)
    assert table.shape == (order, order)
    np.testing.assert_array_equal(table[0], all_of_it)
    np.testing.assert_array_equal(table[:, 0], all_of_it)
    for lines in (table, table.T):  # each element once: there are inverses
        np.testing.assert_array_equal(np.sort(lines, axis=1), np.broadcast_to(all_of_it, (order, order)))
    np.testing.assert_array_equal(table[table], table[:, table])  # (xy)z = x(yz)
    assert (table != table.T).any()


def test_the_even_permutations_are_closed_and_solve_as_all_do():
    even = [elements_of("s5").index(permutation) for permutation in elements_of("a5")]
    np.testing.assert_array_equal(
        multiplication_table("s5")[np.ix_(even, even)], np.array(even)[multiplication_table("a5")]
    )


def test_only_the_products_in_order_score_one():
    task, row = WordProblem(length=3), {"prompt": "3,17,42=", "products": [3, 22, 27]}
    assert products_of("a5", np.array([[3, 17, 42]])).tolist() == [row["products"]]
    for right in ("3,22,27", " 3 ,22, 27\n"):
        assert task.score(right, row) == 1.0
    wrong = [
        "3,22,28",
        "3,17,27",
        "4,22,27",
        "27,22,3",
        "3,22",
        "22,27",
        "3,22,27,",
        "3,22,27,3",
        "03,22,27",
        "3 22 27",
    ]
    for prediction in [*wrong, "3,17,42=3,22,27", "", ",", "\u0663,22,27", "9" * 5_000, None, 3, b"3,22,27"]:
        assert task.score(prediction, row) == 0.0


@examples(max_examples=150)
@given(st.one_of(st.text(), st.text("01, ", max_size=5)))
def test_any_prediction_at_all_scores_zero_or_is_the_completion(prediction):
    row = {"prompt": "0,1=", "products": [0, 1]}
    right = [piece.strip() for piece in prediction.split(",")] == ["0", "1"]
    assert WordProblem(length=2).score(prediction, row) == float(right)
    assert (WordProblem(length=2).canonical(prediction) == tuple(row["products"])) == right
    assert [prediction[a:b] for a, b in WordProblem().parts(prediction)] == [p.strip() for p in prediction.split(",")]


def test_no_prompt_is_in_two_splits_and_all_of_a_small_space_are_drawn():
    drawn = {split: {row["prompt"] for row in rows_of(WordProblem("s5", 1), 5_000, split)} for split in SPLITS}
    assert sum(map(len, drawn.values())) == len(set.union(*drawn.values())) == 120


def test_longer_rows_have_the_words_of_shorter_ones():
    assert WordProblem(length=36).words == WordProblem(length=12).words


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"group": "a4"}, "group must be one of a5, s5, got 'a4'"),
        ({"group": "A5"}, "group must be one of a5, s5, got 'A5'"),
        ({"group": None}, "group must be one of a5, s5, got None"),
        ({"length": 0}, "length must be an integer from 1 to 64, got 0"),
        ({"length": 65}, "length must be an integer from 1 to 64, got 65"),
        ({"length": "3"}, "length must be an integer from 1 to 64, got '3'"),
    ],
)
def test_fields_are_checked(fields, reason):
    with pytest.raises(ValueError) as failure:
        WordProblem(**fields)
    assert str(failure.value) == reason


@pytest.mark.parametrize("name", ["l12", "a5", "a4_l12", "a5_l012", "a5_l65", "a5-l12", ""])
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(ValueError) as failure:
        WordProblem.from_config_name(name)
    assert "\n" not in str(failure.value)
