"""A tiny model is trained on a creative task, measured at the end, and measured again from its folder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import only_run
from tiny_models import tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.errors import UsageError
from hf_nextfail.metrics import CREATIVITY
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.command_of_record import repeat
from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint
from hf_nextfail.runs.options import DataArguments
from hf_nextfail.runs.report import report_runs

CONFIG = "p2_c20_g0_s2"
TRAINING = [
    *("--config=star_graph/teacher_forced/smoke", "--dataset_name=nextfail/sibling_discovery"),
    *(f"--dataset_config={CONFIG}", "--num_train=30", "--num_validation=8", "--num_test=20", "--max_steps=60"),
    *("--per_device_train_batch_size=16", "--learning_rate=0.01", "--precision=fp32", "--eval_strategy=no"),
    *("--eval_on_start=false", "--save_strategy=no", "--disable_tqdm=true", "--num_samples=300", "--temperature=1.5"),
    *tiny_options(),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    finetune([*TRAINING, f"--output_dir={path}"])
    return only_run(path)


def test_a_run_measures_creativity_at_its_end_and_evaluate_measures_the_same(folder, tmp_path, capsys):
    record = Record.read(folder / "results.json")
    assert record.run["sampling"] == {"num_samples": 300, "temperature": 1.5, "seed": 42}
    values = {name: record.results[name]["value"] for name in CREATIVITY}
    assert all(0 < value < 1 for value in values.values())
    assert values["creativity"] == pytest.approx(
        values["coherent_share"] * values["new_share"] * values["different_share"]
    )
    assert record.results["creativity"]["n"] == 300
    assert not [name for name in record.results if name.startswith("train_") and name.endswith("share")]

    asked = ["--num_rows=20", "--num_samples=300", "--temperature=1.5", "--seed=42", f"--output_dir={tmp_path}"]
    with pytest.raises(SystemExit) as ended:
        nextfail(["evaluate", str(folder), *asked])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    again = Record.read(next(tmp_path.rglob("results.json")))
    for name in CREATIVITY:
        assert again.results[name] == record.results[name]
        assert f"{values[name]:.3f}±{record.results[name]['standard_error']:.3f}" in shown
    assert next(tmp_path.rglob("results.json")).parent.name.endswith("-300_samples-temperature_1.5-seed_42")
    words = repeat(again)[0]
    assert all(option in words for option in ("--num_samples 300", "--temperature 1.5", "--seed 42"))

    page = report_runs([folder, tmp_path], tmp_path / "page").with_suffix(".md").read_text()
    assert page.count("| `creativity` |") == 2
    assert "`new_share`: outputs that were not trained on, of the coherent ones" in page
    assert "### Numbers of this task alone" not in page


def test_a_page_takes_the_seeds_of_a_training_together(folder, tmp_path):
    record = Record.read(folder / "results.json")
    for seed, value in ((1, 0.25), (2, 0.75)):
        results = record.results | {"creativity": record.results["creativity"] | {"value": value}}
        replace(record, run=record.run | {"seed": seed}, results=results).write(tmp_path / f"{seed}.json")
    page = report_runs([tmp_path], tmp_path / "page").with_suffix(".md").read_text()
    table = page.partition("### Numbers of this task alone")[2]
    assert "| `creativity` | 0.500±0.354 |" in table


def test_what_is_new_is_what_the_checkpoint_was_not_trained_on(folder, tmp_path):
    def measured(**options):
        return evaluate_checkpoint(str(folder), progress=False, num_rows=20, num_samples=200, **options)

    # A checkpoint that says that it was trained on more finds less new; one that says nothing does not know.
    of_30 = measured()
    assert of_30.run["sampling"] == {"num_samples": 200, "temperature": 1.0, "seed": 0}
    results = Path(folder / "results.json")
    written = results.read_text()
    try:
        record = json.loads(written)
        record["recipe"]["num_train"] = 20_000  # all pairs of siblings that fall into the train split
        results.write_text(json.dumps(record))
        of_all = measured()
        results.unlink()
        (folder / "recipe.yaml").rename(tmp_path / "recipe.yaml")
        unknown = measured(dataset_name="nextfail/sibling_discovery", dataset_config=CONFIG)
    finally:
        results.write_text(written)
        if not (folder / "recipe.yaml").exists():
            (tmp_path / "recipe.yaml").rename(folder / "recipe.yaml")
    assert of_all.results["coherent_share"] == of_30.results["coherent_share"] == unknown.results["coherent_share"]
    assert of_all.results["new_share"]["value"] < of_30.results["new_share"]["value"]
    assert unknown.results["creativity"] is unknown.results["new_share"] is None
    with pytest.raises(UsageError, match=r"temperature must be at least 0 and finite, got -1\.0"):
        measured(temperature=-1.0)


def test_options_of_drawing_are_checked_before_anything_is_trained():
    with pytest.raises(ValueError, match="temperature goes with creative tasks"):
        DataArguments(temperature=0.5)
    with pytest.raises(ValueError, match="num_samples must be an integer >= 1, got 0"):
        DataArguments(dataset_name="nextfail/line_construction", num_samples=0)
    drawn = DataArguments(dataset_name="nextfail/line_construction", temperature=0.5).sampling(seed=7)
    assert (drawn.num_samples, drawn.temperature, drawn.seed) == (1_024, 0.5, 7)
