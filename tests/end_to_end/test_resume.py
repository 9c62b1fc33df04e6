"""A run that is killed, at any moment, ends as one that is not."""

import json
import logging
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tiny_models import TINY_GPT2

from hf_nextfail.commands.finetune import main
from hf_nextfail.training.checkpoints import SEAL, last_whole_checkpoint, read_seal, seal
from hf_nextfail.training.hardware import fast_bf16

REPOSITORY = Path(__file__).parents[2]
# With dropout, so that the state of the random generators matters, too.
BASE = {
    "dataset_config": "d2_l3_n20",
    "num_train": 2_000,
    "num_validation": 50,
    "num_test": 60,
    "model_type": "gpt2",
    "config_overrides": TINY_GPT2 | {"resid_pdrop": 0.1},
    "objective": "teacherless",
    "precision": "fp32",
    "learning_rate": 0.003,
    "per_device_train_batch_size": 16,
    "max_steps": 30,
    "eval_strategy": "steps",
    "eval_steps": 7,
    "eval_on_start": True,
    "save_steps": 5,
    "save_total_limit": 2,
    "logging_steps": 4,
    "disable_tqdm": True,
}
RECIPES = {
    "rows": {"objective": "teacher_forced"},
    "stream": {"streaming": True, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8},
}


def command_line(folder: Path, recipes: dict[str, dict], *options: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(BASE | {"run_name": name} | recipe))
    return ["--config", *(str(folder / f"{name}.yaml") for name in recipes), "--output_dir", str(folder), *options]


def place(folder: Path, name: str) -> Path:
    """The folder of a run, that of a teacherless one if there is one."""
    folders = [folder / "star_graph" / objective / name for objective in ("teacherless", "teacher_forced")]
    return next(filter(Path.is_dir, folders), folders[1])


def outcome(folder: Path) -> dict[str, dict]:
    """All that is known of the runs in a folder but their times and the folder."""
    outcomes = {}
    for path in sorted(folder.glob("star_graph/*/*/results.json")):
        record = json.loads(path.read_text())
        del record["timings"]
        for place in ("output_dir", "resume_from_checkpoint"):
            record["recipe"].pop(place, None)
        outcomes[path.parent.name] = record
    return outcomes


def run_until(folder: Path, recipes: dict[str, dict], moment: Callable[[], bool], *options: str) -> int:
    """Run the real command, kill it at a moment, and return its exit code."""
    command = [sys.executable, str(REPOSITORY / "recipes/finetune.py"), *command_line(folder, recipes, *options)]
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if moment():
                process.kill()
            time.sleep(0.001)
    return process.returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    main(command_line(folder, RECIPES))
    return folder


def test_a_command_killed_three_times_ends_as_if_it_had_not_been(uninterrupted, tmp_path):
    moments = {
        "while it writes a checkpoint": lambda: (
            (place(tmp_path, "rows") / "checkpoint-15").exists()
            and not (place(tmp_path, "rows") / "checkpoint-15" / SEAL).exists()
        ),
        "between two checkpoints of a stream": lambda: (place(tmp_path, "stream") / "checkpoint-15").exists(),
        "after its model is saved, before its results are": lambda: (
            place(tmp_path, "stream") / "model.safetensors"
        ).exists(),
    }
    for name, moment in moments.items():
        code = run_until(tmp_path, RECIPES, moment, "--resume_from_checkpoint", "true")
        assert code == -signal.SIGKILL, f"{name}: {(tmp_path / 'output.txt').read_text()}"
    assert set(outcome(tmp_path)) == {"rows"}
    first = (place(tmp_path, "rows") / "results.json").read_bytes()
    assert run_until(tmp_path, RECIPES, lambda: False, "--resume_from_checkpoint", "true") == 0
    assert outcome(tmp_path) == outcome(uninterrupted)
    assert outcome(tmp_path)["rows"]["run"]["weights_sha256"] != outcome(tmp_path)["stream"]["run"]["weights_sha256"]
    assert (place(tmp_path, "rows") / "results.json").read_bytes() == first  # skipped
    output = "".join((tmp_path / "output.txt").read_text().split())  # lines may end within a path
    assert "rowsisfinished;itsresultsarereadfrom" in output
    assert "checkpoint-15isnotwhole,andleftout:ithasnowhole.json,whichiswrittenlast" in output
    assert all((checkpoint / SEAL).is_file() for checkpoint in tmp_path.glob("star_graph/*/*/checkpoint-*"))


@pytest.mark.slow
def test_a_command_killed_at_twenty_random_moments_ends_as_if_it_had_not_been(uninterrupted, tmp_path, capsys):
    recipes = {"rows": RECIPES["rows"], "stream": RECIPES["stream"]}
    began = time.monotonic()
    assert run_until(tmp_path / "timed", recipes, lambda: False) == 0
    whole = time.monotonic() - began
    draw, rows = random.Random(0), []
    for number in range(20):
        folder = tmp_path / str(number)
        deadline = time.monotonic() + draw.uniform(0.1, 1) * whole
        code = run_until(folder, recipes, lambda deadline=deadline: time.monotonic() > deadline)
        left = (
            ", ".join(sorted(path.relative_to(folder).as_posix() for path in folder.glob("star_graph/*/*/*-*[0-9]")))
            or "nothing"
        )
        finished = ", ".join(outcome(folder)) or "none"
        assert run_until(folder, recipes, lambda: False, "--resume_from_checkpoint", "true") == 0
        assert outcome(folder) == outcome(uninterrupted)
        rows.append(f"| {number} | {code} | {finished} | {left} | equal |")
        shutil.rmtree(folder)
    with capsys.disabled():
        print(
            "", "| kill | exit code | finished | checkpoints left | then |", "|---|---|---|---|---|", *rows, sep="\n"
        )


# In this process


def interrupted(folder: Path, run: str, step: int) -> None:
    """Leave of a finished run what there was after the checkpoint of a step."""
    for path in place(folder, run).iterdir():
        if path.is_file() and path.name != "recipe.yaml":
            path.unlink()
        elif path.name.startswith("checkpoint-") and int(path.name.partition("-")[2]) > step:
            shutil.rmtree(path)


SITUATIONS = {
    "rows": RECIPES["rows"],
    "a stream": RECIPES["stream"],
    "a stream, again and again": {"streaming": True, "num_train": 160},
    "a stream that ends within a batch": {"streaming": True, "num_train": 100, "gradient_accumulation_steps": 2},
    "accumulation": {"gradient_accumulation_steps": 3, "per_device_train_batch_size": 6},
    "several epochs": {"num_train": 100},
    "workers": {"dataloader_num_workers": 2},
    "half precision": {"precision": "bf16"},
    "stopped early": {"dataset_config": "d2_l2_n5", "learning_rate": 0.01, "stop_at_accuracy": 0.001, "max_steps": 60},
    "the last step": {"max_steps": 20},
    "schedule": {"lr_scheduler_type": "cosine", "warmup_steps": 5},
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(situation, tmp_path):
    recipes = {"run": SITUATIONS[situation] | {"save_total_limit": 100}}
    main(command_line(tmp_path, recipes))
    whole = outcome(tmp_path)
    steps = [int(path.name.partition("-")[2]) for path in place(tmp_path, "run").glob("checkpoint-*")]
    for step in {10, max(steps)}:
        interrupted(tmp_path, "run", step)
        main(command_line(tmp_path, recipes, "--resume_from_checkpoint", "true"))
        assert outcome(tmp_path) == whole
    if situation == "stopped early":
        assert whole["run"]["run"]["stopped_at_accuracy"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    main(command_line(folder, {"run": RECIPES["rows"]}))
    interrupted(folder, "run", 30)
    return folder


@pytest.fixture
def killed(trained, tmp_path) -> Path:
    """A run that was killed after its last checkpoint, of two."""
    return Path(shutil.copytree(trained, tmp_path / "killed"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


FLAWS = {
    "a file is missing": (lambda folder: (folder / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    "a file is cut": (
        lambda folder: cut(folder / "model.safetensors"),
        r"model.safetensors has [\d,]+ of [\d,]+ bytes",
    ),
    "the seal is missing": (lambda folder: (folder / SEAL).unlink(), f"it has no {SEAL}, which is written last"),
    "the seal is cut": (lambda folder: cut(folder / SEAL), f"its {SEAL} cannot be read"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_checkpoint_that_is_not_whole_gives_way_to_the_one_before(flaw, killed, caplog):
    spoil, message = FLAWS[flaw]
    assert last_whole_checkpoint(place(killed, "run")).name == "checkpoint-30"
    spoil(place(killed, "run") / "checkpoint-30")
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        assert last_whole_checkpoint(place(killed, "run")).name == "checkpoint-25"
    assert re.search(rf"checkpoint-30 is not whole, and left out: {message}", caplog.text)


def test_with_no_whole_checkpoint_a_run_starts_afresh(killed, uninterrupted):
    for checkpoint in place(killed, "run").glob("checkpoint-*"):
        (checkpoint / SEAL).unlink()
    main(command_line(killed, {"run": RECIPES["rows"]}, "--resume_from_checkpoint", "true"))
    again, expected = outcome(killed)["run"], outcome(uninterrupted)["rows"]
    assert again["run"]["weights_sha256"] == expected["run"]["weights_sha256"]
    assert read_seal(place(killed, "run") / "checkpoint-30")["choices"]["precision"] == "fp32"


def test_a_named_checkpoint_must_be_whole(killed, capfd):
    cut(place(killed, "run") / "checkpoint-25/model.safetensors")
    options = ["--resume_from_checkpoint", str(place(killed, "run") / "checkpoint-25")]
    with pytest.raises(SystemExit) as exit:
        main(command_line(killed, {"run": RECIPES["rows"]}, *options))
    assert exit.value.code == 2
    assert "checkpoint-25 is not a whole checkpoint of ours: model.safetensors has" in capfd.readouterr().err


def resume(folder: Path, recipe: dict, checkpoint: str, *options: str) -> None:
    main(command_line(folder, {"run": RECIPES["rows"] | recipe}, "--resume_from_checkpoint", checkpoint, *options))


def test_a_named_checkpoint_is_gone_on_from_as_what_it_was_begun_as(killed, tmp_path, capfd):
    checkpoint = str(place(killed, "run") / "checkpoint-25")
    with pytest.raises(SystemExit):
        resume(tmp_path / "other", {"learning_rate": 0.1}, checkpoint)
    assert "run was begun with learning_rate 0.003, and cannot go on with 0.1" in capfd.readouterr().err
    resume(tmp_path / "other", {}, checkpoint)
    resume(killed, {}, "true")
    weights = [outcome(folder)["run"]["run"]["weights_sha256"] for folder in (tmp_path / "other", killed)]
    assert weights[0] == weights[1]


def test_a_named_checkpoint_has_none_after_it(killed, capfd):
    with pytest.raises(SystemExit) as exit:
        resume(killed, {}, str(place(killed, "run") / "checkpoint-25"))
    assert exit.value.code == 2
    assert "run holds later ones, up to checkpoint-30; move them away" in capfd.readouterr().err
    shutil.rmtree(place(killed, "run") / "checkpoint-30")
    resume(killed, {}, str(place(killed, "run") / "checkpoint-25"))
    assert outcome(killed)["run"]["run"]["steps"] == 30


def test_without_a_checkpoint_another_recipe_starts_afresh(killed):
    for checkpoint in place(killed, "run").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    resume(killed, {"learning_rate": 0.1, "max_steps": 2}, "true")
    assert outcome(killed)["run"]["recipe"]["learning_rate"] == 0.1


def test_a_model_alone_is_no_state_to_go_on_from(killed, capfd):
    with pytest.raises(SystemExit) as exit:
        resume(killed, {"save_only_model": True}, "true")
    assert exit.value.code == 2
    assert "holds no state to go on from: it was saved with save_only_model" in capfd.readouterr().err


def test_a_resumed_run_chooses_what_it_chose_before(killed, caplog):
    path = place(killed, "run") / f"checkpoint-30/{SEAL}"
    content = json.loads(path.read_text())
    other = "fp32" if fast_bf16() else "bf16"  # than would be chosen here
    content["choices"] |= {"precision": other, "fast_path": [], "num_threads": 64}
    path.write_text(json.dumps(content))
    (place(killed, "run") / "recipe.yaml").unlink()
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        main(
            command_line(killed, {"run": RECIPES["rows"] | {"precision": "auto"}}, "--resume_from_checkpoint", "true")
        )
    run = outcome(killed)["run"]["run"]
    assert (run["precision"], run["fast_path"]) == (other, [])
    assert "This run began with num_threads 64, and goes on with" in caplog.text
    assert "began with fast_path" not in caplog.text


def test_going_on_with_another_recipe_is_said(killed, caplog):
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        main(command_line(killed, {"run": RECIPES["rows"] | {"max_steps": 32}}, "--resume_from_checkpoint", "true"))
    assert "was begun with max_steps 30, and goes on with 32" in caplog.text
    assert outcome(killed)["run"]["run"]["steps"] == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate 0.003, and cannot go on with 0.1"),
        ({"dataset_seed": 5}, "dataset_seed its default, and cannot go on with 5"),
    ],
)
def test_what_the_weights_depend_on_cannot_change(change, message, killed, capfd):
    before = (place(killed, "run") / "recipe.yaml").read_bytes()
    with pytest.raises(SystemExit) as exit:
        main(command_line(killed, {"run": RECIPES["rows"] | change}, "--resume_from_checkpoint", "true"))
    assert exit.value.code == 2
    assert message in capfd.readouterr().err
    assert (place(killed, "run") / "recipe.yaml").read_bytes() == before


def test_what_is_only_shown_may_change(killed):
    main(command_line(killed, {"run": RECIPES["rows"]}, "--resume_from_checkpoint", "true"))
    before = (place(killed, "run") / "results.json").read_bytes()
    shown = {"disable_tqdm": False, "logging_steps": 7}
    main(command_line(killed, {"run": RECIPES["rows"] | shown}, "--resume_from_checkpoint", "true"))
    assert (place(killed, "run") / "results.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "- a list", "{", "a text"])
def test_a_recipe_of_others_ends_the_command(content, killed, capfd):
    (place(killed, "run") / "recipe.yaml").write_text(content)
    with pytest.raises(SystemExit) as exit:
        main(command_line(killed, {"run": RECIPES["rows"]}, "--resume_from_checkpoint", "true"))
    assert exit.value.code == 2
    assert "is not a recipe of hf_nextfail" in capfd.readouterr().err


def test_results_of_another_recipe_are_not_taken_for_the_run_s(killed):
    main(command_line(killed, {"run": RECIPES["rows"]}, "--resume_from_checkpoint", "true"))
    main(command_line(killed, {"run": RECIPES["rows"] | {"num_test": 40}}, "--resume_from_checkpoint", "true"))
    assert outcome(killed)["run"]["results"]["accuracy"]["n"] == 40


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_results_file_of_others_ends_the_command(content, killed, capfd):
    (place(killed, "run") / "results.json").write_text(content)
    with pytest.raises(SystemExit) as exit:
        main(command_line(killed, {"run": RECIPES["rows"]}, "--resume_from_checkpoint", "true"))
    assert exit.value.code == 2
    assert "is not a results.json of hf_nextfail" in capfd.readouterr().err
    assert (place(killed, "run") / "results.json").read_text() == content


# The parts


def test_a_seal_names_the_size_of_every_file(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/file").write_text("12345")
    seal(tmp_path, {"device": "cpu"})
    assert read_seal(tmp_path) == {"choices": {"device": "cpu"}, "files": {"inside/file": 5}}
    (tmp_path / "inside/file").write_text("1234")
    with pytest.raises(ValueError, match="inside/file has 4 of 5 bytes"):
        read_seal(tmp_path)
