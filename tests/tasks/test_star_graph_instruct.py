"""Star graphs in plain English: the same graphs, and a reader of answers that no wrong path passes."""

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_rows import rows_of
from problem_strategies import examples

from hf_nextfail.data.builder import TaskConfig, task_features
from hf_nextfail.data.problem_keys import problem_keys
from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph_instruct import read_path

TASK = StarGraph(2, 3, 20, style="instruct")
PROMPT = """A directed graph has these edges:
8 -> 17, 5 -> 19, 5 -> 8, 19 -> 16
Find the path from node 5 to node 17. Answer with the nodes of the path in order and nothing else, in the form \
5 -> ... -> 17.
"""
BACKWARDS = """A directed graph has these edges:
8 -> 17, 5 -> 19, 5 -> 8, 19 -> 16
Find the path that leads to node 17 from node 5. Answer with its nodes backwards, from the last one to the first, and \
nothing else, in the form 17 -> ... -> 5.
"""
ROW = {"edges": [[8, 17], [5, 19], [5, 8], [19, 16]], "path": [5, 8, 17], "start": 5, "goal": 17}

# What people write between two nodes, and around a path.
JOINTS = [
    ", ",
    ",",
    " ",
    " -> ",
    "->",
    " → ",
    " => ",
    "-",
    " \u2013 ",
    "|",
    "; ",
    "\n",
    " ->\n",
    " and ",
    ", and ",
    ", then ",
]
JOINTS += [" \\to ", " $\\rightarrow$ ", "] -> [", ") (", " node "]
DRESSES = [
    "{}",
    " {}\n",
    "[{}]",
    "({})",
    "**{}**",
    "`{}`",
    "_{}_",
    '"{}"',
    "```\n{}\n```",
    "```text\n{}\n```\n",
    "{}.",
    "Answer: {}",
    "The path is {}.",
    "Path = {}",
    "Sure! The path from 5 to 17 is: {}. I hope that helps!",
    "{} is the path.",
    "\\boxed{{{}}}",
    "5 leads to 8 and 19, and 19 to 16.\n\n{}",
    "<think>5 -> 19 -> 16, a dead end. 5 -> 8</think> So it is:\n{}",
    "It may be 5, 19, 16. Wait. The answer is {}",
    "There are 2 arms.\n#### {}",
]


@pytest.mark.parametrize(("style", "prompt", "way"), [({}, PROMPT, 1), ({"reverse": True}, BACKWARDS, -1)])
def test_a_problem_in_english(style, prompt, way):
    task = StarGraph(2, 3, 20, style="instruct", **style)
    completion = " -> ".join(map(str, ROW["path"][::way]))
    messages = [{"role": "user", "content": prompt.strip()}, {"role": "assistant", "content": completion}]
    row = {"prompt": prompt, "completion": completion, "messages": messages, **ROW}
    assert rows_of(task, 1, "test") == [row]
    assert task.score(completion, row) == 1.0
    assert task.score(" -> ".join(map(str, ROW["path"][::-way])), row) == 0.0
    assert [completion[a:b] for a, b in task.parts(completion)] == [str(node) for node in ROW["path"][::way]]
    for text in (prompt, prompt + "5,8,17", prompt.replace("8 -> 17", "8 -> 18") + completion, "5 -> 8 -> 17"):
        with pytest.raises(ValueError, match=r"not of the form|does not follow|no arm|end of an arm"):
            task.parse(text)


@pytest.mark.parametrize("other", [{}, {"reverse": True}, {"goal": "any"}])
def test_the_graphs_are_those_of_symbols(other):
    symbols, english = StarGraph(3, 4, 50, **other), StarGraph(3, 4, 50, style="instruct", **other)
    assert english == StarGraph.from_config_name(symbols.config_name, style="instruct")
    assert english.config_name == f"{symbols.config_name}_instruct"
    assert english.title == f"{symbols.title}, in English"
    for split in ("train", "validation", "test"):
        drawn = [task.sample_shard(split, 1, seed=3, num_rows=300) for task in (symbols, english)]
        assert all(np.array_equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
        assert np.array_equal(
            *(task.split_key(columns) for task, columns in zip((symbols, english), drawn, strict=True))
        )
    guessed = "accuracy" if other == {"goal": "any"} else "hard_token_accuracy"  # a goal beside the start needs none
    assert english.chance["choice_accuracy"] == symbols.chance[guessed]


def test_a_wrong_style_is_one_line():
    with pytest.raises(ValueError, match="style must be 'symbols' or 'instruct', got 'English'"):
        StarGraph(style="English")
    with pytest.raises(ValueError, match=r"says style=instruct, but style='symbols' was given"):
        StarGraph.from_config_name("d2_l3_n20_instruct", style="symbols")
    with pytest.raises(ValueError, match=r"d2_l3_n20_instruct is plain English.*give model_name_or_path"):
        task_tokenizer(TASK)


def test_messages_are_a_column_like_others(tmp_path):
    sizes = {"num_train": 30, "num_validation": 0, "num_test": 0}
    rows = datasets.load_dataset("nextfail/star_graph", "d2_l3_n20_instruct", split="train", **sizes)
    assert rows.to_list() == rows_of(TASK, 30)
    assert rows.features == task_features(TASK)
    assert TaskConfig(task=TASK, **sizes).row("train", 7) == rows[7]
    assert len(set(problem_keys(rows, TASK))) == 30
    rows.to_parquet(tmp_path / "rows.parquet")
    stored = datasets.Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path))
    assert stored["messages"][:] == rows["messages"][:]
    stream = datasets.load_dataset("nextfail/star_graph", "d2_l3_n20_instruct", split="train", streaming=True, **sizes)
    assert next(iter(stream)) == rows[0]


def dressed(nodes, joints, dress):
    joints = [*joints[: len(nodes) - 1], *joints[-1:] * (len(nodes) - 1 - len(joints))]
    return dress.format("".join(f"{node}{joint}" for node, joint in zip(nodes, [*joints, ""], strict=True)))


@pytest.mark.parametrize("dress", DRESSES)
def test_people_write_paths_in_many_ways(dress):
    for joint in JOINTS:
        assert TASK.score(dressed(ROW["path"], [joint], dress), ROW) == 1.0, joint


@examples(max_examples=200)
@given(st.data())
def test_a_wrong_path_is_wrong_in_any_dress(data):
    joints = data.draw(st.lists(st.sampled_from(JOINTS), min_size=5, max_size=5))
    node = st.sampled_from([5, 8, 17, 19, 16, 3, "05", "8.0", "17th", "\u0665", -8, 10**8])
    right = ROW["path"]
    changed = st.tuples(st.integers(0, 3), st.sampled_from(["insert", "replace", "drop"]), node)
    nodes = list(data.draw(st.lists(node, min_size=2, max_size=6) | st.permutations(right) | st.just(right)))
    for place, kind, other in data.draw(st.lists(changed, max_size=2)):
        nodes[place : place + (kind != "insert")] = [] if kind == "drop" else [other]
    text = dressed(nodes, joints, data.draw(st.sampled_from(DRESSES))) if nodes else ""
    assert TASK.score(text, ROW) == float(list(nodes) == right), text


@pytest.mark.parametrize(
    "text",
    [
        "5, 8, 17 or 16",
        "5, 8, 17 or 5, 19, 16",
        "5 -> 8 -> 17, followed by 3",
        "5, 8, 17\n\n3",
        "5, 8, 17. 3",
        "5 -> 8 -> 17. No, it is 5 -> 19 -> 16.",
        "5 -> 8, 8 -> 17",
        "5 -> ... -> 17",
        "from 5 to 17",
        "1. 5\n2. 8\n3. 17",
        "(5, 8), (8, 17)",
        "5, 8, -17",
        "5--8-17",
        "5.8.17",
        "",
        "17",
        "I do not know.",
        PROMPT,
    ],
)
def test_what_names_another_path_or_several_or_none(text):
    assert TASK.score(text, ROW) == 0.0


@examples(max_examples=50)
@given(st.text() | st.lists(st.sampled_from([*JOINTS, "5", "8", "17", ". ", ":", "word", "..."])).map("".join))
def test_any_text_is_read(text):
    found = read_path(text)
    assert all(text[a:b] == str(node) for node, (a, b) in found if node is not None)
    same = TASK.canonical(text) == (5, 8, 17)
    assert TASK.score(text, ROW) == float(same)
    assert all(TASK.score(other, ROW) == 0.0 for other in (None, 3, [text]))
