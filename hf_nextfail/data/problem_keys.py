"""Which rows are the same, and which are about one problem: standard errors are taken over problems."""

import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from datasets import Dataset

from hf_nextfail.tasks import Task
from hf_nextfail.tasks.base import SHARD_ROWS
from hf_nextfail.tasks.graphs import GraphTask, hash_edges
from hf_nextfail.tasks.text import TextColumn

logger = logging.getLogger(__name__)


def problem_keys(dataset: Dataset, task: Task | None) -> np.ndarray | None:
    """Return the split key of each row.

    Args:
        dataset (`Dataset`): rows of the task, with the columns that it samples.
        task (`Task`, *optional*): by default rows are about the graph of their `edges`, if they have some.

    Returns:
        `np.ndarray` of `uint64`, shape `(n,)`; `None` where nobody knows what belongs together.
    """
    if task is None:
        return graph_hashes(dataset)
    table = dataset.with_format("arrow")[:]
    columns = {name: to_array(table.column(name).combine_chunks()) for name in table.column_names}
    try:
        return task.split_key({name: column for name, column in columns.items() if column is not None})
    except KeyError:  # rows that were made by hand have the two texts alone
        return None


def to_array(column: pa.Array) -> np.ndarray | None:
    """Turn a column into an array whose first axis are the rows; `None` for messages, or rows of different shapes."""
    shape = [len(column)]
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = column.value_lengths().unique()
        if len(lengths) > 1:
            return None
        if column.null_count:
            return None
        shape.append(lengths[0].as_py() if len(lengths) else 0)
        column = column.flatten()
    if pa.types.is_struct(column.type):
        return None
    return column.to_numpy(zero_copy_only=False).reshape(shape)


def graph_hashes(dataset: Dataset) -> np.ndarray | None:
    """Hash the graph of each row, or return `None` when there are no `edges` of ours, or not as many in every row."""
    if "edges" not in dataset.column_names:
        return None
    column = dataset.select_columns("edges").with_format("arrow")[:].column(0).combine_chunks()
    edges = to_array(column)
    ours = edges is not None and edges.ndim == 3 and edges.shape[2] == 2 and np.issubdtype(edges.dtype, np.integer)
    return hash_edges(edges) if ours else None


def texts_digest(dataset: Dataset | Mapping[str, Sequence[str]]) -> str:
    """Return the SHA-256 of the prompts and completions of some rows: equal for equal rows in the same order only."""
    texts = [list(dataset[column]) for column in ("prompt", "completion")]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


@functools.cache  # a leaderboard asks for the same rows once a record
def generated_digest(task: Task, split: str, num_rows: int, seed: int) -> str:
    """Return the `texts_digest` of rows as a task generates them today: in a fraction of a second, on no disk."""
    texts: dict[str, list[str]] = {"prompt": [], "completion": []}
    for first in range(0, num_rows, SHARD_ROWS):
        columns = task.sample_shard(split, first // SHARD_ROWS, seed, min(SHARD_ROWS, num_rows - first))
        written = task.to_text(columns)
        for name, column in texts.items():
            column += TextColumn.of(written[name]).tolist()
    return texts_digest(texts)


def mostly_repeats(num_rows: int, num_problems: int) -> bool:
    """Say whether rows have so few different problems that most of them repeat one: the space is small."""
    return 2 * num_problems < num_rows


def report_repeats(dataset: Dataset, task: Task, split: str) -> None:
    """Log how many different problems generated rows have, if most of them repeat one."""
    keys = problem_keys(dataset, task)
    num_problems = len(dataset) if keys is None else len(np.unique(keys))
    if mostly_repeats(len(dataset), num_problems):
        logger.info(
            "%s: the %s rows of the %s split have only %s different %s, as few of so small a space fall into it. They "
            "may favour some answers; a larger configuration has more.",
            *(task.config_name, f"{len(dataset):,}", split, f"{num_problems:,}"),
            "graphs" if isinstance(task, GraphTask) and "edges" in dataset.column_names else "problems",
        )
