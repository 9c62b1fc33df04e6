"""A checkpoint, ours or not, to the record that stands in `results.json`, without training."""

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
from hf_nextfail.diagnoses.star_graph import NUM_DIAGNOSED, diagnose
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.evaluation.measure import NUM_TRAIN_SAMPLE, measure
from hf_nextfail.evaluation.nodes import check_fast
from hf_nextfail.files import read_json
from hf_nextfail.models.checks import check_layout, check_model_source, check_positions
from hf_nextfail.models.lora import load_checkpoint
from hf_nextfail.objectives import OBJECTIVES, Objective
from hf_nextfail.reporting.record import SCHEMA_VERSION, is_local, versions
from hf_nextfail.tasks import SPLITS, StarGraph, Task


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
    record = read_json(path) if path.is_file() else {}
    run = record.get("run") if isinstance(record, dict) else None
    if not isinstance(run, dict) or not isinstance(run.get("dataset_name"), str):
        return {}
    recipe = record.get("recipe") or {}
    num_train = recipe.get("num_train") if isinstance(recipe, dict) else None
    numbers = (run.setdefault("dataset_seed", 0), num_train)
    if not isinstance(run.get("dataset_config"), str | None) or not all(isinstance(n, int | None) for n in numbers):
        return {}
    if not Path(name_or_path).is_dir() and is_local(run["dataset_name"]):
        return {}  # what was downloaded does not choose what is read on this machine
    return run | {"num_train": num_train}


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
    """A checkpoint that shall be measured, with the rows to measure it on.

    Args:
        model, tokenizer, objective: the checkpoint and how it decodes.
        task (`Task`, *optional*): `None` for your own data.
        datasets (`dict`): tokenized rows, by the prefix of their results: `""` and `"test_file_"`.
        record (`dict`): what a `results.json` says of them before anything is measured.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    objective: Objective
    task: Task | None
    datasets: dict[str, Dataset]
    record: dict[str, Any]


def load_subject(
    name_or_path: str,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    split: str = "test",
    num_rows: int | None = None,
    dataset_seed: int | None = None,
    test_file: str | None = None,
    objective: str | None = None,
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
        objective (`str`, *optional*): how the model decodes, a name in `OBJECTIVES`; by default as it was trained, and
            token by token for checkpoints that are not ours.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_choice("split", split, SPLITS)
    check_choice("objective", objective or "teacher_forced", OBJECTIVES)
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
        objective = objective or getattr(model.generation_config, "objective", "teacher_forced")
        check_choice("the objective in generation_config.json", objective, OBJECTIVES)
        decoding = OBJECTIVES[objective](tokenizer)
    except (ValueError, OSError) as error:
        raise UsageError(f"{name_or_path}: {' '.join(str(error).split())}") from error
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    record = {
        "schema_version": SCHEMA_VERSION,
        "run": {
            "name": name_or_path,
            "objective": decoding.name,
            "dataset_name": dataset_name,
            "dataset_config": dataset_config if task is None else task.config_name,
            "split": split,
            "title": Path(dataset_name).name if task is None else task.title,
            "model": name_or_path,
            "num_parameters": model.num_parameters(),
            "seed": None,
            "dataset_seed": dataset_seed,
            "hard_node": task and task.hard_node,
            **dict.fromkeys(("steps", "epochs", "examples", "stopped_at_accuracy")),
            "precision": "fp32",
            "device": str(model.device),
            "num_threads": torch.get_num_threads(),
        },
        "chance": {"hard_token_accuracy": task and task.hard_token_chance},
        "test_file": describe_test_file(test_file, datasets.get("test_file_")),
        "diagnosis": None,
        "history": [],
        "recipe": None,
        "versions": versions(task),
    }
    return Subject(model, tokenizer, decoding, task, datasets, record)


def evaluation_timings(began: float) -> dict[str, float | None]:
    """Return `timings` of a record without training."""
    seconds = round(time.perf_counter() - began, 1)
    return {"train_seconds": None, "examples_per_second": None, "evaluation_seconds": seconds}


def check_batch_size(batch_size: int) -> None:
    """Raise `UsageError` for a batch of no rows."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def evaluate_checkpoint(
    name_or_path: str, batch_size: int = 256, progress: bool = True, **options: Any
) -> dict[str, Any]:
    """Measure any checkpoint, ours or not, without training it.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        options: the other arguments of [`load_subject`].

    Returns:
        The record that stands in `results.json`; see `hf_nextfail.reporting.tables`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_batch_size(batch_size)
    subject = load_subject(name_or_path, **options)
    began = time.perf_counter()
    results = measure(
        subject.model, subject.tokenizer, subject.objective, subject.task, subject.datasets, batch_size, progress
    )
    return subject.record | {"results": results, "timings": evaluation_timings(began)}


def diagnose_checkpoint(
    name_or_path: str,
    num_rows: int = NUM_DIAGNOSED,
    test_file: str | None = None,
    batch_size: int = 256,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Diagnose any checkpoint, ours or not: see [`hf_nextfail.diagnose`].

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        num_rows (`int`, >= 1, *optional*, defaults to 2,000): the first so many rows.
        test_file (`str`, *optional*): diagnose on a file in the paper's format instead of a split.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        options: the other arguments of [`load_subject`].

    Returns:
        The record that stands in `results.json`; see `hf_nextfail.reporting.tables`.

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
            subject.objective,
            batch_size,
            description,
        )
    except ValueError as error:
        raise UsageError(f"{subject.record['run']['dataset_name']}: {error}") from error
    numbers = ("accuracy", "token_accuracy", "forced_token_accuracy", "hard_token_accuracy")
    run = subject.record["run"] | ({} if test_file is None else {"split": Path(test_file).name})
    return subject.record | {
        "run": run,
        "test_file": None,
        "results": {name: diagnosis["numbers"][name] for name in numbers},
        "diagnosis": diagnosis,
        "timings": evaluation_timings(began),
    }
