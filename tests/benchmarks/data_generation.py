"""Time the generation of star graphs, ours and one graph at a time, on one core.

    python tests/benchmarks/data_generation.py [--config d2_l5_n50] [--rows 225000]

Ours is `load_dataset` into an empty cache: sampling, split membership, text, structured columns and Arrow on disk. The
others write lines of text to a file and decide nothing about splits.
"""

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from hf_nextfail import StarGraph
from hf_nextfail.dataset_builder import to_arrow_table
from hf_nextfail.tasks import split_of
from hf_nextfail.tasks.base import SHARD_ROWS

#: A loop that would take longer than this is measured on fewer rows.
LIMIT_SECONDS = 60
FEWER_ROWS = 20_000

Labels = list[int]


def labels_by_rejection(task: StarGraph, draw: Callable[[int], int]) -> Labels:
    """Draw a label at a time, and again as long as the graph has it already."""
    labels: Labels = []
    while len(labels) < task.graph_size:
        label = draw(task.num_nodes)
        while label in labels:
            label = draw(task.num_nodes)
        labels.append(label)
    return labels


def labels_by_numpy_rejection(task: StarGraph) -> Labels:
    """Call NumPy for every label, which is how the paper's script draws."""
    return labels_by_rejection(task, lambda num_nodes: np.random.randint(0, num_nodes, 1)[0])  # noqa: NPY002


def labels_by_python_rejection(task: StarGraph) -> Labels:
    """Use Python's own generator, which is cheaper for single numbers."""
    return labels_by_rejection(task, random.randrange)


def labels_by_shuffle(task: StarGraph) -> Labels:
    """Shuffle all labels and take the first ones."""
    labels = list(range(task.num_nodes))
    random.shuffle(labels)
    return labels[: task.graph_size]


def write_line(task: StarGraph, labels: Labels) -> str:
    """Build one graph and its text; the goal is at the end of the first arm."""
    start, steps = labels[0], task.path_length - 1
    edges = []
    for arm in range(task.degree):
        source = start
        for target in labels[1 + arm * steps : 1 + (arm + 1) * steps]:
            edges.append((source, target))
            source = target
    path = labels[: task.path_length]
    random.shuffle(edges)
    text = ""
    for source, target in edges:
        text += str(source) + "," + str(target) + "|"
    text = text[:-1] + "/" + str(start) + "," + str(path[-1]) + "="
    for node in path:
        text += str(node) + ","
    return text[:-1] + "\n"


def seconds_one_at_a_time(task: StarGraph, draw_labels: Callable[[StarGraph], Labels], rows: int) -> float:
    """Write `rows` lines to a file."""
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with (Path(folder) / "rows.txt").open("w") as file:
            for _ in range(rows):
                file.write(write_line(task, draw_labels(task)))
        return time.perf_counter() - began


def seconds_ours(task: StarGraph, rows: int) -> float:
    """Load a dataset of `rows` rows, shared out to the splits as by default, into an empty cache."""
    sizes = {"num_validation": rows * 5 // 225, "num_test": rows * 20 // 225}
    sizes["num_train"] = rows - sum(sizes.values())
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        loaded = datasets.load_dataset("nextfail/star_graph", task.config_name, cache_dir=folder, **sizes)
        seconds = time.perf_counter() - began
        assert sum(loaded.num_rows.values()) == rows
        return seconds


def microseconds_a_row(function: Callable[[], object], rows: int, repeats: int = 7) -> float:
    """Return the median over repeats."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) / rows * 1e6


def print_parts(task: StarGraph) -> None:
    """Say where our time goes."""
    drawn = task.sample(np.random.default_rng(0), SHARD_ROWS)
    parts = {
        "sampling": lambda: task.sample(np.random.default_rng(0), SHARD_ROWS),
        "hashing": lambda: split_of(drawn["edges"]),
        "text": lambda: task.to_text(drawn),
        "text and Arrow columns": lambda: to_arrow_table(task, drawn),
    }
    print(f"\n{f'part, of {SHARD_ROWS:,} rows in memory':<44}{'µs a row':>10}")
    for name, function in parts.items():
        print(f"{name:<44}{microseconds_a_row(function, SHARD_ROWS):>10.2f}")
    print("Of 16 rows drawn, 12 are kept for train, 2 for validation and 2 for test.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="d2_l5_n50", help="a configuration of nextfail/star_graph")
    parser.add_argument("--rows", type=int, default=225_000, help="rows of all splits together")
    arguments = parser.parse_args()
    task = StarGraph.from_config_name(arguments.config)

    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    datasets.disable_progress_bars()

    print(f"{task.config_name}, {arguments.rows:,} rows, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"\n{'way':<44}{'seconds':>10}{'rows/s':>12}{'ratio':>8}")
    ours = seconds_ours(task, arguments.rows)
    print(f"{'ours: load_dataset into an empty cache':<44}{ours:>10.2f}{arguments.rows / ours:>12,.0f}{1:>8.1f}")
    ways = {
        "a graph at a time, rejection (as the paper)": labels_by_numpy_rejection,
        "a graph at a time, rejection, `random`": labels_by_python_rejection,
        "a graph at a time, shuffle, `random`": labels_by_shuffle,
    }
    notes = []
    for name, draw_labels in ways.items():
        trial = min(2_000, arguments.rows)
        expected = seconds_one_at_a_time(task, draw_labels, trial) / trial * arguments.rows
        rows = arguments.rows if expected <= LIMIT_SECONDS else min(FEWER_ROWS, arguments.rows)
        seconds = seconds_one_at_a_time(task, draw_labels, rows) / rows * arguments.rows
        if rows < arguments.rows:
            notes.append(f"{name}: measured on {rows:,} rows and scaled.")
        print(f"{name:<44}{seconds:>10.2f}{arguments.rows / seconds:>12,.0f}{seconds / ours:>8.1f}")
    print(*notes, sep="\n", end="")
    print_parts(task)


if __name__ == "__main__":
    main()
