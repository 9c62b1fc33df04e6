import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_lines import over
from datasets import load_dataset
from loopback_hub.server import Fault
from run_folders import CONTRAST, SMOKE, only_run
from tiny_models import tiny_options
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_nextfail import StarGraph, evaluate
from hf_nextfail.commands.finetune import main
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.models.fast_path import FEW_THREADS
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.schema import RUN
from hf_nextfail.training.hardware import usable_cores

REPOSITORY = Path(__file__).parents[2]
SIZES = {"num_train": 2000, "num_validation": 200, "num_test": 300}
STEPS = {"max_steps": 6, "eval_steps": 3, "logging_steps": 3, "per_device_train_batch_size": 32}
OPTIONS = SIZES | STEPS | {"precision": "fp32", "disable_tqdm": "true"}
SMALL = [f"--{name}={value}" for name, value in OPTIONS.items()]
PAPER_LINES = "7,3|3,15|7,9|9,1/7,15=7,3,15\n4,5|6,4|6,2|2,19/6,5=6,4,5\n"


def run(folder: Path, *options: str) -> dict:
    main(over([*SMALL, *tiny_options(), "--output_dir", str(folder)], options))
    return {
        path.relative_to(folder).parent.as_posix(): json.loads(path.read_text())
        for path in folder.rglob("results.json")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The default command, cut short."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(folder)


def test_the_default_runs_the_contrast_of_the_paper(finished):
    _, records = finished
    assert set(records) == set(CONTRAST.values())


def test_results_say_what_was_run_and_measured(finished):
    _, records = finished
    record = records[CONTRAST["teacher_forced"]]
    assert record["schema_version"] == 2
    assert Record.from_dict(record).as_dict() == record
    assert set(record["run"]) == set(RUN)
    assert record["run"]["steps"] == 6
    assert record["run"]["examples"] == 6 * 32
    assert record["run"]["dataset_config"] == "d2_l4_n20"
    assert record["versions"]["star_graph"] == StarGraph.version
    assert {"hf_nextfail", "metrics", "python", "torch", "transformers", "datasets", "accelerate"} <= set(
        record["versions"]
    )
    for name in ("accuracy", "train_accuracy"):  # of as many training rows as there are test rows
        assert record["results"][name]["n"] == 300
        assert 0 < record["results"][name]["num_graphs"] <= 300
        assert 0 <= record["results"][name]["value"] <= 1
    assert len(record["results"]["token_accuracy"]["value"]) == 4
    assert [point["step"] for point in record["history"]] == [0, 3, 6]
    assert record["timings"]["train_seconds"] > 0


LAST = ["last_mlp", "last_attention"]


def table_of(record):
    """GELU is looked up where few threads compute bfloat16."""
    looked_up = record["run"]["precision"] == "bf16" and record["run"]["num_threads"] <= FEW_THREADS
    return ["gelu_table"] if looked_up else []


def test_a_run_is_diagnosed_on_the_way_and_at_its_end(finished):
    folder, records = finished
    for name, record in records.items():
        assert record["diagnosis"]["numbers"]["accuracy"]["n"] == 300
        assert record["diagnosis"]["verdict"].startswith("It ")
        assert [set(point) for point in record["history"]] == [{"step", "accuracy", "loss", "diagnosis"}] * 3
        assert record["run"]["fast_path"] == ["attention", "gelu", *table_of(record), *LAST]
        for picture in ("accuracy", "positions", "learning", "errors", "graph"):
            assert (folder / name / f"{picture}.svg").is_file() and (folder / name / f"{picture}.png").is_file()


def test_neither_a_diagnosis_nor_a_fast_path_need_be(tmp_path, caplog):
    (record,) = run(
        tmp_path, "--config", "star_graph/teacherless/smoke", "--num_diagnosed=0", "--fast_path=none"
    ).values()
    assert record["diagnosis"] is None
    assert [point["diagnosis"] for point in record["history"]] == [None] * 3
    assert record["run"]["fast_path"] == []
    assert "fp32 on cpu: as transformers does it." in caplog.text


def test_attention_that_was_chosen_is_kept(tmp_path, caplog):
    (record,) = run(tmp_path, "--config", "star_graph/teacherless/smoke", "--attn_implementation=sdpa").values()
    assert record["run"]["fast_path"] == ["gelu", *table_of(record), "last_mlp"]
    assert "GELU in one kernel; " in caplog.text and "the last MLP on completions only." in caplog.text


def test_forced_numbers_and_chance_exist_where_they_mean_something(finished):
    _, records = finished
    forced = {name: record["results"]["forced_token_accuracy"] for name, record in records.items()}
    assert forced[CONTRAST["teacherless"]] is None
    assert forced[CONTRAST["teacher_forced"]]["n"] == 300
    chance = {name: record["chance"]["hard_token_accuracy"] for name, record in records.items()}
    assert chance[CONTRAST["teacherless"]] == chance[CONTRAST["teacher_forced"]] == 0.5
    assert chance[CONTRAST["reversed"]] is None


def test_the_picture_lies_beside_the_runs(finished):
    folder, _ = finished
    assert (folder / "accuracy.png").stat().st_size > 10_000


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless", "reversed"])
def test_a_reloaded_checkpoint_gives_the_numbers_of_its_run(finished, training):
    folder, records = finished
    record = records[CONTRAST[training]]
    checkpoint = folder / CONTRAST[training]
    assert (checkpoint / "model.safetensors").is_file()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    task = StarGraph.from_config_name(record["run"]["dataset_config"])
    rows = load_dataset("nextfail/star_graph", task.config_name, split="test", **SIZES)
    again = evaluate(model, rows, record["run"]["decoding"], tokenizer, task)
    for name, result in again.items():
        expected = record["results"][name]
        assert (result is None) == (expected is None)
        if result is not None:
            assert result["value"] == pytest.approx(expected["value"], rel=1e-5)
            assert result["standard_error"] == pytest.approx(expected["standard_error"], rel=1e-4)


def test_results_of_a_bf16_training_are_those_of_the_saved_weights(tmp_path):
    options = ("--config", "star_graph/reversed/smoke.yaml", "--precision", "bf16")
    (record,) = run(tmp_path, *options).values()
    assert record["run"]["precision"] == "bf16"
    checkpoint = tmp_path / SMOKE["reversed"]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20_rev", split="test", **SIZES)
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    again = evaluate(model, rows, "autoregressive", tokenizer)
    # Under bf16 autocast, the loss would differ in the fourth digit.
    assert again["loss"]["value"] == pytest.approx(record["results"]["loss"]["value"], rel=1e-6)


def test_a_second_run_repeats_the_first_and_the_recipe_as_run_too(finished, tmp_path):
    folder, records = finished
    first = records[CONTRAST["teacherless"]]
    again = run(tmp_path / "again", "--config", "star_graph/teacherless/contrast.yaml")[CONTRAST["teacherless"]]
    assert (again["results"], again["history"]) == (first["results"], first["history"])

    recipe = yaml.safe_load((folder / CONTRAST["teacherless"] / "recipe.yaml").read_text())
    (tmp_path / "as_run.yaml").write_text(yaml.safe_dump(recipe | {"output_dir": str(tmp_path / "recipe")}))
    main(["--config", str(tmp_path / "as_run.yaml")])
    as_run = json.loads((only_run(tmp_path / "recipe") / "results.json").read_text())
    assert (as_run["results"], as_run["history"]) == (first["results"], first["history"])


def test_running_into_the_same_folder_again_replaces_the_results(tmp_path):
    options = ("--config", "star_graph/teacher_forced/smoke.yaml")
    first = run(tmp_path, *options)
    second = run(tmp_path, *options, "--seed", "5")
    assert first.keys() == second.keys()
    assert [record["run"]["seed"] for record in second.values()] == [5]


def test_a_file_of_the_paper_is_evaluated_beside_the_test_split(tmp_path):
    known = TaskConfig.resolve(StarGraph, "d2_l3_n20").row("train", 7)  # which the run below is trained on
    (tmp_path / "paper.txt").write_text(PAPER_LINES.splitlines()[0] + f"\n{known['prompt']}{known['completion']}\n")
    options = ("--config", "star_graph/reversed/smoke.yaml", "--test_file", str(tmp_path / "paper.txt"))
    (record,) = run(tmp_path / "runs", *options).values()
    assert record["results"]["test_file_accuracy"]["n"] == 2
    assert (record["test_file"]["path"], record["test_file"]["seen_share"]) == ("paper.txt", 0.5)


def test_a_run_on_a_small_space_says_that_its_test_rows_repeat(tmp_path, caplog):
    run(tmp_path, "--config", "star_graph/teacher_forced/smoke.yaml", "--dataset_config", "d2_l3_n8")
    assert "different graphs" not in caplog.text
    run(tmp_path, "--config", "star_graph/teacher_forced/smoke.yaml", "--dataset_config", "d2_l2_n7")
    assert "d2_l2_n7: the 300 rows of the test split have only 1" in caplog.text


def test_streaming_trains_on_the_same_rows(tmp_path):
    options = ("--config", "star_graph/teacherless/smoke.yaml", "--streaming", "true")
    (record,) = run(tmp_path, *options).values()
    assert record["run"]["steps"] == 6
    assert record["results"]["train_accuracy"]["n"] == 300


def test_streaming_never_makes_all_rows(tmp_path):
    options = ("--config", "star_graph/teacherless/smoke.yaml", "--streaming", "true", "--num_train", str(10**9))
    (record,) = run(tmp_path, *options, "--num_test", "10001").values()
    assert record["run"]["steps"] == 6
    assert record["results"]["train_accuracy"]["n"] == 10_000


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(tmp_path):
    options = ("--config", "star_graph/teacher_forced/smoke.yaml", "--save_strategy", "steps", "--save_steps", "3")
    (whole,) = run(tmp_path / "whole", *options).values()
    checkpoints = tmp_path / "cut" / SMOKE["teacher_forced"]
    checkpoints.mkdir(parents=True)
    shutil.copytree(tmp_path / "whole" / SMOKE["teacher_forced"] / "checkpoint-3", checkpoints / "checkpoint-3")
    (resumed,) = run(tmp_path / "cut", *options, "--resume_from_checkpoint", "true").values()
    assert resumed["results"] == whole["results"]
    assert resumed["history"] == whole["history"]


def test_resume_without_a_checkpoint_starts_afresh(tmp_path):
    (record,) = run(
        tmp_path, "--config", "star_graph/teacher_forced/smoke.yaml", "--resume_from_checkpoint", "true"
    ).values()
    assert record["run"]["steps"] == 6


def test_a_checkpoint_of_ours_is_trained_further(finished, tmp_path):
    folder, _ = finished
    checkpoint = str(folder / CONTRAST["teacher_forced"])
    options = ["--config", "star_graph/teacher_forced/smoke.yaml", "--model_name_or_path", checkpoint]
    main(over([*SMALL, "--output_dir", str(tmp_path)], options))
    record = json.loads((only_run(tmp_path) / "results.json").read_text())
    assert record["run"]["model"] == checkpoint
    assert record["history"][0]["step"] == 0


BAD_INPUT = {
    "unknown option": (["--learning_rat", "1"], "'learning_rate'"),
    "no such checkpoint": (["--resume_from_checkpoint", "nowhere"], "no folder nowhere"),
    "row too long": (tiny_options(n_positions=8), "18 tokens.*8 positions"),
    "malformed test file": (["--test_file", "BROKEN"], "BROKEN, line 2: not of the form"),
    "empty folder as model": (["--model_name_or_path", "EMPTY"], "EMPTY holds no checkpoint"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_ends_with_code_2_one_line_and_nothing_written(case, tmp_path, monkeypatch, capfd):
    options, message = BAD_INPUT[case]
    monkeypatch.chdir(tmp_path)
    Path("BROKEN").write_text(PAPER_LINES.splitlines()[0] + "\n1,2|\n")
    Path("EMPTY").mkdir()
    with pytest.raises(SystemExit) as exit:
        main([*SMALL, "--config", "star_graph/teacher_forced/smoke.yaml", *options])
    assert exit.value.code == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("finetune.py: error: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not list(Path("runs").rglob("*.*"))


def test_checkpoints_of_an_earlier_run_are_not_overwritten(tmp_path, capfd):
    options = ["--config", "star_graph/teacher_forced/smoke.yaml", "--save_strategy", "steps", "--save_steps", "3"]
    run(tmp_path, *options)
    with pytest.raises(SystemExit):
        run(tmp_path, *options)
    assert "--resume_from_checkpoint true" in capfd.readouterr().err


def test_a_run_without_evaluations_has_no_picture_of_them(tmp_path):
    run(tmp_path, "--config", "star_graph/teacherless/smoke.yaml", "--eval_strategy=no", "--eval_on_start=false")
    assert {path.stem for path in tmp_path.rglob("*.png")} == {"errors", "graph"}


def test_push_to_hub_pushes_every_recipe_to_a_repository_of_its_own(hub, tmp_path, capfd, caplog):
    records = run(tmp_path, "--push_to_hub=true", "--hub_token=hf_test")
    for name, record in records.items():
        repo_id = f"nextfail/{name.replace('/', '-')}"
        files = hub.files("model", repo_id)
        assert json.loads(files["results.json"])["results"] == record["results"]
        assert files["accuracy.png"] == (tmp_path / name / "accuracy.png").read_bytes()
        assert (tmp_path / name / "training_args.bin").is_file()
        assert not [path for path in files if path.endswith((".bin", ".pt", ".pth"))]
        for path, data in [
            *files.items(),
            *((path, path.read_bytes()) for path in (tmp_path / name).glob("*.[jymR]*")),
        ]:
            assert b"hf_test" not in data, path
        for path, data in files.items():
            assert str(tmp_path).encode() not in data, path
    assert "hf_test" not in caplog.text + "".join(capfd.readouterr())


def test_one_repository_for_several_recipes_is_refused(hub, tmp_path, capfd):
    with pytest.raises(SystemExit) as exit:
        run(tmp_path, "--push_to_hub=true", "--hub_model_id", "nextfail/one")
    assert exit.value.code == 2
    assert "--hub_model_id names one repository, and 3 recipes would share it" in capfd.readouterr().err
    assert hub.head("model", "nextfail/one") is None


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "no token"), ("hf_wrong", "invalid"), ("hf_read", "may only read"), ("hf_other", "may not write")],
)
def test_a_token_that_may_not_push_ends_the_command_before_training(hub, tmp_path, monkeypatch, capfd, token, words):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SystemExit) as exit:
        run(
            tmp_path,
            *("--config", "star_graph/teacherless/smoke.yaml"),
            *("--push_to_hub=true", "--hub_model_id=nextfail/one"),
        )
    assert exit.value.code == 2
    [error] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("finetune.py: error: ")]
    assert words in error
    assert token is None or token not in error
    assert hub.head("model", "nextfail/one") is None
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_push_that_fails_in_the_background_fails_the_command_after_all_is_saved(hub, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("hf_nextfail.hub.push.PAUSES", ())
    hub.faults = [Fault("POST", "/commit/", status=503)]
    options = ["--config", "star_graph/teacherless/smoke.yaml", "--push_to_hub=true", "--hub_always_push=true"]
    with pytest.raises(SystemExit) as exit:
        run(tmp_path, *options, "--save_strategy=steps", "--save_steps=3")
    assert exit.value.code == 1
    [error] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("finetune.py: error: ")]
    name = SMOKE["teacherless"]
    assert f"{name}: the push to nextfail/{name.replace('/', '-')} did not come" in error
    assert "results.json" in hub.files("model", f"nextfail/{name.replace('/', '-')}")  # the last push came through
    assert (tmp_path / SMOKE["teacherless"] / "results.json").is_file()


def test_a_last_push_that_fails_says_how_to_push_without_training_again(hub, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("hf_nextfail.hub.push.PAUSES", ())
    hub.faults = [Fault("POST", "/commit/", times=100, status=503)]
    with pytest.raises(SystemExit) as exit:
        run(tmp_path, "--config", "star_graph/teacherless/smoke.yaml", "--push_to_hub=true")
    assert exit.value.code == 1
    error = capfd.readouterr().err.splitlines()[-1]
    command = re.search(r"nextfail push-model (\S+) --repo (\S+)\)", error)
    hub.faults = []
    with pytest.raises(SystemExit) as exit:
        nextfail(["push-model", command[1], "--repo", command[2]])
    assert exit.value.code == 0
    record = json.loads((tmp_path / "star_graph/teacherless/d2_l3_n20-gpt2/results.json").read_text())
    pushed = json.loads(hub.files("model", command[2])["results.json"])
    assert pushed["results"] == record["results"]


@pytest.mark.parametrize(
    ("exported", "asked", "threads"),
    [
        ({}, [], usable_cores()),  # the launcher says 1 of its own accord
        ({"OMP_NUM_THREADS": "1"}, [], 1),
        ({}, ["--num_cpu_threads_per_process=1"], 1),
    ],
)
def test_the_launchers_single_thread_becomes_all_cores_and_that_of_its_user_stays(tmp_path, exported, asked, threads):
    script = tmp_path / "threads.py"
    script.write_text(
        "import torch\nfrom hf_nextfail.training.hardware import set_num_threads\n"
        "set_num_threads()\nprint('threads:', torch.get_num_threads())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | exported
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", *asked, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"threads: {threads}\n" in done.stdout
