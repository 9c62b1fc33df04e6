"""The benchmarks run; what they measure is no test."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_a_quick_run_writes_every_figure(fresh, tmp_path):
    file = tmp_path / "figures.json"
    argv = [BENCHMARKS, "--quick", "--repeat", "2", "--only", "scan", "memory", "--output", file]
    done = fresh(argv, TMPDIR=str(tmp_path))
    record = json.loads(file.read_text())
    assert record["options"] == {"only": ["memory", "scan"], "repeat": 2, "threads": 1, "quick": True}
    assert {"cpu", "cores", "threads", "load", "torch", "transformers"} <= set(record["machine"])
    assert list(record["parts"]) == ["memory", "scan"]
    memory, scan = (record["parts"][name]["tables"] for name in ("memory", "scan"))
    assert [row["after"] for row in memory[0]["rows"]] == ["imports", "load_dataset", "tokenize_dataset"]
    peaks = [row["peak MB"]["median"] for row in memory[0]["rows"]]
    assert peaks == sorted(peaks)
    for row in scan[0]["rows"]:
        figure = row["processor ms a step"]
        assert 0 < figure["lowest"] <= figure["median"] <= figure["highest"]
        assert figure["rounds"] == 2
    assert [row["of ours"]["median"] for row in scan[0]["rows"] if row["way"] == "Mamba, our scan"] == [1]
    assert all(table["title"] in done.stdout for table in [*memory, *scan])
    assert "round 2 of 2" in done.stderr
    assert not list(tmp_path.glob("hf_nextfail-benchmarks-*"))  # no cache is left behind


def test_help_names_every_part_and_option(fresh):
    done = fresh([BENCHMARKS, "--help"])
    for word in ("training", "evaluation", "data", "memory", "scan"):
        assert f"\n  {word} " in done.stdout
    for option in ("--only", "--repeat", "--threads", "--quick", "--output"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--only", "scna"], "invalid choice: 'scna' (choose from"),
        (["--repeat", "0"], "must be an integer of at least 1, got '0'"),
        (["--threads", "100000"], "the usable cores, got 100000"),
        (["--output", "figures.txt"], "must be a .json file"),
        (["--output", "nowhere/figures.json"], "there is no folder"),
        (["--quik"], "unrecognized arguments: --quik"),
    ],
)
def test_a_bad_option_is_one_line_and_code_2(fresh, argv, words):
    done = fresh([BENCHMARKS, *argv], check=False)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
