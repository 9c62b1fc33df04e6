"""Rows of a task in plain Python, and their digest, by which a version of the task knows them again."""

import hashlib
import json
from typing import Any

import numpy as np

from hf_nextfail.tasks import Task


def rows_of(task: Task, num_rows: int, split: str = "train", seed: int = 0) -> list[dict[str, Any]]:
    """The first rows of a split, with all columns."""
    columns = task.sample_shard(split, 0, seed, num_rows)
    lists = {name: values.tolist() for name, values in (task.to_text(columns) | columns).items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def digest_of(task: Task) -> str:
    """The first bytes of the SHA-256 of the first 1,000 rows of the train split: another one means other datasets."""
    return hashlib.sha256(json.dumps(rows_of(task, 1_000)).encode()).hexdigest()[:16]


def texts_of(task: Task, count: int, seed: int = 0) -> list[str]:
    """The completions of some problems, whatever their split."""
    return task.to_text(task.sample(np.random.default_rng(seed), count))["completion"].tolist()
