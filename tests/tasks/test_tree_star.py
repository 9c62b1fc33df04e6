import numpy as np
import pytest

from hf_nextfail.tasks import TreeStar
from hf_nextfail.tasks.base import Columns

CONFIGS = ["d2_b2_s2_l5_n50", "d3_b2_s1_l4_n30", "d2_b3_s2_l4_n40", "d2_b2_s1_l3_n7", "d4_b2_s1_l6_n60"]


def paths_of(edges: list[list[int]], start: int) -> list[list[int]]:
    """All paths from the start to a node without children, by depth-first search."""
    children = [target for source, target in edges if source == start]
    return [[start, *path] for child in children for path in paths_of(edges, child)] or [[start]]


def sampled(task: TreeStar, count: int = 50) -> Columns:
    return task.sample(np.random.default_rng(0), count)


@pytest.mark.parametrize("config_name", CONFIGS)
def test_one_path_leads_to_the_goal_and_all_others_are_wrong(config_name):
    task = TreeStar.from_config_name(config_name)
    columns = sampled(task)
    for edges, path, start, goal in zip(*(columns[name].tolist() for name in columns), strict=True):
        paths = paths_of(edges, start)
        assert {len(other) for other in paths} == {task.path_length}
        assert len(paths) == task.degree * task.branching**task.splits
        assert len({node for edge in edges for node in edge}) == len(edges) + 1  # a tree
        assert [other for other in paths if other[-1] == goal] == [path]
        row = {"path": path}
        assert sum(task.score(",".join(map(str, other)), row) for other in paths) == 1
        assert task.score(",".join(map(str, path)), row) == 1


@pytest.mark.parametrize("config_name", CONFIGS)
def test_hard_parts_are_those_behind_a_split(config_name):
    task = TreeStar.from_config_name(config_name)
    columns = sampled(task)
    for edges, path in zip(columns["edges"].tolist(), columns["path"].tolist(), strict=True):
        children = [sum(source == node for source, _ in edges) for node in path]
        expected = [task.degree, *[task.branching] * task.splits]
        assert children == [*expected, *[1] * (task.path_length - 1 - len(expected)), 0]
        assert task.hard_parts == tuple(place + 1 for place, number in enumerate(children) if number > 1)
    assert task.hard_part == task.hard_parts[0]


def test_guessing_gives_what_is_said():
    task = TreeStar(degree=3, branching=2, splits=1, path_length=4)
    assert task.chance == {"hard_token_accuracy": 1 / 3, "accuracy": 1 / 6}


def test_each_leaf_is_as_likely_to_be_the_goal():
    task = TreeStar(splits=1, path_length=3, num_nodes=7)
    columns = sampled(task, 8_000)
    graphs = zip(columns["edges"].tolist(), columns["start"].tolist(), strict=True)
    leaves = [[path[-1] for path in paths_of(edges, start)] for edges, start in graphs]
    places = (np.sort(leaves, axis=1) == columns["goal"][:, None]).argmax(axis=1)
    counts = np.bincount(places, minlength=4)
    assert ((counts - 2_000) ** 2 / 2_000).sum() < 16.27  # chi-square, 3 degrees of freedom, upper 0.1 % point


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"degree": 1}, "degree must be an integer >= 2, got 1"),
        ({"branching": 1}, "branching must be an integer >= 2, got 1"),
        ({"path_length": 2}, "path_length must be an integer >= 3, got 2"),
        ({"splits": 0}, "splits must be an integer from 1 to 3 for paths of 5 nodes, got 0"),
        ({"splits": 4}, "splits must be an integer from 1 to 3 for paths of 5 nodes, got 4"),
        ({"num_nodes": 22}, "num_nodes must be an integer from 23 to 10000000 for the 23 nodes of the tree, got 22"),
        ({"degree": 2.0}, "degree must be an integer >= 2, got 2.0"),
    ],
)
def test_field_out_of_range_is_named_with_value_and_range(config, message):
    with pytest.raises(ValueError) as caught:
        TreeStar(**config)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "d2_l5_n50",
            {},
            "unknown config 'd2_l5_n50' of tree_star: use d<degree>_b<branching>_s<splits>_",
        ),
        ("d2_b2_s2_l5_n050", {}, "num_nodes must be written like 50, got '050'"),
        ("d2_b2_s2_l5_n50", {"degree": 3}, "config 'd2_b2_s2_l5_n50' says degree=2, but degree=3 was given"),
    ],
)
def test_a_wrong_name_is_answered_in_one_line(name, overrides, message):
    with pytest.raises(ValueError) as caught:
        TreeStar.from_config_name(name, **overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_name_is_read_into_every_field():
    assert TreeStar.from_config_name("d3_b4_s1_l5_n99") == TreeStar(3, 4, 1, 5, 99)
    assert TreeStar(3, 4, 1, 5, 99).title == "tree of degree 3, 1 more split of 4, 5 nodes a path, 99 labels"
    assert "2 more splits of 2" in TreeStar().title
