"""Tasks whose answers can be written from their end: what changes, what does not, and what is still a guess."""

import itertools

import numpy as np
import pytest
from known_rows import rows_of

from hf_nextfail.tasks import TASKS
from hf_nextfail.tasks.reversal import ReversibleTask

REVERSIBLE = [name for name, kind in TASKS.items() if issubclass(kind, ReversibleTask)]
OTHERS = [name for name in TASKS if name not in REVERSIBLE]
# What a model that follows the edges back, and guesses among several, meets in each row: see `guesses`.
PATHS = [
    ("star_graph", "d3_l4_n20"),
    ("tree_star", "d2_b3_s2_l5_n50"),
    ("crossing_star", "easy"),
    ("crossing_star", "medium"),
    ("crossing_star", "d2_l2_to5_p1_n9"),
    ("crossing_star", "d4_l4_to4_p2_n20"),
    ("minimal_planning", "l7_n14"),
    ("minimal_planning", "l3_n5"),
    ("minimal_planning", "l2_n3"),
]


def test_what_can_be_reversed():
    assert set(REVERSIBLE) == {
        *("star_graph", "tree_star", "crossing_star", "minimal_planning", "in_weights_star", "sibling_discovery")
    }


def both(name: str, config_name: str | None = None) -> tuple[ReversibleTask, ReversibleTask]:
    """A configuration and the same reversed."""
    config_name = config_name or TASKS[name]().config_name
    return TASKS[name].from_config_name(config_name), TASKS[name].from_config_name(f"{config_name}_rev")


@pytest.mark.parametrize("name", REVERSIBLE)
def test_a_reversed_row_has_the_same_words_from_its_end(name):
    forwards, backwards = both(name)
    for split in ("train", "test"):
        rows = zip(rows_of(forwards, 100, split), rows_of(backwards, 100, split), strict=True)
        for row, turned in rows:
            written, from_end = row.pop("completion"), turned.pop("completion")
            assert row == turned
            assert forwards.score(written, row) == backwards.score(from_end, row) == 1.0
            labels, labels_from_end = (text.replace("/", ",").split(",") for text in (written, from_end))
            if name == "sibling_discovery":
                assert labels_from_end == [labels[2], *labels[:2]]
                continue
            assert labels_from_end == labels[::-1]
            alike = labels == labels[::-1]  # of one node
            assert forwards.score(from_end, row) == backwards.score(written, row) == float(alike)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_names_say_it_and_titles_are_of_the_graph(name):
    forwards, backwards = both(name)
    assert (forwards.reverse, backwards.reverse) == (False, True)
    assert backwards.config_name == f"{forwards.config_name}_rev"
    assert TASKS[name](reverse=True) == backwards
    assert backwards.title == forwards.title
    assert TASKS[name].from_config_name(forwards.config_name, reverse=True) == backwards
    assert TASKS[name].from_config_name(backwards.config_name, reverse=True) == backwards
    with pytest.raises(ValueError, match="says reverse=True, but reverse=False was given"):
        TASKS[name].from_config_name(backwards.config_name, reverse=False)


@pytest.mark.parametrize("name", REVERSIBLE)
def test_a_switch_is_true_or_false(name):
    with pytest.raises(ValueError, match=r"^reverse must be true or false, got 1$"):
        TASKS[name](reverse=1)


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_reversed_says_so_in_one_line(name):
    config_name = TASKS[name]().config_name
    with pytest.raises(ValueError) as caught:
        TASKS[name].from_config_name(f"{config_name}_rev")
    assert str(caught.value) == f"{name} cannot be reversed: leave _rev out of the config '{config_name}_rev'"


def guesses(row: dict) -> list[int]:
    """Walk back along the edges from the goal: how many lead to each node of the path but the start."""
    edges = [tuple(edge) for edge in row["edges"] if min(edge) >= 0]
    path = [node for node in row["path"] if node >= 0]
    assert all(edge in edges for edge in itertools.pairwise(path))
    return [sum(target == node for _, target in edges) for node in reversed(path[1:])]


@pytest.mark.parametrize(("name", "config_name"), PATHS)
def test_chance_is_what_following_edges_back_and_guessing_gives(name, config_name):
    _, task = both(name, config_name)
    rows = rows_of(task, 4_000)
    ways = [guesses(row) for row in rows]
    whole = np.array([1 / np.prod(of_row) for of_row in ways])
    first = np.array([1 / max(of_row) for of_row in ways if max(of_row) > 1])  # none has more than one choice
    assert all(sum(count > 1 for count in of_row) <= 1 for of_row in ways)
    if len(first) == 0:
        assert task.chance == {"hard_token_accuracy": None}
        return
    for chance, found in ((task.chance["accuracy"], whole), (task.chance["hard_token_accuracy"], first)):
        assert abs(found.mean() - chance) <= 4 * found.std() / len(found) ** 0.5 + 1e-12


@pytest.mark.parametrize(("name", "config_name"), PATHS)
def test_hard_places_are_those_that_several_edges_lead_to(name, config_name):
    _, task = both(name, config_name)
    rows = rows_of(task, 100)
    places = task.hard_places({column: [row[column] for row in rows] for column in rows[0]})
    for row, hard in zip(rows, places, strict=True):
        before = len(guesses(row)) + 1 - len(task.parts(row["completion"]))  # a node before all, where parts are edges
        found = {place - before: 1 / count for place, count in enumerate(guesses(row), start=1) if count > 1}
        if task.hard_part is None:
            assert hard == found
        else:  # no reversed path has a choice: the node that was one
            assert (hard, found) == ({task.hard_part: 1.0}, {})
            (begin, end), written = task.parts(row["completion"])[task.hard_part], row["completion"]
            assert written[begin:end] == str(row["path"][1])
