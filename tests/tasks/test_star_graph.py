import dataclasses
import itertools
import math

import numpy as np
import pytest

from hf_nextfail.tasks import SPLITS, StarGraph
from hf_nextfail.tasks.graphs import sample_few_of_many, sample_without_replacement
from hf_nextfail.tasks.star_graph import enumerated_splits
from hf_nextfail.tasks.star_graph_text import arms_of, parse_problem, parse_prompt
from hf_nextfail.tasks.text import MAX_LABEL

# Rows of seed 0, shard 0 of d2_l5_n50. Whoever changes them changes every dataset: bump `StarGraph.version`.
KNOWN_VERSION = "1.0.0"
KNOWN_ROWS = {
    ("train", 0): "15,38|40,12|27,45|38,27|4,32|12,4|25,15|25,40/25,45=25,15,38,27,45",
    ("train", 1): "18,21|36,12|30,28|9,39|13,18|13,9|39,30|21,36/13,12=13,18,21,36,12",
    ("train", 9_999): "40,38|38,47|15,2|12,31|12,32|42,15|32,40|31,42/12,2=12,31,42,15,2",
    ("validation", 0): "3,27|6,31|28,44|27,28|3,6|15,39|31,15|44,4/3,39=3,6,31,15,39",
    ("test", 0): "22,3|3,30|23,44|4,22|4,25|25,18|18,23|30,5/4,44=4,25,18,23,44",
    ("test", 9_999): "43,47|16,43|47,14|41,3|38,41|14,0|16,33|33,38/16,3=16,33,38,41,3",
}

# Upper 0.1 % points of the chi-square distribution, by degrees of freedom. The seeds are fixed: no test is flaky.
CHI_SQUARE_CRITICAL = {1: 10.83, 3: 16.27, 5: 20.52, 7: 24.32, 9: 27.88, 23: 49.73, 27: 55.48, 49: 85.35}


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def sample(count: int, **config) -> dict[str, np.ndarray]:
    return StarGraph(**config).sample(np.random.default_rng(0), count)


@pytest.mark.parametrize(("split", "row"), KNOWN_ROWS)
def test_known_rows(split, row):
    task = StarGraph(degree=2, path_length=5, num_nodes=50)
    text = task.to_text(task.sample_shard(split, shard=0, seed=0))
    assert text["prompt"].tolist()[row] + text["completion"].tolist()[row] == KNOWN_ROWS[split, row]
    assert StarGraph.version == KNOWN_VERSION


def test_sample_without_replacement_gives_permutations():
    drawn = sample_without_replacement(np.random.default_rng(0), count=100, population=7, size=7)
    assert drawn.shape == (7, 100)
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.arange(7)[:, None].repeat(100, axis=1))


def test_all_ordered_samples_are_equally_likely():
    drawn = sample_without_replacement(np.random.default_rng(0), count=24_000, population=4, size=3)
    _, counts = np.unique(drawn, axis=1, return_counts=True)
    assert len(counts) == math.perm(4, 3)
    assert chi_square(counts) < CHI_SQUARE_CRITICAL[23]


def test_first_edge_of_the_goal_arm_stands_anywhere_among_the_edges():
    columns = sample(20_000, degree=2, path_length=5)
    first_edge = columns["path"][:, None, :2]
    place = (columns["edges"] == first_edge).all(axis=2).argmax(axis=1)
    assert chi_square(np.bincount(place, minlength=8)) < CHI_SQUARE_CRITICAL[7]


def test_goal_arm_comes_first_among_the_arms_in_half_of_the_rows():
    columns = sample(20_000, degree=2, path_length=5)
    starting = columns["edges"][..., 0] == columns["start"][:, None]
    first_step = columns["edges"][np.arange(20_000), starting.argmax(axis=1), 1]
    ours = int((first_step == columns["path"][:, 1]).sum())
    assert chi_square(np.array([ours, 20_000 - ours])) < CHI_SQUARE_CRITICAL[1]


@pytest.mark.parametrize("config_name", ["d1_l5_n9", "d2_l3_n9", "d4_l2_n9"])
def test_every_order_of_the_edges_is_equally_likely(config_name):
    # With the order of the goal's arm and of the others as likely as any, no place of any edge tells the goal.
    task = StarGraph.from_config_name(config_name)
    columns = task.sample(np.random.default_rng(0), 24_000)
    nodes = columns["path"].tolist()
    for path, edges, start in zip(nodes, columns["edges"].tolist(), columns["start"].tolist(), strict=True):
        others = sorted(arm for arm in arms_of(edges, start) if arm != path)
        path += [node for arm in others for node in arm[1:]]  # by label: which of the others comes first says nothing
    nodes = np.array(nodes)
    # A node but the start stands for the edge that leads to it.
    order = (columns["edges"][:, :, 1][:, None] == nodes[:, 1:, None]).argmax(axis=2)
    _, counts = np.unique(order, axis=0, return_counts=True)
    assert len(counts) == math.factorial(4)
    assert chi_square(counts) < CHI_SQUARE_CRITICAL[23]


def test_neither_label_nor_place_of_a_first_step_tells_the_goal():
    columns = StarGraph(2, 3, 9).sample_shard("train", shard=0)
    first_steps = columns["edges"][columns["edges"][..., 0] == columns["start"][:, None]][:, 1].reshape(-1, 2)
    goal_listed_first = first_steps[:, 0] == columns["path"][:, 1]
    lower_listed_first = first_steps[:, 0] < first_steps[:, 1]
    assert chi_square(np.bincount(2 * goal_listed_first + lower_listed_first)) < CHI_SQUARE_CRITICAL[3]


@pytest.mark.parametrize("place", range(5))
def test_every_label_is_equally_likely_at_every_place_of_the_path(place):
    labels = sample(20_000)["path"][:, place]
    assert chi_square(np.bincount(labels, minlength=50)) < CHI_SQUARE_CRITICAL[49]


def test_goal_label_does_not_tell_the_next_node():
    # Of three labels, each order of start, next node and goal is equally likely.
    _, counts = np.unique(sample(12_000, degree=1, path_length=3, num_nodes=3)["path"], axis=0, return_counts=True)
    assert len(counts) == 6
    assert chi_square(counts) < CHI_SQUARE_CRITICAL[5]


# How often each value of these marginals occurs in the 20,000 rows of `deg_2_path_5_nodes_50_test_20000.txt`, the test
# file of G(2,5) over 50 labels as the paper's authors released it, counted once. Each of its rows has nine different
# labels, and none of its graphs comes twice.
# fmt: off
PAPER_MARGINALS = {
    "place of the first edge of the path": [2544, 2505, 2503, 2475, 2514, 2442, 2558, 2459],
    "place of the edge to the goal": [2446, 2497, 2592, 2528, 2397, 2506, 2461, 2573],
    "the edge to the goal stands in the second half, in the first": [9937, 10063],
    "the goal's arm begins after the other, before it": [9929, 10071],
    "places of the two edges from the start": [
        728, 714, 708, 703, 702, 767, 740, 684, 708, 714, 729, 692, 703, 687, 738, 678, 729, 736, 713, 727,
        747, 724, 673, 725, 706, 706, 680, 739,
    ],
    "order of the path's edges": [
        884, 816, 858, 820, 880, 809, 811, 816, 792, 851, 786, 863, 830, 838, 883, 837, 820, 789, 840, 869,
        775, 843, 855, 835,
    ],
    "order of the labels of start, first step and goal": [3341, 3337, 3246, 3353, 3288, 3435],
    "first step to the goal has the higher label of the two, the lower": [10037, 9963],
    "labels below 25": [14, 232, 1176, 3284, 5329, 5430, 3222, 1072, 222, 19],
    "start": [
        392, 368, 427, 413, 380, 387, 416, 382, 384, 378, 430, 403, 404, 414, 380, 399, 363, 406, 387, 374,
        391, 375, 402, 399, 410, 378, 448, 401, 422, 390, 412, 377, 354, 375, 438, 422, 395, 418, 425, 421,
        427, 402, 420, 407, 383, 414, 395, 377, 411, 424,
    ],
    "first step": [
        393, 386, 383, 345, 412, 430, 371, 410, 434, 371, 375, 384, 422, 402, 382, 421, 380, 429, 395, 405,
        397, 435, 421, 418, 390, 393, 414, 379, 406, 395, 388, 408, 421, 375, 419, 421, 396, 399, 404, 401,
        422, 391, 453, 359, 384, 407, 394, 436, 376, 368,
    ],
    "goal": [
        409, 431, 403, 419, 430, 403, 379, 394, 416, 393, 395, 414, 407, 383, 372, 418, 408, 365, 367, 411,
        396, 410, 389, 377, 416, 398, 394, 407, 377, 395, 399, 407, 430, 424, 372, 412, 395, 389, 423, 427,
        402, 400, 414, 370, 391, 402, 391, 399, 381, 396,
    ],
    "first label of the text": [
        395, 413, 412, 403, 383, 413, 412, 371, 395, 382, 398, 408, 397, 407, 386, 423, 406, 407, 377, 410,
        417, 392, 376, 420, 400, 405, 407, 384, 394, 369, 417, 387, 382, 436, 402, 423, 399, 365, 428, 391,
        433, 375, 409, 394, 375, 439, 373, 402, 391, 417,
    ],
    "last target among the edges": [
        398, 426, 414, 396, 402, 414, 386, 412, 405, 371, 395, 378, 419, 438, 402, 411, 391, 397, 386, 415,
        435, 399, 446, 365, 397, 396, 367, 367, 356, 414, 419, 415, 414, 417, 410, 383, 358, 393, 404, 391,
        407, 383, 407, 365, 434, 424, 396, 373, 403, 406,
    ],
}
# fmt: on


def marginals(edges: np.ndarray, path: np.ndarray) -> dict[str, np.ndarray]:
    """Give each row of G(2,5) its values of the marginals above, numbered in their order."""
    rows = np.arange(len(edges))[:, None]
    edge_places = (edges[:, None] == np.stack([path[:, :-1], path[:, 1:]], axis=-1)[:, :, None]).all(3).argmax(2)
    start_places = np.nonzero(edges[..., 0] == path[:, :1])[1].reshape(-1, 2)
    first_steps = edges[rows, start_places, 1]
    return {
        "place of the first edge of the path": edge_places[:, 0],
        "place of the edge to the goal": edge_places[:, -1],
        "the edge to the goal stands in the second half, in the first": edge_places[:, -1] < 4,
        "the goal's arm begins after the other, before it": first_steps[:, 0] == path[:, 1],
        "places of the two edges from the start": numbered(start_places),
        "order of the path's edges": numbered(edge_places.argsort(axis=1)),
        "order of the labels of start, first step and goal": numbered(path[:, [0, 1, -1]].argsort(axis=1)),
        "first step to the goal has the higher label of the two, the lower": path[:, 1] == first_steps.min(axis=1),
        "labels below 25": (path[:, :1] < 25)[:, 0] + (edges[..., 1] < 25).sum(axis=1),
        "start": path[:, 0],
        "first step": path[:, 1],
        "goal": path[:, -1],
        "first label of the text": edges[:, 0, 0],
        "last target among the edges": edges[:, -1, 1],
    }


def numbered(values: np.ndarray) -> np.ndarray:
    """Number the different rows in lexicographic order."""
    return np.unique(values, axis=0, return_inverse=True)[1]


@pytest.fixture(scope="module")
def rows_of_the_test_split() -> tuple[np.ndarray, np.ndarray]:
    """Edges and paths of the test split of `d2_l5_n50`, as many rows as the paper's file has."""
    shards = [StarGraph(2, 5, 50).sample_shard("test", shard) for shard in range(2)]
    return tuple(np.concatenate([shard[column] for shard in shards]) for column in ("edges", "path"))


def test_marginals_of_one_row_by_hand():
    # 4,1|0,4|0,30|30,2|1,3|2,26|3,5|26,27/0,5=0,4,1,3,5
    edges = np.array([[[4, 1], [0, 4], [0, 30], [30, 2], [1, 3], [2, 26], [3, 5], [26, 27]]])
    values = {name: int(value) for name, (value,) in marginals(edges, np.array([[0, 4, 1, 3, 5]])).items()}
    assert values == {
        "place of the first edge of the path": 1,
        "place of the edge to the goal": 6,
        "the edge to the goal stands in the second half, in the first": 0,
        "the goal's arm begins after the other, before it": 1,
        "places of the two edges from the start": 0,
        "order of the path's edges": 0,
        "order of the labels of start, first step and goal": 0,
        "first step to the goal has the higher label of the two, the lower": 1,
        "labels below 25": 6,
        "start": 0,
        "first step": 4,
        "goal": 5,
        "first label of the text": 4,
        "last target among the edges": 27,
    }


@pytest.mark.parametrize("name", PAPER_MARGINALS)
def test_test_split_is_distributed_like_the_file_of_the_paper(name, rows_of_the_test_split):
    paper, ours = np.array(PAPER_MARGINALS[name]), np.bincount(marginals(*rows_of_the_test_split)[name])
    assert len(paper) == len(ours)
    assert paper.sum() == ours.sum() == 20_000
    # The chi-square of two samples of one size: with one distribution behind both, its mean is the degrees of freedom.
    assert ((paper - ours) ** 2 / (paper + ours)).sum() < CHI_SQUARE_CRITICAL[len(paper) - 1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"degree": 0}, "degree must be an integer >= 1, got 0"),
        ({"degree": -2}, "degree must be an integer >= 1, got -2"),
        ({"degree": True}, "degree must be an integer >= 1, got True"),
        ({"degree": 2.0}, "degree must be an integer >= 1, got 2.0"),
        ({"degree": "2"}, "degree must be an integer >= 1, got '2'"),
        ({"degree": None}, "degree must be an integer >= 1, got None"),
        ({"path_length": 1}, "path_length must be an integer >= 2, got 1"),
        ({"path_length": True}, "path_length must be an integer >= 2, got True"),
        ({"path_length": 5.5}, "path_length must be an integer >= 2, got 5.5"),
        ({"path_length": "5"}, "path_length must be an integer >= 2, got '5'"),
        ({"num_nodes": 8}, "num_nodes must be an integer from 9 to 10000000 for the 9 nodes of G(2,5), got 8"),
        ({"num_nodes": 50.0}, "num_nodes must be an integer from 9 to 10000000 for the 9 nodes of G(2,5), got 50.0"),
        ({"num_nodes": "50"}, "num_nodes must be an integer from 9 to 10000000 for the 9 nodes of G(2,5), got '50'"),
        ({"num_nodes": True}, "num_nodes must be an integer from 9 to 10000000 for the 9 nodes of G(2,5), got True"),
        ({"num_nodes": MAX_LABEL + 2}, "num_nodes must be an integer from 9 to 10000000 for"),
        ({"reverse": 1}, "reverse must be true or false, got 1"),
        ({"reverse": "yes"}, "reverse must be true or false, got 'yes'"),
        ({"reverse": None}, "reverse must be true or false, got None"),
        ({"goal": "start"}, "goal must be 'end' or 'any', got 'start'"),
        ({"goal": None}, "goal must be 'end' or 'any', got None"),
        ({"goal": "any", "reverse": True}, "reverse must be false where goal is 'any', got True"),
    ],
)
def test_field_out_of_range_is_named_with_value_and_range(config, message):
    with pytest.raises(ValueError) as caught:
        StarGraph(**config)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "config",
    [
        {"degree": 1, "path_length": 2, "num_nodes": 2},
        {"degree": 2, "path_length": 5, "num_nodes": 9},
        {"num_nodes": MAX_LABEL + 1},
    ],
)
def test_limits_of_the_ranges_are_allowed(config):
    task = StarGraph(**config)
    assert {field: getattr(task, field) for field in config} == config


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        StarGraph().degree = 3


@pytest.mark.parametrize(
    "config_name",
    [
        "",
        "d2",
        "d2_l5",
        "d2_l5_n",
        "d2_l5_n50_",
        "d2_l5_n50_reversed",
        "d-2_l5_n50",
        "l5_d2_n50",
        "D2_L5_N50",
        " d2_l5_n50",
        "d2_l5_n50\n",
        "d2.0_l5_n50",
        "d2_l5_n50_rev_rev",
        "d2_l5_n50_rev_any",
        "d2_l5_n50_end",
        "default",
    ],
)
def test_malformed_config_name_is_answered_with_the_form(config_name):
    with pytest.raises(ValueError) as caught:
        StarGraph.from_config_name(config_name)
    message = str(caught.value)
    assert message.startswith(f"unknown config {config_name!r}")
    assert "d<degree>_l<path_length>_n<num_nodes>" in message
    assert StarGraph.grid[0] in message


@pytest.mark.parametrize(
    ("config_name", "field"), [("d0_l5_n50", "degree"), ("d2_l1_n50", "path_length"), ("d2_l5_n8", "num_nodes")]
)
def test_config_name_out_of_range_names_the_field(config_name, field):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        StarGraph.from_config_name(config_name)


def test_config_name_is_read_into_every_field():
    assert StarGraph.from_config_name("d12_l34_n567_rev") == StarGraph(12, 34, 567, reverse=True)
    assert StarGraph.from_config_name("d12_l34_n567") == StarGraph(12, 34, 567)


@pytest.mark.parametrize(
    ("config_name", "overrides", "message"),
    [
        ("d2_l5_n50", {"degree": 3}, "config 'd2_l5_n50' says degree=2, but degree=3 was given"),
        ("d2_l5_n50", {"path_length": 4}, "config 'd2_l5_n50' says path_length=5, but path_length=4 was given"),
        ("d2_l5_n50", {"num_nodes": 60}, "config 'd2_l5_n50' says num_nodes=50, but num_nodes=60 was given"),
        ("d2_l5_n50_rev", {"reverse": False}, "config 'd2_l5_n50_rev' says reverse=True, but reverse=False was given"),
        (
            "d2_l5_n50",
            {"degree": 2, "num_nodes": 9},
            "config 'd2_l5_n50' says num_nodes=50, but num_nodes=9 was given",
        ),
        ("d2_l5_n50_any", {"goal": "end"}, "config 'd2_l5_n50_any' says goal=any, but goal='end' was given"),
    ],
)
def test_override_that_contradicts_the_name_is_refused(config_name, overrides, message):
    with pytest.raises(ValueError) as caught:
        StarGraph.from_config_name(config_name, **overrides)
    assert str(caught.value) == message


def test_override_that_agrees_with_the_name_or_adds_reverse_is_taken():
    assert StarGraph.from_config_name("d3_l4_n50", degree=3, path_length=4, num_nodes=50) == StarGraph(3, 4, 50)
    assert StarGraph.from_config_name("d3_l4_n50", reverse=True).config_name == "d3_l4_n50_rev"
    assert StarGraph.from_config_name("d3_l4_n50", reverse=False) == StarGraph(3, 4, 50)
    assert StarGraph.from_config_name("d3_l4_n50", goal="any").config_name == "d3_l4_n50_any"
    assert StarGraph.from_config_name("d3_l4_n50", goal="end") == StarGraph(3, 4, 50)


@pytest.mark.parametrize("override", [{"degree": 2.0}, {"num_nodes": 50.0}])
def test_override_is_checked_even_where_it_equals_the_name(override):
    with pytest.raises(ValueError, match="must be an integer"):
        StarGraph.from_config_name("d2_l5_n50", **override)


@pytest.mark.parametrize(
    ("degree", "path_length", "num_nodes", "expected"),
    [
        (1, 2, 2, 2),  # a->b, b->a
        (2, 2, 3, 3),  # the start is one of three
        (2, 2, 50, 58_800),  # 50 * (49 choose 2)
        (2, 3, 6, 360),  # 6! / 1! / 2!
        (2, 3, 10, 15_120),  # 10! / 5! / 2!
        (3, 2, 5, 20),  # 5 * (4 choose 3)
    ],
)
def test_num_graphs(degree, path_length, num_nodes, expected):
    assert StarGraph(degree, path_length, num_nodes).num_graphs == expected
    size = 1 + degree * (path_length - 1)
    formula = math.factorial(num_nodes) / math.factorial(num_nodes - size) / math.factorial(degree)
    assert formula == pytest.approx(expected)


def test_small_space_error_mentions_size_and_split():
    task = StarGraph(degree=2, path_length=2, num_nodes=3)
    empty = [split for split in SPLITS if split not in enumerated_splits(task)]
    assert empty, "these three graphs now occupy every split: choose another space"
    for split in empty:
        with pytest.raises(ValueError) as caught:
            task.sample_shard(split, 0)
        assert "d2_l2_n3 has only 3 graphs" in str(caught.value)
        assert f"the {split} split" in str(caught.value)


@pytest.mark.parametrize(
    ("degree", "reverse", "chance"), [(1, False, 1.0), (2, False, 0.5), (5, False, 0.2), (2, True, None)]
)
def test_hard_token_chance(degree, reverse, chance):
    assert StarGraph(degree, 3, reverse=reverse).chance["hard_token_accuracy"] == chance


@pytest.mark.parametrize(
    ("degree", "path_length", "chance"), [(2, 5, (1 + 3 / 2) / 4), (1, 5, 1.0), (3, 2, 1.0), (4, 3, (1 + 1 / 4) / 2)]
)
def test_chance_where_the_goal_is_any_node(degree, path_length, chance):
    assert StarGraph(degree, path_length, goal="any").chance["accuracy"] == pytest.approx(chance)
    assert StarGraph(degree, path_length, goal="any").chance["hard_token_accuracy"] == 1 / degree


@pytest.mark.parametrize(
    ("path_length", "reverse", "place"), [(5, False, 1), (5, True, 3), (2, False, 1), (2, True, 0), (3, True, 1)]
)
def test_hard_node(path_length, reverse, place):
    assert StarGraph(path_length=path_length, reverse=reverse).hard_part == place


def test_text_is_that_of_the_paper_in_both_directions():
    columns = {
        "edges": np.array([[[3, 1], [3, 15], [1, 20], [15, 4]]]),
        "path": np.array([[3, 1, 20]]),
        "start": np.array([3]),
        "goal": np.array([20]),
    }
    for reverse, completion in ((False, "3,1,20"), (True, "20,1,3")):
        text = StarGraph(2, 3, reverse=reverse).to_text(columns)
        assert text["prompt"].tolist() == ["3,1|3,15|1,20|15,4/3,20="]
        assert text["completion"].tolist() == [completion]


def test_reverse_changes_the_completion_alone():
    forward, backward = StarGraph(), StarGraph(reverse=True)
    columns, other = forward.sample_shard("test", 0, num_rows=50), backward.sample_shard("test", 0, num_rows=50)
    for name in columns:
        np.testing.assert_array_equal(columns[name], other[name])
    text, other_text = forward.to_text(columns), backward.to_text(columns)
    assert text["prompt"].tolist() == other_text["prompt"].tolist()
    turned = [",".join(c.split(",")[::-1]) for c in other_text["completion"].tolist()]
    assert text["completion"].tolist() == turned


def test_any_goal_is_a_node_of_an_arm_of_the_same_graphs_where_the_path_stops():
    task = StarGraph(3, 5, 50, goal="any")
    ends, columns = (one.sample(np.random.default_rng(0), 12_000) for one in (StarGraph(3, 5, 50), task))
    np.testing.assert_array_equal(columns["edges"], ends["edges"])
    lengths = (columns["path"] >= 0).sum(axis=1)
    np.testing.assert_array_equal(columns["path"], np.where(np.arange(5) < lengths[:, None], ends["path"], -1))
    np.testing.assert_array_equal(columns["goal"], ends["path"][np.arange(12_000), lengths - 1])
    assert chi_square(np.bincount(lengths)[2:]) < CHI_SQUARE_CRITICAL[3]
    assert columns["path"].dtype == columns["goal"].dtype == np.int32
    text = task.to_text(columns)
    written = [len(completion.split(",")) for completion in text["completion"].tolist()]
    assert written == lengths.tolist()
    assert (task.fixed_length, StarGraph().fixed_length) == (False, True)
    assert task.title == "G(3,5), 50 labels, any goal"


def test_known_rows_of_any_goal():
    task = StarGraph(goal="any")
    text = task.to_text(task.sample_shard("train", 0, num_rows=2))
    assert [p + c for p, c in zip(text["prompt"].tolist(), text["completion"].tolist(), strict=True)] == [
        "15,38|40,12|27,45|38,27|4,32|12,4|25,15|25,40/25,38=25,15,38",
        "18,21|36,12|30,28|9,39|13,18|13,9|39,30|21,36/13,12=13,18,21,36,12",
    ]


def test_a_goal_inside_an_arm_is_read_where_it_may_stand():
    task, end = StarGraph(2, 3, 20, goal="any"), StarGraph(2, 3, 20)
    row = task.parse("3,1|3,5|1,2|5,4/3,1=3,1")
    assert (row["path"], row["goal"]) == ([3, 1, -1], 1)
    assert task.score("3,1", row) == 1.0
    assert task.score("3,1,2", row) == task.score("3,1,-1", row) == task.score("3", row) == 0.0
    assert task.parse("3,1|3,5|1,2|5,4/3,2=3,1,2") == end.parse("3,1|3,5|1,2|5,4/3,2=3,1,2")
    with pytest.raises(ValueError, match="the goal 1 is not the end of an arm"):
        end.parse("3,1|3,5|1,2|5,4/3,1=3,1")
    for goal in (3, 9):
        with pytest.raises(ValueError, match=f"no arm leads to {goal}"):
            task.parse(f"3,1|3,5|1,2|5,4/3,{goal}=3,1")


def test_parse_problem_reads_a_good_line():
    for path, reverse in (("3,7,2", False), ("2,7,3", True)):
        problem = parse_problem(f"7,2|3,15|3,7|15,4/3,2={path}")
        assert problem.edges.tolist() == [[7, 2], [3, 15], [3, 7], [15, 4]]
        assert (problem.degree, problem.path, problem.reverse) == (2, [3, 7, 2], reverse)


@pytest.mark.parametrize("text", ["1,0/1,0=1,0", f"{MAX_LABEL},0/{MAX_LABEL},0={MAX_LABEL},0", "2,1|2,3|2,0/2,3=2,3"])
def test_parse_problem_reads_the_smallest_graphs_and_the_largest_label(text):
    assert parse_problem(text).path[-1] == int(text.rpartition(",")[2])


FORM = "not of the form 'a,b|c,d|.../start,goal=node,...,node'"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # The form.
        ("", f"{FORM}: it is empty"),
        ("=", FORM),
        ("3,1", FORM),
        ("3,1|3,5|1,2|5,4", FORM),
        ("3,1|3,5|1,2|5,4/3,2", FORM),
        ("3,1|3,5|1,2|5,4/3,2=", FORM),
        ("3,1|3,5|1,2|5,4/3,2=3", FORM),
        ("/3,2=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4/3=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4/3,1,2=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4|/3,2=3,1,2", FORM),
        ("|3,1|3,5|1,2|5,4/3,2=3,1,2", FORM),
        ("3,1||3,5|1,2|5,4/3,2=3,1,2", FORM),
        ("3,1,2|3,5,4/3,2=3,1,2", FORM),
        ("3,1|3|1,2|5,4/3,2=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4/3,2=3,1,2,", FORM),
        ("3,1|3,5|1,2|5,4/3,2=3,1,2=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4/3,2/3,2=3,1,2", FORM),
        ("3,1|3,5|1,2|5,4/3,2=3,1,2\n", FORM + ": character 26 is '\\n'"),
        (" 3,1|3,5|1,2|5,4/3,2=3,1,2", f"{FORM}: character 1 is ' '"),
        ("3,1|3,5|1,2|5,4/3,2=3, 1, 2", f"{FORM}: character 23 is ' '"),
        ("3,1|3,5|1,2|5,4/3,2=3 1 2", f"{FORM}: character 22 is ' '"),
        ("a,b|a,c|b,d|c,e/a,d=a,b,d", f"{FORM}: character 1 is 'a'"),
        ("-3,1|-3,5|1,2|5,4/-3,2=-3,1,2", f"{FORM}: character 1 is '-'"),
        ("+3,1|+3,5|1,2|5,4/+3,2=+3,1,2", f"{FORM}: character 1 is '+'"),
        ("3.0,1|3.0,5|1,2|5,4/3.0,2=3.0,1,2", f"{FORM}: character 2 is '.'"),
        ("3,1|3,5|1,2|5,4/3,2=3,1,0x2", f"{FORM}: character 26 is 'x'"),
        ("03,1|03,5|1,2|5,4/03,2=03,1,2", f"{FORM}: the label 03 begins with 0"),
        ("3,1|3,5|1,2|5,4/3,2=3,01,2", f"{FORM}: the label 01 begins with 0"),
        ("3,00|3,5|00,2|5,4/3,2=3,00,2", f"{FORM}: the label 00 begins with 0"),
        (
            "\u0663,1|\u0663,5|1,2|5,4/\u0663,2=\u0663,1,2",
            FORM + ": character 1 is '\\u0663'",
        ),  # ARABIC-INDIC DIGIT THREE
        ("1\u0663,1|1\u0663,5|1,2|5,4/1\u0663,2=1\u0663,1,2", FORM + ": character 2 is '\\u0663'"),
        (
            "\uff13,1|\uff13,5|1,2|5,4/\uff13,2=\uff13,1,2",
            FORM + ": character 1 is '\\uff13'",
        ),  # FULLWIDTH DIGIT THREE
        ("3\u00b2,1|3\u00b2,5|1,2|5,4/3\u00b2,2=3\u00b2,1,2", FORM + ": character 2 is '\\xb2'"),  # SUPERSCRIPT TWO
        # Labels that no numeral may have.
        (f"{10**7},0/{10**7},0={10**7},0", "the label 10000000 is larger than 9999999"),
        (f"3,{10**39}/3,{10**39}=3,{10**39}", "the label 10000000000000000000 is larger than 9999999"),
        pytest.param(
            f"3,{'9' * 5_000}/3,1=3,1", "the label 99999999999999999999 is larger than 9999999", id="5000 digits"
        ),
        # The graph.
        ("3,1|3,1|1,2/3,2=3,1,2", "two edges lead to one node, or an edge leads to the start"),
        ("3,1|3,5|1,2|1,2|5,4/3,2=3,1,2", "node 1 has two outgoing edges, and only the start 3 may have several"),
        ("3,1|3,5|1,2|1,4/3,2=3,1,2", "node 1 has two outgoing edges, and only the start 3 may have several"),
        ("3,1|3,5|1,2|5,4/9,2=9,1,2", "node 3 has two outgoing edges, and only the start 9 may have several"),
        ("3,1|3,5|1,2|5,2/3,2=3,1,2", "two edges lead to one node, or an edge leads to the start"),
        ("3,1|1,3/3,1=3,1", "two edges lead to one node, or an edge leads to the start"),
        ("3,3/3,3=3,3", "two edges lead to one node, or an edge leads to the start"),
        ("3,1|3,5|1,2|2,1/3,5=3,5", "two edges lead to one node, or an edge leads to the start"),  # an arm with a loop
        ("3,1|1,2|7,8|8,7/3,2=3,1,2", "some edges are not connected to the start 3"),  # a cycle apart
        ("3,1|1,2|7,7/3,2=3,1,2", "some edges are not connected to the start 3"),
        ("3,1|1,2|7,8|8,9/3,2=3,1,2", "some edges are not connected to the start 3"),
        ("3,1|1,2/9,2=9,1,2", "some edges are not connected to the start 9"),
        ("3,1|3,5|1,2/3,2=3,1,2", "the arms have different lengths: [2, 3] nodes"),
        ("3,1|3,5|1,2|5,4|4,6/3,2=3,1,2", "the arms have different lengths: [3, 4] nodes"),
        # The query and the path.
        ("3,1|3,5|1,2|5,4/3,1=3,1", "the goal 1 is not the end of an arm"),
        ("3,1|3,5|1,2|5,4/3,3=3,1,2", "the goal 3 is not the end of an arm"),
        ("3,1|3,5|1,2|5,4/3,9=3,1,9", "the goal 9 is not the end of an arm"),
        ("3,1|3,5|1,2|5,4/3,2=2,5,3", "the path 2,5,3 does not follow the edges; the path from the goal is 2,1,3"),
        ("3,1|3,5|1,2|5,4/3,2=2,1", "the path 2,1 does not follow the edges; the path from the goal is 2,1,3"),
        ("3,1|3,5|1,2|5,4/3,2=3,5,4", "the path 3,5,4 does not follow the edges; the path to the goal is 3,1,2"),
        ("3,1|3,5|1,2|5,4/3,2=3,5,2", "the path 3,5,2 does not follow the edges; the path to the goal is 3,1,2"),
        ("3,1|3,5|1,2|5,4/3,2=3,2", "the path 3,2 does not follow the edges; the path to the goal is 3,1,2"),
        ("3,1|3,5|1,2|5,4/3,2=3,1,2,2", "the path 3,1,2,2 does not follow the edges; the path to the goal is 3,1,2"),
        ("3,1|3,5|1,2|5,4/3,2=1,2", "the path 1,2 does not follow the edges; the path to the goal is 3,1,2"),
    ],
)
def test_parse_problem_gives_the_reason(text, reason):
    with pytest.raises(ValueError) as caught:
        parse_problem(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("goal", ["end", "any"])
def test_a_prompt_alone_has_the_answer_of_its_row(goal):
    task = StarGraph(degree=3, path_length=4, num_nodes=20, goal=goal)
    columns = task.sample(np.random.default_rng(0), 50)
    for prompt, path in zip(task.to_text(columns)["prompt"].tolist(), columns["path"].tolist(), strict=True):
        problem = parse_prompt(prompt, goal)
        assert problem.path == [node for node in path if node >= 0]
        assert (problem.degree, problem.path_length, problem.reverse) == (3, 4, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not of the form 'a,b|c,d|.../start,goal=': it is empty"),
        ("3,1|3,5|1,2|5,4/3,2", "not of the form 'a,b|c,d|.../start,goal='"),
        ("3,1|3,5|1,2|5,4/3,2=3,1,2", "not of the form 'a,b|c,d|.../start,goal='"),
        ("<b>", "not of the form 'a,b|c,d|.../start,goal=': character 1 is '<'"),
        (f"3,{'9' * 5_000}/3,1=", "the label 99999999999999999999 is larger than 9999999"),
        ("3,1|3,5|1,2|1,4/3,2=", "node 1 has two outgoing edges, and only the start 3 may have several"),
        ("3,1|3,5|1,2|5,4/3,9=", "the goal 9 is not the end of an arm"),
    ],
    ids=range(7),
)
def test_a_prompt_that_is_none_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError) as caught:
        parse_prompt(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3,1|3,5|3,6|1,2|5,4|6,7/3,2=3,1,2", "this is G(3,3), not G(2,3)"),
        ("3,1|3,5|1,2|5,4|2,8|4,9/3,8=3,1,2,8", "this is G(2,4), not G(2,3)"),
        ("3,1|3,5|1,2|5,20/3,2=3,1,2", "the label 20 is not below num_nodes=20"),
        ("3,1|3,5|1,2|5,4/3,2=3,5,2", "the path 3,5,2 does not follow the edges; the path to the goal is 3,1,2"),
    ],
)
def test_parse_refuses_problems_of_another_configuration(text, reason):
    with pytest.raises(ValueError) as caught:
        StarGraph(2, 3, 20).parse(text)
    assert str(caught.value) == reason


def test_parse_takes_only_the_direction_of_the_configuration():
    forward, backward = "3,1|3,5|1,2|5,4/3,2=3,1,2", "3,1|3,5|1,2|5,4/3,2=2,1,3"
    for reverse, right, wrong in ((False, forward, backward), (True, backward, forward)):
        task = StarGraph(2, 3, reverse=reverse)
        row = task.parse(right)
        assert row["prompt"] + row["completion"] == right
        assert row["path"] == [3, 1, 2]
        with pytest.raises(ValueError, match="the path"):
            task.parse(wrong)


def test_score_takes_only_the_direction_of_the_configuration():
    row = StarGraph(2, 3).parse("3,1|3,5|1,2|5,4/3,2=3,1,2")
    assert [StarGraph(2, 3).score(p, row) for p in ("3,1,2", "2,1,3")] == [1.0, 0.0]
    assert [StarGraph(2, 3, reverse=True).score(p, row) for p in ("3,1,2", "2,1,3")] == [0.0, 1.0]


@pytest.mark.parametrize(("population", "size"), [(3, 3), (20, 5), (60, 9)])
def test_sampling_without_a_pool_gives_the_same_numbers(population, size):
    few, pooled = (
        sample(np.random.default_rng(1), 500, population, size)
        for sample in (sample_few_of_many, sample_without_replacement)
    )
    assert population <= 4 * size**2, "sample_without_replacement would call sample_few_of_many itself"
    np.testing.assert_array_equal(few, pooled)


def test_ten_million_labels_cost_no_more_memory_than_fifty():
    columns = StarGraph(num_nodes=10**7).sample_shard("test", 0, num_rows=100)
    assert columns["edges"].max() > 10**6


def test_reversed_configuration_says_that_a_forward_path_is_not_reversed():
    with pytest.raises(ValueError, match="runs from the start to the goal, but d2_l3_n20_rev writes it the other way"):
        StarGraph(path_length=3, num_nodes=20, reverse=True).parse("3,1|3,5|1,2|5,4/3,2=3,1,2")


def test_unknown_override_is_refused():
    with pytest.raises(ValueError, match="foo=1"):
        StarGraph.from_config_name("d2_l5_n50", foo=1)


def test_title_is_prose():
    assert StarGraph(2, 3, 20, reverse=True).title == "G(2,3), 20 labels"


# Arms from edges alone


def shuffled_edges(arms, seed):
    edges = [edge for arm in arms for edge in itertools.pairwise(arm)]
    return [edges[i] for i in np.random.default_rng(seed).permutation(len(edges))]


@pytest.mark.parametrize(
    "arms",
    [
        [[3, 1, 2], [3, 5, 4]],
        [[0, 1]],
        [[7, 6, 5, 4, 3]],
        [[3, 1], [3, 5], [3, 0]],
        [[9, 1, 2, 3], [9, 4, 5, 6], [9, 7, 8, 10]],
    ],
)
def test_arms_are_found_whatever_the_order_of_the_edges(arms):
    for seed in range(10):
        edges = shuffled_edges(arms, seed)
        found = arms_of(edges, start=arms[0][0])
        assert sorted(found) == sorted(arms)
        first_steps = [target for source, target in edges if source == arms[0][0]]
        assert [arm[1] for arm in found] == first_steps


@pytest.mark.parametrize("config_name", ["d1_l4_n8", "d2_l2_n8", "d5_l5_n50"])
def test_arms_of_sampled_graphs_are_as_many_and_as_long_as_the_task_says(config_name):
    task = StarGraph.from_config_name(config_name)
    columns = task.sample(np.random.default_rng(0), 50)
    for edges, path, start in zip(columns["edges"].tolist(), columns["path"].tolist(), columns["start"], strict=True):
        arms = arms_of(edges, int(start))
        assert [len(arm) for arm in arms] == [task.path_length] * task.degree
        assert path in arms
        assert sorted(edge for arm in arms for edge in itertools.pairwise(arm)) == sorted(map(tuple, edges))


NO_STAR = {
    "fork": ([(3, 1), (1, 2), (1, 4)], "node 1 has two outgoing edges, and only the start 3"),
    "two arms that meet": ([(3, 1), (3, 5), (1, 2), (5, 2)], "two edges lead to one node"),
    "edge twice": ([(3, 1), (3, 1)], "two edges lead to one node"),
    "edge to the start": ([(3, 1), (1, 3)], "an edge leads to the start"),
    "edge from the start to itself": ([(3, 3)], "an edge leads to the start"),
    "another graph beside it": ([(3, 1), (5, 4)], "are not connected to the start 3"),
    "circle beside it": ([(3, 1), (5, 4), (4, 5)], "are not connected to the start 3"),
    "no edge from the start": ([(1, 2)], "are not connected to the start 3"),
    "arms of two lengths": ([(3, 1), (1, 2), (3, 5)], r"the arms have different lengths: \[2, 3\] nodes"),
}


@pytest.mark.parametrize("case", NO_STAR)
def test_edges_that_are_no_star_are_refused(case):
    edges, message = NO_STAR[case]
    for order in itertools.permutations(edges):
        with pytest.raises(ValueError, match=message):
            arms_of(order, start=3)
