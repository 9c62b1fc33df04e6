"""Results to files, tables and pictures.

A run's `results.json` has these keys:

| key | what it holds |
|---|---|
| `schema_version` | 1; changes whenever a key here changes its meaning |
| `run` | `name`, `objective`, `dataset_name`, `dataset_config`, `split`, `title`, `model`, `num_parameters`, `num_trainable_parameters`, `seed`, `dataset_seed`, `hard_node`, `steps`, `epochs`, `examples` (rows seen, an epoch's last batch counted as a full one), `stopped_at_accuracy`, `precision`, `fast_path` (see `hf_nextfail.models.fast_path`), `device`, `device_name`, `num_threads`, `num_processes`, `weights_sha256` (of the checkpoint's safetensors); what belongs to training is `null` in the record of `nextfail evaluate` |
| `results` | name -> `{value, standard_error, n, num_graphs}`, or `null` where the number does not exist; see `hf_nextfail.evaluate`. Names without a prefix are on `split`, the test split after training; `train_...` on the first 10,000 training rows; `test_file_...` on the file of `--test_file` |
| `chance` | `hard_token_accuracy`: the accuracy of guessing an arm, `null` when no guess is needed |
| `test_file` | `path`, and `train_share`, the share of its graphs that hash to our train split; `null` without one |
| `diagnosis` | why the model fails, on the first 2,000 rows of `split`; see `hf_nextfail.diagnose`; `null` for data that are no star graphs |
| `history` | a list of `{step, accuracy, loss}` on the validation split; where its first rows were diagnosed, `diagnosis` holds the values: name -> number, or one a node, and `errors`: kind -> share |
| `recipe` | every option that differs from its default |
| `versions` | of the package (with `revision`, the commit, in a checkout), the task, the metrics, Python and the libraries |
| `timings` | `train_seconds` (validation and diagnoses included) and `examples_per_second` of the last command, `evaluation_seconds`: the one part that differs between equal runs |
"""  # noqa: E501

from collections.abc import Sequence
from typing import Any

from rich.table import Table


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


def diagnosis_table(diagnosis: dict[str, Any]) -> Table:
    """Lay out the numbers of a diagnosis, one a row, to fit a terminal of 80 columns.

    Args:
        diagnosis (`dict`): what `hf_nextfail.diagnose` returns.

    Returns:
        `rich.table.Table`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("number", no_wrap=True)
    table.add_column("value ± standard error", overflow="fold")
    for name, result in diagnosis["numbers"].items():
        if result is None:
            table.add_row(name, f"[dim]none: {diagnosis['absent'][name]}[/dim]")
        elif isinstance(result["value"], list):
            table.add_row(name, " ".join(f"{value:.3f}" for value in result["value"]))
        else:
            table.add_row(name, format_accuracy(result))
    for kind, share in diagnosis["errors"].items():
        table.add_row(f"path: {kind}", format_accuracy(share))
    return table


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


def short_name(record: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Leave out of a run's name what all runs share: `teacherless` of `star_graph/teacherless/smoke`."""
    parts = [other["run"]["name"].split("/") for other in records]
    own = record["run"]["name"].split("/")
    if len(records) == 1 or len({len(p) for p in parts}) > 1:
        return "/".join(own[-2:])
    return "/".join(part for i, part in enumerate(own) if len({p[i] for p in parts}) > 1) or "/".join(own[-2:])


def distinct_names(records: Sequence[dict[str, Any]]) -> list[str]:
    """Name runs shortly and each differently: by what their names do not share, else by seed, else by number."""
    short = [short_name(record, records) for record in records]
    names = []
    for name, record in zip(short, records, strict=True):
        namesakes = [other for other, its_name in zip(records, short, strict=True) if its_name == name]
        seeds = [other["run"].get("seed") for other in namesakes]
        if len(namesakes) > 1 and len(set(seeds)) == len(seeds):
            name += f", seed {record['run'].get('seed')}"
        elif len(namesakes) > 1:
            name += f" #{next(i for i, other in enumerate(namesakes, start=1) if other is record)}"
        names.append(name)
    return names
