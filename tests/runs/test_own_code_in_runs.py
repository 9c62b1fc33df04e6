"""Objectives and tasks of one's own, by reference, from every command: what runs, and what never does."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from made_records import old_record
from run_folders import only_run
from tiny_models import TINY_GPT2, tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.errors import UsageError
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.reporting.grid import find_grid, read_grid
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.command_of_record import as_options, repeat
from hf_nextfail.runs.grid import own_training
from hf_nextfail.runs.recipes import RecipeParser, parse_runs
from hf_nextfail.runs.resume import INTERRUPTED, finished_record
from hf_nextfail.runs.trained_on import trained_on

OWN_CODE = Path(__file__).parents[1] / "own_code"
SMOKE = "star_graph/teacher_forced/smoke.yaml"
SMALL = [
    *("--config", SMOKE, "--precision=fp32", "--disable_tqdm=true", "--eval_strategy=no", "--eval_on_start=false"),
    *("--num_train=200", "--num_validation=20", "--num_test=30", "--per_device_train_batch_size=16", "--max_steps=2"),
    *tiny_options(),
]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with files of one's own; `evil.py` leaves a mark when it is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for path in OWN_CODE.glob("*.py"):
        shutil.copy(path, tmp_path / path.name)
    evil = (OWN_CODE / "coin_toss.py").read_text() + "\nopen('mark', 'w').close()\n"
    (tmp_path / "evil.py").write_text(evil)
    return tmp_path


def run(program, *arguments) -> int:
    try:
        program(list(map(str, arguments)))
    except SystemExit as end:
        return end.code or 0
    return 0


def train(*options) -> Path:
    assert run(finetune, *SMALL, *options) == 0
    return only_run(Path("runs"))


# Bad references


REFERENCES = {
    "./gone.py:CoinToss": "there is no file gone.py",
    "./coin_toss.py:Gone": "there is no class Gone in ./coin_toss.py; it defines CoinToss",
    "./sums.py:Sums": "Sums must extend hf_nextfail.objectives.base.Objective, it extends Task",
    "coin_toss": f"objective must be {', '.join(OBJECTIVES)}, or FILE.py:Class",
}
COMMANDS = {
    "finetune": lambda run_folder: [finetune, *SMALL],
    "evaluate": lambda run_folder: [nextfail, "evaluate", run_folder],
    "diagnose": lambda run_folder: [nextfail, "diagnose", run_folder],
    "reproduce": lambda run_folder: [nextfail, "reproduce", "grid_cpu", "--dry_run"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_objective_is_one_line_from_every_command(desk, command, capfd):
    folder = train()
    for reference, reason in REFERENCES.items():
        capfd.readouterr()
        assert run(*COMMANDS[command](folder), "--objective", reference) == 2
        (line,) = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]
        assert reason in line


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("./gone.py:Sums", "there is no file gone.py"),
        ("./sums.py:Gone", "it defines Sums"),
        ("./coin_toss.py:CoinToss", "CoinToss must extend hf_nextfail.tasks.base.Task, it extends Objective"),
        ("star_graph", "star_graph is --dataset_name nextfail/star_graph"),
        ("sums", "task must be FILE.py:Class or package.module:Class, got 'sums'"),
    ],
)
def test_a_bad_task_is_one_line_from_every_command(desk, reference, reason, capfd):
    folder = train()
    for command in COMMANDS.values():
        capfd.readouterr()
        assert run(*command(folder), "--task", reference) == 2
        (line,) = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]
        assert reason in line


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('{"shar": 0.5}', "coin_toss has no option 'shar' (did you mean 'share'?)"),
        ('{"share": "half"}', "share of coin_toss must be a number, got 'half'"),
        ('{"share": 2}', "share must be from 0 to 1, got 2"),
        ("[1]", "objective_options must be a JSON object"),
    ],
)
def test_a_bad_option_of_an_objective_is_one_line_before_any_training(desk, options, reason, capfd):
    assert run(finetune, *SMALL, "--objective", "./coin_toss.py:CoinToss", "--objective_options", options) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]
    assert reason in line
    assert not list(Path("runs").rglob("*.safetensors"))


# What a record names is never run


def test_nothing_runs_code_because_a_record_names_it(desk, capfd):
    folder = train("--objective", "./coin_toss.py:CoinToss")
    record = json.loads((folder / "results.json").read_text().replace("coin_toss.py", "evil.py"))
    record["recipe"]["task"] = record["run"]["dataset_name"] = "./evil.py:CoinToss"
    (folder / "results.json").write_text(json.dumps(record))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe |= {"objective": "./evil.py:CoinToss", "task": "./evil.py:CoinToss"}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run(nextfail, "report", folder) == 0
    for command in ("rerun", "evaluate", "diagnose"):
        capfd.readouterr()
        assert run(nextfail, command, folder) == 2
        assert "evil.py:CoinToss" in capfd.readouterr().err
    (folder / "results.json").unlink()
    assert run(nextfail, "evaluate", folder) == 2
    assert "give --task PATH/evil.py:CoinToss" in capfd.readouterr().err
    assert not Path("mark").exists()
    assert run(finetune, *SMALL, "--objective", "./evil.py:CoinToss", "--run_name=asked_for") == 0
    assert Path("mark").exists()


EVIL = "./evil.py:CoinToss"
SMUGGLED = {
    "in a list": ("num_test", [42, f"--objective={EVIL}"]),
    "in a list of an option that has one": ("fast_path", ["gelu", f"--objective={EVIL}"]),
    "as the value of a switch": ("do_eval", f"--objective={EVIL}"),
    "as a list": ("objective", [EVIL]),
    "in a key": (f"objective={EVIL}", []),
}


@pytest.mark.parametrize("kind", SMUGGLED)
def test_no_value_of_a_recipe_is_an_option_of_its_own(desk, kind, monkeypatch, capfd):
    for trains in ("runs.rerun.execute", "commands.finetune.train_all"):  # to parse what is smuggled in is too much
        monkeypatch.setattr(f"hf_nextfail.{trains}", None)
    key, value = SMUGGLED[kind]
    record = old_record("teacher_forced")
    record["run"]["started_from"] = "star_graph/teacher_forced/smoke"
    record["recipe"][key] = value
    (desk / "results.json").write_text(json.dumps(record))
    assert run(nextfail, "rerun", "results.json") == 2
    assert "nextfail: error: results.json: " in capfd.readouterr().err
    run(nextfail, "report", "results.json")
    (desk / "recipe.yaml").write_text(yaml.safe_dump({"model_type": "gpt2", key: value}))
    assert run(finetune, "--config", "recipe.yaml") == 2
    block = {
        "graphs": ["d2_l3_n20"],
        "models": ["gpt2"],
        "trainings": ["plain"],
        "seeds": [1],
        "options": {key: value},
    }
    grid = {"trainings": {"plain": {}}, "models": {"gpt2": {"model_type": "gpt2"}}, "blocks": [block]}
    (desk / "grid.yaml").write_text(yaml.safe_dump(grid))
    assert run(nextfail, "reproduce", "grid.yaml", "--dry_run") == 2
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert not Path("mark").exists()


@pytest.mark.parametrize("option", ["objective", "task", "dataset_name"])
def test_a_recipe_that_is_not_the_users_loads_only_what_was_named(desk, option):
    model = {"model_type": "gpt2", "config_overrides": TINY_GPT2}
    (desk / "recipe.yaml").write_text(yaml.safe_dump({option: EVIL} | model))
    shown = "objective" if option == "objective" else "task"
    with pytest.raises(UsageError, match=rf"its {shown} is evil\.py:CoinToss, .*: give --{shown} PATH/evil\.py:Coin"):
        parse_runs(["--config", "recipe.yaml"], named=["./coin_toss.py:CoinToss"])
    assert not Path("mark").exists()


def test_a_command_line_gives_back_what_it_was_written_from():
    recipe = {"run_name": "-1", "fast_path": ["-a", "--seed=3"], "seed": -1, "report_to": ["a", "b"]}
    words = [word for option in as_options(recipe) for word in option]
    assert words[-3:] == ["--report_to", "a", "b"]
    read = RecipeParser().read(words)
    assert {name: read[name] for name in recipe} == recipe


@pytest.mark.parametrize("option", ["objective", "task"])
def test_a_bad_reference_is_one_line_from_rerun(desk, option, capfd):
    named = {"objective": "./coin_toss.py:CoinToss", "task": "./sums.py:Sums"}
    folder = train(f"--{option}", named[option])
    bad = {
        f"./gone.py:{named[option].partition(':')[2]}": "there is no file gone.py",
        f"{named[option].partition(':')[0]}:Gone": "there is no class Gone",
        "./after_next.py:torch": "there is no class torch",
    }
    for reference, reason in bad.items():
        capfd.readouterr()
        assert run(nextfail, "rerun", folder, f"--{option}", reference) == 2
        (line,) = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]
        assert reason in line


def test_a_record_of_ours_is_not_run_again_with_other_code(desk, capfd):
    folder = train()
    assert run(nextfail, "rerun", folder, "--objective", "./coin_toss.py:CoinToss") == 2
    assert "its objective is one of ours: leave --objective out" in capfd.readouterr().err


def test_code_that_changed_is_told_and_is_not_the_run_that_was_finished(desk, capfd):
    folder = train("--objective", "./coin_toss.py:CoinToss")
    (one,) = parse_runs([*SMALL, "--objective", "./coin_toss.py:CoinToss"])
    assert finished_record(one) is not None
    (desk / "again").mkdir()
    shutil.copy(desk / "coin_toss.py", desk / "again/coin_toss.py")
    with (desk / "coin_toss.py").open("a") as file:
        file.write("\n# a change\n")
    assert finished_record(one) is None
    capfd.readouterr()
    assert run(nextfail, "rerun", folder, "--objective", "./coin_toss.py:CoinToss") == 0
    assert "sources.objective.sha256: " in capfd.readouterr().out
    assert run(nextfail, "rerun", folder, "--objective", "./again/coin_toss.py:CoinToss") == 0
    assert "sources" not in capfd.readouterr().out


# Names


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([], "star_graph/teacher_forced/d2_l3_n20-gpt2"),
        (
            ["--dataset_config", "d2_l4_n20_rev", "--model_type", "llama"],
            "star_graph/teacher_forced/d2_l4_n20_rev-llama",
        ),
        (["--run_name", "lr_1"], "star_graph/teacher_forced/lr_1"),
        (["--run_name", "a/b"], "star_graph/teacher_forced/a--b"),
        (["--objective", "teacherless"], "star_graph/teacherless/d2_l3_n20-gpt2"),
        (["--objective", "./coin_toss.py:CoinToss"], "star_graph/coin_toss/d2_l3_n20-gpt2"),
        (["--task", "./sums.py:Sums"], "sums/teacher_forced/digits_3-gpt2"),
        (["--task", "./sums.py:Sums", "--dataset_config", "digits_1"], "sums/teacher_forced/digits_1-gpt2"),
        (["--model_name_or_path", "somebody/gpt2-large"], "star_graph/teacher_forced/d2_l3_n20-somebody--gpt2-large"),
        (
            ["--model_name_or_path", "somebody/planner", "--use_peft", "true"],
            "star_graph/teacher_forced/d2_l3_n20-somebody--planner-lora",
        ),
        (["--dataset_name", "a/b/rows.jsonl", "--model_name_or_path", "gpt2"], "rows/teacher_forced/gpt2"),
        (
            ["--dataset_name", "somebody/sums", "--dataset_config", "small", "--model_name_or_path", "gpt2"],
            "sums/teacher_forced/small-gpt2",
        ),
        (
            ["--dataset_name", "somebody/my-data-1.5", "--model_name_or_path", "gpt2"],
            "my-data-1.5/teacher_forced/gpt2",
        ),
        (["--run_name", "C:\\a"], "star_graph/teacher_forced/C----a"),
    ],
)
def test_a_run_is_named_after_what_is_run(desk, options, name):
    (one,) = parse_runs(["--config", SMOKE, *options])
    assert (one.name, one.folder) == (name, Path("runs") / name)
    assert one.started_from == SMOKE.removesuffix(".yaml")
    assert one.training.run_name == name
    assert one.training.hub_model_id == name.replace("/", "-")


@pytest.mark.parametrize("name", [".", "..", "a\nb"])
def test_a_name_that_is_none_of_a_folder_is_refused(name):
    with pytest.raises(UsageError, match="a run cannot be named"):
        parse_runs(["--config", SMOKE, "--run_name", name])


def test_the_task_of_a_recipe_and_its_data_give_way_to_each_other(desk):
    model = {"model_type": "gpt2", "config_overrides": TINY_GPT2}
    (desk / "task.yaml").write_text(yaml.safe_dump({"task": "./sums.py:Sums", "dataset_config": "digits_2"} | model))
    (desk / "data.yaml").write_text(yaml.safe_dump({"dataset_name": "rows.jsonl", "dataset_config": "small"} | model))
    (usual,) = parse_runs(["--config", "task.yaml"])
    assert usual.name == "sums/teacher_forced/digits_2-gpt2"
    for option in (["--dataset_name", "nextfail/star_graph"], ["--dataset_name=nextfail/star_graph"]):
        (one,) = parse_runs(["--config", "task.yaml", *option])
        assert one.name == "star_graph/teacher_forced/d2_l5_n50-gpt2"
        assert "task" not in one.recipe
    (one,) = parse_runs(["--config", "data.yaml", "--task", "./pairs.py:Pairs"])
    assert one.name == "pairs/teacher_forced/largest_999-gpt2"
    assert "dataset_name" not in one.recipe
    with pytest.raises(UsageError, match=r"give dataset_name rows\.jsonl or task \./sums\.py:Sums, not both"):
        parse_runs(["--config", "task.yaml", "--task", "./sums.py:Sums", "--dataset_name", "rows.jsonl"])


def test_a_record_says_which_recipe_of_ours_it_started_from():
    old = Record.from_dict(old_record("teacherless"))  # whose name was that of its recipe
    assert "--config recipes/star_graph/teacherless/smoke.yaml" in repeat(old)[0]
    new = old_record("teacherless")
    new["run"] |= {"name": "star_graph/teacherless/d2_l3_n20-gpt2", "started_from": "star_graph/teacherless/smoke"}
    assert repeat(Record.from_dict(new)) == repeat(old)
    new["run"]["started_from"] = None
    command, recipe = repeat(Record.from_dict(new))
    assert "--config recipe.yaml" in command
    assert "objective: teacherless" in recipe


def test_a_record_of_ones_own_code_shows_its_recipe(desk):
    record = Record.read(train("--objective", "./coin_toss.py:CoinToss") / "results.json")
    command, recipe = repeat(record)
    assert "--config recipe.yaml" in command
    assert "objective: coin_toss.py:CoinToss" in recipe


# What a checkpoint was trained on


def test_without_results_a_checkpoint_is_measured_on_what_its_recipe_names(desk, capfd):
    folder = train("--dataset_config", "d2_l3_n10", "--dataset_seed", "3")
    known = trained_on(str(folder))
    (folder / "results.json").unlink()
    assert trained_on(str(folder)) == known | {"dataset_config": "d2_l3_n10"}
    assert run(nextfail, "evaluate", folder, "--num_rows", 10, "--output_dir", "measured") == 0
    measured = json.loads((only_run(Path("measured")) / "results.json").read_text())["run"]
    assert (measured["dataset_config"], measured["dataset_seed"]) == ("d2_l3_n10", 3)


@pytest.mark.parametrize("content", ["[1]", "dataset_name: 3", "task: [a]", "num_train: many", "{", "dataset_seed: x"])
def test_a_recipe_of_others_says_nothing(desk, content, caplog):
    (desk / "recipe.yaml").write_text(content)
    with caplog.at_level("WARNING", logger="hf_nextfail"):
        assert trained_on(str(desk)) == {}
    assert "recipe.yaml does not say what the checkpoint was trained on" in caplog.text


def test_with_neither_a_line_says_what_is_assumed(desk, caplog, capfd):
    folder = train("--dataset_config", "d2_l5_n50")
    for name in ("results.json", "recipe.yaml"):
        (folder / name).unlink()
    with caplog.at_level("WARNING", logger="hf_nextfail"):
        assert run(nextfail, "evaluate", folder, "--num_rows", 10, "--output_dir", "measured") == 0
    assert "does not say what it was trained on, and is measured on nextfail/star_graph d2_l5_n50" in caplog.text
    caplog.clear()
    options = ("--dataset_config", "d2_l5_n50", "--num_rows", 10, "--output_dir", "asked")
    assert run(nextfail, "evaluate", folder, *options) == 0
    assert "does not say" not in caplog.text


def test_the_objective_says_how_a_checkpoint_writes(desk, capfd):
    folder = train()
    options = ("--num_rows", 10, "--objective", "teacherless")
    assert run(nextfail, "evaluate", folder, *options, "--output_dir", "measured") == 0
    measured = json.loads((only_run(Path("measured")) / "results.json").read_text())["run"]
    assert (measured["objective"], measured["decoding"]) == ("teacherless", "parallel")
    assert run(nextfail, "evaluate", folder, *options, "--decoding", "autoregressive") == 2
    assert "the objective teacherless decodes parallel, not autoregressive" in capfd.readouterr().err


# Grids


def test_an_objective_runs_every_graph_of_a_grid_once(desk):
    path = find_grid("grid_cpu")
    cells = read_grid(path, dict([own_training("./coin_toss.py:CoinToss", {})]))
    assert {cell.training for cell in cells} == {"coin_toss"}
    assert {cell.options["objective"] for cell in cells} == {"./coin_toss.py:CoinToss"}
    usual = {(cell.model, cell.graph, cell.seed) for cell in read_grid(path)}
    assert {(cell.model, cell.graph, cell.seed) for cell in cells} == usual
    assert len(cells) == len(usual)


def test_runs_of_an_objective_with_options_have_a_folder_of_their_own(desk, capfd):
    options = ("reproduce", "small", "--only", "*-d2_l3_n20-gpt2-seed_42", "--dry_run")
    assert run(nextfail, *options, "--objective", "./coin_toss.py:CoinToss") == 0
    assert "to run: coin_toss-d2_l3_n20-gpt2-seed_42" in capfd.readouterr().out
    own = ("--objective", "./coin_toss.py:CoinToss", "--objective_options", '{"share": 0.3}')
    assert run(nextfail, *options, *own) == 0
    assert "to run: coin_toss_share_0.3-d2_l3_n20-gpt2-seed_42" in capfd.readouterr().out
    assert {path.name for path in Path("runs").iterdir()} == {"small-coin_toss", "small-coin_toss_share_0.3"}
    name, training = own_training("nextlat", {"horizon": 2})
    assert (name, training) == ("nextlat_horizon_2", {"objective": "nextlat", "objective_options": {"horizon": 2}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objective_options", "{}}"], "--objective_options must be a JSON object such as .*: Extra data"),
        (["--objective_options", "[1]"], "--objective_options must be a JSON object such as .*goes with --objective"),
        (["--objective_options", '{"share": 1}'], "and goes with --objective$"),
        (["--objective", "./coin_toss.py:CoinToss", "--objective_options", '{"shar": 1}'], "has no option 'shar'"),
        (["--objective", "./impostor.py:Impostor"], "is called 'jtp', as one of ours is: give it a name of its own"),
    ],
)
def test_bad_options_of_an_objective_end_a_grid_before_it_begins(desk, options, message, capfd):
    (desk / "impostor.py").write_text((desk / "coin_toss.py").read_text().replace("coin_toss", "jtp"))
    (desk / "impostor.py").write_text((desk / "impostor.py").read_text().replace("CoinToss", "Impostor"))
    assert run(nextfail, "reproduce", "small", *options) == 2
    assert re.search(message, capfd.readouterr().err.strip())
    assert not Path("runs").exists()


def test_a_task_of_ones_own_is_not_called_as_one_of_ours(desk, capfd):
    (desk / "impostor.py").write_text((desk / "sums.py").read_text().replace('"sums"', '"star_graph"'))
    assert run(finetune, *SMALL, "--task", "./impostor.py:Sums") == 2
    assert "is called 'star_graph', as one of ours is" in capfd.readouterr().err


def test_a_grid_runs_on_a_task_of_ones_own(desk, capfd):
    training = {"max_steps": 2, "num_train": 200, "num_validation": 20, "num_test": 30}
    grid = {
        "base": training
        | {"per_device_train_batch_size": 16, "objective_options": {"share": 0.2}, "precision": "fp32"},
        "trainings": {"coin_toss": {"objective": "./coin_toss.py:CoinToss"}},
        "models": {"tiny": {"model_type": "gpt2", "config_overrides": TINY_GPT2}},
        "blocks": [{"trainings": ["coin_toss"], "graphs": ["digits_1", "digits_2"], "models": ["tiny"], "seeds": [1]}],
    }
    (desk / "mine.yaml").write_text(yaml.safe_dump(grid))
    assert run(nextfail, "reproduce", "mine.yaml", "--task", "./sums.py:Sums", "--jobs", 2) == 0
    records = [json.loads(path.read_text()) for path in sorted(Path("runs/mine/summary").glob("*.json"))]
    assert [record["run"]["title"] for record in records] == ["sums, digits 1", "sums, digits 2"]
    assert all(record["run"]["objective_options"] == {"share": 0.2} for record in records)
    assert Path("runs/mine/summary/accuracy.png").is_file()


# Results come first


def test_results_are_there_before_the_diagnosis_and_count_only_after_it(desk, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_nextfail.runs.run.diagnose", killed)
    with pytest.raises(SystemExit):
        finetune(SMALL)
    record = Record.read(only_run(Path("runs")) / "results.json")
    assert record.run["diagnosis_absent"] == INTERRUPTED
    assert record.results["accuracy"]["n"] == 30
    (one,) = parse_runs(SMALL)
    assert finished_record(one) is None
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    assert Record.read(train() / "results.json").run["diagnosis_absent"] is None
    assert finished_record(one) is not None


def test_pictures_and_trackers_that_fail_lose_no_run(desk, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hf_nextfail.runs.run.draw_pictures", full)
    with caplog.at_level("WARNING", logger="hf_nextfail"):
        folder = train()
    assert Record.read(folder / "results.json").diagnosis is not None
    assert "its pictures, or what trackers are told, are not: OSError: [Errno 28] No space left" in caplog.text


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--num_diagnosed=0"], "num_diagnosed is 0"), (["--task=./pairs.py:Pairs"], "pairs has no diagnosis, only")],
)
def test_a_record_says_why_there_is_no_diagnosis(desk, options, reason):
    record = Record.read(train(*options) / "results.json")
    assert record.diagnosis is None
    assert reason in record.run["diagnosis_absent"]
