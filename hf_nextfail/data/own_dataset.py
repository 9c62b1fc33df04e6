"""Datasets that are not ours: any rows of `prompt` and `completion`."""

import glob
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import datasets
import pandas as pd

from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS
from hf_nextfail.tasks import SPLITS

logger = logging.getLogger(__name__)

#: The endings of single files and how `datasets` calls these formats, and the endings of compressed files.
DATA_FORMATS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".tsv": "csv",
}
COMPRESSED = (".bz2", ".gz", ".xz")
#: What others call the validation split.
VALIDATION_NAMES = ("val", "valid", "dev")
#: What to ask for to measure every row of data that have one split.
ALL_ROWS = "all"
TEXT_TYPES = ("string", "large_string", "string_view")


def ending_of(path: Path) -> str:
    """Return what the name of a file of data ends in, such as `.jsonl.gz`, or an empty text for another file."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return path.name[len(plain.stem) :] if plain.suffix.lower() in DATA_FORMATS else ""


def name_of_data(dataset_name: str) -> str:
    """Name data that are not generated: a file without its ending, a folder, or a dataset on the Hub."""
    path = Path(dataset_name)
    return path.name.removesuffix(ending_of(path))


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


def load_file(path: Path) -> dict[str, datasets.Dataset]:
    """Load a single file of data."""
    ending = ending_of(path).lower()
    if not ending:
        raise ValueError(
            f"{path}: a file of data must end in {', '.join(DATA_FORMATS)}, and may then end in "
            f"{', '.join(COMPRESSED)}"
        )
    kind = DATA_FORMATS[f".{ending.split('.')[1]}"]
    if kind != "parquet" and not ending.endswith(COMPRESSED):
        check_text(path)
    if kind == "csv":  # `datasets` would take 007 for a number
        separator = "\t" if ending.startswith(".tsv") else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return {"train": datasets.Dataset.from_pandas(table)}
    return datasets.load_dataset(kind, data_files=glob.escape(str(path)))


def load_by_name(name: str, config: str | None) -> dict[str, datasets.Dataset]:
    """Load a dataset by name: a file, a folder, or a dataset on the Hub."""
    path = Path(name)
    if path.is_file():
        return load_file(path)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():  # written by save_to_disk
        saved = datasets.load_from_disk(name)
        return saved if isinstance(saved, dict) else {"train": saved}
    if not path.is_dir() and ending_of(path):
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


def checked_texts(name: str, split: str, rows: datasets.Dataset) -> datasets.Dataset:
    """Return a split with its texts as plain strings, without ids: these belong to a tokenizer that nobody knows.

    Raises:
        ValueError: unless there is a text for each prompt and each completion.
    """
    for column in ("prompt", "completion"):
        if column not in rows.features:
            raise ValueError(f"{name} has no column {column} in {split}, only {', '.join(rows.features)}: rename one")
        kind = rows.features[column]
        if not (isinstance(kind, datasets.Value) and kind.dtype in TEXT_TYPES):
            found = f"of {kind.dtype}" if isinstance(kind, datasets.Value) else "of several types or lists"
            raise ValueError(f"{name}: the column {column} of {split} must be text, and is {found}: write it as text")
        if kind.dtype != "string":
            rows = rows.cast_column(column, datasets.Value("string"))
        if missing := rows.data.column(column).null_count:
            raise ValueError(f"{name}: the column {column} of {split} has no text in {missing} rows: leave them out")
    return rows.remove_columns([column for column in (PROMPT_IDS, COMPLETION_IDS) if column in rows.features])


def load_splits(name: str, config: str | None) -> dict[str, datasets.Dataset]:
    """Load the splits that a dataset has, by our names; what is not read is said.

    Raises:
        ValueError, OSError: naming the dataset, if it cannot be read, or a column is missing or holds no text.
    """
    loaded = load_or_explain(name, config)
    for other in VALIDATION_NAMES:
        if other in loaded and "validation" not in loaded:
            loaded["validation"] = loaded.pop(other)
    if unread := sorted(loaded.keys() - SPLITS.keys()):
        if not loaded.keys() & SPLITS.keys():
            raise ValueError(f"{name} has the splits {', '.join(unread)}: call them {', '.join(SPLITS)}")
        logger.warning(
            "%s: nothing is read of the splits %s; splits are called %s.", name, ", ".join(unread), ", ".join(SPLITS)
        )
    return {split: checked_texts(name, split, loaded[split]) for split in SPLITS if split in loaded}


def hold_out(name: str, train: datasets.Dataset, splits: Sequence[str]) -> dict[str, datasets.Dataset]:
    """Hold splits out of train by a hash of the prompt: 2 of 16 rows each. Returns them, and train without them.

    Raises:
        ValueError: if one has no rows.
    """
    belongs = [split_of_prompt(prompt) for prompt in train["prompt"]]
    rows = {split: [row for row, other in enumerate(belongs) if other == split] for split in splits}
    held_out = {row for indices in rows.values() for row in indices}
    rows["train"] = [row for row in range(len(train)) if row not in held_out]
    if empty := [split for split, indices in rows.items() if not indices]:
        prompts = len(set(train["prompt"]))
        raise ValueError(
            f"{name} has no rows in {' and '.join(empty)}: training needs all three splits. Those that it lacks are "
            f"held out of train by the prompt, and its {len(train):,} rows have {prompts:,} different "
            f"prompt{'s' if prompts > 1 else ''}: give it rows with other prompts, or splits of its own"
        )
    for split in splits:
        logger.info("%s: %d of its %d rows are held out as %s.", name, len(rows[split]), len(train), split)
    return {split: train.select(indices) for split, indices in rows.items()}


def load_own_dataset(name: str, config: str | None = None) -> dict[str, datasets.Dataset]:
    """Load a dataset with the columns `prompt` and `completion`, both text, in three splits.

    A split that is missing is held out of `train`, by a hash of the prompt: 2 of 16 rows each.

    Args:
        name (`str`): a dataset on the Hub, a folder, or a file that ends as in `DATA_FORMATS`, compressed or not.
        config (`str`, *optional*): the configuration of a dataset that has several.

    Returns:
        `dict` of `train`, `validation` and `test`.

    Raises:
        ValueError: naming the dataset, if it cannot be read, has no `train`, a column is missing or holds no text, or
            a split is empty.
        OSError: if there is no such dataset.
    """
    loaded = load_splits(name, config)
    if "train" not in loaded:
        raise ValueError(f"{name} has no split called train, only {', '.join(loaded)}: rename one")
    if missing := [split for split in SPLITS if split not in loaded]:
        loaded |= hold_out(name, loaded["train"], missing)
    if empty := [split for split in SPLITS if not len(loaded[split])]:
        raise ValueError(f"{name} has no rows in {' and '.join(empty)}: training needs all three splits")
    return {split: loaded[split] for split in SPLITS}


def load_own_rows(
    name: str, config: str | None = None, split: str | None = None, trained_on: bool = False
) -> tuple[datasets.Dataset, str]:
    """Load rows to measure a model on.

    Args:
        name (`str`), config (`str`, *optional*): as of [`load_own_dataset`].
        split (`str`, *optional*): one of ours, or `"all"` for every row of data that have one split; by default all
            of these, unless the model was trained on them, else the test split.
        trained_on (`bool`, *optional*, defaults to `False`): whether the model was trained on these data, and so
            knows what was not held out.

    Returns:
        The rows, and the split.

    Raises:
        ValueError: naming the dataset, if it cannot be read, has no such split, or that is empty.
        OSError: if there is no such dataset.
    """
    loaded = load_splits(name, config)
    if split is None:
        split = ALL_ROWS if len(loaded) == 1 and not trained_on else "test"
    if split == ALL_ROWS:
        if len(loaded) > 1:
            raise ValueError(f"{name} has the splits {', '.join(loaded)}: name one of them by split, not {ALL_ROWS}")
        (loaded[ALL_ROWS],) = loaded.values()
        logger.info("%s has one split, and all of its %d rows are measured.", name, len(loaded[ALL_ROWS]))
    elif "train" in loaded and (split == "train" or split not in loaded):
        loaded |= hold_out(name, loaded["train"], [other for other in SPLITS if other not in loaded])
    elif split not in loaded:
        raise ValueError(f"{name} has no split called {split}, only {', '.join(loaded)}: name one of these")
    if not len(loaded[split]):
        raise ValueError(f"{name} has no rows in {split}")
    return loaded[split], split
