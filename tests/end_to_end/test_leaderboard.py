"""A row as an outsider gets it: an objective in a file, a protocol, a record, the table, and a second run."""

import shutil
from pathlib import Path

import pyarrow.parquet
import yaml
from run_folders import only_run
from tiny_models import TINY_GPT2

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail

OWN_CODE = Path(__file__).parents[1] / "own_code"
PROTOCOL = {
    "protocol": "tiny",
    "base": {
        "num_train": 64,
        "num_validation": 20,
        "num_test": 30,
        "num_diagnosed": 20,
        "max_steps": 2,
        "precision": "fp32",
        "per_device_train_batch_size": 16,
        "save_strategy": "no",
    },
    "trainings": {"top": {"objective": "top"}},
    "models": {"tiny": {"model_type": "gpt2", "config_overrides": TINY_GPT2}},
    "blocks": [{"trainings": ["top"], "graphs": ["d2_l3_n20"], "models": ["tiny"], "seeds": [1, 2]}],
}


def run(program, *arguments) -> int:
    try:
        program(list(map(str, arguments)))
    except SystemExit as end:
        return end.code or 0
    return 0


def rows() -> list[dict]:
    assert run(nextfail, "leaderboard", "runs", "again", "--protocol", "tiny.yaml") == 0
    return pyarrow.parquet.read_table("leaderboard/leaderboard.parquet").to_pylist()


def test_an_objective_of_ones_own_gets_a_row_and_a_second_run_verifies_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(OWN_CODE / "after_next.py", tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(PROTOCOL))
    recipe = PROTOCOL["base"] | PROTOCOL["models"]["tiny"] | {"dataset_config": "d2_l3_n20", "seed": 1}
    Path("run.yaml").write_text(yaml.safe_dump(recipe | {"objective": "./after_next.py:AfterNext"}))
    assert run(finetune, "--config", "run.yaml", "--fast_path", "none") == 0
    Path("again").mkdir()
    shutil.copy(only_run(Path("runs")) / "results.json", "again/results.json")
    (row,) = rows()
    assert (row["protocol"], row["objective"], row["objective_file"]) == (
        "tiny",
        "after_next",
        "after_next.py:AfterNext",
    )
    assert (row["seed"], row["solved"], row["counted"], row["verified"]) == (1, False, True, False)
    assert row["command"].endswith(
        "nextfail reproduce tiny.yaml --objective ./after_next.py:AfterNext --only '*-d2_l3_n20-tiny-*'"
    )
    assert "left out: again/results.json: it is a copy of runs/" in capsys.readouterr().out
    Path("again/results.json").unlink()
    options = ("--objective", "./after_next.py:AfterNext", "--output_dir", "again")
    assert run(nextfail, "rerun", only_run(Path("runs")), *options) == 0
    capsys.readouterr()
    assert [(row["counted"], row["verified"]) for row in rows()] == [(True, True), (False, False)]
    heading, cell = [
        line.split() for line in capsys.readouterr().out.splitlines() if "0 of 1" in line or "solve" in line
    ]
    assert heading[-1] == "verified" and cell[-3:] == ["1", "of", "1"]
