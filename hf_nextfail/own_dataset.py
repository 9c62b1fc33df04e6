"""Datasets that are not ours: any rows of `prompt` and `completion`."""

import hashlib
from pathlib import Path

import datasets

from hf_nextfail.tasks import SPLITS

# How `datasets` calls the formats of single files.
FORMATS = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def split_of_prompt(prompt: str) -> str:
    """Say which split a prompt belongs to when its dataset does not: train, validation and test get 12, 2 and 2 of 16.

    It is a function of the prompt alone: rows with the same prompt never stand on both sides.
    """
    bucket = hashlib.sha256(prompt.encode()).digest()[0] % sum(map(len, SPLITS.values()))
    return next(split for split, buckets in SPLITS.items() if bucket in buckets)


def read(name: str, config: str | None) -> dict[str, datasets.Dataset]:
    """Load whatever a name means: a file, a folder, or a dataset on the Hub."""
    path = Path(name)
    if path.is_file():
        if path.suffix not in FORMATS:
            raise ValueError(f"{name}: a file of data must end in {', '.join(FORMATS)}")
        return datasets.load_dataset(FORMATS[path.suffix], data_files=str(path))
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():  # written by save_to_disk
        saved = datasets.load_from_disk(name)
        return saved if isinstance(saved, dict) else {"train": saved}
    return datasets.load_dataset(name, config)


def load_own_dataset(name: str, config: str | None = None) -> dict[str, datasets.Dataset]:
    """Load a dataset with the columns `prompt` and `completion`, both text, and see to it that it has three splits.

    A split that is missing is held out of `train`, by a hash of the prompt: 2 of 16 rows each.

    Args:
        name (`str`): a dataset on the Hub, a folder, or a file (`.json`, `.jsonl`, `.parquet`).
        config (`str`, *optional*): the configuration of a dataset that has several.

    Returns:
        `dict` of `train`, `validation` and `test`.

    Raises:
        ValueError: naming the dataset, if it has no `train`, a column is missing or is no text, or a split is empty.
        OSError: if there is no such dataset.
    """
    loaded = dict(read(name, config))
    if "train" not in loaded:
        raise ValueError(f"{name} has no split called train, only {', '.join(loaded)}")
    columns = loaded["train"].features
    for column in ("prompt", "completion"):
        if column not in columns:
            raise ValueError(f"{name} has no column {column}, only {', '.join(columns)}: rename one")
        if columns[column] not in (datasets.Value("string"), datasets.Value("large_string")):
            raise ValueError(f"{name}: the column {column} must be text, not {columns[column]}")
    missing = [split for split in SPLITS if split not in loaded]
    if missing:
        belongs = [split_of_prompt(prompt) for prompt in loaded["train"]["prompt"]]
        rows = {split: [row for row, other in enumerate(belongs) if other == split] for split in missing}
        held_out = {row for split in missing for row in rows[split]}
        train = loaded["train"]
        loaded |= {split: train.select(rows[split]) for split in missing}
        loaded["train"] = train.select([row for row in range(len(train)) if row not in held_out])
    if empty := [split for split in SPLITS if not len(loaded[split])]:
        raise ValueError(f"{name} has no rows in {' and '.join(empty)}: training needs all three splits")
    return {split: loaded[split] for split in SPLITS}
