import numpy as np
import pytest

from hf_nextfail.tasks import CrossingStar
from hf_nextfail.tasks.graphs import hash_edges

CONFIGS = ["medium", "easy", "hard", "d2_l2_to5_p1_n9", "d2_l3_to3_p2_n5"]


def paths_between(edges: list[list[int]], start: int, goal: int) -> list[list[int]]:
    """All paths from one node to another, by depth-first search in a graph without cycles."""
    if start == goal:
        return [[goal]]
    return [[start, *path] for a, b in edges if a == start for path in paths_between(edges, b, goal)]


def unpadded(columns: dict[str, np.ndarray]) -> list[dict]:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(v.tolist() for v in columns.values()), strict=True)
    ]
    return [
        row
        | {"edges": [edge for edge in row["edges"] if edge != [-1, -1]], "path": [n for n in row["path"] if n != -1]}
        for row in rows
    ]


@pytest.mark.parametrize("config_name", CONFIGS)
def test_the_path_is_the_only_one_and_its_hard_node_is_behind_the_centre(config_name):
    task = CrossingStar.from_config_name(config_name)
    for row in unpadded(task.sample(np.random.default_rng(0), 100)):
        edges, path, place = row["edges"], row["path"], row["hard_place"]
        assert paths_between(edges, row["start"], row["goal"]) == [path]
        assert task.min_length <= len(path) <= task.max_length
        after = [sum(source == node for source, _ in edges) for node in path]
        before = [sum(target == node for _, target in edges) for node in path]
        expected = [1] * (len(path) - 1) + [0]
        expected[place - 1] = task.degree  # the centre
        assert after == expected
        assert before[0] == 0 or place == 1  # the start is an end
        assert len(path) - place >= task.min_plan
        ends = {b for _, b in edges} - {a for a, _ in edges}
        others = [other for end in ends - {row["goal"]} for other in paths_between(edges, row["start"], end)]
        assert len(others) == task.degree - 1
        assert [task.score(",".join(map(str, other)), row) for other in [*others, path]] == [0.0] * len(others) + [1.0]
        assert all(other[:place] == path[:place] and other[place] != path[place] for other in others)


@pytest.mark.parametrize("config_name", CONFIGS)
def test_edges_are_those_of_arms_that_cross(config_name):
    task = CrossingStar.from_config_name(config_name)
    for row in unpadded(task.sample(np.random.default_rng(1), 100)):
        nodes = {node for edge in row["edges"] for node in edge}
        assert len(nodes) == len(row["edges"]) + 1
        assert len({tuple(edge) for edge in row["edges"]}) == len(row["edges"])
        assert max(nodes) < task.num_nodes
        assert task.degree * (task.min_length - 1) <= len(row["edges"]) <= task.degree * (task.max_length - 1)


def test_lengths_and_places_are_uniform():
    task = CrossingStar(degree=2, min_length=4, max_length=6, min_plan=2)
    columns = task.sample(np.random.default_rng(0), 24_000)
    lengths = (columns["path"] >= 0).sum(axis=1)
    for length in (4, 5, 6):
        places = columns["hard_place"][lengths == length]
        assert abs(len(places) - 8_000) < 300  # four standard errors
        counts = np.bincount(places)[1:]
        assert len(counts) == length - 2
        assert abs(counts - len(places) / (length - 2)).max() < 200


def test_the_order_of_edges_tells_nothing():
    columns = CrossingStar.from_config_name("easy").sample(np.random.default_rng(0), 12_000)
    place = (columns["edges"] == columns["path"][:, None, :2]).all(axis=2).argmax(axis=1)
    counts = np.bincount(place, minlength=12)
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 31.26  # chi-square, 11 degrees of freedom, upper 0.1 % point
    columns = CrossingStar().sample(np.random.default_rng(0), 24_000)
    first = (columns["edges"] == columns["path"][:, None, :2]).all(axis=2).argmax(axis=1)
    share = (first + 0.5) / (columns["edges"][..., 0] >= 0).sum(axis=1)
    assert abs(share.mean() - 0.5) < 4 * 0.29 / 24_000**0.5


def test_easy_is_a_star_graph():
    columns = CrossingStar.from_config_name("easy").sample(np.random.default_rng(0), 50)
    assert columns["edges"].shape == (50, 12, 2)
    assert columns["edges"].min() >= 0
    assert set(columns["hard_place"].tolist()) == {1}
    assert ((columns["edges"][..., 0] == columns["start"][:, None]).sum(axis=1) == 3).all()


def test_padding_does_not_move_a_graph_to_another_split():
    edges = CrossingStar().sample(np.random.default_rng(0), 50)["edges"]
    padded = np.concatenate([edges, np.full((50, 3, 2), -1, np.int32)], axis=1)
    np.testing.assert_array_equal(hash_edges(edges), hash_edges(padded))


def test_named_configurations_are_those_of_the_paper():
    easy, medium, hard = (CrossingStar.from_config_name(name) for name in ("easy", "medium", "hard"))
    assert easy == CrossingStar(3, 5, 5, 4, 20)
    assert medium == CrossingStar(3, 3, 6, 2, 20) == CrossingStar()
    assert hard == CrossingStar(5, 6, 12, 5, 56)
    assert CrossingStar.from_config_name("d5_l6_to12_p5_n56").config_name == "hard"
    assert CrossingStar(2, 3, 6, 2, 20).config_name == "d2_l3_to6_p2_n20"
    assert easy.title.startswith("3 arms of 5 nodes that cross")
    assert hard.title == "5 arms of 6 to 12 nodes that cross, at least 5 behind the centre, 56 labels"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"degree": 1}, "degree must be an integer >= 2, got 1"),
        ({"min_length": 1}, "min_length must be an integer >= 2, got 1"),
        ({"max_length": 2}, "max_length must be an integer >= 3 for min_length=3, got 2"),
        ({"min_plan": 3}, "min_plan must be an integer from 1 to 2 for min_length=3, got 3"),
        ({"min_plan": 0}, "min_plan must be an integer from 1 to 2 for min_length=3, got 0"),
        ({"num_nodes": 15}, "num_nodes must be an integer from 16 to 10000000 for graphs of up to 16 nodes, got 15"),
    ],
)
def test_field_out_of_range_is_named_with_value_and_range(config, message):
    with pytest.raises(ValueError) as caught:
        CrossingStar(**config)
    assert str(caught.value) == message


def test_an_unknown_name_is_answered_with_a_known_one():
    with pytest.raises(ValueError, match="did you mean 'medium'") as caught:
        CrossingStar.from_config_name("medum")
    assert "d<degree>_l<min_length>_to<max_length>_p<min_plan>_n<num_nodes>" in str(caught.value)
