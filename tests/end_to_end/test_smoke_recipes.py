"""Every smoke recipe trains, saves, diagnoses and pushes, whatever objectives there are."""

import json
from pathlib import Path

import pytest
import yaml
from run_folders import repository_of
from tiny_models import tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.tasks import TASKS, StarGraph
from hf_nextfail.tasks.creative import CreativeTask

RECIPES = Path(__file__).parents[2] / "recipes/star_graph"
OTHER_TASKS = [name for name in TASKS if name != StarGraph.name]
SMOKE = sorted(path.parent.name for path in RECIPES.glob("*/smoke.yaml"))
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

for name in sys.argv[1:]:
    try:
        main(["evaluate", name, "--num_rows=16", f"--output_dir=measured/{name}"])
    except SystemExit as end:
        assert not end.code, name
"""


def test_every_objective_has_a_smoke_recipe():
    assert OBJECTIVES.keys() <= set(SMOKE)


def record_of(results):
    return json.loads(results.read_text())


def test_what_a_smoke_recipe_trains_is_measured_the_same_on_another_machine(hub, fresh, tmp_path):
    runs, results = tmp_path / "runs", {}
    for training in SMOKE:
        finetune([f"--config=star_graph/{training}/smoke", *SMALL, *tiny_options(), f"--output_dir={runs}"])
        (path,) = {*runs.rglob("results.json")} - {*results.values()}
        results[repository_of(path.parent, runs)] = path
        run, recipe = record_of(path)["run"], yaml.safe_load((RECIPES / training / "smoke.yaml").read_text())
        options = recipe.get("objective_options", {})
        assert (run["steps"], run["objective"]) == (2, recipe["objective"])
        assert {name: run["objective_options"][name] for name in options} == options
        assert record_of(path)["diagnosis"] is not None
    fresh(["-c", EVALUATE, *results], cwd=tmp_path)
    for name, path in results.items():
        (again,) = (tmp_path / "measured" / name).rglob("results.json")
        here, there = record_of(path)["results"], record_of(again)["results"]
        assert there["accuracy"]["n"] == 16, name
        losses = [numbers.pop("loss") for numbers in (here, there)]
        if losses != [None, None]:  # as of insertion
            assert losses[0]["value"] == pytest.approx(losses[1]["value"], abs=1e-4), name
        assert there == {number: here[number] for number in there}, name


def test_the_smoke_recipe_of_every_other_task_trains_and_says_what_it_measured(tmp_path):
    small = [option for option in SMALL if option != "--push_to_hub=true"]
    for name in OTHER_TASKS:
        creative = issubclass(TASKS[name], CreativeTask)
        options = [*small, *tiny_options(n_positions=128), *["--num_samples=16"] * creative]
        finetune([f"--config={name}/teacher_forced/smoke", *options, f"--output_dir={tmp_path}"])
        (path,) = (tmp_path / name).rglob("results.json")
        record = record_of(path)
        assert (record["run"]["task"], record["run"]["steps"], record["results"]["accuracy"]["n"]) == (name, 2, 16)
        assert ("creativity" in record["results"]) == creative
        assert (record["diagnosis"] is None) == (record["run"]["diagnosis_absent"] is not None), name
