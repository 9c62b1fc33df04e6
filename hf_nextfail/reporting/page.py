"""Several runs on one page: Markdown with pictures beside it, and HTML that holds them."""

import statistics
from collections.abc import Iterable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hf_nextfail.diagnoses import definitions_of
from hf_nextfail.errors import make_output_folder
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting.markdown import anchors, code, fence, plain, table, to_html
from hf_nextfail.reporting.meanings import definitions_tables, meanings
from hf_nextfail.reporting.pictures import PICTURES, PlannedPicture, draw_pictures, plan_pictures
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import distinct_names, format_accuracy, further_results, other_tokens, seen_graphs
from hf_nextfail.reporting.trainings import HEADINGS, Training, names_of, training_rows, trainings_of
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
        *([format_accuracy(record.estimate("choice_accuracy"))] if anybody_asked(records) else []),
        share(hard and hard["value"]),
        share(record.chance["hard_token_accuracy"]),
        share(other_tokens(record)),
        "-" if run["steps"] is None else f"{run['steps']:,}",
    ]


def anybody_asked(records: Sequence[Record]) -> bool:
    """Say whether a model was asked in plain English."""
    return any(record.run["prompting"] is not None for record in records)


def accuracy_heading(records: Sequence[Record]) -> str:
    """Name the column of accuracies by the split that they are on."""
    splits = sorted({record.run["split"] for record in records})
    return f"{plain(splits[0])} accuracy" if len(splits) == 1 else "accuracy (split)"


def trainings_table(trainings: Sequence[Training]) -> str:
    """Lay out the results of trainings, means over seeds."""
    heading = accuracy_heading([record for training in trainings for record in training.records])
    return table([heading if name == "test accuracy" else name for name in HEADINGS], training_rows(trainings), left=4)


def runs_table(names: Sequence[str], records: Sequence[Record]) -> str:
    """Lay out the results of all runs; a test file takes a row of its own."""
    headings = ["run", "task", "objective", "model", "seed", "train accuracy", accuracy_heading(records)]
    headings += ["choice accuracy"] if anybody_asked(records) else []
    rows = []
    for name, record in zip(names, records, strict=True):
        rows.append(run_row(name, record, records))
        if record.test_file is not None:
            on_file = format_accuracy(record.estimate("test_file_accuracy"))
            seen = seen_graphs(record)
            rows.append(
                [f"on {plain(record.test_file['path'])}{seen and f' ({seen})'}", *[""] * 5, on_file]
                + [""] * (len(headings) - 3)
            )
        for number, result in further_results(record).items():
            train = record.estimate(f"train_{number}")
            values = ["" if train is None else format_accuracy(train), format_accuracy(result)]
            rows.append([code(number), *[""] * 4, *values, *[""] * 4])
    return table([*headings, "hard token", "chance", "other tokens", "steps"], rows, left=4)


def format_result(result: dict[str, Any] | None) -> str:
    """Format a number of a diagnosis with its standard error, a list of them with the largest."""
    if result is None:
        return "-"
    if isinstance(result["value"], list):
        values = ", ".join(f"{value:.3f}" for value in result["value"])
        return f"{values} (±{max(result['standard_error'], default=0):.3f})"
    return format_accuracy(result)


def pooled(results: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Average a number over seeds, with their standard deviation for a standard error; one alone stays as it is."""
    known = [result for result in results if result is not None]
    if len(known) < 2:
        return known[0] if known else None
    values = [result["value"] for result in known]
    if not isinstance(values[0], list):
        return {"value": statistics.fmean(values), "standard_error": statistics.stdev(values)}
    nodes = list(zip(*values, strict=True))
    return {"value": [*map(statistics.fmean, nodes)], "standard_error": [*map(statistics.stdev, nodes)]}


def diagnosed_values(diagnoses: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Format what the diagnoses of a training say, by the name of the number."""
    counted = [diagnosis["numbers"]["accuracy"] for diagnosis in diagnoses]
    seeds = f"{len(counted)} seeds, each " if len(counted) > 1 else ""
    rows = {"rows (graphs)": f"{seeds}{counted[0]['n']:,} ({counted[0]['num_graphs']:,})"}
    names = definitions_of(diagnoses[0])
    rows |= {name: format_result(pooled([d["numbers"].get(name) for d in diagnoses])) for name in names}
    return rows | {kind: format_result(pooled([d["errors"].get(kind) for d in diagnoses])) for kind in KINDS}


def side_by_side(
    first: str, rows: Iterable[str], columns: Sequence[tuple[str, dict[str, str]]], show: Any = plain
) -> str:
    """Lay out values of several trainings, a column for each."""
    lines = [[show(row), *(plain(values.get(row, "-")) for _, values in columns)] for row in rows]
    return table([first, *(plain(name) for name, _ in columns)], lines)


def further_table(trainings: Sequence[Training]) -> str | None:
    """Lay out the results that only some tasks have, means over seeds, a column for each training."""
    numbers = dict.fromkeys(name for t in trainings for record in t.records for name in further_results(record))
    values = [
        {number: format_result(pooled([record.estimate(number) for record in t.records])) for number in numbers}
        for t in trainings
    ]
    return (
        side_by_side("number", numbers, list(zip(names_of(trainings), values, strict=True)), code) if numbers else None
    )


def versions_table(records: Sequence[Record]) -> str:
    """Lay out versions and machines, a column for all runs that agree in them."""
    kinds: dict[tuple, int] = {}
    for record in records:
        key = tuple(versions_of(record).items())
        kinds[key] = kinds.get(key, 0) + 1
    columns = [(f"{count} of {len(records)} runs", dict(key)) for key, count in kinds.items()]
    columns = columns if len(columns) > 1 else [("all runs" if len(records) > 1 else "", columns[0][1])]
    lines = [
        [plain(row), *(plain(values.get(row, "-")) for _, values in columns)]
        for row in dict.fromkeys(row for _, values in columns for row in values)
    ]
    return table(["", *(name for name, _ in columns)], lines, left=len(columns) + 1)


def reasons_for_absence(diagnosed: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Say once why numbers do not exist, and in the diagnoses of which runs."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for run, diagnosis in diagnosed:
        for number, reason in diagnosis["absent"].items():
            reasons.setdefault((number, reason), []).append(run)
    merged: dict[tuple[str, str], list[str]] = {}
    for (number, reason), runs in reasons.items():
        merged.setdefault(("; ".join(map(plain, runs)), reason), []).append(code(number))
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


def draw(records: Sequence[Record], folder: Path) -> list[PlannedPicture]:
    """Draw the pictures into a folder; those that could be drawn."""
    drawn = {path.name for path in draw_pictures(records, folder)}
    return [picture for picture in plan_pictures(records) if {f"{picture.stem}.png", f"{picture.stem}.svg"} <= drawn]


def captioned(pictures: Sequence[PlannedPicture]) -> list[tuple[str | None, dict[str, str]]]:
    """Name, text and caption of pictures, each with its task; how a kind is made is said once a page."""
    shown, said = [], set()
    for picture in pictures:
        caption = PICTURES[picture.kind].caption
        whose = f"{plain(picture.training)}: " if picture.training else ""
        alt = whose + caption.partition(".")[0].partition(",")[0]
        caption = f"{alt}, as above." if picture.kind in said else whose + caption
        shown.append((picture.task, {"file": f"{picture.stem}.png", "alt": alt, "caption": caption}))
        said.add(picture.kind)
    return shown


def task_part(trainings: Sequence[Training], pictures: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Collect what the page says of one task."""
    diagnosed, verdicts = [], []
    undiagnosed: dict[str, list[str]] = {}  # the reason -> whom it concerns
    for name, training in zip(names_of(trainings), trainings, strict=True):
        runs = [record for record in training.records if record.diagnosis is not None]
        of_seed = f", seed {runs[0].run['seed']}" if len(training.records) > 1 and runs else ""
        if runs:
            diagnosed.append((name, [record.diagnosis for record in runs]))
            verdicts.append((plain(name + of_seed), plain(runs[0].diagnosis["verdict"])))
        reasons = dict.fromkeys(record.run["diagnosis_absent"] for record in training.records)
        for reason in filter(None, reasons):
            undiagnosed.setdefault(plain(reason), []).append(f"**{plain(name)}**")
    several = any(len(training.records) > 1 for training in trainings)
    values = [(name, diagnosed_values(diagnoses)) for name, diagnoses in diagnosed]
    first = [(name, diagnoses[0]) for name, diagnoses in diagnosed]
    numbers = dict.fromkeys(name for _, diagnosis in first for name in definitions_of(diagnosis))
    rows = ["rows (graphs)", *numbers]
    return {
        "title": plain(trainings[0].task),
        "pictures": pictures,
        "further_table": several and further_table(trainings),
        "undiagnosed": undiagnosed,
        "verdicts": verdicts,
        "numbers_table": values
        and side_by_side("number", rows, values, lambda row: code(row) if row in numbers else row),
        "absent": reasons_for_absence(first),
        "kinds_table": values and side_by_side("kind", KINDS, values),
        "examples": examples_of(first),
    }


def again(trainings: Sequence[Training], commands: Sequence[str]) -> str:
    """Write the commands that run trainings again, each below its name, with the seeds that it had."""
    lines = []
    for name, training, command in zip(names_of(trainings), trainings, commands, strict=True):
        others = [f"--seed {record.run['seed']}" for record in training.records[1:]]
        if len(trainings) > 1 or others:
            lines.append(" ".join(f"# {name}{'; other runs: ' * bool(others)}{', '.join(others)}".split()))
        lines.append(command)
    return fence("\n".join(lines), "bash")


def page_text(
    records: Sequence[Record], pictures: Sequence[PlannedPicture], commands: Sequence[str], recipe: str | None
) -> str:
    """Write the Markdown of a page."""
    trainings = trainings_of(records)
    tasks = list(dict.fromkeys(training.task for training in trainings))
    shown = captioned(pictures)
    parts = [
        task_part([t for t in trainings if t.task == task], [picture for of, picture in shown if of == task])
        for task in tasks
    ]
    names = distinct_names(records)
    several = len(trainings) < len(records)
    what = f"Run {names[0]}" if len(records) == 1 else f"{len(records)} runs"
    where = plain(tasks[0]) if len(tasks) == 1 else f"{len(tasks)} tasks"
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # texts are escaped for Markdown
    template = environment.from_string((shipped_folder("hub_cards") / "report.md").read_text(encoding="utf-8"))
    render = partial(
        template.render,
        title=f"{plain(what)} on {where}",
        count="One run" if len(records) == 1 else f"{len(records)} runs",
        trainings_table=trainings_table(trainings) if several else None,
        runs_table=runs_table(names, records),
        meanings=meanings(records),
        star_graphs=any(record.run["task"] == StarGraph.name for record in records),
        other_tasks=any(record.run["task"] != StarGraph.name for record in records),
        overview=[picture for task, picture in shown if task is None],
        tasks=[part for part in parts if any(value for key, value in part.items() if key != "title")],
        **definitions_tables([record.diagnosis for record in records if record.diagnosis is not None]),
        again=again(trainings, commands),
        recipe=recipe and fence(recipe, "yaml"),
        versions_table=versions_table(records),
    )
    headings = [entry for entry in anchors(render(contents=[])) if entry[0] == 2]
    return render(contents=[f"[{plain(heading)}](#{anchor})" for _, heading, anchor in headings])


def write_report(
    records: Sequence[Record], folder: str | PathLike, commands: Sequence[str], recipe: str | None
) -> Path:
    """Write a page of one run or several: by task, and of each task by training, with the seeds taken together.

    Args:
        records (sequence of `Record`): of the runs; the page shows what of them is public.
        folder (path): where `report.md`, `report.html` and the pictures go.
        commands (sequence of `str`): what makes the first record of each of `trainings_of(records)` again.
        recipe (`str`, *optional*): the text of the `recipe.yaml` that commands name.

    Returns:
        `Path` of the HTML, which holds all; the Markdown needs the pictures beside it.

    Raises:
        UsageError: in one line, if the folder cannot be made.
    """
    titles = [record.run["title"] for record in records]
    records = sorted((record.public() for record in records), key=lambda record: titles.index(record.run["title"]))
    folder = Path(folder)
    make_output_folder(folder)
    pictures = draw(records, folder)
    markdown = page_text(records, pictures, commands, recipe)
    html_template = (shipped_folder("hub_cards") / "report.html").read_text(encoding="utf-8")
    files = {f"{picture.stem}.png": folder / f"{picture.stem}.svg" for picture in pictures}
    (folder / "report.md").write_text(markdown, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(to_html(markdown, files, html_template), encoding="utf-8")
    return page
