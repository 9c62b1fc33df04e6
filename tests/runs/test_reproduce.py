"""Grids of trainings: read, run as processes of their own, gone on with, gathered."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from filelock import FileLock
from tiny_models import TINY_GPT2

from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.commands.reproduce import at_work
from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.grid import find_grid, protocol_files, read_grid
from hf_nextfail.reporting.protocols import values_of
from hf_nextfail.reporting.trainings import mean_and_deviation
from hf_nextfail.runs.grid import conditions, longest_first, parse_cells
from hf_nextfail.runs.processes import last_line
from hf_nextfail.runs.reproduce import reproduce

GRID = {
    "base": {
        "num_train": 64,
        "num_validation": 20,
        "num_test": 30,
        "num_diagnosed": 20,
        "precision": "fp32",
        "max_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_steps": 2,
    },
    "trainings": {
        "teacherless": {"objective": "teacherless"},
        "reversed": {"objective": "teacher_forced", "reverse": True},
    },
    "models": {"tiny": {"model_type": "gpt2", "config_overrides": TINY_GPT2}},
    "blocks": [
        {"trainings": ["teacherless", "reversed"], "graphs": ["d2_l3_n20"], "models": ["tiny"], "seeds": [1, 2]},
        {"trainings": ["reversed"], "graphs": ["d3_l3_n20"], "models": ["tiny"], "seeds": [1], "options": {"seed": 7}},
    ],
}
NAMES = [
    "teacherless-d2_l3_n20-tiny-seed_1",
    "teacherless-d2_l3_n20-tiny-seed_2",
    "reversed-d2_l3_n20-tiny-seed_1",
    "reversed-d2_l3_n20-tiny-seed_2",
    "reversed-d3_l3_n20-tiny-seed_1",
]


def folder_of(folder: Path, name: str) -> Path:
    """Where the run of a cell goes."""
    objective = "teacherless" if name.startswith("teacherless") else "teacher_forced"
    return folder / "runs/star_graph" / objective / name


def written(folder: Path, grid: dict = GRID) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid, sort_keys=False))
    return path


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        nextfail(["reproduce", *map(str, arguments)])
    return exit.value.code


def test_a_grid_is_the_product_of_what_its_blocks_name(tmp_path):
    cells = read_grid(written(tmp_path))
    assert [cell.name for cell in cells] == NAMES
    assert [cell.options["dataset_config"] for cell in cells] == ["d2_l3_n20"] * 2 + ["d2_l3_n20_rev"] * 2 + [
        "d3_l3_n20_rev"
    ]
    assert [cell.options["seed"] for cell in cells] == [1, 2, 1, 2, 1]
    assert all("reverse" not in cell.options for cell in cells)
    assert {name: len(group) for name, group in conditions(cells).items()} == {
        ("tiny", "d2_l3_n20", "teacherless"): 2,
        ("tiny", "d2_l3_n20", "reversed"): 2,
        ("tiny", "d3_l3_n20", "reversed"): 1,
    }


def changed(**changes) -> dict:
    return GRID | changes


BAD = {
    "a list": ([1], "a grid must be a mapping"),
    "unknown key": (changed(trainigs={}), "unknown key 'trainigs'.*'trainings'"),
    "no blocks": (changed(blocks=[]), "blocks must be a list"),
    "unknown training": (
        changed(blocks=[GRID["blocks"][0] | {"trainings": ["teachrless"]}]),
        "block 1: there is no 'teachrless' among trainings: teacherless, reversed",
    ),
    "seeds missing": (
        changed(blocks=[{key: value for key, value in GRID["blocks"][0].items() if key != "seeds"}]),
        "block 1: seeds must be a list, got None",
    ),
    "twice": (changed(blocks=[GRID["blocks"][0]] * 2), "block 2 asks for teacherless-d2_l3_n20-tiny-seed_1"),
    "unknown option": (changed(base={"learning_rat": 1}), "teacherless-d2_l3_n20-tiny-seed_1.yaml: .*'learning_rate'"),
    "impossible run": (changed(base={"learning_rate": -1}), "seed_1: learning_rate must be above 0"),
    "impossible graph": (changed(blocks=[GRID["blocks"][0] | {"graphs": ["d9_l9_n9"]}]), "num_nodes"),
    "base no mapping": (changed(base=[1]), "base must be a mapping of options"),
    "options no mapping": (changed(blocks=[GRID["blocks"][0] | {"options": [1]}]), "options must be a mapping"),
    "name of a list": (changed(blocks=[GRID["blocks"][0] | {"trainings": [["a"]]}]), "must be names without a slash"),
    "name with a slash": (changed(blocks=[GRID["blocks"][0] | {"models": ["a/b"]}]), "must be names without a slash"),
    "unknown task": (
        changed(blocks=[GRID["blocks"][0] | {"task": "star_grap"}]),
        "block 1: there is no task 'star_grap'.*'star_graph'",
    ),
    "a training that takes what is a protocol's": (
        changed(protocol="mine", trainings={"teacherless": {"objective": "teacherless", "max_steps": 9}}),
        "trainings: teacherless of a protocol: unknown key 'max_steps'; known are objective, ",
    ),
    "a block that takes what is a training's": (
        changed(protocol="mine", blocks=[GRID["blocks"][0] | {"options": {"objective": "top"}}]),
        "block 1: options: objective is a training's",
    ),
    "models no mapping": (changed(models=["tiny"]), "models must be a mapping of names to options"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_grid_ends_the_command_before_anything_runs(case, tmp_path, capfd):
    grid, message = BAD[case]
    assert run(written(tmp_path, grid), "--output_dir", tmp_path / "runs") == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line]
    assert re.search(message, line)
    assert not (tmp_path / "runs").exists()


ARGUMENTS = {
    "no grid": (["grid_cp"], "there is no file and no grid grid_cp.*grid_cpu"),
    "no run": (["GRID", "--only", "nothing*"], "no run of .* has such a name"),
    "no cluster": (["GRID", "--cluster", "slurp"], "--cluster must be one of slurm, local, got"),
    "options no JSON": (["GRID", "--cluster", "local", "--cluster_options", "{"], "must be a JSON object"),
    "options alone": (["GRID", "--cluster_options", '{"timeout_min": 1}'], "goes with --cluster"),
    "unknown option": (
        ["GRID", "--cluster", "local", "--cluster_options", '{"time_out": 1}'],
        "--cluster local .* submitit says",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_bad_command_line_ends_with_one_line(case, tmp_path, capfd):
    arguments, message = ARGUMENTS[case]
    path = written(tmp_path)
    arguments = [str(path) if argument == "GRID" else argument for argument in arguments]
    assert run(*arguments, "--output_dir", tmp_path / "runs") == 2
    assert re.search(message, capfd.readouterr().err)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which a grid was run, two at a time."""
    folder = tmp_path_factory.mktemp("grid")
    assert run(written(folder), "--output_dir", folder / "runs", "--jobs", 2) == 0
    return folder


def test_every_run_is_a_process_with_results_of_its_own(finished):
    for name in NAMES:
        record = json.loads((folder_of(finished, name) / "results.json").read_text())
        assert record["run"]["name"].endswith(f"/{name}")
        assert record["run"]["steps"] == 4
        assert (folder_of(finished, name) / "model.safetensors").is_file()
    first, second = (json.loads((folder_of(finished, name) / "results.json").read_text()) for name in NAMES[:2])
    assert (first["run"]["seed"], second["run"]["seed"]) == (1, 2)
    assert first["run"]["weights_sha256"] != second["run"]["weights_sha256"]


def test_what_goes_on_is_shown_by_the_last_step_of_each_run_that_has_begun(finished, tmp_path):
    logs = {name: finished / "runs/logs" / f"{name}.txt" for name in NAMES[:2]}
    (tmp_path / "begun.txt").write_text("imports\n")
    logs |= {"begun": tmp_path / "begun.txt", "waiting": tmp_path / "waiting.txt"}
    first, second, begun = (text.plain for text in at_work(logs).renderables)
    assert re.match(rf"{NAMES[0]}: step 4 of 4: .*accuracy \d\.\d+ ", first) and second.startswith(NAMES[1])
    assert begun == "begun: it begins"


def test_the_summary_has_records_a_table_and_a_picture(finished):
    summary = finished / "runs/summary"
    assert {path.name for path in summary.iterdir()} == {
        "accuracy.png",
        "accuracy.svg",
        "table.md",
        *(f"{name}.json" for name in NAMES),
    }
    rows = [line for line in (summary / "table.md").read_text().splitlines() if line.startswith("| tiny")]
    assert len(rows) == 3
    tests = [json.loads((summary / f"{name}.json").read_text())["results"]["accuracy"]["value"] for name in NAMES[:2]]
    assert mean_and_deviation(tests) in rows[0]
    assert "0 of 2" in rows[0]
    for name in NAMES:
        record = json.loads((summary / f"{name}.json").read_text())
        assert record["diagnosis"]["verdict"]
        assert str(finished) not in json.dumps(record)


def test_what_is_finished_is_not_run_again(finished, capsys):
    before = {name: (folder_of(finished, name) / "results.json").stat().st_mtime_ns for name in NAMES}
    assert run(finished / "grid.yaml", "--output_dir", finished / "runs") == 0
    assert "5 runs, 5 of them finished" in capsys.readouterr().out
    assert before == {name: (folder_of(finished, name) / "results.json").stat().st_mtime_ns for name in NAMES}


def test_the_summary_forgets_what_is_no_more_in_the_grid(finished, tmp_path):
    fewer = written(tmp_path, GRID | {"blocks": GRID["blocks"][1:]})
    assert run(fewer, "--output_dir", finished / "runs", "--dry_run") == 0
    records = {path.stem for path in (finished / "runs/summary").glob("*.json")}
    assert records == {NAMES[4]}
    assert run(finished / "grid.yaml", "--output_dir", finished / "runs", "--dry_run") == 0
    assert {path.stem for path in (finished / "runs/summary").glob("*.json")} == set(NAMES)


def test_results_of_other_options_do_not_count(finished, tmp_path, capsys):
    other = written(tmp_path, GRID | {"base": GRID["base"] | {"learning_rate": 0.5}})
    assert run(other, "--output_dir", finished / "runs", "--dry_run") == 0
    assert "5 runs, 0 of them finished" in capsys.readouterr().out
    assert run(finished / "grid.yaml", "--output_dir", finished / "runs", "--dry_run") == 0
    assert "5 runs, 5 of them finished" in capsys.readouterr().out


def test_a_run_that_fails_is_kept_as_carefully_and_run_again_next_time(tmp_path, capfd):
    path = written(tmp_path)
    options = ["--output_dir", tmp_path / "runs", "--only", NAMES[4]]
    obstacle = folder_of(tmp_path, NAMES[4]) / "recipe.yaml.partial"
    obstacle.mkdir(parents=True)
    assert run(path, *options) == 1
    captured = capfd.readouterr()
    assert f"1 of 1: {NAMES[4]} failed: finetune.py: error: " in captured.out
    assert "1 of 1 runs failed; their output is in" in captured.err
    (row,) = [line for line in (tmp_path / "runs/summary/table.md").read_text().splitlines() if "d3_l3" in line]
    assert "0 of 1" in row
    assert "seed 1: finetune.py: error: " in row
    assert "Traceback" not in (tmp_path / f"runs/logs/{NAMES[4]}.txt").read_text()
    obstacle.rmdir()
    assert run(path, *options) == 0
    (row,) = [line for line in (tmp_path / "runs/summary/table.md").read_text().splitlines() if "d3_l3" in line]
    assert "error" not in row


def test_a_dry_run_runs_nothing(tmp_path, capsys):
    assert run(written(tmp_path), "--output_dir", tmp_path / "runs", "--dry_run") == 0
    output = capsys.readouterr().out
    assert [line.removeprefix("to run: ") for line in output.splitlines() if line.startswith("to run: ")] == NAMES
    assert not list((tmp_path / "runs").rglob("results.json"))
    assert not (tmp_path / "runs/recipes").exists()


def test_two_commands_do_not_share_a_folder(tmp_path):
    path = written(tmp_path)
    (tmp_path / "runs").mkdir()
    cells = read_grid(path)[:1]
    runs = parse_cells(path, cells, tmp_path / "runs")
    with FileLock(tmp_path / "runs/.lock"), pytest.raises(UsageError, match="another command is at work"):
        list(reproduce(cells, runs, tmp_path / "runs"))
    assert not list((tmp_path / "runs/recipes").iterdir())


def test_runs_go_through_submitit(tmp_path, capfd):
    options = ["--cluster", "local", "--cluster_options", '{"timeout_min": 5}', "--only", NAMES[0]]
    assert run(written(tmp_path), "--output_dir", tmp_path / "runs", *options) == 0
    assert f"1 of 1: {NAMES[0]} finished" in capfd.readouterr().out
    assert (folder_of(tmp_path, NAMES[0]) / "results.json").is_file()
    assert list((tmp_path / "runs/logs").glob("*_submission.sh")) or list((tmp_path / "runs/logs").glob("*.pkl"))


def test_a_run_that_fails_on_a_cluster_says_why(tmp_path, capfd):
    (folder_of(tmp_path, NAMES[0]) / "recipe.yaml.partial").mkdir(parents=True)
    options = ["--cluster", "local", "--cluster_options", '{"timeout_min": 5}', "--only", NAMES[0]]
    assert run(written(tmp_path), "--output_dir", tmp_path / "runs", *options) == 1
    assert f"{NAMES[0]} failed: finetune.py: error: " in capfd.readouterr().out


GRIDS = sorted(path.name for path in Path(__file__).parents[2].glob("recipes/star_graph/*.yaml"))


@pytest.mark.parametrize("name", [*GRIDS, *(path.name for path in protocol_files())])
def test_our_grids_can_be_run_and_protocols_write_what_a_record_will_say(name, tmp_path):
    path = find_grid(name.removesuffix(".yaml"))
    cells = read_grid(path)
    cells = [cell for cell in cells if name in GRIDS or cell.seed == cells[0].seed]
    runs = parse_cells(path, cells, tmp_path)
    assert list(runs) == [cell.name for cell in cells]
    for cell in cells if name not in GRIDS else ():
        assert values_of(runs[cell.name].recipe) == values_of(cell.options)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("", "no output"),
        ("one\ntwo\n\n", "two"),
        ("finetune.py: error: bad\nmore\n", "finetune.py: error: bad"),
        ("E: finetune.py: error: 1\nE: finetune.py: error: 2", "finetune.py: error: 2"),
    ],
)
def test_last_line(output, line):
    assert last_line(output) == line


def test_the_longest_runs_of_a_block_come_first_and_unknown_ones_before_them(tmp_path):
    def seen(objective, seconds, **run):
        known = {"objective": objective, "model": "gpt2", "steps": 9, "dataset_config": "d2_l3_n20"} | run
        return SimpleNamespace(run=known, timings={"train_seconds": seconds})

    cells = read_grid(written(tmp_path))
    records = [
        *(seen("teacherless", seconds) for seconds in (10.0, 20.0)),
        seen("teacher_forced", 30.0, dataset_config="d2_l3_n20_rev"),
        seen("teacher_forced", 1.0),
        seen("teacher_forced", 900.0, steps=None),
    ]
    names = [cell.name for cell in longest_first(cells, records)]
    assert names == [NAMES[2], NAMES[3], NAMES[0], NAMES[1], NAMES[4]]  # the last is another block's
    assert [cell.name for cell in longest_first(cells, records[2:])] == [*NAMES[:4], NAMES[4]]
    assert [cell.name for cell in longest_first(cells, [])] == NAMES
