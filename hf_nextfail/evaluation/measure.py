"""A model and several datasets to the numbers of a run."""

from collections.abc import Mapping

from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.metrics.standard_error import Result
from hf_nextfail.objectives import Objective
from hf_nextfail.tasks import Task

#: The training rows that `train_*` numbers are taken on: the first ones, the same for every run on the dataset.
NUM_TRAIN_SAMPLE = 10_000


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
