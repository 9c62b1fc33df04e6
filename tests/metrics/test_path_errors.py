import itertools

import numpy as np
import pytest

from hf_nextfail.metrics import KINDS, path_kind, valid_path

ARMS = [[3, 1, 2], [3, 5, 4]]
WRITTEN = [
    ([3, 1, 2], "right arm"),
    ([3, 5, 4], "wrong arm"),
    ([3, 5, 2], "wrong arm to the goal"),
    ([3, 1, 4], "jump"),
    ([1, 3, 2], "jump"),
    ([2, 1, 3], "jump"),  # along the edges, and against their direction
    ([3, 1, 1], "repeated node"),
    ([3, 3, 3], "repeated node"),
    ([3, 1, 9], "not a node"),
    ([9, 9, 9], "not a node"),
    ([3, 1], "wrong length"),
    ([3, 1, 2, 2], "wrong length"),
    ([3, 9], "wrong length"),
    ([], "wrong length"),
]


@pytest.mark.parametrize(("written", "kind"), WRITTEN)
def test_every_path_has_a_kind(written, kind):
    assert path_kind(written, ARMS, ARMS[0]) == kind


def test_right_arm_is_the_reference_wherever_it_stands():
    assert path_kind([3, 5, 4], ARMS, ARMS[1]) == "right arm"
    assert path_kind([3, 1, 2], ARMS, ARMS[1]) == "wrong arm"


def test_arms_are_given_in_the_direction_of_writing():
    backwards = [arm[::-1] for arm in ARMS]
    kinds = [path_kind(path, backwards, backwards[0]) for path in ([2, 1, 3], [4, 5, 3], [3, 1, 2], [2, 5, 3])]
    assert kinds == ["right arm", "wrong arm", "jump", "wrong arm to the goal"]


def errors_in(path):
    """All that is wrong with a path, each found in a way of its own."""
    edges = {(3, 1), (1, 2), (3, 5), (5, 4)}
    found = {
        "wrong length": len(path) != 3,
        "not a node": any(node not in (1, 2, 3, 4, 5) for node in path),
        "repeated node": any(a == b for a, b in itertools.combinations(path, 2)),
        "jump": any(pair not in edges for pair in itertools.pairwise(path)) and path != (3, 5, 2),
        "wrong arm to the goal": path == (3, 5, 2),
        "wrong arm": path[-1:] != (2,),
        "right arm": True,
    }
    return [kind for kind in KINDS if found[kind]]


def test_of_several_errors_the_last_names_the_path():
    paths = [path for length in range(5) for path in itertools.product(range(7), repeat=length)]
    kinds = [path_kind(path, ARMS, ARMS[0]) for path in paths]
    assert kinds == [errors_in(path)[-1] for path in paths]
    assert [kinds.count(kind) for kind in KINDS[:3]] == [1, 1, 1]
    # 60 paths of three of five nodes, two of them arms, one nearly; 125 of any three; 343 of any three labels
    assert [kinds.count(kind) for kind in KINDS[3:6]] == [57, 65, 218]


@pytest.mark.parametrize("convert", [list, tuple, lambda path: [str(node) for node in path]])
def test_paths_may_be_any_sequence(convert):
    arms = [convert(arm) for arm in ARMS]
    assert [path_kind(convert(path), arms, arms[0]) for path, _ in WRITTEN] == [kind for _, kind in WRITTEN]


def test_path_of_two_nodes_cannot_jump_from_the_start():
    arms = [[3, 1], [3, 5]]
    kinds = [path_kind(path, arms, arms[0]) for path in ([3, 1], [3, 5], [1, 5], [3, 3])]
    assert kinds == ["right arm", "wrong arm", "jump", "repeated node"]


def test_valid_paths_are_the_arms():
    valid = valid_path(KINDS)
    assert valid.dtype == np.float64
    assert valid.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert valid_path(np.array(["jump", "right arm"])).tolist() == [0.0, 1.0]
    assert valid_path([]).shape == (0,)
