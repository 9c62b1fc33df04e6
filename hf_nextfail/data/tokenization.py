"""Text to token ids: the numeral tokenizer of the paper, and the dummy token for any tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow.compute as pc
from datasets import Dataset, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_nextfail.data.numeral_tokenizer import num_labels, numeral_ids
from hf_nextfail.files import check_objects
from hf_nextfail.version import __version__

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset)

PROMPT_IDS, COMPLETION_IDS = "prompt_ids", "completion_ids"

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


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Turn texts into token ids, without special tokens.

    Raises:
        ValueError: naming the first text that the tokenizer has no tokens for, e.g. a label out of its range.
    """
    number = num_labels(tokenizer)
    if number is not None and (ids := numeral_ids(texts, number)) is not None:
        return ids
    options = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
    try:
        return tokenizer(list(texts), **options)["input_ids"]
    except Exception as error:  # `tokenizers` raises the base class, and does not say which text it was
        for text in texts:
            try:
                tokenizer([text], **options)
            except Exception:
                raise ValueError(
                    f"the tokenizer of {len(tokenizer)} tokens cannot express {text!r} ({error}); does it know all "
                    f"labels? numeral_tokenizer(num_nodes) knows those below num_nodes"
                ) from None
        raise


def encode_completions(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Turn completions into token ids, each with the end token of the tokenizer if it has one."""
    eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [ids + eos for ids in encode_texts(tokenizer, texts)]


def tokenize_dataset(dataset: AnyDataset, tokenizer: PreTrainedTokenizerBase) -> AnyDataset:
    """Add `prompt_ids` and `completion_ids` to a dataset of `prompt` and `completion` texts.

    The two are tokenized apart, so that the boundary between them is one between tokens. A prompt begins with the
    tokenizer's begin token if its texts usually do, and a completion ends with its end token if it has one.

    Args:
        dataset (`Dataset` or `IterableDataset`): has the columns `prompt` and `completion`.
        tokenizer (`PreTrainedTokenizerBase`): any.

    Returns:
        The dataset with two more columns of `int32` lists, a map-style one cached; as it is if it has them already.

    Raises:
        ValueError: if a column is missing, or a text cannot be expressed, or has no tokens.
    """
    columns = dataset.column_names or list(next(iter(dataset)))
    if PROMPT_IDS in columns and COMPLETION_IDS in columns:
        return dataset
    if missing := [name for name in ("prompt", "completion") if name not in columns]:
        raise ValueError(f"the dataset has no column {' and '.join(missing)}, only {', '.join(columns)}")
    bos = [tokenizer.bos_token_id] if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else []

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        prompts = [bos + ids for ids in encode_texts(tokenizer, batch["prompt"])]
        completions = encode_completions(tokenizer, batch["completion"])
        for name, ids in (("prompt", prompts), ("completion", completions)):
            if [] in ids:
                row = {column: batch[column][ids.index([])] for column in ("prompt", "completion")}
                raise ValueError(
                    f"the {name} of the row {row} has no tokens: leave such rows out, for there is nothing to "
                    "predict, or to predict from"
                )
        return {PROMPT_IDS: prompts, COMPLETION_IDS: completions}

    id_columns = Features({PROMPT_IDS: List(Value("int32")), COMPLETION_IDS: List(Value("int32"))})
    features = Features({**dataset.features, **id_columns}) if dataset.features else None
    options = {"batched": True, "batch_size": 10_000, "features": features}
    if isinstance(dataset, Dataset):
        options["desc"] = "Tokenizing"
        if tokenizer.is_fast:
            # The stock fingerprint of a tokenizer changes with its use, and with it the cache would miss.
            key = [
                dataset._fingerprint,
                tokenizer.backend_tokenizer.to_str(),
                bos,
                tokenizer.eos_token_id,
                __version__,
            ]
            options["new_fingerprint"] = Hasher.hash(key)
    return dataset.map(encode, **options)


def longest_row(dataset: Dataset) -> int:
    """Count the tokens of the longest row, prompt and completion together."""
    table = dataset.select_columns([PROMPT_IDS, COMPLETION_IDS]).with_format("arrow")[:]
    return pc.max(pc.add(*(pc.list_value_length(column) for column in table.columns))).as_py()


def longest_completion(dataset: Dataset) -> int:
    """Count the tokens of the longest completion, the end token included where there is one."""
    column = dataset.select_columns(COMPLETION_IDS).with_format("arrow")[:].column(0)
    return pc.max(pc.list_value_length(column)).as_py()
