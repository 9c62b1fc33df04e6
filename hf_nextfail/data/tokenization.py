"""Text to token ids: the numeral tokenizer of the paper, and the dummy token for any tokenizer."""

import functools
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow.compute as pc
from datasets import Dataset, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_nextfail.data.numeral_tokenizer import num_labels, numeral_ids
from hf_nextfail.data.word_tokenizer import COMPLETIONS_END
from hf_nextfail.files import check_objects
from hf_nextfail.version import __version__

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset)

PROMPT_IDS, COMPLETION_IDS = "prompt_ids", "completion_ids"
#: The rows of which ids that came with a dataset are compared with its texts.
NUM_CHECKED = 100

# What of a tokenizer is JSON, and what the names of its files begin with, of all families.
TOKENIZER_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
TOKENIZER_FILES = (
    "tokenizer",
    "vocab",
    "spiece",
    "sentencepiece",
    "merges",
    "source",
    "tokenization",
    "tekken",
    "spm",
    "ice_text",
)


def load_tokenizer(name_or_path: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint and make sure that it has a dummy and a padding token.

    A tokenizer without a dummy token gets the new special token `<|dummy|>`; no text ever contains it, since it is
    inserted as an id. The model's embeddings must then grow by its row: see `hf_nextfail.models.build_model`.

    Args:
        name_or_path (`str`): a checkpoint on the Hub, or a folder.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Returns:
        `PreTrainedTokenizerBase` with `dummy_token_id` and `pad_token_id`.

    Raises:
        ValueError: if no tokenizer has that name, or it is damaged.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        check_objects(folder, TOKENIZER_OBJECTS)
        if not any(path.name.startswith(TOKENIZER_FILES) for path in folder.iterdir()):
            raise ValueError(f"no tokenizer can be loaded from {name_or_path}: the folder has no tokenizer files")
    elif folder.exists():
        raise ValueError(f"no tokenizer can be loaded from {name_or_path}: it is a file; name its folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=trust_remote_code)
    except OSError as error:
        where = "" if folder.is_dir() else "there is no such folder here, and from the Hub: "
        raise ValueError(f"no tokenizer can be loaded from {name_or_path}: {where}{error}") from error
    except Exception as error:  # `tokenizers` raises the base class, and transformers what it stumbles over
        raise ValueError(f"no tokenizer can be loaded from {name_or_path}: {type(error).__name__}: {error}") from error
    if getattr(tokenizer, "dummy_token", None) is None:
        # `add_special_tokens` refuses names of its own, and an attribute set later is not saved.
        tokenizer = AutoTokenizer.from_pretrained(
            name_or_path, trust_remote_code=trust_remote_code, extra_special_tokens={"dummy_token": "<|dummy|>"}
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.dummy_token  # masked wherever it stands
    for trace in ("is_local", "local_files_only"):  # transformers would save where this tokenizer came from
        tokenizer.init_kwargs.pop(trace, None)
    return tokenizer


def dummy_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that stands for true ones; raises `ValueError` if the tokenizer has none."""
    if getattr(tokenizer, "dummy_token", None) is None:
        raise ValueError(
            "the tokenizer has no dummy token: load it with hf_nextfail.load_tokenizer(name), which adds one"
        )
    return tokenizer.dummy_token_id


def end_token_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the token that ends completions; `None` if the tokenizer has none, or says that they do not end."""
    return tokenizer.eos_token_id if tokenizer.init_kwargs.get(COMPLETIONS_END, True) else None


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Turn texts into token ids, without special tokens.

    Raises:
        ValueError: naming the first text that the tokenizer has no tokens for, e.g. a label out of its range.
    """
    number = num_labels(tokenizer)
    if number is not None and (ids := numeral_ids(texts, number)) is not None:
        return ids
    options = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
    # Of others, an unknown token may be what the model was trained on.
    unknown = tokenizer.unk_token_id if COMPLETIONS_END in tokenizer.init_kwargs else None

    def encode(some: list[str]) -> list[list[int]]:
        encoded = tokenizer(some, **options)["input_ids"]
        if unknown is not None and any(unknown in ids for ids in encoded):
            raise ValueError(f"{tokenizer.unk_token} would stand in it")
        return encoded

    try:
        return encode(list(texts))
    except Exception as error:  # `tokenizers` raises the base class, and does not say which text it was
        for text in texts:
            try:
                encode([text])
            except Exception:
                raise ValueError(
                    f"the tokenizer of {len(tokenizer)} tokens cannot express {text!r} ({error}); does it know all "
                    "labels? Rows of other words or labels than it was made for take another tokenizer"
                ) from None
        raise


def encode_prompts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Turn prompts into token ids, each with one begin token of the tokenizer if its texts usually have one."""
    bos = [tokenizer.bos_token_id] if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else []
    return [ids if bos and ids[:1] == bos else bos + ids for ids in encode_texts(tokenizer, texts)]


def encode_completions(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Turn completions into token ids, each with one end token of the tokenizer if they end."""
    end = end_token_id(tokenizer)
    eos = [] if end is None else [end]
    return [ids if eos and ids[-1:] == eos else ids + eos for ids in encode_texts(tokenizer, texts)]


def encode_rows(tokenizer: PreTrainedTokenizerBase, batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
    """Turn a batch of texts into ids.

    Raises:
        ValueError: naming the first row with a text that cannot be expressed, has no tokens, or goes on behind an end
            token, where whoever decodes stops.
    """
    prompts, completions = (
        encode_prompts(tokenizer, batch["prompt"]),
        encode_completions(tokenizer, batch["completion"]),
    )

    def row(number: int) -> dict[str, str]:
        return {column: batch[column][number] for column in ("prompt", "completion")}

    for name, ids in (("prompt", prompts), ("completion", completions)):
        if [] in ids:
            raise ValueError(
                f"the {name} of the row {row(ids.index([]))} has no tokens: leave such rows out, for there is nothing "
                "to predict, or to predict from"
            )
    eos = end_token_id(tokenizer)
    if (
        eos is not None
        and (number := next((n for n, ids in enumerate(completions) if eos in ids[:-1]), None)) is not None
    ):
        raise ValueError(
            f"the completion of the row {row(number)} goes on behind the end token {tokenizer.eos_token}, where a "
            "model stops to write: end it there, or leave such rows out"
        )
    return {PROMPT_IDS: prompts, COMPLETION_IDS: completions}


def in_plain_python(dataset: AnyDataset) -> AnyDataset:
    """Return a dataset whose rows are lists, numbers and texts, not arrays, tables or tensors."""
    if isinstance(dataset, Dataset) and dataset.format["type"] is None:
        return dataset  # a new one would have a fingerprint of its own, and miss the cache
    return dataset.with_format(None)


def columns_of(dataset: AnyDataset) -> list[str]:
    """Name the columns of a dataset; of a stream that does not say so, those of its first row.

    Raises:
        ValueError: if that has no rows.
    """
    if dataset.column_names:
        return dataset.column_names
    first = next(iter(dataset), None)
    if first is None:
        raise ValueError("the dataset has no rows and no columns; it must have prompt and completion")
    return list(first)


def check_ids(dataset: AnyDataset, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that ids which came with a dataset are those of a tokenizer, as far as its first rows say.

    Raises:
        ValueError: if they are no lists of ids, or others than the tokenizer makes of the texts beside them.
    """
    way_out = f"remove the columns {PROMPT_IDS} and {COMPLETION_IDS}, and they are made of the texts"
    first = list(dataset.take(NUM_CHECKED))
    for column in (PROMPT_IDS, COMPLETION_IDS):
        for row in first:
            ids = row[column]
            known = isinstance(ids, list) and all(isinstance(i, int) and 0 <= i < len(tokenizer) for i in ids)
            if not known:
                raise ValueError(
                    f"the column {column} must hold lists of ids below {len(tokenizer)}, got {ids!r}: {way_out}"
                )
    encoders = {"prompt": (PROMPT_IDS, encode_prompts), "completion": (COMPLETION_IDS, encode_completions)}
    for name, (column, encode) in encoders.items():
        texts = [row[name] for row in first if isinstance(row.get(name), str)]
        if len(texts) != len(first):
            continue
        for row, ids in zip(first, encode(tokenizer, texts), strict=True):
            if row[column] != ids:
                raise ValueError(
                    f"{column} are not what this tokenizer makes of {row[name]!r}: {row[column]}, not {ids}; {way_out}"
                )


def tokenize_dataset(dataset: AnyDataset, tokenizer: PreTrainedTokenizerBase) -> AnyDataset:
    """Add `prompt_ids` and `completion_ids` to a dataset of `prompt` and `completion` texts.

    The two are tokenized apart, so that the boundary between them is one between tokens. A prompt begins with the
    tokenizer's begin token if its texts usually do, and a completion ends with its end token, if it has one and
    [`end_token_id`] does not say that they go without.

    Args:
        dataset (`Dataset` or `IterableDataset`): has the columns `prompt` and `completion`.
        tokenizer (`PreTrainedTokenizerBase`): any.

    Returns:
        The dataset with two more columns of `int32` lists, a map-style one cached; as it is if it has them already.
        Whatever its format was, rows are plain Python.

    Raises:
        ValueError: if a column is missing, a text cannot be expressed, has no tokens, or goes on behind an end token,
            or the dataset came with ids that are not this tokenizer's.
    """
    if not isinstance(dataset, (Dataset, IterableDataset)):
        what = f"a dictionary of {', '.join(map(str, dataset))}" if isinstance(dataset, dict) else repr(dataset)
        raise ValueError(
            f"rows must be a Dataset or an IterableDataset, got {reprlib.repr(what)[1:-1]}: load one split"
        )
    if isinstance(dataset, Dataset) and len(dataset) == 0:
        raise ValueError("a dataset has no rows: leave it out, or give it some")
    dataset = in_plain_python(dataset)
    columns = columns_of(dataset)
    if PROMPT_IDS in columns and COMPLETION_IDS in columns:
        check_ids(dataset, tokenizer)
        return dataset
    if missing := [name for name in ("prompt", "completion") if name not in columns]:
        raise ValueError(f"the dataset has no column {' and '.join(missing)}, only {', '.join(columns)}")
    id_columns = Features({PROMPT_IDS: List(Value("int32")), COMPLETION_IDS: List(Value("int32"))})
    features = Features({**dataset.features, **id_columns}) if dataset.features else None
    options = {"batched": True, "batch_size": 10_000, "features": features}
    if isinstance(dataset, Dataset):
        options["desc"] = "Tokenizing"
        if tokenizer.is_fast:
            # The stock fingerprint of a tokenizer changes with its use, and with it the cache would miss.
            key = [
                dataset._fingerprint,
                tokenizer("")["input_ids"],  # which forgets how texts were padded before
                tokenizer.backend_tokenizer.to_str(),
                end_token_id(tokenizer),
                __version__,
            ]
            options["new_fingerprint"] = Hasher.hash(key)
    return dataset.map(functools.partial(encode_rows, tokenizer), **options)


def longest_row(dataset: Dataset) -> int:
    """Count the tokens of the longest row, prompt and completion together."""
    table = dataset.select_columns([PROMPT_IDS, COMPLETION_IDS]).with_format("arrow")[:]
    return pc.max(pc.add(*(pc.list_value_length(column) for column in table.columns))).as_py()


def shortest_text(dataset: Dataset) -> int:
    """Count the tokens of the shortest prompt or completion."""
    table = dataset.select_columns([PROMPT_IDS, COMPLETION_IDS]).with_format("arrow")[:]
    return min(pc.min(pc.list_value_length(column)).as_py() for column in table.columns)


def largest_id(dataset: Dataset) -> int:
    """Return the largest id of a dataset, 0 if there are no ids."""
    table = dataset.select_columns([PROMPT_IDS, COMPLETION_IDS]).with_format("arrow")[:]
    return max(pc.max(pc.list_flatten(column)).as_py() or 0 for column in table.columns)


def num_ids(dataset: Dataset) -> int:
    """Count the tokens of all rows."""
    table = dataset.select_columns([PROMPT_IDS, COMPLETION_IDS]).with_format("arrow")[:]
    return sum(pc.sum(pc.list_value_length(column)).as_py() or 0 for column in table.columns)


def longest_of(dataset: Dataset, column: str) -> int:
    """Count the tokens of the longest entry of a column of ids, the end token included where there is one."""
    lists = dataset.select_columns(column).with_format("arrow")[:].column(0)
    return pc.max(pc.list_value_length(lists)).as_py()
