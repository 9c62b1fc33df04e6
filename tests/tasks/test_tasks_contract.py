"""What every task of `TASKS` promises. A new task adds a line to the tables below, and no test."""

import itertools
from collections import deque
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_rows import rows_of
from problem_strategies import examples

import hf_nextfail.tasks
from hf_nextfail.tasks import SPLITS, TASKS, GraphTask, Task, split_of
from hf_nextfail.tasks.base import SHARD_ROWS
from hf_nextfail.tasks.graphs import hash_edges
from hf_nextfail.tasks.paths import PathTask

# Tasks whose rows have a graph of their own each, as the column `edges`.
PATH_TASKS = [name for name, kind in TASKS.items() if issubclass(kind, PathTask)]
# Tasks of which independent draws have rows in common, even in their default configuration.
FEW_ROWS = {"in_weights_star", "sibling_discovery", "triangle_discovery"}
# Configurations with few different problems; the first leaves no split empty.
SMALL = {
    "star_graph": ["d2_l3_n6", "d1_l4_n7", "d2_l2_n8", "d2_l4_n7", "d3_l2_n7", "d1_l2_n4"],
    "tree_star": ["d2_b2_s1_l3_n7"],
    "crossing_star": ["d2_l3_to4_p1_n7"],
    "minimal_planning": ["l3_n5"],
    "in_weights_star": ["d40_l3_p2_g0"],
    "countdown": ["n3"],
    "word_problem": ["a5_l1"],
    "sibling_discovery": ["p2_c40_g7_rev"],
    "triangle_discovery": ["n20_d12_g7"],
    "circle_construction": ["l6_n6"],
    "line_construction": ["l6_n6"],
}
# Configurations of all shapes, for what is checked row by row.
VARIED = {
    "star_graph": [
        "d2_l5_n50",
        "d2_l5_n50_rev",
        "d1_l2_n9",
        "d2_l2_n9",
        "d3_l3_n100_rev",
        "d9_l3_n20",
        "d2_l3_n2000",
        "d3_l5_n50_any",
        "d3_l4_n50_instruct",
    ],
    "tree_star": ["d2_b2_s2_l5_n50", "d3_b2_s1_l3_n12", "d2_b3_s2_l4_n27", "d2_b2_s1_l6_n2000", "d2_b3_s2_l5_n50_rev"],
    "crossing_star": [
        "medium",
        "easy",
        "hard",
        "d2_l2_to2_p1_n3",
        "d2_l4_to7_p1_n2000",
        "easy_rev",
        "d2_l2_to5_p1_n9_rev",
    ],
    "minimal_planning": ["l7_n14", "l2_n9", "l4_n7", "l10_n2000", "l7_n14_rev", "l2_n9_rev"],
    "in_weights_star": ["d5000_l5_p4_g0", "d30_l2_p0_g7", "d30_l4_p0_g7_rev"],
    "countdown": ["n4", "n3", "n6"],
    "word_problem": ["a5_l12", "s5_l1", "s5_l36"],
    "sibling_discovery": ["p5_c2500_g0", "p2_c40_g7_s10_rev"],
    "triangle_discovery": ["n200_d60_g0", "n20_d12_g7"],
    "circle_construction": ["l9_n15", "l7_n7_s4"],
    "line_construction": ["l9_n15", "l8_n8"],
}
# Small configurations that have graphs in common.
RELATED = {
    "star_graph": ["d2_l3_n6", "d2_l3_n6_rev", "d2_l3_n6_any", "d2_l3_n6_instruct"],
    "tree_star": ["d2_b2_s1_l3_n7", "d2_b2_s1_l3_n8", "d2_b2_s1_l3_n7_rev"],
    "crossing_star": ["d2_l3_to3_p1_n5", "d2_l2_to3_p1_n5", "d2_l3_to3_p1_n5_rev"],
    "minimal_planning": ["l3_n5", "l3_n6", "l3_n5_rev"],
}
# For each field, another value that the default configuration may take.
OTHER_VALUES = {
    "star_graph": {
        "degree": 3,
        "path_length": 4,
        "num_nodes": 60,
        "reverse": True,
        "goal": "any",
        "style": "instruct",
    },
    "tree_star": {"degree": 3, "branching": 3, "splits": 1, "path_length": 6, "num_nodes": 60, "reverse": True},
    "crossing_star": {"degree": 2, "min_length": 4, "max_length": 7, "min_plan": 1, "num_nodes": 30, "reverse": True},
    "minimal_planning": {"path_length": 6, "num_nodes": 20, "reverse": True},
    "in_weights_star": {"degree": 4999, "path_length": 4, "num_pauses": 5, "graph_seed": 1, "reverse": True},
    "countdown": {"num_numbers": 5},
    "word_problem": {"group": "s5", "length": 11},
    "sibling_discovery": {
        "num_parents": 4,
        "num_children": 500,
        "graph_seed": 1,
        "reverse": True,
        "seed_length": 4,
    },
    "triangle_discovery": {"num_nodes": 150, "degree": 50, "graph_seed": 1, "seed_length": 1},
    "circle_construction": {"length": 8, "num_names": 20, "seed_length": 4},
    "line_construction": {"length": 8, "num_names": 20, "seed_length": 4},
}


def cases(table: dict[str, list[str]], kind: type[Task] = Task, having: str = "name") -> list:
    return [
        pytest.param(TASKS[name].from_config_name(config_name), id=f"{name}-{config_name}")
        for name, config_names in table.items()
        for config_name in config_names
        if issubclass(TASKS[name], kind) and hasattr(TASKS[name], having)
    ]


def texts(task: Task, split: str = "train", shard: int = 0, seed: int = 0, num_rows: int = SHARD_ROWS) -> list[str]:
    text = task.to_text(task.sample_shard(split, shard, seed, num_rows))
    return [p + c for p, c in zip(text["prompt"].tolist(), text["completion"].tolist(), strict=True)]


def problems(task: Task, columns: dict[str, np.ndarray]) -> set:
    """What the rows are about: their graphs, or all they are."""
    if isinstance(task, PathTask):
        return set(graph_keys(columns["edges"]))
    return set(zip(*(map(str, values.tolist()) for values in columns.values()), strict=True))


def graph_keys(edges: np.ndarray) -> list[frozenset]:
    return [frozenset(map(tuple, graph)) for graph in edges.tolist()]


def shortest_path(edges: list[list[int]], start: int, goal: int) -> list[int]:
    before = {start: None}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for source, target in edges:
            if source == node and target not in before:
                before[target] = node
                queue.append(target)
    path = [goal]
    while before[path[-1]] is not None:
        path.append(before[path[-1]])
    return path[::-1]


@pytest.mark.parametrize(
    ("table", "names"), [(SMALL, TASKS), (VARIED, TASKS), (RELATED, PATH_TASKS), (OTHER_VALUES, TASKS)]
)
def test_every_task_is_in_the_tables_of_this_file(table, names):
    assert set(table) == set(names)


def test_every_module_of_the_folder_is_registered_or_shared():
    folder = Path(hf_nextfail.tasks.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {
        "__init__",
        "base",
        "config_names",
        "creative",
        "edge_construction",
        "graphs",
        "hashing",
        "papers",
        "paths",
        "reversal",
        "star_graph_instruct",
        "star_graph_text",
        "text",
    }
    assert {task.__module__.rpartition(".")[2] for task in TASKS.values()} == modules


@pytest.mark.parametrize("name", TASKS)
def test_task_knows_the_name_it_is_registered_under(name):
    assert TASKS[name].name == name


@pytest.mark.parametrize("name", TASKS)
def test_grid_names_resolve_and_round_trip(name):
    task_class = TASKS[name]
    assert len(set(task_class.grid)) == len(task_class.grid) > 0
    for config_name in task_class.grid:
        task = task_class.from_config_name(config_name)
        assert task.config_name == config_name
        assert task_class.from_config_name(task.config_name) == task


@pytest.mark.parametrize("name", TASKS)
def test_first_grid_name_is_the_default(name):
    assert TASKS[name].from_config_name(TASKS[name].grid[0]) == TASKS[name]()


@pytest.mark.parametrize("task", cases(VARIED))
def test_config_name_round_trips(task):
    assert type(task).from_config_name(task.config_name) == task


@pytest.mark.parametrize("name", TASKS)
def test_each_field_changes_name_and_rows(name):
    task = TASKS[name]()
    assert set(OTHER_VALUES[name]) == {field.name for field in fields(task)}
    names, first_rows = {task.config_name}, {tuple(texts(task, num_rows=20))}
    for field, value in OTHER_VALUES[name].items():
        assert value != getattr(task, field)
        other = replace(task, **{field: value})
        names.add(other.config_name)
        first_rows.add(tuple(texts(other, num_rows=20)))
    assert len(names) == len(first_rows) == 1 + len(OTHER_VALUES[name])


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_split_and_shard_give_the_same_rows(name, split):
    first = texts(TASKS[name](), split, shard=3, seed=5, num_rows=1_000)
    texts(TASKS[name](), split, shard=2, seed=5, num_rows=1_000)  # whatever was drawn in between
    assert texts(TASKS[name](), split, shard=3, seed=5, num_rows=1_000) == first


@pytest.mark.parametrize("name", TASKS)
def test_another_seed_split_or_shard_gives_other_rows(name):
    keys = [("train", 0, 0), ("train", 1, 0), ("train", 0, 1), ("train", 1, 1), ("validation", 0, 0), ("test", 0, 0)]
    drawn = [texts(TASKS[name](), *key, num_rows=1_000) for key in keys]
    assert len(set(map(tuple, drawn))) == len(keys)
    if name not in FEW_ROWS:  # the default space is so large that independent draws have nothing in common
        assert len(set(itertools.chain(*drawn))) == 1_000 * len(keys)


@pytest.mark.parametrize("task", cases(VARIED))
def test_fewer_rows_are_the_first_rows(task):
    shard = texts(task)
    assert len(shard) == SHARD_ROWS
    for num_rows in (1, 1_000, SHARD_ROWS - 1):
        assert texts(task, num_rows=num_rows) == shard[:num_rows]


@pytest.mark.parametrize("task", cases(SMALL, having="all_graphs"))
def test_enumeration_has_each_graph_exactly_once(task):
    keys = graph_keys(task.all_graphs())
    assert len(keys) == len(set(keys)) == task.num_graphs
    drawn = set(graph_keys(task.sample(np.random.default_rng(0), 20 * task.num_graphs)["edges"]))
    assert drawn == set(keys)  # a graph is missed with probability e**-20


@pytest.mark.parametrize("task", cases(SMALL, having="all_graphs")[:1])
def test_splits_cover_the_space(task):
    edges = task.all_graphs()
    keys, membership = np.array(graph_keys(edges)), split_of(hash_edges(edges))
    for split in SPLITS:
        assert set(graph_keys(task.sample_shard(split, 0)["edges"])) == set(keys[membership == split])


@pytest.mark.parametrize("name", TASKS)
def test_splits_are_disjoint(name):
    task = TASKS[name].from_config_name(SMALL[name][0])
    drawn = [problems(task, task.sample_shard(split, 0, num_rows=500)) for split in SPLITS]
    assert all(drawn)
    assert len(set.union(*drawn)) == sum(map(len, drawn))


@pytest.mark.parametrize("name", PATH_TASKS)
def test_no_query_seed_shard_or_configuration_moves_a_graph_to_another_split(name):
    tasks = [TASKS[name].from_config_name(config_name) for config_name in RELATED[name]]
    splits_of_graph: dict[frozenset, set[str]] = {}
    queries_of_graph: dict[frozenset, set[int]] = {}
    tasks_of_graph: dict[frozenset, set[str]] = {}
    for task, split, (seed, shard) in itertools.product(tasks, SPLITS, [(0, 0), (1, 0), (0, 1)]):
        columns = task.sample_shard(split, shard, seed, num_rows=1_000)
        for key, goal in zip(graph_keys(columns["edges"]), columns["goal"].tolist(), strict=True):
            splits_of_graph.setdefault(key, set()).add(split)
            queries_of_graph.setdefault(key, set()).add(goal)
            tasks_of_graph.setdefault(key, set()).add(task.config_name)
    assert all(len(splits) == 1 for splits in splits_of_graph.values())
    # The same graphs did come up under several queries and configurations.
    assert max(map(len, queries_of_graph.values())) > 1
    assert max(map(len, tasks_of_graph.values())) == len(tasks)


@pytest.mark.parametrize("task", cases(VARIED, PathTask))
def test_split_does_not_depend_on_the_order_of_edges(task):
    edges = task.sample(np.random.default_rng(0), 500)["edges"]
    shuffled = np.random.default_rng(1).permuted(np.arange(edges.shape[1])[None].repeat(500, axis=0), axis=1)
    reordered = np.take_along_axis(edges, shuffled[..., None], axis=1)
    assert graph_keys(reordered) == graph_keys(edges)
    np.testing.assert_array_equal(split_of(hash_edges(reordered)), split_of(hash_edges(edges)))


@pytest.mark.parametrize("name", [name for name in TASKS if name != "in_weights_star"])  # which trains on all edges
def test_splits_have_twelve_two_and_two_of_sixteen_problems(name):
    keys = np.unique(TASKS[name]().split_key(TASKS[name]().sample(np.random.default_rng(0), 100_000)))
    count, membership = len(keys), split_of(keys)
    for split, share in (("train", 12 / 16), ("validation", 2 / 16), ("test", 2 / 16)):
        deviation = (membership == split).sum() - share * count
        assert abs(deviation) < 4 * (count * share * (1 - share)) ** 0.5  # four standard errors


@pytest.mark.parametrize("task", cases(VARIED, PathTask))
def test_breadth_first_search_finds_the_path(task):
    for row in rows_of(task, 200):
        path = [node for node in row["path"] if node >= 0]
        assert path == shortest_path(row["edges"], row["start"], row["goal"])
        assert (path[0], path[-1]) == (row["start"], row["goal"])


@pytest.mark.parametrize("task", cases(VARIED, having="parse"))
@pytest.mark.parametrize("split", SPLITS)
def test_parse_undoes_to_text(task, split):
    for row in rows_of(task, 200, split):
        assert task.parse(row["prompt"] + row["completion"]) == row


@pytest.mark.parametrize("task", [case for case in cases(VARIED, PathTask) if case.values[0].hard_part is not None])
def test_hard_node_is_next_to_the_start(task):
    for row in rows_of(task, 20):
        begin, end = task.parts(row["completion"])[task.hard_part]
        assert int(row["completion"][begin:end]) == row["path"][1]


@pytest.mark.parametrize("task", cases(VARIED))
def test_right_completion_scores_one(task):
    for row in rows_of(task, 200):
        assert task.score(row["completion"], row) == 1.0
        assert task.score(" " + row["completion"].replace(",", " , ") + "\n", row) == 1.0


@pytest.mark.parametrize("task", cases(VARIED))
def test_texts_alone_say_what_is_scored(task):
    rows = rows_of(task, 30, "test")
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        read = task.read_row(row["prompt"], row["completion"])
        for text in (row["completion"], other["completion"], row["completion"][:-1], row["prompt"], "", "0"):
            assert task.score(text, read) == task.score(text, row)
            assert task.measures(text, read) == task.measures(text, row)


# In plain English several texts are right: see `test_star_graph_instruct.py`.
@pytest.mark.parametrize("task", [case for case in cases(VARIED, GraphTask) if case.values[0].answers_are_unique])
def test_anything_else_scores_zero(task):
    for row in rows_of(task, 50):
        nodes = row["completion"].split(",")
        wrong = [
            *(",".join([*nodes[:i], "99999", *nodes[i + 1 :]]) for i in range(len(nodes))),
            ",".join(nodes[:-1]),
            ",".join(nodes[1:]),
            ",".join(nodes[::-1]),
            ",".join([*nodes, nodes[-1]]),
            ",".join(["0" + nodes[0], *nodes[1:]]),
            " ".join(nodes),
            row["completion"] + ",",
            row["prompt"] + row["completion"],
            "",
            ",",
            "no path",
            None,
        ]
        wrong = [prediction for prediction in wrong if prediction != row["completion"]]  # of one node
        assert [task.score(prediction, row) for prediction in wrong] == [0.0] * len(wrong)


@pytest.mark.parametrize("name", TASKS)
@examples(max_examples=20)
@given(st.data())
def test_any_prediction_is_scored_and_divided(name, data):
    task = TASKS[name].from_config_name(SMALL[name][0])
    (row,) = rows_of(task, 1)
    label = st.sampled_from([*row["completion"], *task.words, "00", "\u0663", "9" * 5_000, " ", ",", "/", "\n"])
    text = data.draw(st.one_of(st.text(), st.lists(label, max_size=15).map("".join), st.just(row["completion"])))
    score, same = task.score(text, row), task.canonical(text) == task.canonical(row["completion"]) is not None
    assert score == float(same) or (score == 1.0 and not task.answers_are_unique)
    parts = task.parts(text)
    assert parts is None or all(0 <= begin <= end <= len(text) for begin, end in parts)
    for other in (None, 3, b"3", [text]):
        assert task.score(other, row) == 0.0
