"""A checkpoint and a dataset to the record that stands in `results.json`."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.dataset_builder import TaskConfig
from hf_nextfail.errors import UsageError
from hf_nextfail.evaluation import Result, evaluate
from hf_nextfail.lora import load_checkpoint
from hf_nextfail.models.build import check_layout, check_model_source
from hf_nextfail.objectives import OBJECTIVES, Objective
from hf_nextfail.own_dataset import load_own_dataset
from hf_nextfail.paper_file import load_paper_file
from hf_nextfail.registration import NAMESPACE, task_called
from hf_nextfail.report import SCHEMA_VERSION, versions
from hf_nextfail.suggestion import did_you_mean
from hf_nextfail.tasks import SPLITS, StarGraph, Task, split_of
from hf_nextfail.tokenization import load_tokenizer, longest_row, tokenize_dataset

#: The training rows that `train_*` numbers are taken on: the first ones, the same for every run on the dataset.
NUM_TRAIN_SAMPLE = 10_000


def check_positions(model: nn.Module, datasets: Mapping[str, Dataset]) -> None:
    """Raise `ValueError` when a row is longer than the model has positions for."""
    config = model.config.get_text_config()
    limits = ("max_position_embeddings", "max_target_positions")  # families without a limit have neither
    positions = next((limit for name in limits if (limit := getattr(config, name, None)) is not None), None)
    for dataset in datasets.values():
        length = longest_row(dataset)
        if positions is not None and length > positions:
            raise ValueError(
                f"a row has {length} tokens, but the model has {positions} positions; take a smaller graph, or a "
                "model with more (config_overrides: max_position_embeddings, n_positions for gpt2)"
            )


def measure(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    task: Task | None,
    datasets: Mapping[str, Dataset],
    batch_size: int,
    progress: bool,
    shared: bool = False,
) -> dict[str, Result | None]:
    """Evaluate a model on several datasets.

    Args:
        task (`Task`, *optional*): without one there are no numbers per node.
        datasets (mapping): what the names of the results begin with, such as `train_` -> rows.
        progress (`bool`): show a progress bar.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, as `evaluate` does.

    Returns:
        `dict` from names to `Result`s; see [`hf_nextfail.evaluate`].
    """
    results: dict[str, Result | None] = {}
    for prefix, dataset in datasets.items():
        description = f"Evaluating {prefix.replace('_', ' ')}rows" if progress else None
        per_node = task is not None
        measured = evaluate(model, dataset, objective, tokenizer, task, batch_size, per_node, description, shared)
        results |= {prefix + name: result for name, result in measured.items()}
    return results


def describe_test_file(path: str | None, dataset: Dataset | None) -> dict[str, Any] | None:
    """Say which file was evaluated, and how many of its graphs fall into our train split."""
    if path is None:
        return None
    edges = dataset.with_format("numpy")["edges"][:]
    return {"path": Path(path).name, "train_share": float((split_of(edges) == "train").mean())}


def trained_on(name_or_path: str) -> dict[str, Any]:
    """Return `run` of the `results.json` that came with a checkpoint of ours, nothing for any other."""
    path = Path(name_or_path) / "results.json"
    if not Path(name_or_path).is_dir():
        try:
            path = Path(hf_hub_download(name_or_path, "results.json"))
        except EntryNotFoundError:
            return {}
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    run = record.get("run") if isinstance(record, dict) else None
    return run if isinstance(run, dict) and isinstance(run.get("dataset_name"), str) else {}


def load_rows(
    dataset_name: str, dataset_config: str | None, split: str, num_rows: int | None, seed: int
) -> tuple[Dataset, Task | None]:
    """Load one split, ours or the user's, and the task if it is ours."""
    task_class = task_called(dataset_name)
    if task_class is None:
        rows = load_own_dataset(dataset_name, dataset_config)[split]
        return (rows if num_rows is None else rows.select(range(min(num_rows, len(rows))))), None
    default = NUM_TRAIN_SAMPLE if split == "train" else getattr(TaskConfig, f"num_{split}")
    sizes = {f"num_{other}": 0 for other in SPLITS} | {f"num_{split}": default if num_rows is None else num_rows}
    config = TaskConfig.resolve(task_class, dataset_config, seed=seed, **sizes)
    return load_dataset(dataset_name, config.name, split=split, seed=seed, **sizes), config.task


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise `UsageError` unless a value is one of those known."""
    if value not in known:
        raise UsageError(f"{name} must be {' or '.join(known)}, got {value!r}{did_you_mean(value, known)}")


def evaluate_checkpoint(
    name_or_path: str,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    split: str = "test",
    num_rows: int | None = None,
    dataset_seed: int = 0,
    test_file: str | None = None,
    objective: str | None = None,
    batch_size: int = 256,
    trust_remote_code: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure any checkpoint, ours or not, without training it.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        dataset_name (`str`, *optional*): ours, or your own data with `prompt` and `completion`; by default what a
            checkpoint of ours was trained on.
        dataset_config (`str`, *optional*): such as `d2_l5_n50`; by default the same.
        split (`str`, *optional*, defaults to `"test"`): of the dataset.
        num_rows (`int`, >= 1, *optional*): the first so many; by default 20,000 of test, 5,000 of validation and
            10,000 of train, or all of your own.
        dataset_seed (`int`, >= 0, *optional*, defaults to 0): of rows that are generated.
        test_file (`str`, *optional*): a file in the paper's format, evaluated beside them.
        objective (`str`, *optional*): how the model decodes, a name in `OBJECTIVES`; by default as it was trained, and
            token by token for checkpoints that are not ours.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.

    Returns:
        The record that stands in `results.json`; see `hf_nextfail.report`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_choice("split", split, SPLITS)
    check_choice("objective", objective or "teacher_forced", OBJECTIVES)
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
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
        rows, task = load_rows(dataset_name, dataset_config, split, num_rows, dataset_seed)
        datasets = {"": rows}
        if test_file is not None and task is None:
            raise ValueError(f"test_file goes with {NAMESPACE}/{StarGraph.name}, not with {dataset_name}")
        if test_file is not None:
            datasets["test_file_"] = load_paper_file(test_file, reverse=task.reverse)
        datasets = {prefix: tokenize_dataset(rows, tokenizer) for prefix, rows in datasets.items()}
        check_positions(model, datasets)
        objective = objective or getattr(model.generation_config, "objective", "teacher_forced")
        check_choice("the objective in generation_config.json", objective, OBJECTIVES)
        decoding = OBJECTIVES[objective](tokenizer)
    except (ValueError, OSError) as error:
        raise UsageError(f"{name_or_path}: {' '.join(str(error).split())}") from error
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    began = time.perf_counter()
    results = measure(model, tokenizer, decoding, task, datasets, batch_size, progress)
    return {
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
        "results": results,
        "chance": {"hard_token_accuracy": task and task.hard_token_chance},
        "test_file": describe_test_file(test_file, datasets.get("test_file_")),
        "history": [],
        "recipe": None,
        "versions": versions(task),
        "timings": {
            "train_seconds": None,
            "examples_per_second": None,
            "evaluation_seconds": round(time.perf_counter() - began, 1),
        },
    }
