import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset
from made_records import OBJECTIVES, diagnosed_record
from tiny_models import tiny_gpt2

from hf_nextfail import __version__, numeral_tokenizer
from hf_nextfail.commands.main import main
from hf_nextfail.decoding import ParallelDecoding
from hf_nextfail.reporting.pictures import plot_graph

COMMANDS = ["depth", "env", "evaluate", "push-dataset", "push-metric", "push-model", "report", "sample"]
SIZES = ["--num_train", "20", "--num_validation", "5", "--num_test", "5"]


def run(*argv) -> int:
    with pytest.raises(SystemExit) as exit:
        main([*map(str, argv)])
    return exit.value.code


@pytest.fixture
def checkpoint(tmp_path):
    """A teacherless model that was not trained, as a checkpoint of G(2,3) over 20 labels."""
    tokenizer = numeral_tokenizer(num_nodes=20)
    model = tiny_gpt2(tokenizer)
    model.generation_config = ParallelDecoding(tokenizer).generation_config(max_new_tokens=3)
    folder = tmp_path / "checkpoint"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("# Mine\n")
    return folder


def test_help_names_every_command_and_option_without_loading_torch():
    code = "import sys; from hf_nextfail.commands.main import main\n"
    code += "for command in sys.argv[1:]:\n    try: main([*command.split(), '--help'])\n    except SystemExit: pass\n"
    code += "    print('torch' in sys.modules, end='\\0')"
    done = subprocess.run([sys.executable, "-c", code, "", *COMMANDS], capture_output=True, text=True, check=True)
    helps = done.stdout.split("\0")[:-1]
    assert len(helps) == 1 + len(COMMANDS)
    assert all("--help" in text and text.endswith("False") for text in helps)
    assert all(command in helps[0] for command in COMMANDS)


def test_the_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["evalute", "x"], "Did you mean 'evaluate'?"),
        (["evaluate"], "Missing argument"),
        (["evaluate", "x", "--splt", "test"], "--splt"),
        (["evaluate", "x", "--split", "test", "--split=train"], "--split is given twice: give it once"),
        (["push-model", "x", "--repo", "a", "--private", "--public"], "--private is given twice"),
        (["evaluate", "x", "--num_rows", "many"], "'--num_rows': Input should be a valid integer"),
        (["evaluate", "./nothing"], "./nothing"),
        (
            ["evaluate", "CHECKPOINT", "--split", "tset"],
            "split must be train or validation or test or all, got 'tset' (did you",
        ),
        (["evaluate", "CHECKPOINT", "--decoding", "paralel"], "did you mean 'parallel'?"),
        (["evaluate", "CHECKPOINT", "--num_rows", "0"], "num_rows must be at least 1, got 0"),
        (["evaluate", "CHECKPOINT", "--batch_size", "0"], "batch_size must be at least 1"),
        (["evaluate", "CHECKPOINT", "--dataset_config", "d2_l3_n50"], "does it know all labels?"),
        (["evaluate", "CHECKPOINT", "--dataset_config", "d2"], "unknown config 'd2'"),
        (["evaluate", "CHECKPOINT", "--test_file", "nothing.txt"], "nothing.txt"),
        (["evaluate", "CHECKPOINT", "--push_results"], "is a folder: name the model"),
        (["diagnose", "nowhere"], "nowhere"),
        (["diagnose", "CHECKPOINT", "--num_rows", "0"], "num_rows must be at least 1, got 0"),
        (["diagnose", "CHECKPOINT", "--batch_size", "0"], "batch_size must be at least 1"),
        (["diagnose", "CHECKPOINT", "--dataset_config", "d2"], "unknown config 'd2'"),
        (["push-dataset", "--configs", "d2_l3"], "unknown config 'd2_l3'"),
        (["push-dataset", "--num_train", "-1"], "num_train must be"),
        (["push-model", "nowhere", "--repo", "x"], "there is no folder nowhere"),
        (["push-model", "CHECKPOINT"], "Missing option"),
        (["report"], "Missing argument"),
        (["report", "nowhere"], "there is no file or folder nowhere"),
        (["report", "CHECKPOINT"], "holds no results.json"),
        (["report", "checkpoint/config.json"], "schema_version must be 1 or 2, got None"),
        (["push-metric", "--repo", "a/b/c"], "'a/b/c' is not a valid name for a repository"),
        (["sample", "d2_l5"], "unknown config 'd2_l5'"),
        (
            ["sample", "--split", "tset"],
            "split must be train or validation or test, got 'tset' (did you mean 'test'?)",
        ),
        (["sample", "--index", "20000"], "index must be an integer from 0 to 19999"),
        (["sample", "--picture", "a.gif"], "--picture must end in .png or .svg, got 'a.gif'"),
        (["sample", "--picture", "checkpoint/README.md/a.png"], "File exists"),
        (["sample", "--tokenizer", "./nothing"], "no tokenizer can be loaded from ./nothing"),
        (["push-metric", "valid_paths"], "no metric 'valid_paths', only creativity, hard_token_accuracy, path"),
    ],
)
def test_bad_input_is_one_line_and_code_2(hub, checkpoint, tmp_path, monkeypatch, capfd, argv, words):
    monkeypatch.chdir(tmp_path)
    assert run(*(checkpoint if word == "CHECKPOINT" else word for word in argv)) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("nextfail: error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not Path("runs").exists()
    assert not any(request["method"] in ("POST", "PUT") for request in hub.log)


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "no token"), ("hf_secret", "invalid"), ("hf_read", "may only read"), ("hf_other", "may not write")],
)
@pytest.mark.parametrize(
    "argv",
    [
        ["push-dataset", "--configs", "d2_l3_n20", *SIZES],
        ["push-metric"],
        ["push-model", "CHECKPOINT", "--repo", "nextfail/x"],
        ["evaluate", "nextfail/x", "--push_results"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_token_that_may_not_push_creates_nothing(hub, checkpoint, monkeypatch, capfd, argv, token, words):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    assert run(*(checkpoint if word == "CHECKPOINT" else word for word in argv)) == 2
    printed = "".join(capfd.readouterr())
    assert words in printed
    assert "Traceback" not in printed
    assert token is None or token not in printed
    assert not any(request["method"] in ("POST", "PUT") for request in hub.log)


def test_the_four_lines_push_load_decode_and_evaluate(hub, checkpoint, tmp_path, monkeypatch, capsys, fresh):
    monkeypatch.chdir(tmp_path)
    assert run("push-dataset", "--configs", "d2_l3_n20", *SIZES, "--private") == 0
    assert run("push-metric") == 0
    assert run("push-metric", "valid_path_rate", "--repo", "nextfail/rate") == 0
    assert run("push-model", checkpoint, "--repo", "nextfail/x") == 0
    urls = capsys.readouterr().out.splitlines()
    heads = [("dataset", "star_graph"), ("space", "path_accuracy"), ("space", "rate"), ("model", "x")]
    assert [url.rpartition("/")[2] for url in urls] == [hub.head(kind, f"nextfail/{name}") for kind, name in heads]
    assert hub.files("model", "nextfail/x")["README.md"] == b"# Mine\n"  # no run of ours, so the card is the user's

    argv = [
        "-m",
        "hf_nextfail.commands.main",
        "evaluate",
        "nextfail/x",
        "--dataset_config",
        "d2_l3_n20",
        "--num_rows",
        "30",
    ]
    done = fresh([*argv, "--push_results"], cwd=tmp_path)
    name = "star_graph-d2_l3_n20-test-30_rows-parallel"
    record = json.loads((tmp_path / f"runs/evaluate/nextfail--x/{name}/results.json").read_text())
    assert record["run"]["decoding"] == "parallel"
    assert f"{record['results']['accuracy']['value']:.3f}" in done.stdout
    files = hub.files("model", "nextfail/x")
    assert json.loads(files[f"results/{name}.json"])["results"] == record["results"]
    assert f".eval_results/{name}.yaml" in files


@pytest.mark.parametrize(
    "configs",
    [["--configs", "d2_l3_n20", "d3_l3_n50"], ["--configs", "d2_l3_n20,d3_l3_n50"]],
    ids=["spaces", "commas"],
)
def test_several_configs(hub, configs):
    assert run("push-dataset", *configs, *SIZES) == 0
    folders = {path.partition("/")[0] for path in hub.files("dataset", "nextfail/star_graph") if "parquet" in path}
    assert folders == {"d2_l3_n20", "d3_l3_n50"}


@pytest.mark.parametrize("rows", ["split", "file"])
def test_a_checkpoint_is_diagnosed(checkpoint, tmp_path, capsys, rows):
    on_file = []
    if rows == "file":
        (tmp_path / "paper.txt").write_text("7,3|3,15|7,9|9,1/7,15=7,3,15\n4,5|6,4|6,2|2,1/6,5=6,4,5\n")
        on_file = ["--test_file", str(tmp_path / "paper.txt")]
    options = ["--dataset_config", "d2_l3_n20", "--num_rows", "30", "--output_dir", str(tmp_path / "out")]
    assert run("diagnose", checkpoint, *options, *on_file) == 0
    (path,) = (tmp_path / "out").rglob("results.json")
    record = json.loads(path.read_text())
    assert record["run"]["split"] == ("test" if rows == "split" else "paper.txt")
    num_rows = 30 if rows == "split" else 2
    assert record["diagnosis"]["numbers"]["accuracy"]["n"] == num_rows
    digest = [] if rows == "split" else [record["run"]["rows_sha256"][:8]]
    assert path.parent.name.endswith("-".join([f"{num_rows}_rows", *digest, "parallel"]))
    assert record["results"]["accuracy"] == record["diagnosis"]["numbers"]["accuracy"]
    page = (path.parent / "report.html").read_text(encoding="utf-8")
    out = capsys.readouterr().out
    assert str(path.parent / "report.html") in out
    assert f"parallel: {num_rows} rows of {record['run']['split']}" in out
    for text in (page, " ".join(out.split())):
        assert record["diagnosis"]["verdict"] in text
        assert "hard_token_mass" in text


def test_a_report_of_runs_is_one_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for objective in OBJECTIVES:
        (tmp_path / objective).mkdir()
        (tmp_path / objective / "results.json").write_text(json.dumps(diagnosed_record(objective)))
    assert run("report", "teacher_forced", "teacherless/results.json", "reversed") == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == Path("runs/report/report.html")
    assert "3 runs on G(2,3), 20 labels" in page.read_text(encoding="utf-8")
    assert run("report", ".", "--output_dir", "elsewhere") == 0
    assert (tmp_path / "elsewhere" / "report.md").is_file()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gpt2", "gpt2: the code of transformers"),
        ("mamba", "mamba: the scan of hf_nextfail on a CPU"),
        ("mamba2", "by chunks"),
    ],
)
def test_the_environment_says_which_way_a_model_takes(capsys, model, words):
    assert run("env", model) == 0
    lines = capsys.readouterr().out.splitlines()
    assert words in lines[-1]
    named = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert named["hf_nextfail"] == __version__
    assert named["mamba_ssm"] == "not installed"


def test_the_environment_of_an_unknown_model_is_said_in_one_line(capfd):
    assert run("env", "./nowhere") == 2
    assert "nextfail: error: ./nowhere" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("argv", "config", "path"),
    [
        ([], "d2_l5_n50", "runs/sample/d2_l5_n50.png"),
        (["d3_l3_n50_rev"], "d3_l3_n50_rev", "runs/sample/d3_l3_n50_rev.png"),
        (["--picture", "new/folder/graph.svg"], "d2_l5_n50", "new/folder/graph.svg"),
    ],
)
def test_a_row_is_shown_and_drawn(tmp_path, monkeypatch, capsys, argv, config, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("sample", *argv, "--split", "train", "--index", 3, "--dataset_seed", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    row = load_dataset("nextfail/star_graph", config, split="train", seed=1, num_train=4)[3]
    assert "row 3 of the train split, seed 1" in lines[0]
    assert lines[1:3] == [f"prompt      {row['prompt']}", f"completion  {row['completion']}"]
    assert lines[-1] == f"picture     {path}"
    assert max(map(len, lines)) <= 80
    plot_graph(row, f"expected{Path(path).suffix}")
    assert Path(path).read_bytes() == Path(f"expected{Path(path).suffix}").read_bytes()


def test_a_row_of_another_task_is_drawn_or_has_no_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("sample", "countdown", "n3") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "picture     runs/sample/countdown_n3.png"
    assert Path("runs/sample/countdown_n3.png").stat().st_size > 1000
    Path("sums.py").write_text((Path(__file__).parents[1] / "own_code/sums.py").read_text())
    assert run("sample", "./sums.py:Sums", "digits_2") == 0
    assert "picture" not in capsys.readouterr().out
    assert run("sample", "./sums.py:Sums", "--picture", "a.png") == 2
    assert "--picture a.png: the rows of sums have no picture" in capsys.readouterr().err


def test_the_command_is_installed():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "nextfail"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{__version__}\n"


# Nothing overwrites another's result


def texts_in(folder, name, shift):
    folder.mkdir(exist_ok=True)
    rows = [
        {"prompt": f"{i},{i + 1}|{i},{i + shift}/{i},{i + shift}=", "completion": f"{i},{i + shift}"} for i in range(8)
    ]
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    return folder / name


def test_each_measurement_has_a_folder_of_its_own(checkpoint, tmp_path):
    first, second = (texts_in(tmp_path / name, "x.jsonl", shift) for shift, name in enumerate(["d", "e"], start=2))
    graphs = [tmp_path / "f.txt", tmp_path / "g" / "f.txt"]
    graphs[1].parent.mkdir()
    graphs[0].write_text("7,3|3,15|7,9|9,1/7,15=7,3,15\n")
    graphs[1].write_text("4,5|6,4|6,2|2,1/6,5=6,4,5\n")
    here = ["--output_dir", tmp_path / "out"]
    ours = ["--dataset_config", "d2_l3_n20", "--num_rows", "8"]
    measurements = [
        ["--dataset_name", first],
        ["--dataset_name", second],
        ["--dataset_name", first, "--num_rows", "7"],
        ["--dataset_name", first, "--decoding", "autoregressive"],
        ours,
        [*ours, "--split", "validation"],
        [*ours, "--dataset_seed", "1"],
        [*ours, "--decoding", "autoregressive"],
        [*ours, "--test_file", graphs[0]],
        [*ours, "--test_file", graphs[1]],
    ]
    for number, options in enumerate(measurements, start=1):
        for _ in range(2):  # the same again is no other measurement
            assert run("evaluate", checkpoint, *options, *here) == 0
            assert len(list((tmp_path / "out").rglob("results.json"))) == number
    tiny_gpt2(numeral_tokenizer(num_nodes=20), n_layer=1).save_pretrained(
        checkpoint
    )  # other weights, by the same name
    assert run("evaluate", checkpoint, *ours, *here) == 0
    assert len(list((tmp_path / "out").rglob("results.json"))) == len(measurements) + 1


def test_a_file_of_test_rows_is_measured_whole(checkpoint, tmp_path, capsys):
    path = texts_in(tmp_path, "mine.jsonl", 2)
    assert run("evaluate", checkpoint, "--dataset_name", path, "--output_dir", tmp_path / "out") == 0
    (results,) = (tmp_path / "out").rglob("results.json")
    record = json.loads(results.read_text())
    assert (record["run"]["split"], record["results"]["accuracy"]["n"]) == ("all", 8)
    assert "has one split, and all of its 8 rows are measured" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("exported", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=["by default", "asked for", "another policy"],
)
def test_idle_threads_let_others_have_the_core_unless_somebody_says_otherwise(exported, spins):
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = "import hf_nextfail.commands, os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], env=kept | exported, capture_output=True, text=True)
    assert said.stdout.split() == [spins, "False"]
