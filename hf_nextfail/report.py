"""Results to files, tables and pictures.

A run's `results.json` has these keys:

| key | what it holds |
|---|---|
| `schema_version` | 1; changes whenever a key here changes its meaning |
| `run` | `name`, `objective`, `dataset_name`, `dataset_config`, `split`, `title`, `model`, `num_parameters`, `num_trainable_parameters`, `seed`, `dataset_seed`, `hard_node`, `steps`, `epochs`, `examples` (rows seen), `stopped_at_accuracy`, `precision`, `device`, `num_threads`; what belongs to training is `null` in the record of `nextfail evaluate` |
| `results` | name -> `{value, standard_error, n, num_graphs}`, or `null` where the number does not exist; see `hf_nextfail.evaluate`. Names without a prefix are on `split`, the test split after training; `train_...` on the first 10,000 training rows; `test_file_...` on the file of `--test_file` |
| `chance` | `hard_token_accuracy`: the accuracy of guessing an arm, `null` when no guess is needed |
| `test_file` | `path`, and `train_share`, the share of its graphs that hash to our train split; `null` without one |
| `diagnosis` | why the model fails, on the first 2,000 rows of `split`; see `hf_nextfail.diagnose`; `null` for data that are no star graphs |
| `history` | a list of `{step, accuracy, loss}` on the validation split; where its first rows were diagnosed, `diagnosis` holds the values: name -> number, or one a node, and `errors`: kind -> share |
| `recipe` | every option that differs from its default |
| `versions` | of the package, the task, the metrics, Python and the libraries |
| `timings` | `train_seconds` (validation included), `examples_per_second`, `evaluation_seconds`: the one part that differs between equal runs |
"""  # noqa: E501

import json
import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from rich.table import Table

from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.tasks import Task
from hf_nextfail.version import __version__

SCHEMA_VERSION = 1

# Okabe and Ito's palette, told apart by people who see colours differently.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def versions(task: Task | None = None) -> dict[str, str]:
    """Name the versions that numbers depend on: ours, the task's, Python's and the libraries'."""
    libraries = ("accelerate", "datasets", "numpy", "torch", "transformers")
    return {
        "hf_nextfail": __version__,
        **({} if task is None else {task.name: task.version}),
        "metrics": METRICS_VERSION,
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def write_results(record: dict[str, Any], path: str | PathLike) -> None:
    """Write a `results.json`, whole or not at all."""
    path = Path(path)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def format_accuracy(result: dict[str, Any] | None) -> str:
    """Format a result as `0.504±0.004`, `-` if there is none."""
    return "-" if result is None else f"{result['value']:.3f}±{result['standard_error']:.3f}"


def format_number(value: float | list[float]) -> str:
    """Format a count as `20,000`, any other number as `0.50380`, and a list as these."""
    if isinstance(value, list):
        return ", ".join(map(format_number, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.5f}"


def other_tokens(record: dict[str, Any]) -> float | None:
    """Average the accuracy of all nodes but the hard one, shown the true previous ones where the training does so."""
    if "token_accuracy" not in record["results"]:  # not a task of ours: there are no nodes
        return None
    per_token = record["results"]["forced_token_accuracy"] or record["results"]["token_accuracy"]
    hard_node = record["run"]["hard_node"]
    others = [value for node, value in enumerate(per_token["value"]) if node != hard_node]
    return sum(others) / len(others)


def results_table(records: Sequence[dict[str, Any]]) -> Table:
    """Lay out the results of several runs, one a row, to fit a terminal of 80 columns.

    Args:
        records (sequence of `dict`): what `write_results` wrote, in the order to show.

    Returns:
        `rich.table.Table`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", min_width=14, overflow="fold")
    for heading in (
        "train\naccuracy",
        "{}\naccuracy".format(" or ".join(dict.fromkeys(record["run"].get("split", "test") for record in records))),
        "hard\ntoken",
        "chance",
        "other\ntokens",
        "steps",
        "sec-\nonds",
        "examp-\nles/s",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for record in records:
        results, timings = record["results"], record["timings"]
        hard = results.get("hard_token_accuracy", {"value": None})["value"]
        table.add_row(
            short_name(record, records),
            format_accuracy(results.get("train_accuracy")),
            format_accuracy(results["accuracy"]),
            *(
                "-" if number is None else f"{number:.3f}"
                for number in (hard, record["chance"]["hard_token_accuracy"], other_tokens(record))
            ),
            *(
                "-" if number is None else f"{number:.0f}"
                for number in (record["run"]["steps"], timings["train_seconds"], timings["examples_per_second"])
            ),
        )
        if record["test_file"] is not None:
            table.add_row("on test file", "", format_accuracy(results["test_file_accuracy"]))
    return table


def plot_accuracy(records: Sequence[dict[str, Any]], path: str | PathLike) -> None:
    """Draw validation accuracy over training steps, one line a run, with the line that guessing cannot pass.

    Args:
        records (sequence of `dict`): what `write_results` wrote, each with a history.
        path (path): where the PNG goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    longest = max(point["step"] for record in records for point in record["history"])
    for chance in sorted({record["chance"]["hard_token_accuracy"] or 0 for record in records} - {0}):
        axes.axhline(chance, color="0.45", linestyle=(0, (4, 3)), linewidth=1)
        label = f"guessing the arm: {chance:.3g}"
        axes.annotate(
            label, (longest, chance), (0, -12), textcoords="offset points", ha="right", va="top", color="0.35"
        )
    for i, record in enumerate(records):
        steps = [point["step"] for point in record["history"]]
        accuracy = [point["accuracy"] for point in record["history"]]
        name, value = short_name(record, records).replace("_", " "), record["results"]["accuracy"]["value"]
        label = f"{name}: {value:.3f} on the test split"
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(steps, accuracy, color=colour, linewidth=2, label=label)
        axes.plot(steps[-1], accuracy[-1], "o", color=colour, markersize=6)
    titles = sorted({record["run"]["title"] for record in records})
    axes.set_title(f"{' and '.join(titles)}: whole paths right on the validation split", loc="left")
    axes.set_xlabel("training steps")
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.04)
    axes.set_xlim(0, longest * 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.02, 0.72))
    figure.savefig(path, metadata={"Software": None})


def plot_graph(row: dict[str, Any], path: str | PathLike) -> None:
    """Draw a star graph with the path to its goal.

    Args:
        row (`dict`): `edges`, `path`, `start` and `goal`, as in the dataset.
        path (path): where the PNG goes; equal rows give equal files.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    after = {source: target for source, target in row["edges"] if source != row["start"]}
    first_nodes = [target for source, target in row["edges"] if source == row["start"]]
    arms = []
    for node in first_nodes:
        arms.append([node])
        while arms[-1][-1] in after:
            arms[-1].append(after[arms[-1][-1]])
    size = 2.4 + 0.45 * len(arms[0]) if len(arms) > 2 else 0.9
    figure = Figure(figsize=(2.4 + 0.9 * len(arms[0]), size), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal")
    place = {row["start"]: (0.0, 0.0)}
    inner = max(0, len(arms) - 8) / 8  # many arms need room around the start
    for number, arm in enumerate(arms):
        angle = 2 * math.pi * number / len(arms)
        for distance, node in enumerate(arm, start=1):
            radius = distance + inner
            place[node] = (radius * math.cos(angle), radius * math.sin(angle))
    font_size = 9 if len(arms) <= 10 else 6
    for source, target in row["edges"]:
        colour = COLOURS[1] if target in row["path"] else "0.7"
        (x, y), (to_x, to_y) = place[source], place[target]
        style = {"arrowstyle": "-|>", "color": colour, "shrinkA": font_size, "shrinkB": font_size, "linewidth": 1.4}
        axes.annotate("", (to_x, to_y), (x, y), arrowprops=style)
    for node, (x, y) in place.items():
        colour = COLOURS[0] if node == row["goal"] else COLOURS[1] if node in row["path"] else "0.45"
        fill, ink = (colour, "white") if node in (row["start"], row["goal"]) else ("white", colour)
        circle = {"boxstyle": "circle,pad=0.25", "facecolor": fill, "edgecolor": colour}
        axes.text(x, y, str(node), ha="center", va="center", fontsize=font_size, color=ink, bbox=circle)
    reach = len(arms[0]) + inner + 0.5
    axes.set_xlim(-reach, reach)
    axes.set_ylim(*((-0.5, 0.5) if len(arms) <= 2 else (-reach, reach)))
    axes.axis("off")
    figure.savefig(path, metadata={"Software": None})


def short_name(record: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Leave out of a run's name what all runs share: `teacherless` of `star_graph/teacherless/smoke`."""
    parts = [other["run"]["name"].split("/") for other in records]
    own = record["run"]["name"].split("/")
    if len(records) == 1 or len({len(p) for p in parts}) > 1:
        return "/".join(own[-2:])
    return "/".join(part for i, part in enumerate(own) if len({p[i] for p in parts}) > 1)
