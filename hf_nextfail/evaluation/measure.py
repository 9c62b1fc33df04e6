"""A model and several datasets to the numbers of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.paper_file import load_paper_file
from hf_nextfail.evaluation.evaluate import Result, evaluate
from hf_nextfail.objectives import Objective
from hf_nextfail.tasks import StarGraph, Task, split_of

#: The training rows that `train_*` numbers are taken on: the first ones, the same for every run on the dataset.
NUM_TRAIN_SAMPLE = 10_000


def check_positions(model: nn.Module, longest: int) -> None:
    """Raise `ValueError` when the longest row, in tokens, is longer than the model has positions for."""
    config = model.config.get_text_config()
    limits = ("max_position_embeddings", "max_target_positions")  # families without a limit have neither
    positions = next((limit for name in limits if (limit := getattr(config, name, None)) is not None), None)
    if positions is not None and longest > positions:
        raise ValueError(
            f"a row has {longest} tokens, but the model has {positions} positions; take a smaller graph or shorter "
            "rows, or a model with more (config_overrides: max_position_embeddings, n_positions for gpt2)"
        )


def load_test_file(path: str, task: StarGraph) -> Dataset:
    """Load a file in the paper's format beside the rows of a task.

    Raises:
        ValueError, OSError: if it cannot be read, or its graphs have another degree or path length.
    """
    rows = load_paper_file(path, reverse=task.reverse)
    length = len(rows[0]["path"])
    degree = len(rows[0]["edges"]) // (length - 1)
    if (degree, length) != (task.degree, task.path_length):
        raise ValueError(
            f"test_file {path} holds graphs G({degree},{length}), and is measured beside {task.title}: name the "
            f"dataset_config that it belongs to, such as d{degree}_l{length}_n{task.num_nodes}"
        )
    return rows


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
