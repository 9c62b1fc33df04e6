import itertools

import numpy as np
import pytest

from hf_nextfail.tasks import MinimalPlanning


def sampled(task: MinimalPlanning, count: int = 200) -> list[dict]:
    columns = task.sample(np.random.default_rng(0), count)
    lists = {name: values.tolist() for name, values in (task.to_text(columns) | columns).items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def solve(prompt: str) -> list[str]:
    """Every way from the start to the goal as edges, read from the text alone."""
    edges, _, ends = prompt.removesuffix("=").partition("-")
    edges = [tuple(edge.split(",")) for edge in edges.split("/")]
    start, goal = ends.split(",")
    ways, found = [[start]], []
    while ways:
        way = ways.pop()
        if way[-1] == goal:
            found.append("/".join(",".join(edge) for edge in itertools.pairwise(way)))
        ways += [[*way, b] for a, b in edges if a == way[-1]]
    return found


@pytest.mark.parametrize("config_name", ["l7_n14", "l2_n3", "l5_n9", "l10_n20"])
def test_a_solver_of_the_text_finds_the_completion_and_no_other(config_name):
    for row in sampled(MinimalPlanning.from_config_name(config_name)):
        assert solve(row["prompt"]) == [row["completion"]]


@pytest.mark.parametrize("config_name", ["l7_n14", "l4_n7"])
def test_two_streams_cross_once_at_the_place_that_is_said(config_name):
    task = MinimalPlanning.from_config_name(config_name)
    for row in sampled(task):
        sources, targets = zip(*row["edges"], strict=True)
        twice = {node for nodes in (sources, targets) for node in nodes if nodes.count(node) == 2}
        assert twice == {row["path"][row["crossing"]]}
        assert len({*sources, *targets}) == 2 * task.path_length - 1
        goals = sorted(set(targets) - set(sources))
        assert len(goals) == 2
        other = next(goal for goal in goals if goal != row["goal"])
        wrong = solve(row["prompt"].replace(f"{row['start']},{row['goal']}=", f"{row['start']},{other}="))[0]
        assert task.score(wrong, row) == 0.0
        # Its edges are right until the crossing.
        same = [a == b for a, b in zip(wrong.split("/"), row["completion"].split("/"), strict=True)]
        assert same == [place < row["crossing"] for place in range(task.path_length - 1)]


def test_each_place_of_the_crossing_but_the_last_is_as_likely():
    crossing = MinimalPlanning().sample(np.random.default_rng(0), 12_000)["crossing"]
    counts = np.bincount(crossing)
    assert len(counts) == 6
    assert ((counts - 2_000) ** 2 / 2_000).sum() < 20.52  # chi-square, 5 degrees of freedom, upper 0.1 % point


def test_parts_are_edges():
    task = MinimalPlanning()
    text = "1,2/ 2,3 /x"
    assert [text[begin:end] for begin, end in task.parts(text)] == ["1,2", "2,3", "x"]
    (row,) = sampled(task, 1)
    assert len(task.parts(row["completion"])) == 6


@pytest.mark.parametrize("wrong", ["1,2,2,3", "1/2,2/3", "1,2", "1,2/3,2", "1,2/2,03", "1,2/2,3/", "12/23", "1,2|2,3"])
def test_edges_must_be_written_as_edges(wrong):
    task, row = MinimalPlanning(), {"path": [1, 2, 3]}
    assert task.score("1,2/2,3", row) == task.score(" 1 , 2/2,3\n", row) == 1.0
    assert task.score(wrong, row) == 0.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path_length": 1}, "path_length must be an integer >= 2, got 1"),
        (
            {"num_nodes": 12},
            "num_nodes must be an integer from 13 to 10000000 for the 13 nodes of two streams that cross, got 12",
        ),
    ],
)
def test_field_out_of_range_is_named_with_value_and_range(config, message):
    with pytest.raises(ValueError) as caught:
        MinimalPlanning(**config)
    assert str(caught.value) == message


def test_names_and_title():
    assert MinimalPlanning.from_config_name("l4_n9") == MinimalPlanning(4, 9)
    assert MinimalPlanning(4, 9).title == "two streams of 4 nodes, 9 labels"
