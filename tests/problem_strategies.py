"""Star graphs of all shapes for Hypothesis, texts that are nearly problems, and an independent reading of both."""

import functools
import re
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from hf_nextfail.tasks import StarGraph

#: The same examples on every machine, however slow it is.
examples = functools.partial(settings, derandomize=True, deadline=None)

SEEDS = st.integers(0, 2**32)
# What no problem has in the place of a label or a separator, and numbers as no problem writes them.
STRANGE = ["", "00", "-1", " ", "\n", "\0", "10000000", "9" * 30, "1.0", "x", "\u0663", "=", "/", ",", "|"]
SPELLINGS = ["0{}", "+{}", "{} ", "{}.0", "{}\u0663", "{}0000000", "0x{}", "1_{}"]


@st.composite
def tasks(draw, spare: int = 60) -> StarGraph:
    """Configurations of all shapes, with at most `spare` labels more than a graph needs."""
    degree, path_length = draw(st.integers(1, 6)), draw(st.integers(2, 6))
    num_nodes = 1 + degree * (path_length - 1) + draw(st.integers(0, spare))
    return StarGraph(degree, path_length, num_nodes, reverse=draw(st.booleans()))


def rows_of(task: StarGraph, seed: int, count: int) -> list[dict[str, Any]]:
    """Sample rows of all columns, whatever their split."""
    columns = task.sample(np.random.default_rng(seed), count)
    lists = {name: values.tolist() for name, values in (task.to_text(columns) | columns).items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


@st.composite
def nearly_problems(draw, task: StarGraph) -> str:
    """A problem of `task` as text with up to three changes, most of which leave it the form of one."""
    row = rows_of(task, draw(SEEDS), count=1)[0]
    tokens = re.findall(r"\d+|\D", row["prompt"] + row["completion"])  # labels in the even places, four tokens an edge
    kinds = st.sampled_from(["label", "spelling", "strange", "copy", "swap", "drop"])
    for kind in draw(st.lists(kinds, min_size=1, max_size=3)):
        place = draw(st.integers(0, len(tokens) - 1))
        edge, other = (4 * draw(st.integers(0, len(row["edges"]) - 1)) for _ in range(2))
        if kind == "strange":
            tokens[place] = draw(st.sampled_from(STRANGE))
        elif kind in ("label", "spelling"):  # wherever the label stands, or another label in this place alone
            old = tokens[place // 2 * 2]
            labels = st.integers(task.num_nodes - 1, task.num_nodes) | st.integers(0, task.num_nodes)
            new = draw(labels.map(str) if kind == "label" else st.sampled_from(SPELLINGS)).format(old)
            everywhere = kind == "spelling" or draw(st.booleans())
            places = [i for i, token in enumerate(tokens) if token == old] if everywhere else [place // 2 * 2]
            tokens = [new if i in places else token for i, token in enumerate(tokens)]
        elif kind == "copy":
            tokens[edge : edge + 3] = tokens[other : other + 3]
        elif kind == "swap":  # the sources of two edges, their targets, or the edges
            first, last = draw(st.sampled_from([(0, 1), (2, 3), (0, 3)]))
            one, two = slice(edge + first, edge + last), slice(other + first, other + last)
            tokens[one], tokens[two] = tokens[two], tokens[one]
        else:
            del tokens[edge : edge + 4]
    return "".join(tokens)


def walks_from(start: int, edges: list[list[int]]) -> list[list[int]]:
    """Walk from the start along the edges until none leads on: every way, none longer than there are edges."""
    walks, done = [[start]], []
    while walks:
        walk = walks.pop()
        onward = [[*walk, target] for source, target in edges if source == walk[-1] and len(walk) <= len(edges)]
        walks += onward
        done += [] if onward else [walk]
    return done


def check_row(task: StarGraph, row: dict[str, Any]) -> None:
    """Assert that a row is a problem of the configuration with its one right path, in words, numbers and nothing else.

    As many nodes as a tree on these edges has, all of them reached from the start by arms of one length: then the arms
    share the start alone.
    """
    edges, path = row["edges"], row["path"]
    nodes = {node for edge in edges for node in edge}
    arms = walks_from(row["start"], edges)
    assert len(edges) == task.degree * (task.path_length - 1)
    assert len(nodes) == len(edges) + 1
    assert 0 <= min(nodes) <= max(nodes) < task.num_nodes
    assert [len(arm) for arm in arms] == [task.path_length] * task.degree
    assert {node for arm in arms for node in arm} == nodes
    assert [arm for arm in arms if row["goal"] in arm] == [path]
    assert path[-1] == row["goal"]
    listed = "|".join(f"{source},{target}" for source, target in edges)
    assert row["prompt"] == f"{listed}/{path[0]},{path[-1]}="
    assert row["completion"] == ",".join(map(str, path[::-1] if task.reverse else path))
