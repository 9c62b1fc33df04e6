"""Both trackers run for real, offline, in the real command."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import SMOKE
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_models import tiny_options

REPOSITORY = Path(__file__).parents[2]
RECIPE = "recipes/star_graph/teacher_forced/smoke.yaml"
SIZES = {"num_train": 500, "num_validation": 60, "num_test": 60, "max_steps": 4, "eval_steps": 2, "num_diagnosed": 40}
PICTURES = {"accuracy", "positions", "learning", "errors", "graph"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The folder of a run that reports to both, and of trackio."""
    folder = tmp_path_factory.mktemp("tracked")
    command = [
        *(sys.executable, REPOSITORY / "recipes/finetune.py", "--config", REPOSITORY / RECIPE, "--output_dir", folder),
        *(f"--{name}={value}" for name, value in SIZES.items()),
        *tiny_options(),
        *("--report_to", "tensorboard", "trackio"),
    ]
    offline = {"TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), env=os.environ | offline, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / SMOKE["teacher_forced"], folder / "trackio"


def test_tensorboard_receives_scalars_and_pictures(tracked):
    run, _ = tracked
    (events,) = {path.parent for path in run.rglob("events.out.tfevents.*")}
    log = EventAccumulator(str(events)).Reload()
    assert set(log.Tags()["images"]) == PICTURES
    results = json.loads((run / "results.json").read_text())
    for name in ("hard_token_mass", "token_accuracy_1", "counterfactual_end_accuracy", "error_jump"):
        assert [scalar.step for scalar in log.Scalars(f"eval/{name}")] == [0, 2, 4]
    masses = [point["diagnosis"]["hard_token_mass"] for point in results["history"]]
    assert [scalar.value for scalar in log.Scalars("eval/hard_token_mass")] == pytest.approx(masses)
    (accuracy,) = log.Scalars("test/accuracy")
    assert accuracy.value == pytest.approx(results["results"]["accuracy"]["value"])


def test_trackio_receives_scalars_and_pictures_in_one_run(tracked):
    run, folder = tracked
    (database,) = folder.glob("*.db")
    rows = sqlite3.connect(database).execute("select run_name, metrics from metrics").fetchall()
    assert {name for name, _ in rows} == {SMOKE["teacher_forced"]}
    logged = [json.loads(metrics) for _, metrics in rows]
    pictures = {name: value for entry in logged for name, value in entry.items() if name in PICTURES}
    assert set(pictures) == PICTURES
    for name, picture in pictures.items():
        assert (folder / "media" / picture["file_path"]).read_bytes() == (run / f"{name}.png").read_bytes()
    assert sum("eval/hard_token_mass" in entry for entry in logged) == 3
    assert sum("test/accuracy" in entry for entry in logged) == 1
