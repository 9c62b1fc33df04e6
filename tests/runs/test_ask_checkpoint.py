"""The commands that ask models in plain English, on a GPT-2 that knows nothing; and on one that people use."""

import csv
import os
import shlex
from pathlib import Path

import pytest
from small_tokenizers import split_digits
from tiny_models import tiny_gpt2

from hf_nextfail.commands.main import main
from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.hub.cards import eval_results
from hf_nextfail.reporting.pictures import plan_pictures
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import training_of
from hf_nextfail.runs.ask_checkpoint import ask_checkpoint, instruct_task, load_asked, prompting_of
from hf_nextfail.runs.command_of_record import repeat
from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint
from hf_nextfail.runs.report import report_runs

CHAT = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
QUICK = ["--num_rows", "6", "--max_new_tokens", "3", "--batch_size", "4"]
#: A folder with SmolLM2-135M-Instruct as safetensors: recipes/README.md says how to make it.
SMOLLM2 = os.environ.get("SMOLLM2")


def run(*argv) -> int:
    with pytest.raises(SystemExit) as exit:
        main([*map(str, argv)])
    return exit.value.code


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = split_digits()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    tiny_gpt2(load_tokenizer(str(folder)), n_positions=1024).save_pretrained(folder)
    return folder


def test_the_examples_are_the_first_training_rows_of_the_seed(checkpoint):
    task = instruct_task(None, "d2_l3_n20")
    subject = load_asked(str(checkpoint), task, num_rows=2, dataset_seed=5)
    config = TaskConfig(task=task, seed=5)
    assert prompting_of(subject, 3, False, None).shots == [config.row("train", index) for index in range(3)]


def test_evaluate_in_english_is_a_record_like_others(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["--style", "instruct", "--dataset_config", "d2_l3_n20", "--num_shots", 1, "--chat", *QUICK]
    assert run("evaluate", checkpoint, *asked) == 0
    shown = capsys.readouterr().out
    assert "choice" in shown
    assert "G(2,3), 20 labels, in English" in shown
    (path,) = Path("runs/evaluate").rglob("results.json")
    assert path.parent.name == "star_graph-d2_l3_n20_instruct-test-6_rows-autoregressive-1_shot-chat"
    path = path.resolve()
    record = Record.read(path)
    assert record.run["prompting"] == {"num_shots": 1, "chat": True, "max_new_tokens": 3}
    assert record.run["dataset_config"] == "d2_l3_n20_instruct"
    assert set(record.results) == {"accuracy", "answer_rate", "choice_accuracy", "choice_mass"}
    assert record.results["choice_accuracy"]["n"] == 6
    assert record.chance == {"hard_token_accuracy": 0.5, "choice_accuracy": 0.5}
    assert training_of(record) == "trained elsewhere, 1 shot, chat"
    assert "1 shot, chat, autoregressive decoding" in next(iter(eval_results(record).values()))

    command, _ = repeat(record)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["nextfail", "evaluate", "tiny"]
    monkeypatch.chdir(checkpoint.parent)
    assert run(*words[1:], "--output_dir", tmp_path / "again") == 0
    (again,) = (tmp_path / "again").rglob("results.json")
    assert Record.read(again).results == record.results

    # The rows themselves are also those of a dataset like any other.
    usual = evaluate_checkpoint(str(checkpoint), dataset_config="d2_l3_n20_instruct", num_rows=6, progress=False)
    assert usual.run["rows_sha256"] == record.run["rows_sha256"]
    assert {"loss", "accuracy", "hard_token_accuracy"} <= set(usual.results)
    page = report_runs([path], tmp_path / "page").with_suffix(".md").read_text()
    assert "choice accuracy" in page


def test_depth_draws_and_goes_on(checkpoint, tmp_path, capsys):
    command = ["depth", checkpoint, "--degree", 3, "--num_nodes", 20, "--output_dir", tmp_path, *QUICK]
    assert run(*command, "--path_lengths", 3, 2) == 0
    (folder,) = tmp_path.iterdir()
    rows = list(csv.DictReader((folder / "depth.csv").open()))
    assert [row["path_length"] for row in rows] == ["2", "3"]
    assert {row["chance"] for row in rows} == {str(1 / 3)}
    assert (folder / "depth.png").stat().st_size > 10_000
    assert all(text in (folder / "depth.svg").read_text() for text in ("tiny", "1/3: a guess", "first step"))
    assert "left" in capsys.readouterr().out
    files = sorted(folder.rglob("results.json"))
    before = {path: path.stat().st_mtime_ns for path in files}

    files[1].write_text("{")  # as a command that was stopped might have left it
    assert run(*command, "--path_lengths", "2,3,4") == 0
    said = capsys.readouterr().out
    assert said.count("measured before") == 1
    assert all(f"tiny, d3_l{length}_n20_instruct" in said for length in (2, 3, 4))
    assert files[0].stat().st_mtime_ns == before[files[0]]
    records = [Record.read(path) for path in sorted(folder.rglob("results.json"))]
    assert [record.run["dataset_config"] for record in records] == [f"d3_l{n}_n20_instruct" for n in (2, 3, 4)]
    assert len(list(csv.DictReader((folder / "depth.csv").open()))) == 3
    assert [planned.kind for planned in plan_pictures(records)] == ["grid", "depth"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["evaluate", "x", "--style", "instrct"], "style must be symbols or instruct, got 'instrct' (did you mean"),
        (["evaluate", "x", "--chat"], "--chat goes with --style instruct: give that, or leave --chat out"),
        (["evaluate", "x", "--num_shots", "1"], "--num_shots goes with --style instruct"),
        (["evaluate", "x", "--style", "instruct", "--decoding", "parallel"], "--decoding goes with --style symbols"),
        (
            ["evaluate", "x", "--style", "instruct", "--dataset_name", "nextfail/countdown"],
            "goes with nextfail/star_graph",
        ),
        (["evaluate", "x", "--style", "instruct", "--dataset_config", "d2"], "unknown config 'd2'"),
        (["evaluate", "TINY", "--style", "instruct", "--num_shots", "-1"], "num_shots must be at least 0, got -1"),
        (["evaluate", "TINY", "--style", "instruct", "--max_new_tokens", "0"], "max_new_tokens must be at least 1"),
        (["evaluate", "TINY", "--style", "instruct", "--num_shots", "9"], "the model has 1024 positions"),
        (
            ["depth", "x", "--path_lengths", "2", "three"],
            "--path_lengths must be whole numbers such as 2 3 4, got 'three'",
        ),
        (["depth", "x", "--path_lengths", "40"], "num_nodes must be an integer from 79"),
        (["diagnose", "TINY", "--dataset_config", "d2_l3_n20_instruct"], "written in plain English"),
        (["sample", "d2_l3_n20_instruct"], "takes the tokenizer of a pretrained model"),
    ],
)
def test_bad_input_is_one_line(checkpoint, tmp_path, monkeypatch, capfd, argv, words):
    monkeypatch.chdir(tmp_path)
    argv = [str(checkpoint) if word == "TINY" else word for word in argv]
    assert run(*argv, *(["--num_rows", "4"] if "evaluate" in argv else [])) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("nextfail: error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not Path("runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(SMOLLM2 is None, reason="SMOLLM2 names no folder of SmolLM2-135M-Instruct: see recipes/README.md")
def test_a_model_that_people_use_answers_and_guesses():
    record = ask_checkpoint(SMOLLM2, chat=True, dataset_config="d2_l3_n20", num_rows=40, progress=False)
    choice = record.results["choice_accuracy"]
    assert abs(choice["value"] - 0.5) < 4 * choice["standard_error"]
    assert 0.001 < record.results["choice_mass"]["value"] <= 1
    shown = ask_checkpoint(SMOLLM2, num_shots=2, dataset_config="d2_l3_n20", num_rows=20, progress=False)
    assert shown.results["answer_rate"]["value"] > record.results["answer_rate"]["value"]
