"""Tasks of one's own: `load_dataset("FILE.py:Class")`, and a cache that knows the code."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import get_dataset_config_names, load_dataset
from own_code.pairs import Pairs
from own_code.sums import Sums

from hf_nextfail.data.code_digest import code_digest
from hf_nextfail.data.registration import task_class
from hf_nextfail.tasks import StarGraph, split_of

OWN_CODE = Path(__file__).parents[1] / "own_code"
SIZES = {"num_train": 300, "num_validation": 40, "num_test": 50}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with a task of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copy(OWN_CODE / "sums.py", tmp_path / "sums.py")
    return tmp_path


@pytest.mark.parametrize("reference", ["./sums.py:Sums", "{folder}/sums.py:Sums", "own_code.sums:Sums"])
def test_it_is_loaded_by_reference(desk, reference):
    dataset = load_dataset(reference.format(folder=desk), "digits_2", **SIZES)
    assert {f"num_{split}": len(rows) for split, rows in dataset.items()} == SIZES
    row = dataset["test"][0]
    assert list(row) == ["prompt", "completion", "first", "second"]
    assert row["prompt"] == f"{row['first']}+{row['second']}="
    assert row["completion"] == str(row["first"] + row["second"])
    assert 10 <= row["first"] < 100
    assert dataset["train"].info.citation == ""


def test_by_default_it_is_configured_by_its_defaults(desk):
    assert load_dataset("./sums.py:Sums", **SIZES)["train"].config_name == "digits_3"
    assert get_dataset_config_names("./sums.py:Sums") == ["digits_3"]
    assert load_dataset("./sums.py:Sums", digits=1, num_train=5, split="train").config_name == "digits_1"


@pytest.mark.parametrize("kind", [Sums, Pairs])
def test_a_stream_and_two_processes_give_the_same_rows(kind):
    name = f"{kind.__module__}:{kind.__name__}"
    rows = load_dataset(name, split="train", num_train=20_500)
    stream = load_dataset(name, split="train", num_train=20_500, streaming=True)
    assert list(stream.take(300)) == rows.select(range(300)).to_list()
    shared = load_dataset(name, split="train", num_train=20_500, num_proc=2, download_mode="force_redownload")
    assert shared.to_list() == rows.to_list()


@pytest.mark.parametrize("kind", [Sums, Pairs])
def test_no_problem_is_in_two_splits(kind):
    splits = load_dataset(f"{kind.__module__}:{kind.__name__}", num_train=3000, num_validation=500, num_test=500)
    prompts = {name: set(rows["prompt"]) for name, rows in splits.items()}
    assert not prompts["train"] & prompts["validation"]
    assert not prompts["train"] & prompts["test"]
    assert not prompts["validation"] & prompts["test"]
    task = kind()
    for name in prompts:
        columns = task.sample_shard(name, 0, num_rows=100)
        assert set(split_of(task.split_key(columns)).tolist()) == {name}


def test_a_space_too_small_for_a_split_is_refused_and_does_not_run_for_ever(desk):
    text = (OWN_CODE / "pairs.py").read_text()
    text = text.replace("rng.integers(self.largest + 1, size=count)", "0 * rng.integers(9, size=count)")
    (desk / "one.py").write_text(text)
    with pytest.raises(ValueError, match="largest_999 of pairs has too few different problems"):
        load_dataset("./one.py:Pairs", **SIZES)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("@dataclass(frozen=True)", "@dataclass", "the task Sums must be a frozen dataclass"),
        ("@dataclass(frozen=True)\n", "", "the task Sums must be a frozen dataclass"),
        ("digits: int = 3", "digits: int", "the field digits of the task Sums must have a default"),
        ("digits: int = 3", "digits: int = 3\n    seed: int = 0", "has a field seed, which is an option of every"),
        ('"sums"', '"../sums"', r"the name of the task Sums must be letters, digits and _, got '\.\./sums'"),
    ],
)
def test_a_class_that_is_no_task_is_one_line(desk, old, new, reason):
    text = (desk / "sums.py").read_text()
    assert old in text
    (desk / "bad.py").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=reason) as failure:
        task_class("./bad.py:Sums")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("digit_3", r"unknown config 'digit_3' of sums: use digits_<digits> \(did you mean 'digits_3'\?\)"),
        ("digits_x", "digits must be written as 3 is, got 'x'|digits must be written like 3, got 'x'"),
        ("digits_03", "got '03'"),
    ],
)
def test_a_configuration_that_does_not_exist_is_one_line(desk, config, reason):
    with pytest.raises(ValueError, match=reason):
        load_dataset("./sums.py:Sums", config, **SIZES)


def digest_in_a_process(folder: Path, reference: str = "./sums.py:Sums") -> str:
    code = (
        "import sys; from hf_nextfail.data.code_digest import code_digest; "
        "from hf_nextfail.data.registration import task_class; print(code_digest(task_class(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, reference], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_cache_knows_the_file_and_what_it_takes_from_files_beside_it(desk):
    (desk / "shared.py").write_text("OFFSET = 3\n")
    text = (desk / "sums.py").read_text().replace("from dataclasses", "from shared import OFFSET\nfrom dataclasses", 1)
    (desk / "sums.py").write_text(text)
    (desk / "other.py").write_text("NOT_USED = 1\n")
    first = digest_in_a_process(desk)
    assert digest_in_a_process(desk) == first
    (desk / "other.py").write_text("NOT_USED = 2\n")
    assert digest_in_a_process(desk) == first
    (desk / "shared.py").write_text("OFFSET = 4\n")
    second = digest_in_a_process(desk)
    assert second != first
    (desk / "sums.py").write_text(text + "\n# a change\n")
    assert digest_in_a_process(desk) not in (first, second)


def test_a_class_typed_into_a_notebook_is_known_by_what_it_does(desk):
    text = (desk / "sums.py").read_text()
    ask = "\nfrom hf_nextfail.data.code_digest import code_digest\nprint(code_digest(Sums))"

    def digest(text: str) -> str:
        done = subprocess.run([sys.executable, "-"], input=text + ask, cwd=desk, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert digest(text) == digest("\n\n\n" + text)
    assert digest(text) != digest(text.replace("10**self.digits", "11**self.digits"))
    assert digest(text) != digest(text.replace("= 3", "= 4"))


def test_a_task_put_into_the_table_of_tasks_is_loaded_from_a_notebook(desk):
    text = (desk / "sums.py").read_text()
    ask = (
        "\nimport hf_nextfail\nfrom datasets import load_dataset\nhf_nextfail.TASKS['sums'] = Sums\n"
        "rows = load_dataset('nextfail/sums', num_train=3, num_validation=0, num_test=0, split='train')\n"
        "print(rows['completion'][0])"
    )
    done = subprocess.run([sys.executable, "-"], input=text + ask, cwd=desk, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1].isdecimal()


def test_digests_differ_between_tasks():
    assert len({code_digest(kind) for kind in (Sums, Pairs, StarGraph)}) == 3


def test_a_split_key_is_that_of_the_prompt_whatever_else_differs():
    task = Pairs()
    columns = {"total": np.array([17, 17, 40]), "first": np.array([9, 3, 9])}
    keys = task.split_key(columns)
    assert keys[0] == keys[1] != keys[2]
