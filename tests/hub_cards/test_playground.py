"""The checkpoints of the Space, and what its playground shows of them."""

import importlib.util
import re

import pytest

from hf_nextfail import load_tokenizer
from hf_nextfail.files import shipped_folder
from hf_nextfail.reporting.provenance import weights_digest
from hf_nextfail.reporting.record import Record

SPACE = shipped_folder("hub_cards") / "spaces/leaderboard"
FOLDERS = sorted(path.parent for path in SPACE.glob("checkpoints/*/*/results.json"))
DEEP = "G(2,4), 20 labels"


@pytest.fixture(scope="module")
def playground():
    spec = importlib.util.spec_from_file_location("playground", SPACE / "playground.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(answer: str) -> str:
    return re.sub("<[^>]*>", " ", answer)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_checkpoint_is_small_and_the_one_of_its_record(folder):
    assert max(path.stat().st_size for path in folder.iterdir()) <= 2_000_000
    assert not [path for path in folder.iterdir() if path.suffix not in (".json", ".safetensors", ".yaml", ".jinja")]
    # Without a template, harnesses that chat write prompts of their own, and score answers to them.
    said = load_tokenizer(str(folder)).apply_chat_template(
        [{"role": "user", "content": "3,1|1,2/3,2="}], tokenize=False
    )
    assert said == "3,1|1,2/3,2="
    record = Record.read(folder / "results.json")
    assert record.run["weights_sha256"] == weights_digest(folder)
    failing = folder.name == "teacher_forced"
    assert (record.results["accuracy"]["value"] < 0.55) if failing else (record.results["accuracy"]["value"] >= 0.99)


def test_each_graph_has_a_checkpoint_that_fails_at_the_budget_of_one_that_plans(playground):
    for checkpoints in playground.choices().values():
        steps = {name: Record.read(folder / "results.json").run["steps"] for name, folder in checkpoints.items()}
        assert len(steps) >= 2 and steps.pop("teacher forced") >= max(steps.values())


def test_who_plans_is_sure_and_right_and_who_does_not_guesses_and_follows_the_wrong_arm(playground):
    known = playground.choices()[DEEP]
    for prompt in ("4,6|1,19|10,1|3,18|6,3|4,10/4,19=", "8,12|3,13|13,14|14,18|3,8|12,5/3,18="):
        planned, guessed = (playground.answer(prompt, known[name]) for name in ("nextlat", "teacher forced"))
        assert planned.count("<img ") == guessed.count("<img ") == 2
        right, wrong = (
            [float(value) for value in re.findall(r"<td>(\d\.\d+)</td>", answer)] for answer in (planned, guessed)
        )
        assert right[0] > 0.9 and min(wrong) > 0.3
        assert text_of(planned).split()[0] == "Right"
        # Each puts the goal at the end, which stands in the prompt; before it one turns back, and one follows edges.
        led = [text_of(answer).partition("Led into a wrong arm")[2] for answer in (planned, guessed)]
        assert "different nodes of the graph, and somewhere no edge leads" in led[0]
        assert "a wrong arm, with the goal (which stands in the prompt) as its last node" in led[1]


def test_a_sample_is_a_graph_of_the_task(playground):
    for checkpoints in playground.choices().values():
        for folder in checkpoints.values():
            task, _ = playground.read_row(playground.sample(folder), playground.load(folder).task)
            assert task == playground.load(folder).task


def test_who_writes_in_one_pass_cannot_be_led(playground):
    answer = playground.answer("8,1|1,2|8,0|0,4/8,4=", playground.choices()["G(2,3), 10 labels"]["teacherless"])
    assert text_of(answer).split()[0] == "Right"
    assert "It cannot be led: with the decoding parallel it is not shown the true previous nodes." in answer


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "it is empty"),
        ("<script>alert(1)</script>", "character 1 is &#x27;&lt;&#x27;"),
        ("${7*7}", "character 1 is &#x27;$&#x27;"),
        ("3,1|3,5|1,2|5,4/3,1=", "the goal 1 is not the end of an arm"),
        ("3,1|3,25|1,2|25,4/3,2=", "the label 25 is not below num_nodes=20"),
        ("|".join(f"0,{node}" for node in range(1, 25)) + "/0,1=", "num_nodes must be an integer from 25 to"),
    ],
    ids=range(6),
)
def test_of_nonsense_the_reason_is_said_in_one_line(playground, prompt, said):
    answer = playground.answer(prompt, playground.choices()[DEEP]["teacher forced"])
    assert answer.startswith('<p role="alert">') and said in answer and "<script" not in answer


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("1,2|1,3|1,4/1,4=", "It cannot be led: paths of 2 nodes end with the first step."),
        (" 1,2|2,3/1,3= ", "This graph has one arm."),
        ("1,2|2,3|1,4|4,5|1,6|6,7/1,7=", "This is G(3,3); the checkpoint was trained on G(2,4) alone."),
    ],
    ids=["short", "one arm", "three arms"],
)
def test_graphs_of_other_shapes_may_be_asked(playground, prompt, said):
    answer = playground.answer(prompt, playground.choices()[DEEP]["teacher forced"])
    assert said in answer and answer.count("<img ") <= 2
