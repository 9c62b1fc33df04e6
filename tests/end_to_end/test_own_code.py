"""A researcher's own objective and task, each one file, through every command: what the READMEs promise."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_lines import over
from huggingface_hub import HfApi
from safetensors.torch import load_file
from tiny_models import tiny_options
from transformers import AutoModelForCausalLM

from hf_nextfail.commands.finetune import main
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.models.with_heads import HEADS_FILE

REPOSITORY = Path(__file__).parents[2]
OWN_CODE = REPOSITORY / "tests/own_code"
SMALL = [
    *("--config", "star_graph/teacher_forced/smoke.yaml", "--precision=fp32", "--disable_tqdm=true", *tiny_options()),
    *("--num_train=2000", "--num_validation=200", "--num_test=300", "--per_device_train_batch_size=32"),
    *("--max_steps=20", "--eval_steps=10", "--logging_steps=5", "--save_steps=5", "--save_strategy=steps"),
]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder to work in, and what copies a file of one's own to it."""
    monkeypatch.chdir(tmp_path)

    def desk(*names):
        for name in names:
            shutil.copy(OWN_CODE / name, tmp_path / name)
        return tmp_path

    return desk


def run_nextfail(*arguments) -> int:
    with pytest.raises(SystemExit) as end:
        nextfail(list(map(str, arguments)))
    return end.value.code


def record_at(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_an_objective_of_ones_own_is_trained_diagnosed_and_run_again(desk, capsys):
    folder = desk("coin_toss.py")
    command = [sys.executable, "-m", "accelerate.commands.launch", REPOSITORY / "recipes/finetune.py", *SMALL]
    command += ["--objective", "./coin_toss.py:CoinToss", "--objective_options", '{"share": 0.3}']
    done = subprocess.run(map(str, command), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = folder / "runs/star_graph/coin_toss/d2_l3_n20-gpt2"
    record = record_at(run)
    assert (run / "accuracy.png").is_file() and not (folder / "runs/accuracy.png").exists()  # which is of several runs
    assert f"nextfail report {run.relative_to(folder)}" in done.stdout
    assert (record["run"]["objective"], record["run"]["objective_options"]) == ("coin_toss", {"share": 0.3})
    assert record["run"]["sources"]["objective"]["file"] == "coin_toss.py"
    assert record["diagnosis"]["verdict"]

    assert run_nextfail("diagnose", run, "--num_rows=50", "--output_dir=diagnosed") == 0
    assert "coin_toss" in (next((folder / "diagnosed").rglob("report.md"))).read_text()
    assert run_nextfail("evaluate", run, "--num_rows=50", "--output_dir=evaluated") == 0

    # As a process of its own, since it takes the number of threads from the record.
    rerun = [sys.executable, "-m", "hf_nextfail.commands.main", "rerun", str(run)]
    again = subprocess.run(
        [*rerun, "--objective", "./coin_toss.py:CoinToss"], capture_output=True, text=True, timeout=300
    )
    assert "All numbers are equal, and the weights bit for bit." in again.stdout, again.stderr
    capsys.readouterr()
    assert run_nextfail("rerun", run) == 2
    assert "--objective" in capsys.readouterr().err


SECOND_HEAD = [*SMALL, "--objective", "./after_next.py:AfterNext"]


def train_until(moment, *options: str) -> int:
    """Run the real command with the second head, and kill it at a moment."""
    command = [sys.executable, str(REPOSITORY / "recipes/finetune.py"), *SECOND_HEAD]
    command += ["--resume_from_checkpoint", "true", *options]
    with Path("output.txt").open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            if moment():
                process.kill()
            time.sleep(0.001)
    return process.returncode


def test_a_head_of_ones_own_survives_a_kill_and_is_dropped_on_the_hub(desk, hub):
    folder = desk("after_next.py")
    run = folder / "killed/star_graph/after_next/d2_l3_n20-gpt2"
    options = ["--report_to", "tensorboard", "--push_to_hub=true", "--hub_model_id=nextfail/after-next"]
    whole = folder / "whole/star_graph/after_next/d2_l3_n20-gpt2"
    main([*SECOND_HEAD, "--output_dir=whole"])
    code = train_until((run / "checkpoint-10/whole.json").exists, "--output_dir=killed", *options)
    assert code == -signal.SIGKILL
    assert not (run / "results.json").exists()
    assert train_until(lambda: False, "--output_dir=killed", *options) == 0, Path("output.txt").read_text()
    assert record_at(run)["run"]["weights_sha256"] == record_at(whole)["run"]["weights_sha256"]
    assert record_at(run)["results"] == record_at(whole)["results"]
    ends = [load_file(one / f"checkpoint-20/{HEADS_FILE}")["weight"] for one in (run, whole)]
    assert torch.equal(*ends)

    state = json.loads((run / "checkpoint-20/trainer_state.json").read_text())
    parts = [entry for entry in state["log_history"] if "loss" in entry]
    assert all({"loss_next_token", "loss_after_next"} <= entry.keys() for entry in parts)
    events = b"".join(path.read_bytes() for path in folder.rglob("events.out.tfevents*"))
    assert b"train/loss_after_next" in events
    assert b"train/loss_next_token" in events

    assert HEADS_FILE not in HfApi().list_repo_files("nextfail/after-next")
    model, loading = AutoModelForCausalLM.from_pretrained("nextfail/after-next", output_loading_info=True)
    assert not any(loading.values())
    assert model.generation_config.decoding == "autoregressive"
    assert run_nextfail("evaluate", "nextfail/after-next", "--num_rows=300", "--output_dir=evaluated") == 0
    again = record_at(next((folder / "evaluated").rglob("results.json")).parent)
    assert again["results"]["accuracy"] == record_at(run)["results"]["accuracy"]


@pytest.mark.parametrize(("name", "kind", "title"), [("sums", "Sums", "digits_3"), ("pairs", "Pairs", "largest_999")])
def test_a_task_of_ones_own_is_trained_measured_and_reported(desk, name, kind, title, capsys):
    folder, reference = desk(f"{name}.py"), f"./{name}.py:{kind}"
    main(over(SMALL, ["--task", reference, "--streaming=true", "--save_strategy=no"]))
    run = folder / f"runs/{name}/teacher_forced/{title}-gpt2"
    record = record_at(run)
    assert (record["run"]["task"], record["run"]["dataset_config"]) == (name, title)
    assert record["run"]["sources"]["task"]["file"] == f"{name}.py"
    assert record["results"].keys() == {"loss", "accuracy", "train_loss", "train_accuracy"}
    reason = (
        f"{name} has no diagnosis, only star_graph, tree_star, crossing_star and minimal_planning have one: nobody "
        "has said which parts of its answers need a plan and what a wrong branch is"
    )
    assert (record["diagnosis"], record["run"]["diagnosis_absent"]) == (None, reason)
    assert f"No diagnosis: {reason}." in " ".join(capsys.readouterr().out.split())

    assert run_nextfail("report", run, "--output_dir=page") == 0
    page = (folder / "page/report.md").read_text()
    assert f": {reason}." in page.replace("\\", "")
    assert "star graph" not in page
    assert run_nextfail("evaluate", run, "--task", reference, "--num_rows=300", "--output_dir=evaluated") == 0
    again = record_at(next((folder / "evaluated").rglob("results.json")).parent)
    assert again["results"]["accuracy"] == record["results"]["accuracy"]
    capsys.readouterr()
    assert run_nextfail("diagnose", run, "--task", reference) == 2
    assert reason in capsys.readouterr().err
    assert run_nextfail("evaluate", run) == 2
    assert f"give --task PATH/{name}.py:{kind}" in capsys.readouterr().err


def test_a_verifier_that_fails_after_training_loses_no_model(desk, capfd):
    folder = desk("sums.py")
    text = (folder / "sums.py").read_text()
    # It bears what is tried before the training, and not what a model writes that has learnt nothing.
    right = 'prediction == str(row["first"] + row["second"])'
    spoilt = f"assert {right} or not 3 <= len(prediction) < 50; return 1"
    text = text.replace(f"return float({right})", spoilt)
    (folder / "sums.py").write_text(text.replace('name = "sums"', 'name = "sums"\n    answers_are_unique = False'))
    with pytest.raises(SystemExit) as end:
        main(
            over(
                SMALL,
                ["--task", "./sums.py:Sums", "--save_strategy=no", "--eval_strategy=no", "--eval_on_start=false"],
            )
        )
    run = folder / "runs/sums/teacher_forced/digits_3-gpt2"
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "finetune.py: error: " in line]
    assert end.value.code == 1
    assert "is trained and saved, but not measured: the verifier of sums fails" in line
    assert AutoModelForCausalLM.from_pretrained(run).config.model_type == "gpt2"
