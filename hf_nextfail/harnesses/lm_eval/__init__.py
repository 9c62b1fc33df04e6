"""What the task files of lm-evaluation-harness in this folder call.

`--metadata '{"dataset_name": ..., "dataset_config": ..., "num_test": ..., "dataset_seed": ...}'` says which rows; the
harness hands it to the functions that load them. Each row says its task, so that the verifier can be asked about it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import DatasetDict

from hf_nextfail.evaluation.verify import verified
from hf_nextfail.harnesses.rows import load_rows, load_task, with_first_steps

DATASET = "nextfail/star_graph"
NUM_TEST = 1_000
task_of = functools.lru_cache(load_task)


def load_problems(
    dataset_name: str = DATASET,
    dataset_config: str | None = None,
    num_test: int = NUM_TEST,
    dataset_seed: int = 0,
    **_: Any,
) -> DatasetDict:
    """Load rows that say which task they are of; the harness hands over the arguments of the model, too."""
    rows = load_rows(dataset_name, dataset_config, num_test, dataset_seed)
    said = {"dataset_name": dataset_name, "dataset_config": task_of(dataset_name, dataset_config).config_name}
    return rows.map(lambda row: said)


def load_choices(**options: Any) -> DatasetDict:
    """Load rows with their first steps; the options are those of `load_problems`."""
    problems = load_problems(**options)
    task = task_of(*(problems["test"][0][name] for name in ("dataset_name", "dataset_config")))
    return DatasetDict({split: with_first_steps(task, rows) for split, rows in problems.items()})


def score(row: Mapping[str, Any], written: Sequence[str]) -> dict[str, float]:
    """Ask the verifier about what a model wrote."""
    return {"accuracy": verified(task_of(row["dataset_name"], row["dataset_config"]), written[0], row)}
