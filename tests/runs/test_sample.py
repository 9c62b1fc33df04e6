import itertools
import re
from pathlib import Path

import pytest
from datasets import load_dataset
from rich.cells import cell_len
from small_tokenizers import split_digits, whole_numbers
from transformers import ByT5Tokenizer

from hf_nextfail import StarGraph, load_tokenizer
from hf_nextfail.errors import UsageError
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.runs.sample import HARD, RIGHT, aligned, line_breaks, load_sample, sample_lines, which_task
from hf_nextfail.tasks import TASKS
from hf_nextfail.tasks.base import SHARD_ROWS


@pytest.fixture
def tokenizer_folder(tmp_path):
    """A function that saves a tokenizer and returns where."""

    def save(tokenizer) -> str:
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        return str(tmp_path / "tokenizer")

    return save


def shown(sample, width=80) -> str:
    return "\n".join(line.plain for line in sample_lines(sample, width))


def below(text: str, heading: str) -> list[str]:
    """The lines from a heading to the next empty one."""
    lines = text.split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith(heading))
    return lines[first : (*lines, "").index("", first)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("index", [0, 4_999])
def test_it_is_the_row_of_load_dataset(split, index):
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20_rev", split=split, seed=3)
    row = load_sample("d2_l3_n20_rev", split, index, seed=3).row
    assert {name: row[name] for name in rows.column_names} == rows[index]


@pytest.mark.parametrize("index", [0, SHARD_ROWS - 1, SHARD_ROWS, 2 * SHARD_ROWS - 1])
def test_it_is_the_same_on_both_sides_of_a_shard(index):
    rows = load_dataset("nextfail/star_graph", split="test")
    assert len(rows) == 2 * SHARD_ROWS
    assert load_sample(index=index).row["prompt"] == rows[index]["prompt"]
    assert load_sample().task.config_name == StarGraph.grid[0]


def test_all_there_is_to_see_of_a_row():
    sample = load_sample("d2_l3_n20")
    row = sample.row
    start, right, goal = row["path"]
    assert sample.title == "G(2,3), 20 labels: row 0 of the test split, seed 0"
    lines = shown(sample).split("\n")
    assert lines[:2] == [f"prompt      {row['prompt']}", f"completion  {row['completion']}"]
    arms = below(shown(sample), "arms")
    assert arms[-1] == f"hard token  {right}, node 2 of 3 in the completion: guessing gives 1/2 = 0.5"
    assert f"{start} → {right} → {goal} (to the goal)" in [arm[12:] for arm in arms]
    (other,) = [arm[12:] for arm in arms[:-1] if "goal" not in arm]
    first, second = (int(node) for node in other.split(" → ")[1:])
    assert [start, first] in row["edges"]
    assert [first, second] in row["edges"]


def test_the_right_arm_and_the_hard_token_are_coloured():
    sample = load_sample("d5_l5_n50")
    row = sample.row
    coloured = {}
    for line in sample_lines(sample, 80):
        for span in line.spans:
            coloured.setdefault(span.style, set()).add(line.plain[span.start : span.end])
    assert coloured[RIGHT] == {" → ".join(map(str, row["path"])) + " (to the goal)"}
    assert coloured[HARD] == {str(row["path"][1]), "^^", "$"}


def test_a_reversed_row_needs_no_guess_and_its_hard_token_stands_before_the_start():
    sample = load_sample("d3_l4_n50_rev", "train", 7)
    text, path = shown(sample), sample.row["path"]
    assert sample.title == "G(3,4), 50 labels, reversed paths: row 7 of the train split, seed 0"
    assert f"hard token  {path[1]}, node 3 of 4 in the completion: no guess, one edge leads back" in text
    assert f"{' → '.join(map(str, path))} (to the goal)" in text
    completion, _, mark = below(text, "numeral tokenizer")[-3:]
    assert completion.split() == ["completion", *map(str, path[::-1])]
    assert completion[mark.index("^") : mark.rindex("^") + 1].strip() == str(path[1])


def test_a_goal_anywhere_ends_the_path_and_needs_no_guess_next_to_the_start():
    said = {}
    for index in range(20):
        sample = load_sample("d2_l3_n20_any", "train", index)
        text, path = shown(sample), sample.path
        assert f"{' → '.join(map(str, path))}" in text
        said.setdefault(len(path), set()).add(text.partition("hard token")[2].split("\n")[0].partition("in the ")[2])
    assert said == {2: {"completion: no guess, it is the goal"}, 3: {"completion: guessing gives 1/2 = 0.5"}}


@pytest.mark.parametrize("config", ["d2_l3_n20", "d20_l5_n100", "d2_l20_n50_rev"])
def test_tokens_and_ids_are_those_of_training(config):
    sample = load_sample(config)
    row = sample.row
    text = shown(sample)
    tokens = below(text, "numeral tokenizer")
    assert tokens.pop(0) == f"numeral tokenizer, {sample.task.num_nodes + 5} tokens"
    cells = [line[12:].split() for line in tokens if not line.startswith("hard token")]
    assert [*itertools.chain(*cells[0::2])] == sample.tokenizer.convert_ids_to_tokens(
        row["prompt_ids"] + row["completion_ids"]
    )
    assert [*itertools.chain(*cells[1::2])] == [str(i) for i in row["prompt_ids"] + row["completion_ids"]]
    assert all(len(line) <= 80 for line in text.split("\n")[2:])


def test_what_an_objective_shows_and_asks_for():
    sample = load_sample("d2_l3_n20")
    nodes = list(map(str, sample.row["path"]))
    text = shown(sample)
    for name, inputs in {"teacher_forced": nodes, "teacherless": ["$"] * 3}.items():
        heading, first, second, mark, *_ = below(text, name)
        assert heading.split(", ")[0] == name
        assert first.split() == ["inputs", "(prompt)", *inputs]
        assert second.split() == ["labels", ".", *nodes]
        assert second[mark.index("^") : mark.rindex("^") + 1].strip() == nodes[1]
    assert text.splitlines()[-1].strip().startswith("Each label is predicted from the inputs before it")


def test_the_readme_shows_what_is_shown():
    readme = (Path(__file__).parents[2] / "hf_nextfail/objectives/README.md").read_text(encoding="utf-8")
    block = readme.partition("as each objective lays it out:\n\n```\n")[2].partition("\n```")[0]
    text = shown(load_sample("d2_l3_n20"))
    assert block.startswith("teacher_forced, mtp")
    assert block == text[text.index(block.split("\n")[0]) :]
    assert {name for name in OBJECTIVES if re.search(rf"\b{name}\b", block)} == OBJECTIVES.keys()


def test_a_tokenizer_of_several_tokens_a_label(tokenizer_folder):
    folder = tokenizer_folder(split_digits())
    sample = load_sample("d2_l5_n50", index=1, tokenizer_name=folder)
    text, row = shown(sample, width=300), sample.row
    heading, *_, completion, ids, mark = below(text, folder)
    assert heading == f"{folder}, {len(load_tokenizer(folder))} tokens"
    assert completion.split()[1:] == [*row["completion"], "<|end|>"]
    assert ids.split()[1:] == [str(i) for i in row["completion_ids"]]
    hard = "".join(completion[mark.index("^") : mark.rindex("^") + 1].split())
    assert (hard, len(hard)) == (f"{row['path'][1]},", 3)  # two digits, and the separator that ends the node
    assert mark.split() == ["hard", "token", *["^^"] * 3]
    _, inputs, labels, *_ = below(text, "teacherless")
    assert inputs.split() == ["inputs", "(prompt)", *["<|dummy|>"] * len(row["completion_ids"])]
    assert labels.split() == ["labels", ".", *row["completion"], "<|end|>"]


def test_special_tokens_are_shown_where_training_puts_them(tokenizer_folder):
    sample = load_sample("d2_l3_n20", tokenizer_name=tokenizer_folder(whole_numbers()))
    _, inputs, labels, *_ = below(shown(sample), "teacher_forced")
    completion = [*(part for node in sample.row["path"] for part in (str(node), ","))][:-1]
    assert inputs.split()[1:] == ["(prompt)", *completion, "<|endoftext|>"]
    assert labels.split()[1:] == [".", *completion, "<|endoftext|>"]


def test_a_tokenizer_that_does_not_say_where_tokens_come_from_goes_without_marks(tokenizer_folder):
    sample = load_sample("d2_l3_n20", tokenizer_name=tokenizer_folder(ByT5Tokenizer()))
    text = shown(sample)
    *_, completion, _ = below(text, sample.tokenizer_name)
    assert completion.split() == ["completion", *sample.row["completion"], "</s>"]
    assert "^" not in text
    assert f"hard token  {sample.row['path'][1]}, node 2 of 3" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_lines_are_broken_where_they_must_be_and_the_texts_never(width):
    sample = load_sample("d2_l20_n50")
    lines = [line.plain for line in sample_lines(sample, width)]
    assert lines[0] == f"prompt      {sample.row['prompt']}"
    assert lines[1] == f"completion  {sample.row['completion']}"
    laid_out = [line for line in lines[2:] if line.startswith(" ") or line.split()[:1] in (["ids"], ["labels"])]
    assert len(laid_out) > 3
    assert max(map(cell_len, laid_out)) <= width
    arms = " ".join(line[12:] for line in below("\n".join(lines), "arms")[:-1])
    assert f"{' → '.join(map(str, sample.row['path']))} (to the goal)" in arms


@pytest.mark.parametrize(
    ("widths", "room", "lines"),
    [
        ([2, 2, 2], 8, [(0, 3)]),
        ([2, 2, 2], 7, [(0, 2), (2, 3)]),
        ([2, 2, 2], 1, [(0, 1), (1, 2), (2, 3)]),
        ([1, 9, 1, 1], 5, [(0, 1), (1, 2), (2, 4)]),
    ],
)
def test_lines_of_cells_break_before_the_cell_that_does_not_fit(widths, room, lines):
    assert line_breaks(widths, room) == lines


def test_cells_stand_below_each_other():
    lines = aligned({"a": ["1", "1234"], "ids": ["123", "5"]}, 80, hard=[1])
    assert [line.plain for line in lines] == [
        "a             1 1234",
        "ids         123    5",
        "hard token      ^^^^",
    ]


@pytest.mark.parametrize("name", ["tree_star", "minimal_planning", "sibling_discovery"])
def test_a_row_of_any_task_is_shown_with_its_hard_tokens(name):
    kind, config_name = which_task(name, None)
    sample = load_sample(config_name, "train", 1, kind=kind)
    row = load_dataset(f"nextfail/{name}", config_name, split="train", num_train=2)[1]
    assert {column: sample.row[column] for column in row} == row
    text = shown(sample)
    assert f"completion  {row['completion']}" in text
    said = [line for line in text.splitlines() if line.startswith("hard token") and "guessing" in line]
    assert len(said) == len(sample.hard)
    for (place, chance), line in zip(sample.hard.items(), said, strict=True):
        begin, end = kind().parts(row["completion"])[place]
        assert line.startswith(f"hard token  {row['completion'][begin:end]}, part {place + 1} of ")
        assert line.endswith(f"guessing gives {chance:.3g}")
    assert ("^" in text) == bool(said)
    assert {objective for objective in OBJECTIVES if re.search(rf"\b{objective}\b", text)} == OBJECTIVES.keys()


@pytest.mark.parametrize(
    ("name", "config_name", "said"),
    [
        ("tree_star", "d2_b2_s2_l5_n50_rev", {"no guess, one edge leads back"}),
        ("in_weights_star", "d100_l5_p4_g0_rev", {"no guess, one edge leads back"}),
        ("crossing_star", "easy_rev", {"none in this row, one edge leads back"}),
        ("minimal_planning", "l4_n14_rev", {"none in this row, one edge leads back", "guessing gives 0.5"}),
    ],
)
def test_a_reversed_row_of_any_task_says_what_is_left_to_guess(name, config_name, said):
    found = set()
    for index in range(12):
        sample = load_sample(config_name, "test", index, kind=TASKS[name])
        assert ", reversed paths: row" in sample.title
        line = next(line for line in shown(sample).splitlines() if line.startswith("hard token"))
        found.add(line.rpartition(": ")[2].removeprefix("hard token").strip())
    assert found == said


def test_a_configuration_of_the_star_graph_needs_no_task():
    assert which_task("d2_l5_n50_any", None) == (StarGraph, "d2_l5_n50_any")
    assert which_task("star_graph", None) == which_task("star_graph", "d2_l5_n50")
    assert which_task("crossing_star", "easy") == (TASKS["crossing_star"], "easy")
    with pytest.raises(UsageError, match=r"there is no task 'tree_sta', only star_graph, .*did you mean 'tree_star'"):
        which_task("tree_sta", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config_name": "d2_l5"}, "unknown config 'd2_l5'"),
        ({"config_name": "d2_l5_n8"}, "num_nodes must be an integer from 9"),
        ({"split": "tests"}, r"split must be train or validation or test, got 'tests' \(did you mean 'test'\?\)"),
        (
            {"index": 20_000},
            "index must be an integer from 0 to 19999 for the 20000 rows of the test split, got 20000",
        ),
        ({"index": -1}, "index must be an integer from 0 to 19999"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"tokenizer_name": "./nowhere"}, "no tokenizer can be loaded from ./nowhere"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(UsageError, match=message):
        load_sample(**options)


def test_a_tokenizer_that_lacks_a_label_is_named(tokenizer_folder):
    folder = tokenizer_folder(load_sample("d2_l3_n5").tokenizer)
    with pytest.raises(UsageError, match="the tokenizer of 10 tokens cannot express"):
        load_sample("d2_l3_n50", tokenizer_name=folder)


def test_a_split_can_be_looked_at_though_another_has_no_graphs():
    empty, present = None, None
    for split in ("train", "validation", "test"):
        try:
            assert load_sample("d1_l2_n2", split).row["path"]
            present = split
        except UsageError as error:
            assert f"all of them outside the {split} split" in str(error)
            empty = split
    assert empty is not None
    assert present is not None
