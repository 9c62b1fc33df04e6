import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from hf_nextfail.data.own_dataset import load_own_dataset, load_own_rows, name_of_data, split_of_prompt

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


# Text is text, whoever wrote it and however


FEW = [{"prompt": f"{i:03} + 1 =", "completion": f"{i + 1:03}"} for i in range(60)]


def as_csv(separator):
    return "\n".join(separator.join(row) for row in [FEW[0].keys(), *(row.values() for row in FEW)])


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("ending", ["csv", "CSV", "tsv", "json", "jsonl", "JSONL", "ndjson"])
def test_a_file_of_any_ending_is_read_as_it_is(tmp_path, ending, packed):
    if ending.lower() in ("csv", "tsv"):
        text = as_csv("," if ending.lower() == "csv" else "\t")
    else:
        text = "\n".join(map(json.dumps, FEW))
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packed]
    stem = "rows (1)" if packed else "rows [1]*"
    path = tmp_path / f"{stem}.{ending}{packed}"
    path.write_bytes(pack(text.encode()))
    rows, split = load_own_rows(str(path))
    assert (split, rows.to_list()) == ("all", FEW)  # 007 is no number
    assert name_of_data(str(path)) == stem


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    (tmp_path / "rows.csv").write_text(as_csv(","), encoding="utf-8-sig")
    assert load_own_rows(str(tmp_path / "rows.csv"))[0].to_list() == FEW


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_a_text_of_any_arrow_type_is_text(tmp_path, kind, form):
    columns = {name: pa.array([row[name] for row in FEW]).cast(kind) for name in ("prompt", "completion")}
    if form == "parquet":
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    else:
        Dataset(pa.table(columns)).save_to_disk(tmp_path / "rows.parquet")
    splits = load_own_dataset(str(tmp_path / "rows.parquet"))
    assert sorted((row for rows in splits.values() for row in rows), key=lambda row: row["prompt"]) == FEW
    assert {str(rows.data.column("prompt").type) for rows in splits.values()} == {"string"}


# Splits


@pytest.mark.parametrize("name", ["val", "valid", "dev"])
def test_a_validation_split_of_another_name_is_taken(tmp_path, name):
    parts = {"train": FEW[:40], name: FEW[40:50], "test": FEW[50:]}
    DatasetDict({split: Dataset.from_list(rows) for split, rows in parts.items()}).save_to_disk(tmp_path / "rows")
    splits = load_own_dataset(str(tmp_path / "rows"))
    assert [rows.to_list() for rows in splits.values()] == list(parts.values())


def test_what_is_not_read_and_what_is_held_out_is_said(tmp_path, caplog):
    DatasetDict(train=Dataset.from_list(ROWS), extra=Dataset.from_list(FEW)).save_to_disk(tmp_path / "rows")
    with caplog.at_level("INFO", logger="hf_nextfail"):
        splits = load_own_dataset(str(tmp_path / "rows"))
    assert "nothing is read of the splits extra; splits are called train, validation, test" in caplog.text
    for split in ("validation", "test"):
        assert f"{len(splits[split])} of its 400 rows are held out as {split}" in caplog.text
    with caplog.at_level("INFO", logger="hf_nextfail"):
        DatasetDict(extra=Dataset.from_list(FEW)).save_to_disk(tmp_path / "others")
        with pytest.raises(ValueError, match="has the splits extra: call them train, validation, test"):
            load_own_dataset(str(tmp_path / "others"))


def test_copies_of_one_row_are_named(tmp_path):
    Dataset.from_list([FEW[0]] * 300).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"its 300 rows have 1 different prompt: give it rows with other prompts"):
        load_own_dataset(str(tmp_path / "rows.parquet"))


# Rows to measure on


@pytest.mark.parametrize(
    ("names", "split", "trained_on", "expected"),
    [
        (["train"], None, False, "all"),  # a file of test rows, whatever `datasets` calls its split
        (["test"], None, False, "all"),
        (["train"], None, True, "test"),  # of which a model was trained on the rest
        (["train"], "test", False, "test"),
        (["train", "test"], None, False, "test"),
        (["train", "validation", "test"], "validation", False, "validation"),
    ],
)
def test_rows_to_measure_on(tmp_path, names, split, trained_on, expected):
    DatasetDict({name: Dataset.from_list(ROWS) for name in names}).save_to_disk(tmp_path / "rows")
    rows, found = load_own_rows(str(tmp_path / "rows"), None, split, trained_on)
    assert found == expected
    if expected == "all" or expected in names:
        assert rows.to_list() == ROWS
    else:
        assert {split_of_prompt(prompt) for prompt in rows["prompt"]} == {expected}


def test_rows_that_are_not_there_are_named(tmp_path):
    DatasetDict(test=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "rows")
    with pytest.raises(ValueError, match="has no split called validation, only test: name one of these"):
        load_own_rows(str(tmp_path / "rows"), split="validation")
    DatasetDict(train=Dataset.from_list(ROWS), test=Dataset.from_list(ROWS)).save_to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match="has the splits train, test: name one of them by split, not all"):
        load_own_rows(str(tmp_path / "two"), split="all")


# Ids of another tokenizer


@pytest.mark.parametrize("ids", [["7 8"], [[7, 8]]])
def test_ids_that_came_with_the_texts_are_not_believed(tmp_path, ids):
    rows = Dataset.from_list([row | {"prompt_ids": ids[0], "completion_ids": ids[0]} for row in FEW])
    rows.to_parquet(tmp_path / "rows.parquet")
    assert load_own_rows(str(tmp_path / "rows.parquet"))[0].column_names == ["prompt", "completion"]
