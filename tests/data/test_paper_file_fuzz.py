"""Files of all kinds of bytes: the reader gives rows that are what the lines say, or its one-line `ValueError`."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problem_strategies import SEEDS, check_row, examples, nearly_problems, rows_of, tasks

from hf_nextfail import StarGraph, load_paper_file

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "problems.txt"


def check_file(path: Path, content: bytes) -> bool:
    """Assert that the file is refused as documented, or read row by row as its lines; say whether it was read."""
    path.write_bytes(content)
    text = content.removeprefix(codecs.BOM_UTF8).removeprefix(codecs.BOM_UTF16_LE).removeprefix(codecs.BOM_UTF16_BE)
    lines = [line.rstrip(b" \t") for line in text.rstrip(b" \t\r\n").splitlines()]
    try:
        dataset = load_paper_file(path)
    except ValueError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        if content.startswith(b"\x1f\x8b"):
            assert message.startswith(f"{path}: the file is compressed and damaged (")
        elif lines:
            place, colon, reason = message.removeprefix(f"{path}, line ").partition(": ")
            assert 1 <= int(place) <= len(lines)
            assert colon
            assert reason
        else:
            assert message == f"{path}: the file is empty"
        return False
    texts = [row["prompt"] + row["completion"] for row in dataset]
    if texts[0] != lines[0].decode("ascii"):  # the file writes paths from the goal
        texts = [row["prompt"] + row["completion"] for row in load_paper_file(path, reverse=True)]
    assert texts == [line.decode("ascii") for line in lines]
    for row in dataset:
        path_length = len(row["path"])
        check_row(StarGraph(len(row["edges"]) // (path_length - 1), path_length, num_nodes=10**7), row)
    return True


@examples(max_examples=60)
@given(tasks(), SEEDS, ENDS, st.booleans(), st.booleans())
def test_a_file_of_problems_is_read_whatever_their_shape(path, task, seed, end, last_end, reverse):
    rows = rows_of(StarGraph(task.degree, task.path_length, task.num_nodes), seed, count=3)
    assert check_file(path, end.join((row["prompt"] + row["completion"]).encode() for row in rows) + end * last_end)
    backward = StarGraph(task.degree, task.path_length, task.num_nodes, reverse=True)
    assert load_paper_file(path, reverse=True).to_list() == rows_of(backward, seed, count=3)


@examples(max_examples=300)
@given(st.one_of(st.binary(), st.text().map(str.encode), st.text("0123,|/=\n\r", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(path, content):
    check_file(path, content)


@examples(max_examples=150)
@given(st.data(), ENDS | st.sampled_from([b"\x0b", b"\x0c", b"\x85"]))  # the last end lines of text, not of bytes
def test_lines_that_are_nearly_problems_are_read_or_refused(path, data, end):
    task = data.draw(st.sampled_from([StarGraph(2, 3, 6), StarGraph(1, 2, 3), StarGraph(3, 2, 5)]))
    lines = data.draw(st.lists(nearly_problems(task), min_size=1, max_size=3))
    check_file(path, end.join(line.encode() for line in lines))
