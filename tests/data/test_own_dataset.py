import json

import pytest
from datasets import Dataset, DatasetDict

from hf_nextfail.data.own_dataset import load_own_dataset, split_of_prompt

ROWS = [{"prompt": f"{i % 200} + 1 =", "completion": f" {i % 200 + 1}", "note": i} for i in range(400)]


def written(folder, form):
    rows = Dataset.from_list(ROWS)
    path = folder / f"rows.{form}"
    if form in ("json", "jsonl"):
        path.write_text("\n".join(map(json.dumps, ROWS)))
    elif form == "folder":
        path.mkdir()
        rows.to_parquet(path / "train.parquet")
    elif form == "saved":
        rows.save_to_disk(path)
    elif form == "saved splits":
        DatasetDict(train=rows).save_to_disk(path)
    else:
        getattr(rows, f"to_{form}")(path)
    return str(path)


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet", "folder", "saved", "saved splits"])
def test_any_form_of_data_has_three_splits_with_every_row_once(tmp_path, form):
    splits = load_own_dataset(written(tmp_path, form))
    assert list(splits) == ["train", "validation", "test"]
    rows = [row for split in splits.values() for row in split]
    assert sorted(rows, key=lambda row: row["note"]) == ROWS
    assert len(splits["train"]) > 250
    assert min(len(splits["validation"]), len(splits["test"])) > 20


def test_no_prompt_stands_in_two_splits_and_the_seed_is_none(tmp_path):
    splits = load_own_dataset(written(tmp_path, "json"))
    prompts = {split: set(rows["prompt"]) for split, rows in splits.items()}
    assert sum(map(len, prompts.values())) == len({row["prompt"] for row in ROWS})
    assert all(split_of_prompt(prompt) == split for split in prompts for prompt in prompts[split])


def test_splits_that_exist_are_kept(tmp_path):
    test = Dataset.from_list([{"prompt": "a", "completion": "b", "note": 0}])
    DatasetDict(train=Dataset.from_list(ROWS), test=test).save_to_disk(tmp_path / "rows")
    splits = load_own_dataset(str(tmp_path / "rows"))
    assert splits["test"].to_list() == test.to_list()
    assert len(splits["train"]) + len(splits["validation"]) == len(ROWS)
    assert {split_of_prompt(prompt) for prompt in splits["train"]["prompt"]} == {"train", "test"}


def test_a_dataset_on_the_hub_and_its_configuration(hub):
    rows = DatasetDict(train=Dataset.from_list(ROWS))
    rows.push_to_hub("nextfail/sums", "small")
    splits = load_own_dataset("nextfail/sums", "small")
    assert sum(map(len, splits.values())) == len(ROWS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"question": ["a"], "completion": ["b"]}, "has no column prompt in train, only question, completion"),
        ({"prompt": ["a"], "answer": ["b"]}, "has no column completion"),
        ({"prompt": [["a"]], "completion": ["b"]}, "the column prompt of train must be text"),
        ({"prompt": ["a"], "completion": [1]}, "the column completion of train must be text"),
        ({"prompt": ["a"], "completion": ["b"]}, "has no rows in .*: training needs all three splits"),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path, rows, message):
    Dataset.from_dict(rows).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=message) as error:
        load_own_dataset(str(tmp_path / "rows.parquet"))
    assert "rows.parquet" in str(error.value)


def test_a_dataset_without_a_train_split_is_named(tmp_path):
    DatasetDict(test=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "rows")
    with pytest.raises(ValueError, match="has no split called train, only test"):
        load_own_dataset(str(tmp_path / "rows"))


def test_files_of_other_kinds_and_missing_ones_are_named(tmp_path):
    (tmp_path / "rows.txt").write_text("a")
    with pytest.raises(ValueError, match=r"rows.txt: a file of data must end in .csv, .json"):
        load_own_dataset(str(tmp_path / "rows.txt"))
    with pytest.raises(OSError, match=r"missing"):
        load_own_dataset(str(tmp_path / "missing.json"))
