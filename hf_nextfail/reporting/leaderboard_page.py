"""Standings to pages: Markdown, one HTML file with nothing to fetch, and a table of all records."""

import base64
import hashlib
import statistics
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from hf_nextfail.errors import UsageError, make_output_folder
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import SOLVED_ACCURACY
from hf_nextfail.reporting.leaderboard import Leaderboard, Standing, Submission
from hf_nextfail.reporting.leaderboard_matrix import ABOUT_MATRICES, matrices_of
from hf_nextfail.reporting.leaderboard_table import parquet_of
from hf_nextfail.reporting.markdown import code, fence, plain, table
from hf_nextfail.reporting.tables import format_accuracy
from hf_nextfail.reporting.trainings import value_of

TITLE = "Which training objectives can plan"
ABOUT = (
    f"A run solves its task with a test accuracy of {SOLVED_ACCURACY} or more. The headline is how many seeds do, "
    "with a 95 % Wilson interval, and how many steps those took (median and range): a mean hides that one and the "
    "same recipe can reach 1.00 with one seed and 0.18 with the next. Contestants rank by the lower end of the "
    "interval, then by steps, then by mean accuracy. Verified: another run gave the same weights and numbers, bit "
    "for bit."
)
HEADINGS = (
    "objective",
    "task",
    "model",
    "protocol",
    "rank",
    "solved",
    "95 %",
    "steps to solve",
    "accuracy",
    "verified",
)
TEXTS = 4  # of these columns
RECORD_HEADINGS = (
    "seed",
    "accuracy",
    "hard token",
    "Clever Hans",
    "steps",
    "computed on",
    "package",
    "weights",
    "record",
)
FILTERS = ("task", "family", "protocol")
NBSP = "\N{NO-BREAK SPACE}"


def accuracy_in_words(standing: Standing) -> str:
    """Write the mean accuracy of the seeds and its range: `0.871 (0.867 to 0.875)`."""
    values = standing.accuracies
    spread = f" ({values[0]:.3f} to {values[-1]:.3f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def verified_in_words(standing: Standing) -> str:
    """Write how many of the seeds are verified: `1 of 3`."""
    return f"{len(standing.verified)} of {len(standing.counted)}" if standing.verified else ""


def numbers_of(board: Leaderboard, standing: Standing) -> list[tuple[float | str, str]]:
    """Lay out the numbers of a cell: what each sorts by, and how it is written."""
    solved = standing.solved
    low, high = solved.interval
    steps = solved.median_steps
    rank = board.rank(standing)
    return [
        (rank, str(rank)),
        (low, str(solved)),
        (low, f"{low:.2f} to {high:.2f}"),
        ("" if steps is None else steps, solved.steps_in_words().replace("-", "")),
        (statistics.fmean(standing.accuracies), accuracy_in_words(standing)),
        (len(standing.verified), verified_in_words(standing)),
    ]


def record_cells(submission: Submission, counted: bool, verified: bool) -> list[str]:
    """Lay out one record below its cell."""
    record, run = submission.record, submission.record.run

    def share(name: str) -> str:
        value = value_of(record, name)
        return f"{value:.3f}" if isinstance(value, float) else ""

    where = [run["device_name"] or run["device"], run["precision"]]
    where += [f"{run['num_threads']} threads"] if run["num_threads"] is not None else []
    revision = record.versions.get("revision", "")[:8]
    notes = [submission.source, *["verified"] * verified, *["another record of this seed counts"] * (not counted)]
    return [
        str(run["seed"]),
        format_accuracy(record.results["accuracy"]),
        share("hard_token_accuracy"),
        share("clever_hans_accuracy"),
        f"{run['steps']:,}",
        ", ".join(where),
        " ".join(filter(None, [record.versions["hf_nextfail"], revision])),
        (run["weights_sha256"] or "")[:8],
        "; ".join(notes),
    ]


def reasons(left_out: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Say why records do not count, once for those of one folder with the same reason; the HTML names each."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for source, reason in left_out:
        grouped.setdefault((source.rpartition("/")[0], reason), []).append(source)
    for (folder, reason), sources in grouped.items():
        of_folder = f"{len(sources)} records of {folder or 'this folder'}"
        yield sources[0] if len(sources) == 1 else of_folder, reason


def idle_in_words(board: Leaderboard) -> Iterator[str]:
    """Say which protocols, and which models of the others, nobody has run."""
    at_work = {(one.protocol, one.model) for one in board.standings}
    begun = {protocol for protocol, _ in at_work}
    protocols = [code(protocol.name) for protocol in board.protocols if protocol.name not in begun]
    models = [
        f"{plain(model)} of {code(protocol.name)}"
        for protocol in board.protocols
        for model in protocol.models
        if protocol.name in begun and (protocol.name, model) not in at_work
    ]
    for what, names in (("Models", models), ("Protocols", protocols)):
        if names:
            yield f"{what} without runs: {', '.join(names)}."


def markdown_of(board: Leaderboard) -> str:
    """Write the standings as Markdown, with the headline first."""
    parts = [f"# {TITLE}", ABOUT]
    for matrix in matrices_of(board):
        parts += [f"## {matrix.title}", ABOUT_MATRICES]
        rows = [
            [plain(contestant.title), *("" if cell is None else str(cell.solved) for cell in matrix.row(contestant))]
            for contestant in matrix.contestants
        ]
        parts.append(table(["objective", *map(plain, matrix.tasks.values())], rows))
        parts += map(plain, matrix.notes)
    rows = [
        [
            *map(plain, (one.contestant.title, one.title, one.model, one.protocol)),
            *(text for _, text in numbers_of(board, one)),
        ]
        for one in board.standings
    ]
    parts += ["## All cells", table(HEADINGS, rows, left=TEXTS) if rows else "No record counts yet."]
    parts += idle_in_words(board)
    commands = [one.command for one in board.standings if one.command is not None]
    if commands:
        parts += ["## Run a cell again", fence("\n".join(commands), "bash")]
    if board.left_out:
        parts += ["## Left out", f"{len(board.left_out)} records do not count:"]
        parts.append("\n".join(f"- {plain(sources)}: {plain(reason)}" for sources, reason in reasons(board.left_out)))
    return "\n\n".join(parts) + "\n"


def look_of(standing: Standing) -> str:
    """Say how a cell of a matrix looks: whether all of its seeds solve the task, some, or none."""
    solved = standing.solved
    return "all" if solved.runs == solved.seeds else "some" if solved.runs else "none"


def row_of(board: Leaderboard, standing: Standing, ids: dict[int, str]) -> dict[str, Any]:
    """Collect what the page shows of a cell."""
    texts = (standing.title, standing.model, standing.protocol)
    shown = [(submission, True) for submission in standing.counted] + [(one, False) for one in standing.others]
    return {
        "id": ids[id(standing)],
        "title": standing.contestant.title,
        "filters": {"task": standing.title, "family": standing.family, "protocol": standing.protocol},
        "texts": [(text, text.replace(" ", NBSP)) for text in texts],
        "numbers": [(value, text.replace(" ", NBSP)) for value, text in numbers_of(board, standing)],
        "records": [
            record_cells(one, counted, counted and one.record.run["seed"] in standing.verified)
            for one, counted in shown
        ],
        "missing": ", ".join(f"seed {seed}" for seed in standing.missing),
        "command": standing.command,
        "reruns": "\n".join(submission.rerun for submission, _ in shown),
    }


def html_of(board: Leaderboard) -> str:
    """Write the standings as one HTML file, which needs nothing else: not even its own script to be read."""
    ids = {id(standing): f"cell-{number}" for number, standing in enumerate(board.standings, start=1)}
    folder = shipped_folder("hub_cards")
    script = (folder / "leaderboard.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    matrices = [
        {
            "title": matrix.title,
            "tasks": matrix.tasks.values(),
            "about": " ".join([ABOUT_MATRICES, *matrix.notes]),
            "rows": [
                {
                    "title": contestant.title,
                    "cells": [
                        cell and {"id": ids[id(cell)], "text": str(cell.solved), "look": look_of(cell)}
                        for cell in matrix.row(contestant)
                    ],
                }
                for contestant in matrix.contestants
            ],
        }
        for matrix in matrices_of(board)
    ]
    rows = [row_of(board, standing, ids) for standing in board.standings]
    environment = Environment(undefined=StrictUndefined, autoescape=True, keep_trailing_newline=True)
    template = environment.from_string((folder / "leaderboard.html").read_text(encoding="utf-8"))
    return template.render(
        title=TITLE,
        about=ABOUT,
        matrices=matrices,
        filters=[
            {"name": name, "options": list(dict.fromkeys(row["filters"][name] for row in rows))} for name in FILTERS
        ],
        headings=[{"name": name, "number": place >= TEXTS} for place, name in enumerate(HEADINGS)],
        record_headings=RECORD_HEADINGS,
        rows=rows,
        left_out=board.left_out,
        script=Markup(script),  # ours, and the one that the page's policy lets run
        script_digest=f"sha256-{digest}",
    )


def write_leaderboard(board: Leaderboard, folder: str | PathLike) -> Path:
    """Write `README.md`, `index.html` and `leaderboard.parquet` into a folder.

    All three are written before one takes the place of an older file.

    Returns:
        `Path` of the HTML.

    Raises:
        UsageError: in one line, if the folder cannot be made, or has a README of something else.
    """
    folder = Path(folder)
    readme = folder / "README.md"
    if readme.is_file() and not readme.read_bytes().startswith(f"# {TITLE}\n".encode()):
        raise UsageError(f"{readme} is of something else, and would be overwritten: name another --output_dir")
    texts = {"README.md": markdown_of(board), "index.html": html_of(board)}
    contents = {name: text.encode() for name, text in texts.items()} | {"leaderboard.parquet": parquet_of(board)}
    make_output_folder(folder)
    partials = {folder / name: folder / f"{name}.partial" for name in contents}
    try:
        for partial, content in zip(partials.values(), contents.values(), strict=True):
            partial.write_bytes(content)
        for path, partial in partials.items():
            partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return folder / "index.html"
