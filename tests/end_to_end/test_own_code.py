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
from huggingface_hub import HfApi
from safetensors.torch import load_file
from tiny_models import tiny_options
from transformers import AutoModelForCausalLM

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
    folder = desk("hybrid.py")
    command = [sys.executable, "-m", "accelerate.commands.launch", REPOSITORY / "recipes/finetune.py", *SMALL]
    command += ["--objective", "./hybrid.py:Hybrid", "--objective_options", '{"share": 0.3}']
    done = subprocess.run(map(str, command), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = folder / "runs/star_graph/hybrid/d2_l3_n20-gpt2"
    record = record_at(run)
    assert (record["run"]["objective"], record["run"]["objective_options"]) == ("hybrid", {"share": 0.3})
    assert record["run"]["sources"]["objective"]["file"] == "hybrid.py"
    assert record["diagnosis"]["verdict"]

    assert run_nextfail("diagnose", run, "--num_rows=50", "--output_dir=diagnosed") == 0
    assert "hybrid" in (next((folder / "diagnosed").rglob("report.md"))).read_text()
    assert run_nextfail("evaluate", run, "--num_rows=50", "--output_dir=evaluated") == 0

    capsys.readouterr()
    assert run_nextfail("rerun", run, "--objective", "./hybrid.py:Hybrid") == 0
    assert "equal" in capsys.readouterr().out
    assert run_nextfail("rerun", run) == 2
    assert "--objective" in capsys.readouterr().err


def train_until(moment, *options: str) -> int:
    """Run the real command with the second head, and kill it at a moment."""
    command = [sys.executable, str(REPOSITORY / "recipes/finetune.py"), *SMALL]
    command += ["--objective", "./after_next.py:AfterNext", "--resume_from_checkpoint", "true", *options]
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
    assert train_until(lambda: False, "--output_dir=whole") == 0, Path("output.txt").read_text()
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
