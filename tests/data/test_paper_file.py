import codecs
import gzip
import logging
import re

import pytest
from datasets import load_dataset

from hf_nextfail import StarGraph, load_paper_file
from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.paper_file import describe_test_file, load_test_file
from hf_nextfail.data.problem_keys import texts_digest

# The first lines of `deg_2_path_5_nodes_50_test_20000.txt` as the paper's authors released it.
LINES = """\
32,3|16,12|3,19|32,34|34,6|6,16|19,47|47,28/32,12=32,34,6,16,12
17,12|22,28|49,17|9,24|49,9|13,7|12,22|24,13/49,7=49,9,24,13,7
28,40|17,24|35,37|37,28|40,5|15,10|24,15|35,17/35,10=35,17,24,15,10
13,36|30,11|7,12|7,13|12,30|16,34|11,1|36,16/7,1=7,12,30,11,1
12,45|2,44|33,29|34,28|22,33|44,34|12,2|45,22/12,29=12,45,22,33,29
15,40|35,18|34,15|19,34|48,37|19,48|37,35|40,23/19,23=19,34,15,40,23
3,27|42,0|24,47|12,24|19,42|0,36|47,3|12,19/12,27=12,24,47,3,27
45,49|49,0|39,30|45,39|0,42|30,16|42,44|16,22/45,22=45,39,30,16,22
29,1|23,22|1,24|22,46|30,35|23,32|32,29|46,30/23,35=23,22,46,30,35
0,19|16,35|36,17|31,23|11,16|31,0|23,11|19,36/31,35=31,23,11,16,35
46,1|1,5|5,39|8,30|49,46|28,8|49,22|22,28/49,39=49,46,1,5,39
35,3|20,14|3,40|19,35|23,19|23,26|6,20|26,6/23,40=23,19,35,3,40
""".splitlines()

FORM = "not of the form 'a,b|c,d|.../start,goal=node,...,node'"


@pytest.fixture
def write(tmp_path):
    def write(content: bytes | list[str], name: str = "test.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else "".join(f"{line}\n" for line in content).encode())
        return path

    return write


def test_good_file_becomes_the_columns_of_load_dataset(write):
    dataset = load_paper_file(write(LINES))
    ours = load_dataset("nextfail/star_graph", num_train=3, num_validation=0, num_test=0, split="train")
    assert dataset.features == ours.features
    assert dataset.column_names == ours.column_names
    assert [row["prompt"] + row["completion"] for row in dataset] == LINES
    task = StarGraph(degree=2, path_length=5, num_nodes=50)
    assert dataset.to_list() == [task.parse(line) for line in LINES]


def test_first_row_by_hand(write):
    assert load_paper_file(write(LINES))[0] == {
        "prompt": "32,3|16,12|3,19|32,34|34,6|6,16|19,47|47,28/32,12=",
        "completion": "32,34,6,16,12",
        "edges": [[32, 3], [16, 12], [3, 19], [32, 34], [34, 6], [6, 16], [19, 47], [47, 28]],
        "path": [32, 34, 6, 16, 12],
        "start": 32,
        "goal": 12,
    }


def test_path_may_be_a_string(write):
    assert load_paper_file(str(write(LINES)))[:] == load_paper_file(write(LINES))[:]


def test_reverse_writes_the_completion_from_the_goal(write):
    forward, backward = load_paper_file(write(LINES)), load_paper_file(write(LINES), reverse=True)
    assert backward[0]["completion"] == "12,16,6,34,32"
    assert backward.remove_columns("completion")[:] == forward.remove_columns("completion")[:]
    task = StarGraph(reverse=True)
    assert backward.to_list() == [task.parse(row["prompt"] + row["completion"]) for row in backward]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last_end", [True, False])
def test_line_endings_do_not_matter(write, end, last_end):
    content = end.join(line.encode() for line in LINES) + end * last_end
    assert load_paper_file(write(content))[:] == load_paper_file(write(LINES))[:]


@pytest.mark.parametrize("number", [1, 7, 11])
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (r".*", "", f"{FORM}: it is empty"),
        (r"^", " ", f"{FORM}: character 1 is ' '"),
        (r",", ", ", f"{FORM}: character "),
        (r",", ",0", f"{FORM}: the label 0"),
        (r"^", "\u200b", f"{FORM}: character 1 is '\\u200b'"),
        (r"=", "", FORM),
        (r"$", "x", FORM),
        (r"/", "/0", FORM),
        (r"\|", ",1|", FORM),
        (r",\d+$", "", "does not follow the edges; the path to the goal is"),
        (r"=(\d+),(\d+)", r"=\2,\1", "does not follow the edges; the path to the goal is"),
        (r"/(\d+),\d+=", r"/\1,\1=", "is not the end of an arm"),
        (r"^(\d+),(\d+)", r"\1,\1", "two edges lead to one node, or an edge leads to the start"),
    ],
)
def test_malformed_line_is_named_with_file_number_and_reason(write, number, old, new, reason):
    lines = LINES.copy()
    lines[number - 1] = re.sub(old, new, lines[number - 1], count=1)
    path = write(lines, "spoilt.txt")
    with pytest.raises(ValueError) as caught:
        load_paper_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {number}: ")
    assert reason in message


def test_first_of_several_malformed_lines_is_named(write):
    with pytest.raises(ValueError, match=r"test\.txt, line 2: "):
        load_paper_file(write([LINES[0], "2", LINES[1], "4"]))


def test_one_malformed_line_among_many_is_found(write):
    lines = LINES * 100
    lines[876] = lines[876].replace("=", "=49,", 1)
    with pytest.raises(ValueError, match=r"test\.txt, line 877: the path 49,"):
        load_paper_file(write(lines))


def turned(line: str) -> str:
    """Write a problem as the script of the paper's authors does with `reverse`: the path from the goal."""
    prompt, _, completion = line.partition("=")
    return f"{prompt}={','.join(completion.split(',')[::-1])}"


# Files of reversed paths, refused whatever the direction asked for, came from a public report.
@pytest.mark.parametrize("reverse", [False, True])
def test_a_file_of_reversed_paths_is_read_in_either_direction(write, reverse):
    theirs, ours = load_paper_file(write(map(turned, LINES)), reverse), load_paper_file(write(LINES, "ours"), reverse)
    assert theirs[:] == ours[:]
    assert theirs[0]["completion"] == ("12,16,6,34,32" if reverse else "32,34,6,16,12")
    assert theirs[0]["path"] == [32, 34, 6, 16, 12]


@pytest.mark.parametrize(
    ("lines", "other", "file"),
    [
        (LINES, "goal to the start", "start to the goal"),
        (list(map(turned, LINES)), "start to the goal", "goal to the start"),
    ],
)
def test_a_file_of_both_directions_is_refused(write, lines, other, file):
    with pytest.raises(ValueError) as caught:
        load_paper_file(write([*lines[:4], turned(lines[4]), *lines[5:]]))
    assert str(caught.value).endswith(f"line 5: the path runs from the {other}, in a file of paths from the {file}")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lines", [LINES, list(map(turned, LINES))], ids=["forward", "reversed"])
def test_a_test_file_goes_with_any_configuration_of_its_shape(write, lines, reverse):
    for labels in (50, 60):
        task = StarGraph(2, 5, labels, reverse=reverse)
        rows = load_test_file(str(write(lines)), task)
        assert [task.parse(row["prompt"] + row["completion"]) for row in rows] == rows.to_list()


def test_the_number_of_rows_bounds_those_of_a_test_file(write):
    path = str(write(LINES))
    whole = load_test_file(path, StarGraph())
    assert load_test_file(path, StarGraph(), 5)[:] == whole[:5]
    assert load_test_file(path, StarGraph(), 500)[:] == whole[:]


@pytest.mark.parametrize(
    ("lines", "task", "name"),
    [
        (LINES, StarGraph(2, 3, 20), "d2_l5_n50"),  # not its 20 labels; the largest in the file is 49
        (LINES[:1], StarGraph(2, 3, 20, reverse=True), "d2_l5_n50_rev"),  # the largest is 47
        (LINES, StarGraph(2, 3, 60), "d2_l5_n60"),
        (["1,2|2,3|3,6|1,4|4,5|5,7/1,6=1,2,3,6"], StarGraph(2, 3, 10), "d2_l4_n10"),
        (["1,2|2,3|3,6|1,4|4,5|5,17/1,6=1,2,3,6"], StarGraph(2, 3, 10), "d2_l4_n18"),
    ],
)
def test_a_file_of_another_shape_is_told_a_configuration_that_has_its_labels(write, lines, task, name):
    with pytest.raises(ValueError) as caught:
        load_test_file(str(write(lines)), task)
    assert str(caught.value).endswith(f"such as {name}")
    assert len(load_test_file(str(write(lines)), StarGraph.from_config_name(name))) == len(lines)


@pytest.mark.parametrize(
    ("other", "shape"),
    [
        ("3,1|3,5|1,2|5,4/3,2=3,1,2", "G(2,3)"),
        ("0,1|1,2|2,3|3,4/0,4=0,1,2,3,4", "G(1,5)"),
        ("0,1|0,2|0,3|0,4|0,5|0,6|0,7|0,8/0,8=0,8", "G(8,2)"),  # as many edges as the others
    ],
)
def test_lines_of_several_shapes_are_refused(write, other, shape):
    with pytest.raises(ValueError) as caught:
        load_paper_file(write([LINES[0], LINES[1], other]))
    assert str(caught.value).endswith(f"test.txt, line 3: {shape} in a file of G(2,5)")
    assert len(load_paper_file(write([other]))) == 1


TEXT = "".join(f"{line}\n" for line in LINES)


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode() + b"\n",
        TEXT.encode() + b" \t\r\n\n\r",
        TEXT.replace("\n", " \t\n").encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),  # as PowerShell redirects
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT.replace("\n", " \r\n").encode("utf-8-sig") + b"\r\n"),
    ],
    ids=["empty line", "empty lines", "blanks", "UTF-8 mark", "UTF-16", "UTF-16 big-endian", "gzip", "all of it"],
)
def test_what_wraps_the_lines_does_not_matter(write, content):
    assert load_paper_file(write(content))[:] == load_paper_file(write(LINES, "plain.txt"))[:]


def test_empty_file_is_refused(write):
    for content in (b"", b"\n", b" \r\n\t\n", codecs.BOM_UTF8, gzip.compress(b"")):
        with pytest.raises(ValueError, match=r"test\.txt: the file is empty"):
            load_paper_file(write(content))


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data[:30] + b"no" + data[32:]])
def test_a_damaged_compressed_file_is_refused(write, damage):
    with pytest.raises(ValueError, match=r"test\.txt: the file is compressed and damaged \(.+\); copy it again"):
        load_paper_file(write(damage(gzip.compress(TEXT.encode()))))


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_paper_file(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    "content",
    [
        LINES[0].encode() + b"\n" + b"\xff\xfe" + LINES[1].encode(),
        "\n".join(LINES[:2]).replace("\n1", "\n\u0661").encode(),  # an Arabic digit one, in UTF-8
        LINES[0].encode() + b"\n" + LINES[1].encode("utf-16"),
        LINES[0].encode() + b"\n\x00\x01\x02",
    ],
)
def test_bytes_that_are_no_ascii_are_refused(write, content):
    with pytest.raises(ValueError, match=r"test\.txt, line 2: not of the form"):
        load_paper_file(write(content))


def lines_of(config: TaskConfig, split: str, rows: range) -> list[str]:
    found = (config.row(split, index) for index in rows)
    return [row["prompt"] + row["completion"] for row in found]


@pytest.mark.parametrize(
    ("num_train", "seed", "seen"), [(200_000, 0, 4), (30, 0, 4), (28, 0, 2), (20, 0, 0), (30, 1, 0)]
)
def test_the_graphs_that_were_trained_on_are_counted(write, caplog, num_train, seed, seen):
    config = TaskConfig.resolve(StarGraph, "d2_l5_n50")
    lines = [*lines_of(config, "train", range(26, 30)), *lines_of(config, "test", range(4))]
    path = str(write([*lines, lines[0], lines[-1], lines[-1]]))  # a graph counts once
    trained = TaskConfig.resolve(StarGraph, "d2_l5_n50_rev", num_train=num_train, seed=seed)
    with caplog.at_level(logging.INFO, logger="hf_nextfail.data.paper_file"):
        description = describe_test_file(path, load_paper_file(path), trained)
    assert (description["path"], description["seen_share"]) == ("test.txt", seen / 8)
    assert description["rows_sha256"] == texts_digest(load_paper_file(path))
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {seen} of 8 graphs were trained on"]


def test_what_nobody_knows_is_not_said(write, caplog):
    path, rows = str(write(LINES)), load_paper_file(write(LINES))
    endless = TaskConfig.resolve(StarGraph, "d2_l5_n50", num_train=10**9)
    with caplog.at_level(logging.INFO, logger="hf_nextfail.data.paper_file"):
        for trained in (None, endless):
            assert describe_test_file(path, rows, trained)["seen_share"] is None
    assert caplog.records == []
    assert describe_test_file(None, None, endless) is None
