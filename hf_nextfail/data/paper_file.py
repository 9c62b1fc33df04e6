"""Read the text files that the paper's own script writes and releases."""

import logging
from os import PathLike
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Dataset

from hf_nextfail.data.builder import task_features
from hf_nextfail.data.problem_keys import texts_digest
from hf_nextfail.tasks import StarGraph, split_of
from hf_nextfail.tasks.graphs import hash_edges
from hf_nextfail.tasks.star_graph import parse_problem

logger = logging.getLogger(__name__)


def load_paper_file(path: str | PathLike, reverse: bool = False) -> datasets.Dataset:
    """Load a file of star-graph problems, one `a,b|c,d|.../start,goal=start,...,goal` a line, as our columns.

    How many of its graphs fall into our train split is logged, since a model trained on our rows may know those.

    Args:
        path (path): the file, for example `deg_2_path_5_nodes_50_test_20000.txt` of the paper's authors.
        reverse (`bool`, *optional*, defaults to `False`): write the completions from the goal to the start.

    Returns:
        `datasets.Dataset` with `prompt`, `completion`, `edges`, `path`, `start` and `goal`.

    Raises:
        ValueError: with file, line number and reason, at the first line that is not a star-graph problem with its
            right path, or that has another degree or path length than the first line.
        OSError: if the file cannot be read.

    Reference: the file format of Bachmann and Nagarajan (arXiv 2403.06963).
    """
    rows: dict[str, list] = {name: [] for name in ("prompt", "completion", "edges", "path", "start", "goal")}
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a text file in the paper's format")
    lines = Path(path).read_bytes().splitlines()
    if not lines:
        raise ValueError(f"{path}: the file is empty")
    for number, line in enumerate(lines, start=1):
        text = line.decode("ascii", errors="replace")
        try:
            edges, nodes, start, goal = parse_problem(text)
            shape = (len(edges) // (len(nodes) - 1), len(nodes))
            if number == 1:
                first_shape = shape
            if shape != first_shape:
                raise ValueError(f"G({shape[0]},{shape[1]}) in a file of G({first_shape[0]},{first_shape[1]})")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        prompt, equals, completion = text.partition("=")
        rows["prompt"].append(prompt + equals)
        rows["completion"].append(",".join(completion.split(",")[::-1]) if reverse else completion)
        for name, value in (("edges", edges), ("path", nodes), ("start", start), ("goal", goal)):
            rows[name].append(value)
    edges = np.stack(rows["edges"])
    num_train = int((split_of(hash_edges(edges)) == "train").sum())
    logger.info(
        "%s: %d of %d graphs (%.1f %%) fall into our train split",
        path,
        num_train,
        len(edges),
        100 * num_train / len(edges),
    )
    # The features do not depend on degree, length or the number of labels.
    rows["edges"] = edges.tolist()
    return datasets.Dataset.from_dict(rows, features=task_features(StarGraph()))


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
            f"test_file {path} holds graphs G({degree},{length}), but is measured beside {task.title}: name the "
            f"dataset_config that it belongs to, such as d{degree}_l{length}_n{task.num_nodes}"
        )
    return rows


def describe_test_file(path: str | None, dataset: Dataset | None) -> dict[str, Any] | None:
    """Say which file was evaluated, and how many of its graphs fall into our train split."""
    if path is None:
        return None
    edges = dataset.with_format("numpy")["edges"][:]
    return {
        "path": Path(path).name,
        "rows_sha256": texts_digest(dataset),
        "train_share": float((split_of(hash_edges(edges)) == "train").mean()),
    }
