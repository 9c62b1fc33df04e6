"""Every smoke recipe trains, saves, diagnoses and pushes, whatever objectives and tasks there are."""

import json
from pathlib import Path

import pytest
import yaml
from run_folders import repository_of
from tiny_models import tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.diagnoses import DIAGNOSES
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.tasks import TASKS
from hf_nextfail.tasks.creative import CreativeTask

RECIPES = Path(__file__).parents[2] / "recipes"
SMOKE = sorted(path.parent.relative_to(RECIPES).as_posix() for path in RECIPES.glob("*/*/smoke.yaml"))
SMALL = [
    *("--num_train=64", "--num_validation=16", "--num_test=16", "--max_steps=2", "--eval_steps=2"),
    *(
        "--per_device_train_batch_size=8",
        "--logging_steps=1",
        "--precision=fp32",
        "--disable_tqdm=true",
        "--push_to_hub=true",
    ),
]
# Each command in a process of its own would import torch again.
EVALUATE = """
import sys
from hf_nextfail.commands.main import main

for name, *options in map(str.split, sys.argv[1:]):
    try:
        main(["evaluate", name, *options, "--num_rows=16", f"--output_dir=measured/{name}"])
    except SystemExit as end:
        assert not end.code, name
"""


@pytest.fixture(autouse=True)
def sketches() -> None:
    """Draw the pictures of these trainings: the only ones of each objective and each task."""


def test_every_objective_and_every_task_has_a_smoke_recipe():
    assert {f"star_graph/{objective}" for objective in OBJECTIVES} <= set(SMOKE)
    assert {f"{task}/teacher_forced" for task in TASKS} <= set(SMOKE)


def record_of(results):
    return json.loads(results.read_text())


def test_what_a_smoke_recipe_trains_is_measured_the_same_on_another_machine(hub, fresh, tmp_path):
    runs, results, lines = tmp_path / "runs", {}, []
    for smoke in SMOKE:
        task = smoke.split("/")[0]
        few = ["--num_samples=8"] if issubclass(TASKS[task], CreativeTask) else []
        tiny = [*SMALL, *few, *tiny_options(n_positions=128)]
        finetune([f"--config={smoke}/smoke", *tiny, f"--output_dir={runs}"])
        (path,) = {*runs.rglob("results.json")} - {*results.values()}
        name = repository_of(path.parent, runs)
        results[name] = path
        run, recipe = record_of(path)["run"], yaml.safe_load((RECIPES / smoke / "smoke.yaml").read_text())
        options = recipe.get("objective_options", {})
        assert (run["steps"], run["objective"], run["task"]) == (2, recipe["objective"], task)
        assert {option: run["objective_options"][option] for option in options} == options
        diagnosed = record_of(path)["diagnosis"] is not None
        assert diagnosed == (task in DIAGNOSES)
        assert diagnosed or f"{task} has no diagnosis" in run["diagnosis_absent"]
        # What is drawn is drawn again with the seed of the run.
        lines.append(" ".join([name, *few, *(["--seed=42"] if few else [])]))
    fresh(["-c", EVALUATE, *lines], cwd=tmp_path)
    for name, path in results.items():
        (again,) = (tmp_path / "measured" / name).rglob("results.json")
        here, there = record_of(path)["results"], record_of(again)["results"]
        assert there["accuracy"]["n"] == 16, name
        losses = [numbers.pop("loss") for numbers in (here, there)]
        if losses != [None, None]:  # as of insertion
            assert losses[0]["value"] == pytest.approx(losses[1]["value"], abs=1e-4), name
        assert there == {number: here[number] for number in there}, name
