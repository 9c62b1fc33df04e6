"""Several runs on one page: Markdown with pictures beside it, and HTML that holds them."""

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.errors import UsageError, make_output_folder
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting.markdown import code, fence, plain, table, to_html
from hf_nextfail.reporting.pictures import PICTURES, draw_pictures, plan_pictures
from hf_nextfail.reporting.record import SCHEMA_VERSION, find_results, public_record
from hf_nextfail.reporting.tables import distinct_names, format_accuracy, other_tokens
from hf_nextfail.runs.command_of_record import repeat


def check_record(record: dict[str, Any]) -> None:
    """Lay out every part of a page once: what cannot be shown raises here, where its file is known."""
    diagnosis, named = record.get("diagnosis"), [("", record)]
    texts = [record["run"][name] for name in ("name", "title", "objective", "model")]
    texts += [] if diagnosis is None else [diagnosis["verdict"]]
    texts += [] if record["test_file"] is None else [record["test_file"]["path"]]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    if record["results"]["accuracy"] is None or not isinstance(record["history"], list):
        raise TypeError("no accuracy or no history")
    run_row("", record, [record])
    versions_of(record)
    plan_pictures([record])
    if diagnosis is not None:
        diagnosed_values(record)
        absent_numbers(named)
        examples_of(named)


def versions_of(record: dict[str, Any]) -> dict[str, str]:
    """Return what a record says of versions, of the machine too."""
    run = record["run"]
    machine = {"device": run["device"], "threads": str(run["num_threads"]), "precision": run["precision"]}
    return record["versions"] | machine


def share(number: float | None) -> str:
    """Format a share for a table."""
    return "-" if number is None else f"{number:.3f}"


def split_of(record: dict[str, Any]) -> str:
    """Name the split that a record was measured on."""
    return record["run"].get("split", "test")


def run_row(name: str, record: dict[str, Any], records: Sequence[dict[str, Any]]) -> list[str]:
    """Lay out one run as a row of the first table."""
    run, results = record["run"], record["results"]
    hard = results.get("hard_token_accuracy") or {"value": None}
    accuracy = format_accuracy(results["accuracy"])
    if len({split_of(other) for other in records}) > 1:
        accuracy += f" ({plain(split_of(record))})"
    return [
        plain(name),
        plain(run["title"]).replace(" ", "\N{NO-BREAK SPACE}"),
        plain(run["objective"]),
        plain(run["model"]),
        "-" if run["seed"] is None else plain(run["seed"]),
        format_accuracy(results.get("train_accuracy")),
        accuracy,
        share(hard["value"]),
        share(record["chance"]["hard_token_accuracy"]),
        share(other_tokens(record)),
        "-" if run["steps"] is None else f"{run['steps']:,}",
    ]


def runs_table(names: Sequence[str], records: Sequence[dict[str, Any]]) -> str:
    """Lay out the results of all runs; a test file takes a row of its own."""
    splits = sorted({split_of(record) for record in records})
    accuracy = f"{plain(splits[0])} accuracy" if len(splits) == 1 else "accuracy (split)"
    headings = ["run", "graph", "objective", "model", "seed", "train accuracy", accuracy]
    rows = []
    for name, record in zip(names, records, strict=True):
        rows.append(run_row(name, record, records))
        if record["test_file"] is not None:
            on_file = format_accuracy(record["results"].get("test_file_accuracy"))
            rows.append([f"on {plain(record['test_file']['path'])}", *[""] * 5, on_file, *[""] * 4])
    return table([*headings, "hard token", "chance", "other tokens", "steps"], rows, left=4)


def format_result(result: dict[str, Any] | None) -> str:
    """Format a number of a diagnosis with its standard error, a list of them with the largest."""
    if result is None:
        return "-"
    if isinstance(result["value"], list):
        values = ", ".join(f"{value:.3f}" for value in result["value"])
        return f"{values} (±{max(result['standard_error']):.3f})"
    return format_accuracy(result)


def diagnosed_values(record: dict[str, Any]) -> dict[str, str]:
    """Format what a run's diagnosis says, by the name of the number; nothing without one."""
    diagnosis = record.get("diagnosis")
    if diagnosis is None:
        return {}
    counted = diagnosis["numbers"]["accuracy"]
    rows = {"rows (graphs)": f"{counted['n']:,} ({counted['num_graphs']:,})"}
    rows |= {name: format_result(diagnosis["numbers"].get(name)) for name in DEFINITIONS}
    return rows | {kind: format_result(diagnosis["errors"].get(kind)) for kind in KINDS}


def side_by_side(
    first: str, rows: Iterable[str], columns: Sequence[tuple[str, dict[str, str]]], show: Any = plain
) -> str:
    """Lay out values of several runs: a column for each, but one for all of them where they agree."""
    rows = list(rows)
    if len(columns) > 1 and first == "" and all(values == columns[0][1] for _, values in columns):
        columns = [("all runs", columns[0][1])]
    lines = [[show(row), *(plain(values.get(row, "-")) for _, values in columns)] for row in rows]
    return table([first, *(plain(name) for name, _ in columns)], lines, left=1 if first else len(columns) + 1)


def absent_numbers(diagnosed: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Say once why numbers do not exist, of which runs."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for run, record in diagnosed:
        for number, reason in record["diagnosis"].get("absent", {}).items():
            reasons.setdefault((number, reason), []).append(run)
    merged: dict[tuple[str, str], list[str]] = {}
    for (number, reason), runs in reasons.items():
        merged.setdefault((", ".join(map(plain, runs)), reason), []).append(code(number))
    return [f"{runs}, no {', '.join(numbers)}: {plain(reason)}." for (runs, reason), numbers in merged.items()]


def examples_of(diagnosed: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Show an example of each kind of error, of the first run that has one."""
    lines = []
    for kind in KINDS[1:]:
        for run, record in diagnosed:
            if found := record["diagnosis"].get("examples", {}).get(kind):
                row = found[0]
                asked, right, written = (code(row[name]) for name in ("prompt", "completion", "written"))
                lines.append(f"**{kind}** ({plain(run)}): asked {asked}, where {right} is right, it wrote {written}.")
                break
    return lines


def pictures_of(records: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, str]]:
    """Draw the pictures into a folder; name, text and caption of those that could be drawn."""
    drawn = {path.name for path in draw_pictures(records, folder)}
    pictures, said = [], set()
    for kind, stem, _, run in plan_pictures(records):
        if {f"{stem}.png", f"{stem}.svg"} <= drawn:
            caption = PICTURES[kind].caption
            alt = caption.partition(".")[0]
            whose = f"{plain(run)}: " if run and len(records) > 1 else ""
            # What is said of the first picture of a kind need not be said of each.
            pictures.append(
                {
                    "file": f"{stem}.png",
                    "alt": whose + alt,
                    "caption": whose + ("the same." if kind in said else caption),
                }
            )
            said.add(kind)
    return pictures


def write_report(places: Iterable[str | PathLike], folder: str | PathLike) -> Path:
    """Write a page of one run or several.

    Args:
        places (iterable of paths): see `find_results`.
        folder (path): where `report.md`, `report.html` and the pictures go.

    Returns:
        `Path` of the HTML, which holds all; the Markdown needs the pictures beside it.

    Raises:
        UsageError: in one line, if there is no run, or a results.json cannot be read.
    """
    records = [read_record(path) for path in find_results(places)]
    folder = Path(folder)
    make_output_folder(folder)
    names = distinct_names(records)
    diagnosed = [(name, record) for name, record in zip(names, records, strict=True) if record.get("diagnosis")]
    values = [(name, diagnosed_values(record)) for name, record in diagnosed]
    titles = dict.fromkeys(record["run"]["title"] for record in records)
    what = f"Run {names[0]}" if len(records) == 1 else f"{len(records)} runs"
    pictures = pictures_of(records, folder)
    versions = [(name, versions_of(record)) for name, record in zip(names, records, strict=True)]
    commands = []
    for name, record in zip(names, records, strict=True):
        command, recipe = repeat(record)
        commands.append((plain(name), fence(command, "bash"), recipe and fence(recipe, "yaml")))
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # texts are escaped for Markdown
    template = shipped_folder("hub_cards") / "report.md"
    markdown = environment.from_string(template.read_text(encoding="utf-8")).render(
        title=f"{plain(what)} on {', '.join(map(plain, titles))}",
        count="One run" if len(records) == 1 else f"{len(records)} runs",
        runs_table=runs_table(names, records),
        verdicts=[(plain(name), plain(record["diagnosis"].get("verdict"))) for name, record in diagnosed],
        pictures=pictures,
        numbers_table=values
        and side_by_side(
            "number", ["rows (graphs)", *DEFINITIONS], values, lambda row: code(row) if row in DEFINITIONS else row
        ),
        absent=absent_numbers(diagnosed),
        definitions_table=table(
            ["number", "what is counted", "chance", "plans", "Clever Hans", "errors add up"],
            [[code(name), *map(plain, definition)] for name, definition in DEFINITIONS.items()],
            left=6,
        ),
        kinds_table=values and side_by_side("kind", KINDS, values),
        examples=examples_of(diagnosed),
        commands=commands,
        versions_table=side_by_side("", dict.fromkeys(key for _, of_run in versions for key in of_run), versions),
    )
    html_template = (shipped_folder("hub_cards") / "report.html").read_text(encoding="utf-8")
    files = {picture["file"]: folder / picture["file"].replace(".png", ".svg") for picture in pictures}
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(to_html(markdown, files, html_template), encoding="utf-8")
    return page


def read_record(path: Path) -> dict[str, Any]:
    """Read a results.json for other people to see: without the places of this machine.

    Raises:
        UsageError: in one line, if it is none, or one of another schema.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}") from None
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(f"{path}: schema_version must be {SCHEMA_VERSION}, got {version!r}")
    try:
        record = public_record(record)
        check_record(record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(f"{path}: not what a run writes: {type(error).__name__} {error}") from error
    return record
