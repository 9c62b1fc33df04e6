"""Every smoke recipe trains, whatever objectives there are."""

import json
from pathlib import Path

import pytest
import yaml
from run_folders import only_run
from tiny_models import tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.objectives import OBJECTIVES

RECIPES = Path(__file__).parents[2] / "recipes/star_graph"
SMOKE = sorted(path.parent.name for path in RECIPES.glob("*/smoke.yaml"))
SMALL = [
    *("--num_train=64", "--num_validation=16", "--num_test=16", "--max_steps=2", "--eval_steps=2"),
    *("--per_device_train_batch_size=8", "--logging_steps=1", "--precision=fp32", "--disable_tqdm=true"),
]


@pytest.mark.parametrize("training", SMOKE)
def test_a_smoke_recipe_trains_saves_and_measures(training, tmp_path):
    recipe = yaml.safe_load((RECIPES / training / "smoke.yaml").read_text())
    finetune([f"--config=star_graph/{training}/smoke", *SMALL, *tiny_options(), "--output_dir", str(tmp_path)])
    folder = only_run(tmp_path)
    record = json.loads((folder / "results.json").read_text())
    assert record["run"]["steps"] == 2
    assert record["run"]["objective"] == recipe["objective"]
    options = recipe.get("objective_options", {})
    assert {name: record["run"]["objective_options"][name] for name in options} == options
    assert record["results"]["accuracy"]["n"] == 16
    assert record["diagnosis"] is not None


def test_every_objective_has_a_smoke_recipe():
    assert OBJECTIVES.keys() <= set(SMOKE)
