"""Circles and lines: all sets of edges over few names, laid together by trying every order."""

import itertools
import math

import numpy as np
import pytest
from known_rows import rows_of, texts_of

from hf_nextfail.tasks import CircleConstruction, LineConstruction


def written(edges) -> str:
    return "|".join(f"{a},{b}" for a, b in edges)


def resolved(edges, closed: bool, length: int) -> tuple[int, ...] | None:
    """Try all orders, of a circle those that begin with the first edge."""
    for order in itertools.permutations(range(len(edges))):
        if closed and order[0] != 0:
            break
        laid = [edges[place] for place in order]
        joined = all(one[1] == other[0] for one, other in itertools.pairwise(laid))
        names = [name for name, _ in laid] + ([] if closed else [laid[-1][1]])
        if joined and len(set(names)) == len(names) == length and (not closed or laid[-1][1] == laid[0][0]):
            return order
    return None


@pytest.mark.parametrize(
    ("kind", "length", "num_names"),
    [(CircleConstruction, 3, 3), (CircleConstruction, 3, 4), (LineConstruction, 3, 4), (LineConstruction, 4, 4)],
)
def test_brute_force_over_all_lists_of_edges_agrees(kind, length, num_names):
    task, coherent = kind(length, num_names), set()
    pairs = itertools.product(range(num_names), repeat=2)
    for edges in itertools.product(list(pairs), repeat=task.num_edges):
        expected = resolved(edges, task.closed, length)
        assert task.canonical(written(edges)) == expected
        if expected is not None:
            coherent.add(written(edges))
    walks = math.perm(num_names, length) // (length if task.closed else 1)
    assert len(coherent) == walks * math.factorial(task.num_edges)
    assert set(texts_of(task, 20 * len(coherent))) == coherent


@pytest.mark.parametrize("kind", [CircleConstruction, LineConstruction])
def test_the_forms_are_all_permutations_of_lines_and_those_of_circles_that_begin_at_0(kind):
    task, forms = kind(6, 9), 120
    drawn = task.canonical_numbers(task.sample(np.random.default_rng(0), 20 * forms))
    assert len(np.unique(drawn, axis=0)) == forms
    assert (drawn[:, 0] == 0).all() == task.closed and (np.sort(drawn, axis=1) == np.arange(task.num_edges)).all()


@pytest.mark.parametrize("kind", [CircleConstruction, LineConstruction])
def test_forms_forget_the_names_and_know_the_order(kind):
    task, renamed = kind(), np.random.default_rng(1).permutation(15)
    for row in rows_of(task, 50):
        form = task.canonical(row["completion"])
        assert row["completion"] == written(row["edges"])
        assert task.canonical(written(renamed[np.array(row["edges"])].tolist())) == form == resolved_by_walk(task, row)
        swapped = [row["edges"][1], row["edges"][0], *row["edges"][2:]]
        assert task.canonical(written(swapped)) not in (form, None)


def resolved_by_walk(task, row) -> tuple[int, ...]:
    """Go on from the first edge as far as it goes; what is left of a line stands before it."""
    after = {a: place for place, (a, _) in enumerate(row["edges"])}
    before = {b: place for place, (_, b) in enumerate(row["edges"])}
    places, earlier = [0], []
    while (place := after.get(row["edges"][places[-1]][1], 0)) != 0:
        places.append(place)
    while len(places) + len(earlier) < len(row["edges"]):
        earlier.insert(0, before[row["edges"][earlier[0] if earlier else 0][0]])
    return (*earlier, *places)


CIRCLE, LINE = CircleConstruction(4, 6), LineConstruction(4, 6)


@pytest.mark.parametrize(
    ("task", "prediction"),
    [
        (CIRCLE, "0,1|1,2|2,3|3,4"),  # open
        (CIRCLE, "0,1|1,0|2,3|3,2"),  # two circles
        (CIRCLE, "0,1|1,2|2,0|3,3"),  # a loop
        (CIRCLE, "0,1|1,2|2,0|0,1"),  # an edge twice
        (CIRCLE, "0,1|1,2|3,2|3,0"),  # an edge turned round
        (CIRCLE, "0,1|1,2|2,3|3,1"),  # a circle with a tail
        (CIRCLE, "0,1|1,2|2,0"),  # too few
        (CIRCLE, "0,1|1,2|2,3|3,4|4,0"),  # too many
        (CIRCLE, "0,1|1,2|2,6|6,0"),  # no such name
        (CIRCLE, "0,1|1,2|2,3|3,0|"),
        (CIRCLE, "0,1,1,2,2,3,3,0"),
        (CIRCLE, "0,1|1,2|2,3|3"),
        (CIRCLE, "0,1|1,2|2,03|03,0"),
        (CIRCLE, "0-1|1-2|2-3|3-0"),
        (LINE, "0,1|1,2|2,0"),  # closed
        (LINE, "0,1|1,0|2,3"),
        (LINE, "0,1|2,3|4,5"),
        (LINE, "0,1|2,1|2,3"),  # an edge turned round
        (LINE, "0,1|0,2|2,3"),  # forks
        (LINE, "0,1|1,2|3,3"),
        (LineConstruction(5, 6), "0,1|2,3|3,4|4,2"),  # a line and a circle
        (LINE, "0,1|1,2"),
        (LINE, "0,1|1,2|2,3|3,4"),
        (LINE, "0,1|1,2|2,6"),
        (LINE, ""),
        (LINE, "||"),
        (LINE, None),
    ],
)
def test_what_is_incoherent(task, prediction):
    assert task.score(prediction, {}) == 0.0


def test_spaces_do_not_matter():
    assert CIRCLE.score(" 0 ,1| 2,3|1 , 2|3,0\n", {}) == LINE.score("2,3 |0,1| 1,2", {}) == 1.0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"length": 2}, "length must be an integer from 3 to 30, got 2"),
        ({"length": 31}, "length must be an integer from 3 to 30, got 31"),
        ({"num_names": 8}, "num_names must be an integer from 9 to 10000000 for 9 different ones, got 8"),
        ({"num_names": 15.0}, "num_names must be an integer from 9 to 10000000 for 9 different ones, got 15.0"),
    ],
)
@pytest.mark.parametrize("kind", [CircleConstruction, LineConstruction])
def test_fields_are_checked(kind, fields, reason):
    with pytest.raises(ValueError) as failure:
        kind(**fields)
    assert str(failure.value) == reason
