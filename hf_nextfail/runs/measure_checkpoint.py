"""A checkpoint, ours or not, to the record that stands in `results.json`, without training."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.own_dataset import load_own_dataset
from hf_nextfail.data.paper_file import describe_test_file, load_test_file
from hf_nextfail.data.registration import NAMESPACE, task_called
from hf_nextfail.data.tokenization import load_tokenizer, longest_row, tokenize_dataset
from hf_nextfail.decoding import DECODINGS, Decoding, find_decoding
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.evaluation.diagnose import NUM_DIAGNOSED, diagnose
from hf_nextfail.evaluation.evaluate import NUM_TRAIN_SAMPLE, evaluate_all
from hf_nextfail.evaluation.parts import check_fast
from hf_nextfail.files import read_json
from hf_nextfail.models.checks import check_layout, check_model_source, check_positions
from hf_nextfail.models.lora import load_checkpoint
from hf_nextfail.reporting.record import Record, is_local
from hf_nextfail.tasks import SPLITS, StarGraph, Task

logger = logging.getLogger(__name__)


def trained_on(name_or_path: str) -> dict[str, Any]:
    """Return `run` of the `results.json` that came with a checkpoint of ours, nothing for any other.

    With `num_train` of its recipe, `None` for all rows that there are.
    """
    path = Path(name_or_path) / "results.json"
    if not Path(name_or_path).is_dir():
        try:
            path = Path(hf_hub_download(name_or_path, "results.json"))
        except EntryNotFoundError:
            return {}
    if not path.is_file():
        return {}
    content = read_json(path)
    try:
        record = Record.from_dict(content)
    except ValueError as error:
        logger.warning("%s does not say what the checkpoint was trained on: %s", path, error)
        return {}
    run, num_train = record.run, (record.recipe or {}).get("num_train")
    if run["dataset_name"] is None or not isinstance(num_train, int | None):
        return {}
    if not Path(name_or_path).is_dir() and is_local(run["dataset_name"]):
        return {}  # what was downloaded does not choose what is read on this machine
    return run | {"dataset_seed": run["dataset_seed"] or 0, "num_train": num_train}


def load_rows(
    dataset_name: str, dataset_config: str | None, split: str, num_rows: int | None, seed: int, there_are: int | None
) -> tuple[Dataset, Task | None]:
    """Load one split, ours or the user's, and the task if it is ours; at most as many rows as `there_are`."""
    task_class = task_called(dataset_name)
    if task_class is None:
        rows = load_own_dataset(dataset_name, dataset_config)[split]
        return rows.select(range(min(n for n in (num_rows, there_are, len(rows)) if n is not None))), None
    default = NUM_TRAIN_SAMPLE if split == "train" else getattr(TaskConfig, f"num_{split}")
    wanted = default if num_rows is None else num_rows
    sizes = {f"num_{other}": 0 for other in SPLITS} | {f"num_{split}": min(wanted, there_are or wanted)}
    config = TaskConfig.resolve(task_class, dataset_config, seed=seed, **sizes)
    return load_dataset(dataset_name, config.name, split=split, seed=seed, **sizes), config.task


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise `UsageError` unless a value is one of those known."""
    if value not in known:
        raise UsageError(f"{name} must be {' or '.join(known)}, got {value!r}{did_you_mean(value, known)}")


@dataclass(frozen=True)
class Subject:
    """A checkpoint to measure, with the rows to measure it on.

    Args:
        model, tokenizer, decoding: the checkpoint and how it writes.
        task (`Task`, *optional*): `None` for your own data.
        datasets (`dict`): tokenized rows, by the prefix of their results: `""` and `"test_file_"`.
        run (`dict`): what their record says under `run`.
        test_file (`dict`, *optional*): what it says of the file.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    decoding: Decoding
    task: Task | None
    datasets: dict[str, Dataset]
    run: dict[str, Any]
    test_file: dict[str, Any] | None


def load_subject(
    name_or_path: str,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    split: str = "test",
    num_rows: int | None = None,
    dataset_seed: int | None = None,
    test_file: str | None = None,
    decoding: str | None = None,
    trust_remote_code: bool = False,
) -> Subject:
    """Load any checkpoint, ours or not, and rows to measure it on.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        dataset_name (`str`, *optional*): ours, or your own data with `prompt` and `completion`; by default what a
            checkpoint of ours was trained on.
        dataset_config (`str`, *optional*): such as `d2_l5_n50`; by default the same.
        split (`str`, *optional*, defaults to `"test"`): of the dataset.
        num_rows (`int`, >= 1, *optional*): the first so many; by default 20,000 of test, 5,000 of validation and
            10,000 of train, or all of your own; of the rows that a checkpoint of ours was trained on, never more.
        dataset_seed (`int`, >= 0, *optional*): of rows that are generated; by default the one that a checkpoint of
            ours was trained with, else 0.
        test_file (`str`, *optional*): a file in the paper's format, to be measured as well.
        decoding (`str`, *optional*): how the model writes, a name in `DECODINGS`; by default as it was trained, and
            token by token for checkpoints that are not ours.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_choice("split", split, SPLITS)
    check_choice("decoding", decoding or "autoregressive", DECODINGS)
    if num_rows is not None and num_rows < 1:
        raise UsageError(f"num_rows must be at least 1, got {num_rows}")
    try:
        check_model_source(name_or_path, None, {})
        check_layout(name_or_path)
        tokenizer = load_tokenizer(name_or_path, trust_remote_code)
        model = load_checkpoint(tokenizer, name_or_path, trust_remote_code=trust_remote_code).eval()
        training = trained_on(name_or_path)
        default_name = training.get("dataset_name", f"{NAMESPACE}/{StarGraph.name}")
        dataset_name = dataset_name or default_name
        if dataset_config is None and dataset_name == default_name:
            dataset_config = training.get("dataset_config")
        own = (dataset_name, dataset_config) == (default_name, training.get("dataset_config"))
        if dataset_seed is None:
            dataset_seed = training.get("dataset_seed", 0) if own else 0
        seen = own and split == "train" and dataset_seed == training.get("dataset_seed")
        there_are = training["num_train"] if seen else None
        rows, task = load_rows(dataset_name, dataset_config, split, num_rows, dataset_seed, there_are)
        datasets = {"": rows}
        if test_file is not None and task is None:
            raise ValueError(f"test_file goes with {NAMESPACE}/{StarGraph.name}, not with {dataset_name}")
        if test_file is not None:
            datasets["test_file_"] = load_test_file(test_file, task)
        if task is not None:
            check_fast(tokenizer)
        datasets = {prefix: tokenize_dataset(rows, tokenizer) for prefix, rows in datasets.items()}
        check_positions(model, max(map(longest_row, datasets.values())))
        how = find_decoding(decoding, model, tokenizer)
    except (ValueError, OSError) as error:
        raise UsageError(f"{name_or_path}: {' '.join(str(error).split())}") from error
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    run = {
        "name": name_or_path,
        "dataset_name": dataset_name,
        "dataset_config": dataset_config if task is None else task.config_name,
        "split": split,
        "model": name_or_path,
        "dataset_seed": dataset_seed,
        "objective": training.get("objective") or getattr(model.generation_config, "objective", None),
        "decoding": how.name,
        "num_parameters": model.num_parameters(),
        "precision": "fp32",
        "device": str(model.device),
        "num_threads": torch.get_num_threads(),
    }
    in_words = describe_test_file(test_file, datasets.get("test_file_"))
    return Subject(model, tokenizer, how, task, datasets, run, in_words)


def evaluation_timings(began: float) -> dict[str, float]:
    """Return the `timings` of a record without training."""
    return {"evaluation_seconds": round(time.perf_counter() - began, 1)}


def check_batch_size(batch_size: int) -> None:
    """Raise `UsageError` for a batch of no rows."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def evaluate_checkpoint(name_or_path: str, batch_size: int = 256, progress: bool = True, **options: Any) -> Record:
    """Measure any checkpoint, ours or not, without training it.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        options: the other arguments of [`load_subject`].

    Returns:
        `Record`: what stands in `results.json`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_batch_size(batch_size)
    subject = load_subject(name_or_path, **options)
    began = time.perf_counter()
    results = evaluate_all(
        subject.model, subject.tokenizer, subject.decoding, subject.task, subject.datasets, batch_size, progress
    )
    timings = evaluation_timings(began)
    return Record.build(subject.task, subject.run, results, test_file=subject.test_file, timings=timings)


def diagnose_checkpoint(
    name_or_path: str,
    num_rows: int = NUM_DIAGNOSED,
    test_file: str | None = None,
    batch_size: int = 256,
    progress: bool = True,
    **options: Any,
) -> Record:
    """Diagnose any checkpoint, ours or not: see [`hf_nextfail.diagnose`].

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        num_rows (`int`, >= 1, *optional*, defaults to 2,000): the first so many rows.
        test_file (`str`, *optional*): diagnose on a file in the paper's format instead of a split.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        options: the other arguments of [`load_subject`].

    Returns:
        `Record`: what stands in `results.json`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_batch_size(batch_size)
    subject = load_subject(name_or_path, num_rows=num_rows, test_file=test_file, **options)
    rows = subject.datasets["" if test_file is None else "test_file_"]
    description = "Diagnosing" if progress else None
    began = time.perf_counter()
    try:
        diagnosis = diagnose(
            subject.model,
            subject.tokenizer,
            rows.select(range(min(num_rows, len(rows)))),
            subject.decoding,
            batch_size,
            description,
        )
    except ValueError as error:
        raise UsageError(f"{subject.run['dataset_name']}: {error}") from error
    numbers = ("accuracy", "token_accuracy", "forced_token_accuracy", "hard_token_accuracy")
    run = subject.run | ({} if test_file is None else {"split": Path(test_file).name})
    results = {name: diagnosis["numbers"][name] for name in numbers}
    return Record.build(subject.task, run, results, diagnosis=diagnosis, timings=evaluation_timings(began))
