import itertools

import numpy as np
import pytest
from known_rows import rows_of

from hf_nextfail.tasks import SiblingDiscovery


@pytest.mark.parametrize("graph_seed", [0, 1])
def test_every_child_has_one_parent_and_every_parent_as_many_children(graph_seed):
    children = SiblingDiscovery(5, 500, graph_seed).children
    assert children.shape == (5, 100)
    assert sorted(children.reshape(-1).tolist()) == list(range(5, 505))
    assert children.tolist() != SiblingDiscovery(5, 500, graph_seed + 1).children.tolist()
    assert children.reshape(-1).tolist() != list(range(5, 505))


@pytest.mark.parametrize("reverse", [False, True])
def test_brute_force_over_all_triples_agrees(reverse):
    task = SiblingDiscovery(2, 6, graph_seed=3, reverse=reverse)
    parents = {int(child): parent for parent, children in enumerate(task.children) for child in children}
    coherent = {}
    for triple in itertools.product(range(9), repeat=3):
        one, other, parent = triple[1:] + triple[:1] if reverse else triple
        if one != other and one in parents and parents[one] == parents.get(other) == parent:
            coherent[",".join(map(str, triple))] = (parent, min(one, other), max(one, other))
        assert task.canonical(",".join(map(str, triple))) == coherent.get(",".join(map(str, triple)))
    assert len(coherent) == 12 and len(set(coherent.values())) == 6
    drawn = task.to_text(task.sample(np.random.default_rng(0), 500))["completion"].tolist()
    assert set(drawn) == set(coherent)


def test_columns_say_what_the_text_says():
    for row in rows_of(SiblingDiscovery(), 200):
        assert row["completion"] == ",".join(map(str, [*row["siblings"], row["parent"]]))
    for row in rows_of(SiblingDiscovery(reverse=True), 200):
        assert row["completion"] == ",".join(map(str, [row["parent"], *row["siblings"]]))


def test_what_is_incoherent():
    task = SiblingDiscovery(2, 6)
    (a, b, _), (c, _, _) = task.children.tolist()
    assert task.canonical(f" {b} ,{a},\n0") == task.canonical(f"{a},{b},0") == (0, min(a, b), max(a, b))
    wrong = [f"{a},{c},0", f"{a},{b},1", f"{a},{a},0", f"0,{a},{b}", f"{a},0,0", f"{a},{b}", f"{a},{b},0,0"]
    for prediction in [*wrong, f"{a},{b},00", f"{a},{b},8", f"{a} {b} 0", f"{a}|{b}|0", "", None]:
        assert task.score(prediction, {}) == 0.0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"num_parents": 0}, "num_parents must be an integer from 1 to 50000, got 0"),
        ({"num_children": 9}, "num_children must be an integer from 10 to 100000 for the 5 parents, got 9"),
        ({"num_children": 501}, "num_children must be a multiple of num_parents=5, got 501"),
        ({"graph_seed": -1}, "graph_seed must be an integer >= 0, got -1"),
        ({"reverse": 1}, "reverse must be true or false, got 1"),
    ],
)
def test_fields_are_checked(fields, reason):
    with pytest.raises(ValueError) as failure:
        SiblingDiscovery(**fields)
    assert str(failure.value) == reason
