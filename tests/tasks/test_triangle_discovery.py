import itertools

import numpy as np
import pytest
from known_rows import rows_of

from hf_nextfail.tasks import TriangleDiscovery


def test_the_graph_is_undirected_has_as_many_edges_as_said_and_no_loops():
    adjacency = TriangleDiscovery(25, 9).adjacency
    np.testing.assert_array_equal(adjacency, adjacency.T)
    assert not adjacency.diagonal().any()
    assert adjacency.sum() // 2 == 25 * 9 // 2
    assert (adjacency != TriangleDiscovery(25, 9, graph_seed=1).adjacency).any()


def test_brute_force_over_all_triples_agrees():
    task = TriangleDiscovery(12, 6, graph_seed=2)
    found = {}
    for triple in itertools.product(range(13), repeat=3):
        neighbours = [max(pair) < 12 and task.adjacency[pair] for pair in itertools.combinations(triple, 2)]
        if all(neighbours):
            found[",".join(map(str, triple))] = tuple(sorted(triple))
        assert task.canonical(",".join(map(str, triple))) == found.get(",".join(map(str, triple)))
    assert sorted(set(found.values())) == sorted(map(tuple, task.triangles.tolist()))
    assert len(found) == 6 * len(task.triangles) > 0
    drawn = task.to_text(task.sample(np.random.default_rng(0), 30 * len(found)))["completion"].tolist()
    assert set(drawn) == set(found)


def test_columns_say_what_the_text_says():
    for row in rows_of(TriangleDiscovery(), 200):
        assert row["completion"] == ",".join(map(str, row["nodes"]))


def test_what_is_incoherent():
    task = TriangleDiscovery(6, 3)
    assert task.score(" 3 ,1,\n4", {}) == 1.0
    for prediction in ["3,3,1", "3,1", "3,1,4,", "3,1,4,1", "3,01,4", "3 1 4", "3,1,6", "3,1,9999999", "", ",,", None]:
        assert task.score(prediction, {}) == 0.0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"num_nodes": 2}, "num_nodes must be an integer from 3 to 300, got 2"),
        ({"num_nodes": 301}, "num_nodes must be an integer from 3 to 300, got 301"),
        ({"degree": 200}, "degree must be an integer from 2 to 199 for 200 nodes, got 200"),
        ({"graph_seed": -1}, "graph_seed must be an integer >= 0, got -1"),
        (
            {"num_nodes": 100, "degree": 2},
            "degree must be larger: with degree=2 the graph 0 of 100 nodes has no triangle",
        ),
    ],
)
def test_fields_are_checked(fields, reason):
    with pytest.raises(ValueError) as failure:
        TriangleDiscovery(**fields)
    assert str(failure.value) == reason
