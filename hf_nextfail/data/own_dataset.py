"""Datasets that are not ours: any rows of `prompt` and `completion`."""

import hashlib
from pathlib import Path

import datasets

from hf_nextfail.tasks import SPLITS

# How `datasets` calls the formats of single files.
DATA_FORMATS = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}


def name_of_data(dataset_name: str) -> str:
    """Name data that are not generated: a file without its ending, a folder, or a dataset on the Hub."""
    path = Path(dataset_name)
    return path.stem if path.suffix in DATA_FORMATS else path.name


def split_of_prompt(prompt: str) -> str:
    """Say which split a prompt belongs to when its dataset does not: train, validation and test get 12, 2 and 2 of 16.

    It is a function of the prompt alone: rows with the same prompt never stand on both sides.
    """
    bucket = hashlib.sha256(prompt.encode()).digest()[0] % sum(map(len, SPLITS.values()))
    return next(split for split, buckets in SPLITS.items() if bucket in buckets)


def check_text(path: Path) -> None:
    """Raise `ValueError` for a text file that is empty or not UTF-8, which Arrow would notice late or never."""
    number = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: not UTF-8 ({error.reason}); save the file as UTF-8"
                ) from error
    if number == 0:
        raise ValueError(f"{path}: the file is empty; it must hold rows with a prompt and a completion")


def load_by_name(name: str, config: str | None) -> dict[str, datasets.Dataset]:
    """Load a dataset by name: a file, a folder, or a dataset on the Hub."""
    path = Path(name)
    if path.is_file():
        if path.suffix not in DATA_FORMATS:
            raise ValueError(f"{name}: a file of data must end in {', '.join(DATA_FORMATS)}")
        if DATA_FORMATS[path.suffix] == "json":
            check_text(path)
        return datasets.load_dataset(DATA_FORMATS[path.suffix], data_files=str(path))
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():  # written by save_to_disk
        saved = datasets.load_from_disk(name)
        return saved if isinstance(saved, dict) else {"train": saved}
    if not path.is_dir() and path.suffix in DATA_FORMATS:
        raise FileNotFoundError(f"there is no file {name}")
    if not path.is_dir() and name.startswith(("/", "./", "../", "~")):
        raise FileNotFoundError(f"there is no folder {name}")
    return datasets.load_dataset(name, config)


def load_or_explain(name: str, config: str | None) -> dict[str, datasets.Dataset]:
    """Load a dataset by name; an error names the dataset and the reason.

    Raises:
        ValueError, OSError: naming the dataset.
    """
    try:
        return dict(load_by_name(name, config))
    except datasets.exceptions.DatasetGenerationError as error:  # the reason stands in what caused it
        raise ValueError(f"{name} cannot be read as a table of rows: {error.__cause__ or error}") from error
    except (StopIteration, IndexError) as error:  # what `datasets` raises when there is no table at all
        raise ValueError(f"{name} holds no rows: give it some with a prompt and a completion") from error
    except OSError as error:
        raise OSError(f"dataset_name {name}: {error}") from error  # errors of the Hub's client take more than a text
    except ValueError as error:
        if "corresponds to no data" in str(error):
            raise ValueError(f"{name} holds no rows: give it some with a prompt and a completion") from error
        raise ValueError(f"dataset_name {name}: {error}") from error
    except RuntimeError as error:  # a loading script, which `datasets` does not run
        raise ValueError(f"dataset_name {name}: {error}; use a dataset of Parquet or JSON files") from error


def check_columns(name: str, split: str, rows: datasets.Dataset) -> None:
    """Raise `ValueError` unless a split has a text for each prompt and each completion."""
    for column in ("prompt", "completion"):
        if column not in rows.features:
            raise ValueError(f"{name} has no column {column} in {split}, only {', '.join(rows.features)}: rename one")
        kind = rows.features[column]
        if kind not in (datasets.Value("string"), datasets.Value("large_string")):
            found = f"of {kind.dtype}" if isinstance(kind, datasets.Value) else "of several types or lists"
            raise ValueError(f"{name}: the column {column} of {split} must be text, and is {found}: write it as text")
        if missing := rows.data.column(column).null_count:
            raise ValueError(f"{name}: the column {column} of {split} has no text in {missing} rows: leave them out")


def load_own_dataset(name: str, config: str | None = None) -> dict[str, datasets.Dataset]:
    """Load a dataset with the columns `prompt` and `completion`, both text, in three splits.

    A split that is missing is held out of `train`, by a hash of the prompt: 2 of 16 rows each.

    Args:
        name (`str`): a dataset on the Hub, a folder, or a file (`.json`, `.jsonl`, `.parquet`).
        config (`str`, *optional*): the configuration of a dataset that has several.

    Returns:
        `dict` of `train`, `validation` and `test`.

    Raises:
        ValueError: naming the dataset, if it cannot be read, has no `train`, a column is missing or holds no text, or
            a split is empty.
        OSError: if there is no such dataset.
    """
    loaded = load_or_explain(name, config)
    if "train" not in loaded:
        raise ValueError(f"{name} has no split called train, only {', '.join(loaded)}: rename one")
    for split in SPLITS:
        if split in loaded:
            check_columns(name, split, loaded[split])
    missing = [split for split in SPLITS if split not in loaded]
    if missing:
        belongs = [split_of_prompt(prompt) for prompt in loaded["train"]["prompt"]]
        rows = {split: [row for row, other in enumerate(belongs) if other == split] for split in missing}
        held_out = {row for split in missing for row in rows[split]}
        train = loaded["train"]
        loaded |= {split: train.select(rows[split]) for split in missing}
        loaded["train"] = train.select([row for row in range(len(train)) if row not in held_out])
    if empty := [split for split in SPLITS if not len(loaded[split])]:
        raise ValueError(
            f"{name} has no rows in {' and '.join(empty)}: training needs all three splits, so give it more rows"
        )
    return {split: loaded[split] for split in SPLITS}
