"""Results to tables, and the words and numbers in them."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.schema import PER_NODE, PREFIXES, SCALARS

NARROWEST = 11  # what a column that folds its words keeps: the width of `0.504±0.004`


def format_accuracy(result: dict[str, Any] | None) -> str:
    """Format a result as `0.504±0.004`, `-` if there is none."""
    return "-" if result is None else f"{result['value']:.3f}±{result['standard_error']:.3f}"


def format_number(value: float | list[float]) -> str:
    """Format a count as `20,000`, any other number as `0.50380`, and a list as these."""
    if isinstance(value, list):
        return ", ".join(map(format_number, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.5f}"


def in_time(seconds: float) -> str:
    """Write a time as people say it: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def seen_graphs(record: Record) -> str:
    """Say how many graphs of the test file were trained on; nothing where nobody knows."""
    share = record.test_file and record.test_file["seen_share"]
    return "" if share is None else f"{100 * share:.3g} % of its graphs were trained on"


def other_tokens(record: Record) -> float | None:
    """Average the accuracy of all nodes but the hard one, shown the true previous ones where the training does so.

    Where a diagnosis says which nodes need no plan, of these.
    """
    numbers = {} if record.diagnosis is None else record.diagnosis["numbers"]
    for name in ("forced_other_token_accuracy", "other_token_accuracy"):
        if numbers.get(name) is not None:
            return numbers[name]["value"]
    if record.run["hard_node"] is None and record.estimate("hard_token_accuracy"):  # it stands anywhere
        return None
    per_token = record.estimate("forced_token_accuracy") or record.estimate("token_accuracy")
    if per_token is None:  # not a task of ours: there are no nodes
        return None
    others = [value for node, value in enumerate(per_token["value"]) if node != record.run["hard_node"]]
    return sum(others) / len(others) if others else None


def further_results(record: Record) -> dict[str, dict[str, Any] | None]:
    """Return the results that only some tasks have, such as `creativity`, on the split that was measured."""
    known = (*SCALARS, *PER_NODE)
    return {
        name: result
        for name, result in record.results.items()
        if name not in known and not name.startswith(tuple(filter(None, PREFIXES)))
    }


def diagnosis_table(diagnosis: dict[str, Any]) -> Table:
    """Lay out the numbers of a diagnosis, one a row, to fit a terminal of 40 columns.

    Args:
        diagnosis (`dict`): what `hf_nextfail.diagnose` returns.

    Returns:
        `rich.table.Table`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("number", no_wrap=True)
    table.add_column("value ± standard error", overflow="fold")
    if chance := diagnosis["task"].get("chance"):
        table.add_row("chance at hard places", " ".join(f"{value:.3f}" for value in chance))
    if distances := diagnosis["task"].get("distances"):
        table.add_row("distances", " ".join(map(str, distances)))
    for name, result in diagnosis["numbers"].items():
        if result is None:
            table.add_row(name, Text(f"none: {diagnosis['absent'][name]}", "dim"))
        elif isinstance(result["value"], list):
            table.add_row(name, " ".join(f"{value:.3f}" for value in result["value"]))
        else:
            table.add_row(name, format_accuracy(result))
    for kind, share in diagnosis["errors"].items():
        table.add_row(f"path: {kind}", format_accuracy(share))
    return table


def results_table(records: Sequence[Record]) -> Table:
    """Lay out the results of several runs, one a row, to fit a terminal of 80 columns.

    Args:
        records (sequence of `Record`): in the order to show.

    Returns:
        `rich.table.Table`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", min_width=14, overflow="fold")
    asked = any(record.run["prompting"] for record in records)
    for heading in (
        "train\naccuracy",
        "{}\naccuracy".format(" or ".join(dict.fromkeys(record.run["split"] for record in records))),
        *(["choice\naccuracy"] if asked else []),
        "hard\ntoken",
        "chance",
        "other\ntokens",
        "steps",
        "sec-\nonds",
        "examp-\nles/s",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, record in zip(distinct_names(records), records, strict=True):
        hard, timings = record.estimate("hard_token_accuracy"), record.timings
        table.add_row(
            name,
            format_accuracy(record.estimate("train_accuracy")),
            format_accuracy(record.results["accuracy"]),
            *([format_accuracy(record.estimate("choice_accuracy"))] if asked else []),
            *(
                "-" if number is None else f"{number:.3f}"
                for number in (hard and hard["value"], record.chance["hard_token_accuracy"], other_tokens(record))
            ),
            *(
                "-" if number is None else f"{number:.0f}"
                for number in (record.run["steps"], timings["train_seconds"], timings["examples_per_second"])
            ),
        )
        if record.test_file is not None:
            table.add_row("on test file", "", format_accuracy(record.estimate("test_file_accuracy")))
        for number, result in further_results(record).items():
            train = record.estimate(f"train_{number}")
            table.add_row(number, train and format_accuracy(train), format_accuracy(result))
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table with every number whole; a terminal that is too narrow for it gets a block of lines a row.

    What is no terminal, such as a pipe, has room for any width, unless the variable `COLUMNS` says otherwise.
    """
    columns = table.columns
    texts = ["\n".join(map(str, [column.header, *column.cells])) for column in columns]
    widths = [
        max(column.min_width or 0, *map(cell_len, text.split("\n")))
        for column, text in zip(columns, texts, strict=True)
    ]
    gaps = table.padding[1] * (len(columns) - 1)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        table.width = gaps + sum(widths)
        console.print(table, crop=False)
        return
    least = (
        width if column.no_wrap else min(width, column.min_width or NARROWEST)
        for column, width in zip(columns, widths, strict=True)
    )
    console.print(table if gaps + sum(least) <= console.width else Group(*blocks(table)))


def blocks(table: Table) -> Iterator[Table]:
    """Lay out each row of a table as a table of its own, one column a line."""
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        block = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
        block.title, block.title_justify = table.title, "left"
        block.add_column()
        block.add_column(overflow="fold")
        for column, cell in zip(table.columns, cells, strict=True):
            if cell:
                block.add_row(str(column.header).replace("-\n", "").replace("\n", " "), cell)
        block.add_row()
        yield block


def short_name(record: Record, records: Sequence[Record]) -> str:
    """Leave out of a run's name what all runs share: `teacherless` of `star_graph/teacherless/d2_l3_n20-gpt2`."""
    parts = [other.run["name"].split("/") for other in records]
    own = record.run["name"].split("/")
    if len(records) == 1 or len({len(p) for p in parts}) > 1:
        return "/".join(own[-2:])
    return "/".join(part for i, part in enumerate(own) if len({p[i] for p in parts}) > 1) or "/".join(own[-2:])


def distinct_names(records: Sequence[Record]) -> list[str]:
    """Name runs shortly and each differently: by what their names do not share, else by rows, by seed, by number."""
    short = [short_name(record, records) for record in records]
    names = []
    for name, record in zip(short, records, strict=True):
        namesakes = [other for other, its_name in zip(records, short, strict=True) if its_name == name]
        seeds = [other.run["seed"] for other in namesakes]
        configs = {other.run["dataset_config"] for other in namesakes}
        if len(namesakes) > 1 and len(configs) == len(namesakes) and None not in configs:
            name += f", {record.run['dataset_config']}"
        elif len(namesakes) > 1 and len(set(seeds)) == len(seeds):
            name += f", seed {record.run['seed']}"
        elif len(namesakes) > 1:
            name += f" #{next(i for i, other in enumerate(namesakes, start=1) if other is record)}"
        names.append(name)
    return names
