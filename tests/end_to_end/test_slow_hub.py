"""A Hub that answers slowly, never, or no longer, while the real command trains and pushes to it."""

import contextlib
import json
import time

import huggingface_hub
import pytest
from loopback_hub.server import Fault, Hub
from run_folders import SMOKE
from tiny_models import tiny_options

import hf_nextfail.hub.push
from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.errors import HubError
from hf_nextfail.hub.push import push_files

OPTIONS = {"num_train": 64, "num_validation": 16, "num_test": 16, "max_steps": 6, "eval_strategy": "no"}
OPTIONS |= {"per_device_train_batch_size": 8, "precision": "fp32", "disable_tqdm": "true", "num_diagnosed": 0}
OPTIONS |= {"eval_on_start": "false", "save_strategy": "steps", "save_steps": 2}
OPTIONS |= {"push_to_hub": "true", "hub_strategy": "every_save", "hub_model_id": "nextfail/slow"}
COMMAND = ["--config", "star_graph/teacherless/smoke", *(f"--{name}={value}" for name, value in OPTIONS.items())]
COMMAND += tiny_options()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Bounds of a fraction of a second, for the session of the Hub's client, too."""
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0,))
    monkeypatch.setattr(hf_nextfail.hub.push, "SILENCE", 0.3)
    monkeypatch.setattr(hf_nextfail.training.pushing, "WORD_EVERY", 0.1)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


def assert_all_is_there(folder):
    run = folder / SMOKE["teacherless"]
    assert json.loads((run / "results.json").read_text())["run"]["steps"] == 6
    assert {path.name for path in run.glob("checkpoint-*")} >= {"checkpoint-6"}
    assert (run / "model.safetensors").is_file()
    assert not list(run.glob("_push-*"))
    return run


def assert_the_way_to_push_is_said(stderr, run):
    errors = [line for line in stderr.splitlines() if line.startswith("finetune.py: error: ")]
    assert all("the push to nextfail/slow did not come through" in line for line in errors)
    command = f"nextfail push-model {run} --repo nextfail/slow"
    assert [command in line for line in errors] == [False] * (len(errors) - 1) + [True]


def silent_from_now_on(hub):
    return Fault("POST", "/preupload/", hang=True, call=lambda: hub.faults.append(Fault(".*", "", 1000, hang=True)))


def test_a_hub_that_falls_silent_does_not_stop_training_nor_hold_up_the_end(hub, tmp_path, capfd, caplog):
    hub.faults = [silent_from_now_on(hub)]
    began = time.perf_counter()
    with pytest.raises(SystemExit) as ended:
        finetune([*COMMAND, "--output_dir", str(tmp_path)])
    assert ended.value.code == 1
    assert time.perf_counter() - began < 60
    assert_the_way_to_push_is_said(capfd.readouterr().err, assert_all_is_there(tmp_path))
    assert "Waiting for a push to nextfail/slow" in caplog.text
    assert hub.commits("model", "nextfail/slow") == ["initial commit"]


def test_a_slow_hub_gets_everything(hub, tmp_path, caplog):
    hub.faults = [Fault(".*", "/preupload/|/commit/|/_lfs/", 1000, delay=0.2)]
    finetune([*COMMAND, "--output_dir", str(tmp_path)])
    assert_all_is_there(tmp_path)
    assert "Waiting for a push to nextfail/slow" in caplog.text
    newest, *_, oldest = hub.commits("model", "nextfail/slow")
    assert (newest, oldest) == ("End of training", "initial commit")
    assert json.loads(hub.files("model", "nextfail/slow")["results.json"])["run"]["steps"] == 6


def test_a_hub_that_is_shut_down_during_training(hub, tmp_path, fresh):
    other, serving = Hub(tmp_path / "hub"), contextlib.ExitStack()
    url = serving.enter_context(other.serve())
    other.faults = [Fault("GET", "/api/models/nextfail/slow", call=serving.close)]
    script = "from hf_nextfail.commands.finetune import main; import sys; main(sys.argv[1:])"
    done = fresh(["-c", script, *COMMAND, "--output_dir", tmp_path / "runs"], check=False, HF_ENDPOINT=url)
    assert done.returncode == 1, done.stderr
    assert "A push failed while training goes on" in done.stdout
    assert_the_way_to_push_is_said(done.stderr, assert_all_is_there(tmp_path / "runs"))


@pytest.mark.parametrize("request_", ["POST /repos/create", "GET /api/models/", "POST /preupload/", "POST /commit/"])
def test_whichever_answer_never_comes_a_push_ends(hub, request_):
    method, path = request_.split()
    hub.faults = [Fault(method, path, 1000, hang=True)]
    with pytest.raises(HubError, match=r"push to nextfail/x did not come through: .*timed out") as broken:
        push_files("nextfail/x", "model", {"notes.txt": b"one"}, "first")
    assert broken.value.exit_code == 1


def test_one_answer_that_never_comes_is_asked_for_again(hub):
    hub.faults = [Fault("POST", path, hang=True) for path in ("/preupload/", "/commit/")]
    push_files("nextfail/x", "model", {"notes.txt": b"one"}, "first")
    assert hub.commits("model", "nextfail/x") == ["first", "initial commit"]


def test_how_long_somebody_else_wants_to_wait_is_kept(hub):
    huggingface_hub.get_session().timeout = 50
    push_files("nextfail/x", "model", {"notes.txt": b"one"}, "first")
    assert huggingface_hub.get_session().timeout.read == 50
