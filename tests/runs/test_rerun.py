import json
from pathlib import Path

import pytest
import yaml
from run_folders import only_run
from tiny_models import TINY_GPT2

from hf_nextfail.commands.finetune import main
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.rerun import computed, differences
from hf_nextfail.training.hardware import fast_bf16

RECIPE = {
    "dataset_config": "d2_l3_n20",
    "num_train": 300,
    "num_validation": 50,
    "num_test": 60,
    "model_type": "gpt2",
    "config_overrides": TINY_GPT2 | {"resid_pdrop": 0.1},
    "objective": "teacherless",
    "per_device_train_batch_size": 16,
    "learning_rate": 0.003,
    "max_steps": 12,
    "eval_strategy": "steps",
    "eval_steps": 6,
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 5,
}
NAME = "star_graph/teacherless/d2_l3_n20-gpt2"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    main(["--config", str(folder / "small.yaml"), "--output_dir", str(folder)])
    return only_run(folder) / "results.json"


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        nextfail(list(map(str, arguments)))
    return exit.value.code


def changed(results: Path, folder: Path, change) -> Path:
    record = json.loads(results.read_text())
    change(record)
    path = folder / "changed.json"
    path.write_text(json.dumps(record))
    return path


def test_a_run_comes_out_the_same_again(results, tmp_path, capsys):
    assert run("rerun", results.parent, "--output_dir", tmp_path) == 0
    assert "All numbers are equal, and the weights bit for bit." in capsys.readouterr().out
    again, record = Record.read(only_run(tmp_path) / "results.json"), Record.read(results)
    assert computed(again) == computed(record)
    assert len(record.run["weights_sha256"]) == 64
    assert again.versions == record.versions
    assert (only_run(tmp_path) / "model.safetensors").read_bytes() == (
        results.parent / "model.safetensors"
    ).read_bytes()


def test_another_seed_is_seen(results, tmp_path, capfd):
    path = changed(results, tmp_path, lambda record: record["recipe"].update(seed=6))
    assert run("rerun", path) == 1
    printed = capfd.readouterr()
    assert "run.weights_sha256" not in printed.err
    assert "weights_sha256: " in printed.out
    assert printed.err.splitlines()[-1].startswith("nextfail: error: ")


def test_what_is_chosen_again_is_what_was_chosen(results, tmp_path, capfd):
    other = "fp32" if fast_bf16() else "bf16"  # than would be chosen here

    def change(record):
        record["run"] |= {"precision": other, "fast_path": [], "device_name": "another"}
        record["versions"]["torch"] = "1.0"

    assert run("rerun", changed(results, tmp_path, change), "--output_dir", tmp_path / "again") == 1
    again = json.loads((only_run(tmp_path / "again") / "results.json").read_text())
    assert (again["run"]["precision"], again["run"]["fast_path"]) == (other, [])
    output = capfd.readouterr().out
    assert "torch: 1.0 then" in output
    assert "device_name: another then" in output


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ({"train_share": 0.7}, {"seen_share": 0.0}, []),  # an earlier version counted something else
        ({"seen_share": None}, {"seen_share": 0.0}, []),
        ({"seen_share": 0.0}, {"seen_share": 0.5}, ["test_file.seen_share"]),
    ],
)
def test_what_was_trained_on_of_a_test_file_is_compared_where_it_is_known(results, before, after, names):
    of_file = [json.loads(results.read_text()) | {"test_file": {"path": "f.txt"} | part} for part in (before, after)]
    found = differences(*(computed(Record.from_dict(record)) for record in of_file))
    assert [name for name, _, _ in found] == names


BAD = {
    "no file": (lambda folder: folder / "none.json", "there is no file or folder"),
    "another file": (lambda folder: folder / "other.json", "schema_version must be 1 or 2, got None"),
    "several runs": (lambda folder: folder / "several", "is one of 2 results.json there: name one"),
    "measured": (lambda folder: folder / "measured.json", "was measured, not trained"),
    "configured by files": (lambda folder: folder / "files.json", "its recipe has fsdp_config"),
    "onto itself": (lambda folder: folder / NAME, "would overwrite the run that is compared with"),
    "another option": (lambda folder: folder / "option.json", "option.json: recipe: there is no option of_tomorrow"),
    "two processes": (lambda folder: folder / "two.json", "accelerate launch --num_processes 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_run_again_is_said_in_one_line(case, results, tmp_path, capfd):
    path, message = BAD[case]
    record = json.loads(results.read_text())
    (tmp_path / "other.json").write_text("[1, 2]")
    (tmp_path / "measured.json").write_text(json.dumps(record | {"recipe": None}))
    (tmp_path / "files.json").write_text(json.dumps(record | {"recipe": record["recipe"] | {"fsdp_config": "x.json"}}))
    (tmp_path / "option.json").write_text(json.dumps(record | {"recipe": record["recipe"] | {"of_tomorrow": 1}}))
    (tmp_path / NAME).mkdir(parents=True)
    (tmp_path / NAME / "results.json").write_text(json.dumps(record))
    for name in ("a", "b"):
        (tmp_path / "several" / name).mkdir(parents=True)
        (tmp_path / "several" / name / "results.json").write_text(json.dumps(record))
    (tmp_path / "two.json").write_text(json.dumps(record | {"run": record["run"] | {"num_processes": 2}}))
    assert run("rerun", path(tmp_path), "--output_dir", tmp_path) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line]
    assert message in line


def test_a_record_is_compared_as_far_as_it_goes(results, tmp_path, capsys):
    def change(record):  # into one of version 1, of before there were diagnoses
        record["schema_version"] = 1
        for point in record["history"]:
            del point["diagnosis"]
        del (
            record["diagnosis"],
            record["run"]["weights_sha256"],
            record["run"]["decoding"],
            record["versions"]["torch"],
        )

    assert run("rerun", changed(results, tmp_path, change)) == 0
    assert "All numbers are equal; the record has no digest of its weights." in capsys.readouterr().out


def test_what_a_record_says_of_trust_does_not_count(results, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "hf_nextfail.runs.rerun.execute", lambda run, chosen: asked.append(run.model.trust_remote_code)
    )
    path = changed(results, tmp_path, lambda record: record["recipe"].update(trust_remote_code=True))
    for options in ([], ["--trust_remote_code"]):
        with pytest.raises(TypeError):  # nothing to compare
            nextfail(["rerun", str(path), *options])
    assert asked == [False, True]


def test_differences():
    before = {"same": 1, "number": 0.5, "list": [1, {"inside": 2}], "gone": 3, "length": [1]}
    after = {"same": 1, "number": 0.6, "list": [1, {"inside": 4}], "new": 5, "length": [1, 2]}
    assert differences(before, after) == [
        ("number", 0.5, 0.6),
        ("list[1].inside", 2, 4),
        ("gone", 3, None),
        ("length", [1], [1, 2]),
    ]
