"""What holds for star graphs of every shape and for every text, tried on drawn examples and on whole small spaces."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from problem_strategies import SEEDS, check_row, examples, nearly_problems, rows_of, tasks

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.tasks import SPLITS, StarGraph, split_of
from hf_nextfail.tasks.graphs import hash_edges, sample_without_replacement

# Sampling


@examples(max_examples=150)
@given(tasks(), SEEDS)
@example(StarGraph(1, 2, 2), 0)
@example(StarGraph(20, 5, 100), 0)
@example(StarGraph(2, 3, 10**7), 0)
def test_rows_are_star_graphs_with_one_path(task, seed):
    columns = task.sample(np.random.default_rng(seed), 5)
    num_edges = task.degree * (task.path_length - 1)
    shapes = {"edges": (5, num_edges, 2), "path": (5, task.path_length), "start": (5,), "goal": (5,)}
    assert {name: values.shape for name, values in columns.items()} == shapes
    assert {values.dtype for values in columns.values()} == {np.dtype(np.int32)}
    for row in rows_of(task, seed, count=5):
        check_row(task, row)


@examples(max_examples=100)
@given(st.integers(1, 300), st.data())
def test_samples_are_different_integers_below_the_population(population, data):
    size = data.draw(st.integers(1, min(population, 20)))
    drawn = sample_without_replacement(np.random.default_rng(data.draw(SEEDS)), 5, population, size)
    assert drawn.shape == (size, 5)
    assert 0 <= drawn.min() <= drawn.max() < population
    assert all(len(set(sample)) == size for sample in drawn.T.tolist())


# Text


@examples(max_examples=150)
@given(tasks(), SEEDS)
@example(StarGraph(2, 3, 10**7, reverse=True), 0)
def test_parse_undoes_to_text(task, seed):
    for row in rows_of(task, seed, count=5):
        assert task.parse(row["prompt"] + row["completion"]) == row


def check_parsed(task: StarGraph, text: str) -> None:
    """Assert that the text is refused with a reason of one line, or is word for word a problem of the task."""
    try:
        row = task.parse(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert row["prompt"] + row["completion"] == text
        check_row(task, row)


@examples(max_examples=250)
@given(st.one_of(st.text(), st.text("01239,|/=", max_size=40)), st.booleans())
def test_any_text_is_refused_or_is_a_problem(text, reverse):
    check_parsed(StarGraph(1, 2, 10, reverse=reverse), text)


@examples(max_examples=250)
@given(st.data())
def test_text_that_is_nearly_a_problem_is_refused_or_is_one(data):
    task = data.draw(tasks(spare=3))
    check_parsed(task, data.draw(nearly_problems(task)))


@pytest.mark.parametrize("reverse", [False, True])
def test_of_all_texts_two_labels_away_just_the_problems_are_taken(reverse):
    task, problems = StarGraph(2, 3, 5, reverse=reverse), set()
    for start, a, b, c, d in itertools.permutations(range(5)):
        path = (b, a, start) if reverse else (start, a, b)
        for edges in itertools.permutations([(start, a), (a, b), (start, c), (c, d)]):
            problems.add((*itertools.chain(*edges), start, b, *path))
    written = "{},{}|{},{}|{},{}|{},{}/{},{}={},{},{}"
    centre = max(problems)
    taken = set()
    for places in itertools.combinations(range(len(centre)), 2):
        for labels in itertools.product(range(5), repeat=2):
            near = list(centre)
            near[places[0]], near[places[1]] = labels
            try:
                task.parse(written.format(*near))
            except ValueError:
                continue
            taken.add(tuple(near))
    differing = {problem: sum(a != b for a, b in zip(problem, centre, strict=True)) for problem in problems}
    assert taken == {problem for problem, distance in differing.items() if distance <= 2}
    assert all(task.parse(written.format(*problem)) for problem in problems)


# Scores


@examples(max_examples=200)
@given(tasks(), SEEDS, st.data())
def test_only_the_nodes_of_the_path_in_order_score_one(task, seed, data):
    row = rows_of(task, seed, count=1)[0]
    nodes = row["completion"].split(",")
    labels = st.sampled_from([*nodes, "0", "00", "", "-1", "99", "x"])
    predicted = data.draw(st.one_of(st.just(nodes), st.permutations(nodes), st.lists(labels, max_size=len(nodes) + 1)))
    space = st.text(" \t\n", max_size=2)
    text = ",".join(data.draw(space) + node + data.draw(space) for node in predicted)
    assert task.score(text, row) == float(predicted == nodes)


@examples(max_examples=200)
@given(st.one_of(st.text(), st.none(), st.integers(), st.binary(), st.lists(st.integers())), SEEDS)
def test_any_prediction_at_all_scores_zero_or_is_the_completion(prediction, seed):
    row = rows_of(StarGraph(2, 3, 9), seed, count=1)[0]
    right = isinstance(prediction, str) and "".join(prediction.split()) == row["completion"]
    assert StarGraph(2, 3, 9).score(prediction, row) == float(right)


# Splits

# Every integer type that can hold a label, each in both byte orders.
DTYPES = [np.dtype(order + kind + size) for order in "<>" for kind in "iu" for size in "1248"]
LABELS = st.one_of(st.integers(0, 127), st.integers(0, 2**31 - 1))


@st.composite
def graphs(draw) -> np.ndarray:
    """Rows of edges, stars or not: the hash asks for no more than a set of pairs."""
    num_rows, num_edges = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    labels = draw(st.lists(draw(st.sampled_from([st.integers(0, 127), LABELS])), min_size=1, max_size=30))
    flat = [draw(st.sampled_from(labels)) for _ in range(num_rows * num_edges * 2)]
    return np.array(flat, np.int64).reshape(num_rows, num_edges, 2)


@examples(max_examples=150)
@given(graphs(), st.sampled_from(DTYPES), st.sampled_from("CF"), st.data())
def test_hash_forgets_the_order_of_edges_and_rows_the_type_and_the_layout(edges, dtype, layout, data):
    assume(edges.max() <= np.iinfo(dtype).max)
    num_rows, num_edges, _ = edges.shape
    rows, places = (data.draw(st.permutations(range(count))) for count in (num_rows, num_edges))
    shuffled = edges[rows][:, places].astype(dtype, order=layout)
    np.testing.assert_array_equal(hash_edges(shuffled), hash_edges(edges)[rows])
    np.testing.assert_array_equal(split_of(hash_edges(shuffled)), split_of(hash_edges(edges))[rows])
    np.testing.assert_array_equal(hash_edges(shuffled[:1]), hash_edges(edges)[rows[:1]])


@examples(max_examples=150)
@given(graphs(), graphs())
def test_hash_tells_sets_of_edges_apart(edges, others):
    drawn = [sorted(map(tuple, graph)) for rows in (edges, others) for graph in rows.tolist()]
    hashes = [*hash_edges(edges).tolist(), *hash_edges(others).tolist()]
    for (one, one_hash), (other, other_hash) in itertools.combinations(zip(drawn, hashes, strict=True), 2):
        assert (one == other) == (one_hash == other_hash)


@pytest.mark.parametrize("config_name", ["d1_l2_n4", "d1_l4_n5", "d2_l2_n5", "d2_l3_n6", "d3_l2_n6"])
def test_splits_divide_a_whole_space_whatever_the_query_and_the_order_of_edges(config_name):
    task = StarGraph.from_config_name(config_name)
    splits_of_graph: dict[frozenset, set[str]] = {}
    for start, *others in itertools.permutations(range(task.num_nodes), task.graph_size):  # the goal is in every arm
        arms = [(start, *arm) for arm in np.reshape(others, (task.degree, -1)).tolist()]
        edges = [edge for arm in arms for edge in itertools.pairwise(arm)]
        orders = list(itertools.permutations(edges))
        splits_of_graph.setdefault(frozenset(edges), set()).update(split_of(hash_edges(np.array(orders))).tolist())
    assert len(splits_of_graph) == task.num_graphs
    assert all(len(splits) == 1 for splits in splits_of_graph.values())
    for split in SPLITS:
        members = {graph for graph, splits in splits_of_graph.items() if splits == {split}}
        if members:
            sampled = task.sample_shard(split, shard=0)["edges"].tolist()
            assert {frozenset(map(tuple, graph)) for graph in sampled} == members
        else:
            with pytest.raises(ValueError, match=f"all of them outside the {split} split"):
                task.sample_shard(split, shard=0)


# Names of configurations


@examples(max_examples=200)
@given(st.integers(1, 10**3), st.integers(2, 10**3), st.integers(0, 10**6), st.booleans())
def test_name_of_a_configuration_is_read_back(degree, path_length, spare, reverse):
    task = StarGraph(degree, path_length, 1 + degree * (path_length - 1) + spare, reverse=reverse)
    assert StarGraph.from_config_name(task.config_name) == task
    assert task.config_name == f"d{degree}_l{path_length}_n{task.num_nodes}" + ("_rev" if reverse else "")


@examples(max_examples=60)
@given(tasks(), st.integers(1, 10**9), st.integers(0, 2**64))
def test_name_and_keywords_resolve_to_one_configuration(task, num_rows, seed):
    assume(task.num_nodes > 40)  # so that no split is without a graph
    sizes = {"num_train": num_rows, "seed": seed}
    config = TaskConfig.resolve(StarGraph, task.config_name, **sizes)
    fields = {"degree": task.degree, "path_length": task.path_length, "num_nodes": task.num_nodes}
    assert config == TaskConfig.resolve(StarGraph, None, **fields, reverse=task.reverse, **sizes)
    assert (config.name, config.task, config.num_train, config.seed) == (task.config_name, task, num_rows, seed)


STRANGE_PARTS = ["", "-1", "007", "2.0", "1e1", " 2", "\u0663", "9" * 5_000, "D", "_", "_rev", "_reversed", "\n"]


@st.composite
def nearly_names(draw) -> str:
    """A name of a configuration, often out of range, with at most one part that no name has."""
    degree, path_length, num_nodes = draw(st.integers(0, 4)), draw(st.integers(0, 5)), draw(st.integers(0, 60))
    parts = ["d", str(degree), "_l", str(path_length), "_n", str(num_nodes), draw(st.sampled_from(["", "_rev"]))]
    if draw(st.booleans()):
        parts[draw(st.integers(0, 6))] = draw(st.sampled_from(STRANGE_PARTS))
    return "".join(parts)


@examples(max_examples=250)
@given(st.one_of(st.text(min_size=1), st.text("dln_rev0123456789", min_size=1), nearly_names()))
@example("d2_l3_n020_rev")
def test_any_name_is_refused_or_means_what_it_says(name):
    try:
        config = TaskConfig.resolve(StarGraph, name, num_validation=0, num_test=0)
    except ValueError:
        return
    without_leading_zeros = re.sub(r"(?<=[dln])0+(?=\d)", "", name)
    assert config.name == config.task.config_name == without_leading_zeros
