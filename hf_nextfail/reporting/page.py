"""Several runs on one page: Markdown with pictures beside it, and HTML that holds them."""

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.errors import make_output_folder
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting.markdown import code, fence, plain, table, to_html
from hf_nextfail.reporting.pictures import PICTURES, draw_pictures, plan_pictures
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import distinct_names, format_accuracy, other_tokens
from hf_nextfail.tasks import StarGraph


def versions_of(record: Record) -> dict[str, str]:
    """Return what a record says of versions, of the machine too."""
    run = record.run
    machine = {"device": run["device"], "threads": str(run["num_threads"]), "precision": run["precision"]}
    return record.versions | machine


def share(number: float | None) -> str:
    """Format a share for a table."""
    return "-" if number is None else f"{number:.3f}"


def run_row(name: str, record: Record, records: Sequence[Record]) -> list[str]:
    """Lay out one run as a row of the first table."""
    run, hard = record.run, record.estimate("hard_token_accuracy")
    accuracy = format_accuracy(record.results["accuracy"])
    if len({other.run["split"] for other in records}) > 1:
        accuracy += f" ({plain(run['split'])})"
    return [
        plain(name),
        plain(run["title"]).replace(" ", "\N{NO-BREAK SPACE}"),
        "-" if run["objective"] is None else plain(run["objective"]),
        plain(run["model"]),
        "-" if run["seed"] is None else plain(run["seed"]),
        format_accuracy(record.estimate("train_accuracy")),
        accuracy,
        share(hard and hard["value"]),
        share(record.chance["hard_token_accuracy"]),
        share(other_tokens(record)),
        "-" if run["steps"] is None else f"{run['steps']:,}",
    ]


def runs_table(names: Sequence[str], records: Sequence[Record]) -> str:
    """Lay out the results of all runs; a test file takes a row of its own."""
    splits = sorted({record.run["split"] for record in records})
    accuracy = f"{plain(splits[0])} accuracy" if len(splits) == 1 else "accuracy (split)"
    headings = ["run", "task", "objective", "model", "seed", "train accuracy", accuracy]
    rows = []
    for name, record in zip(names, records, strict=True):
        rows.append(run_row(name, record, records))
        if record.test_file is not None:
            on_file = format_accuracy(record.estimate("test_file_accuracy"))
            rows.append([f"on {plain(record.test_file['path'])}", *[""] * 5, on_file, *[""] * 4])
    return table([*headings, "hard token", "chance", "other tokens", "steps"], rows, left=4)


def format_result(result: dict[str, Any] | None) -> str:
    """Format a number of a diagnosis with its standard error, a list of them with the largest."""
    if result is None:
        return "-"
    if isinstance(result["value"], list):
        values = ", ".join(f"{value:.3f}" for value in result["value"])
        return f"{values} (±{max(result['standard_error'], default=0):.3f})"
    return format_accuracy(result)


def diagnosed_values(diagnosis: dict[str, Any]) -> dict[str, str]:
    """Format what a diagnosis says, by the name of the number."""
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


def reasons_for_absence(diagnosed: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Say once why numbers do not exist, and in the diagnoses of which runs."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for run, diagnosis in diagnosed:
        for number, reason in diagnosis["absent"].items():
            reasons.setdefault((number, reason), []).append(run)
    merged: dict[tuple[str, str], list[str]] = {}
    for (number, reason), runs in reasons.items():
        merged.setdefault((", ".join(map(plain, runs)), reason), []).append(code(number))
    return [f"{runs}, no {', '.join(numbers)}: {plain(reason)}." for (runs, reason), numbers in merged.items()]


def examples_of(diagnosed: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Show an example of each kind of error, of the first run that has one."""
    lines = []
    for kind in KINDS[1:]:
        for run, diagnosis in diagnosed:
            if found := diagnosis["examples"].get(kind):
                row = found[0]
                asked, right, written = (code(row[name]) for name in ("prompt", "completion", "written"))
                lines.append(f"**{kind}** ({plain(run)}): asked {asked}, where {right} is right, it wrote {written}.")
                break
    return lines


def pictures_of(records: Sequence[Record], folder: Path) -> list[dict[str, str]]:
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


def page_text(
    records: Sequence[Record],
    pictures: Sequence[dict[str, str]],
    commands: Sequence[tuple[str, str | None]],
) -> str:
    """Write the Markdown of a page."""
    names = distinct_names(records)
    named = list(zip(names, records, strict=True))
    diagnosed = [(name, record.diagnosis) for name, record in named if record.diagnosis is not None]
    values = [(name, diagnosed_values(diagnosis)) for name, diagnosis in diagnosed]
    versions = [(name, versions_of(record)) for name, record in named]
    titles = dict.fromkeys(record.run["title"] for record in records)
    what = f"Run {names[0]}" if len(records) == 1 else f"{len(records)} runs"
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # texts are escaped for Markdown
    template = shipped_folder("hub_cards") / "report.md"
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        title=f"{plain(what)} on {', '.join(map(plain, titles))}",
        count="One run" if len(records) == 1 else f"{len(records)} runs",
        runs_table=runs_table(names, records),
        star_graphs=any(record.run["task"] == StarGraph.name for record in records),
        undiagnosed=[
            (plain(name), plain(record.run["diagnosis_absent"]))
            for name, record in named
            if record.run["diagnosis_absent"] is not None
        ],
        verdicts=[(plain(name), plain(diagnosis["verdict"])) for name, diagnosis in diagnosed],
        pictures=pictures,
        numbers_table=values
        and side_by_side(
            "number", ["rows (graphs)", *DEFINITIONS], values, lambda row: code(row) if row in DEFINITIONS else row
        ),
        absent=reasons_for_absence(diagnosed),
        definitions_table=table(
            ["number", "what is counted", "chance", "plans", "Clever Hans", "errors add up"],
            [[code(name), *map(plain, definition)] for name, definition in DEFINITIONS.items()],
            left=6,
        ),
        kinds_table=values and side_by_side("kind", KINDS, values),
        examples=examples_of(diagnosed),
        commands=[
            (plain(name), fence(command, "bash"), recipe and fence(recipe, "yaml"))
            for name, (command, recipe) in zip(names, commands, strict=True)
        ],
        versions_table=side_by_side("", dict.fromkeys(key for _, of_run in versions for key in of_run), versions),
    )


def write_report(
    records: Sequence[Record], folder: str | PathLike, commands: Sequence[tuple[str, str | None]]
) -> Path:
    """Write a page of one run or several.

    Args:
        records (sequence of `Record`): of the runs; the page shows what of them is public.
        folder (path): where `report.md`, `report.html` and the pictures go.
        commands (sequence of tuples of `str`): what makes each record again: the command, and the text of the
            `recipe.yaml` that it names, or `None`.

    Returns:
        `Path` of the HTML, which holds all; the Markdown needs the pictures beside it.

    Raises:
        UsageError: in one line, if the folder cannot be made.
    """
    records = [record.public() for record in records]
    folder = Path(folder)
    make_output_folder(folder)
    pictures = pictures_of(records, folder)
    markdown = page_text(records, pictures, commands)
    html_template = (shipped_folder("hub_cards") / "report.html").read_text(encoding="utf-8")
    files = {picture["file"]: folder / picture["file"].replace(".png", ".svg") for picture in pictures}
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(to_html(markdown, files, html_template), encoding="utf-8")
    return page
