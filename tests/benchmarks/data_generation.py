"""The generation of star graphs on one core, ours and one graph at a time; in a process of its own: see `Child`."""

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from measuring import Figure, Parent, Settings, Table, alternate

from hf_nextfail import StarGraph
from hf_nextfail.data.builder import to_arrow_table
from hf_nextfail.tasks import split_of
from hf_nextfail.tasks.base import SHARD_ROWS

#: A way of one graph at a time is measured on as many rows as it writes in about this time.
SECONDS_A_ROUND = 2.0

Labels = list[int]
Graph = tuple[list[tuple[int, int]], Labels]


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


def build_graph(task: StarGraph, labels: Labels) -> Graph:
    """Return the shuffled edges and the path; the goal is at the end of the first arm."""
    start, steps = labels[0], task.path_length - 1
    edges = []
    for arm in range(task.degree):
        source = start
        for target in labels[1 + arm * steps : 1 + (arm + 1) * steps]:
            edges.append((source, target))
            source = target
    random.shuffle(edges)
    return edges, labels[: task.path_length]


def write_line(graph: Graph) -> str:
    """Write its text."""
    edges, path = graph
    text = ""
    for source, target in edges:
        text += str(source) + "," + str(target) + "|"
    text = text[:-1] + "/" + str(path[0]) + "," + str(path[-1]) + "="
    for node in path:
        text += str(node) + ","
    return text[:-1] + "\n"


def one_at_a_time(task: StarGraph, draw_labels: Callable[[StarGraph], Labels], rows: int, text: bool = True) -> None:
    """Write `rows` lines to a file; or, without `text`, keep that many graphs in memory."""
    if not text:
        graphs = [build_graph(task, draw_labels(task)) for _ in range(rows)]
        assert len(graphs) == rows
        return
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "rows.txt").open("w") as file:
        for _ in range(rows):
            file.write(write_line(build_graph(task, draw_labels(task))))


def load_into_empty_cache(task: StarGraph, rows: int) -> None:
    """Load a dataset of `rows` rows, shared out to the splits as by default."""
    sizes = {"num_validation": rows * 5 // 225, "num_test": rows * 20 // 225}
    sizes["num_train"] = rows - sum(sizes.values())
    with tempfile.TemporaryDirectory() as folder:
        loaded = datasets.load_dataset("nextfail/star_graph", task.config_name, cache_dir=folder, **sizes)
        assert sum(loaded.num_rows.values()) == rows


def sample_and_hash(task: StarGraph, rows: int) -> None:
    """Draw graphs as numbers, a shard at a time, and say which split each belongs to."""
    rng = np.random.default_rng(0)
    for first in range(0, rows, SHARD_ROWS):
        split_of(task.split_key(task.sample(rng, min(SHARD_ROWS, rows - first))))


def train_tables(task: StarGraph, rows: int) -> None:
    """Make the Arrow tables of a train split, in memory: other splits' graphs are drawn too, and thrown away."""
    for shard in range(-(-rows // SHARD_ROWS)):
        to_arrow_table(task, task.sample_shard("train", shard, num_rows=min(SHARD_ROWS, rows - shard * SHARD_ROWS)))


def affordable_rows(function: Callable[[int], None], most: int) -> int:
    """Return how many rows a slow way writes in about `SECONDS_A_ROUND`."""
    trial = min(200, most)
    began = time.perf_counter()
    function(trial)
    return max(trial, min(most, int(SECONDS_A_ROUND * trial / (time.perf_counter() - began))))


def compare(parent: Parent, task: StarGraph, rows: int, repeat: int) -> Table:
    """Let all ways take turns."""
    paper_ids, paper_text = "one at a time, rejection (as the paper): ids", "one at a time, rejection (as the paper)"
    # What a way makes is compared with the paper's way of making the same.
    ways: dict[str, tuple[str, Callable[[int], None]]] = {
        paper_ids: (paper_ids, lambda n: one_at_a_time(task, labels_by_numpy_rejection, n, text=False)),
        "ours: ids, sample and hash": (paper_ids, lambda n: sample_and_hash(task, n)),
        paper_text: (paper_text, lambda n: one_at_a_time(task, labels_by_numpy_rejection, n)),
        "one at a time, rejection, `random`": (
            paper_text,
            lambda n: one_at_a_time(task, labels_by_python_rejection, n),
        ),
        "one at a time, shuffle, `random`": (paper_text, lambda n: one_at_a_time(task, labels_by_shuffle, n)),
        "ours: Arrow with text, in memory": (paper_text, lambda n: train_tables(task, n)),
        "ours: load_dataset, Arrow on disk": (paper_text, lambda n: load_into_empty_cache(task, n)),
    }
    parent.say(f"{task.config_name}: trying all ways")
    rows_of = {}
    for name, (_, function) in ways.items():
        if name.startswith("ours"):
            function(min(rows, 1000))
            rows_of[name] = rows
        else:
            rows_of[name] = affordable_rows(function, rows)
    random.seed(0)
    seconds = alternate(
        {name: lambda name=name: ways[name][1](rows_of[name]) for name in ways},
        repeat,
        lambda text: parent.say(f"{task.config_name}: {text}"),
    )
    a_row = {name: [second / rows_of[name] for second in seconds[name]] for name in ways}
    return Table(
        f"Data: {task.title} ({task.config_name}), one core",
        [
            {
                "way": name,
                "rows": rows_of[name],
                "rows/s": Figure.of(1 / second for second in a_row[name]),
                "µs a row": Figure.of(second * 1e6 for second in a_row[name]),
                "times the paper's": Figure.of_ratios(a_row[base], a_row[name]),
            }
            for name, (base, _) in ways.items()
        ],
        [
            "Ids are compared with ids, text with text. One at a time, lines go to a file and nothing is decided "
            "about splits; ours has text and structured columns."
        ],
    )


def parts(parent: Parent, task: StarGraph, repeat: int) -> Table:
    """Say where our time goes."""
    drawn = task.sample(np.random.default_rng(0), SHARD_ROWS)
    steps = {
        "sampling": lambda: task.sample(np.random.default_rng(0), SHARD_ROWS),
        "hashing": lambda: split_of(task.split_key(drawn)),
        "text": lambda: task.to_text(drawn),
        "text and Arrow columns": lambda: to_arrow_table(task, drawn),
    }
    seconds = alternate(steps, repeat, lambda text: parent.say(f"{task.config_name}, parts: {text}"))
    return Table(
        f"Data: where our time goes, {SHARD_ROWS:,} rows of {task.config_name} in memory",
        [
            {"part": name, "µs a row": Figure.of(second / SHARD_ROWS * 1e6 for second in values)}
            for name, values in seconds.items()
        ],
        ["Of 16 rows drawn, 12 are kept for train, 2 for validation and 2 for test."],
    )


def measure(parent: Parent, settings: Settings, config_names: list[str], rows: int) -> None:
    """Answer the tables."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    datasets.disable_progress_bars()
    tables = []
    for task in map(StarGraph.from_config_name, config_names):
        tables += [compare(parent, task, rows, settings.repeat), parts(parent, task, settings.repeat)]
    parent.answer(tables)
