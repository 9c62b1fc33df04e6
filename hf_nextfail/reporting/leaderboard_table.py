"""All records of the standings as one table, for other programs to read."""

from typing import Any

import pyarrow
import pyarrow.parquet

from hf_nextfail.metrics import SOLVED_ACCURACY
from hf_nextfail.reporting.leaderboard import Leaderboard, Standing, Submission
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import value_of

#: The columns of `leaderboard.parquet`, which are the same whatever records there are.
COLUMNS = {
    **dict.fromkeys(("protocol", "task", "config", "title", "family", "model", "objective"), pyarrow.string()),
    **dict.fromkeys(("objective_options", "objective_file", "objective_sha256"), pyarrow.string()),
    "reversed": pyarrow.bool_(),
    "seed": pyarrow.int64(),
    "solved": pyarrow.bool_(),
    **dict.fromkeys(("accuracy", "train_accuracy", "hard_token_accuracy", "clever_hans_accuracy"), pyarrow.float64()),
    "standard_error": pyarrow.float64(),
    "num_test": pyarrow.int64(),
    **dict.fromkeys(("precision", "device", "device_name"), pyarrow.string()),
    **dict.fromkeys(("num_threads", "num_parameters"), pyarrow.int64()),
    "decoding": pyarrow.string(),
    "steps": pyarrow.int64(),
    **dict.fromkeys(("counted", "verified"), pyarrow.bool_()),
    "rank": pyarrow.int64(),
    **dict.fromkeys(("weights_sha256", "rows_sha256"), pyarrow.string()),
    **{f"version_{name}": pyarrow.string() for name in ("hf_nextfail", "revision", "torch", "transformers")},
    "train_seconds": pyarrow.float64(),
    **dict.fromkeys(("source", "command"), pyarrow.string()),
}


def share_of(record: Record, name: str) -> float | None:
    """Return a number of a record that is one number; `None` where it does not exist."""
    value = value_of(record, name)
    return None if value is None or isinstance(value, list) else float(value)


def record_row(board: Leaderboard, standing: Standing, submission: Submission) -> dict[str, Any]:
    """Lay out a record as a row of the table of all records."""
    record, run = submission.record, submission.record.run
    names = ("accuracy", "train_accuracy", "hard_token_accuracy", "clever_hans_accuracy")
    accuracy = record.results["accuracy"]
    about = ("precision", "device", "device_name", "num_threads", "num_parameters", "decoding", "steps")
    versions = ("hf_nextfail", "revision", "torch", "transformers")
    return {
        "protocol": standing.protocol,
        "task": standing.task,
        "config": standing.config,
        "title": standing.title,
        "family": standing.family,
        "model": standing.model,
        "objective": standing.contestant.objective,
        "objective_options": standing.contestant.options,
        "objective_file": standing.contestant.reference,
        "objective_sha256": standing.contestant.sha256,
        "reversed": standing.contestant.reverse,
        "seed": run["seed"],
        "solved": accuracy["value"] >= SOLVED_ACCURACY,
        **{name: share_of(record, name) for name in names},
        "standard_error": accuracy["standard_error"],
        "num_test": accuracy["n"],
        **{name: run[name] for name in about},
        "counted": submission in standing.counted,
        "verified": submission in standing.counted and run["seed"] in standing.verified,
        "rank": board.rank(standing),
        "weights_sha256": run["weights_sha256"],
        "rows_sha256": run["rows_sha256"],
        **{f"version_{name}": record.versions.get(name) for name in versions},
        "train_seconds": record.timings["train_seconds"],
        "source": submission.source,
        "command": standing.command or submission.rerun,
    }


def record_rows(board: Leaderboard) -> list[dict[str, Any]]:
    """Lay out all records of the table, one a row."""
    return [
        record_row(board, standing, submission)
        for standing in board.standings
        for submission in (*standing.counted, *standing.others)
    ]


def parquet_of(board: Leaderboard) -> bytes:
    """Lay out all records of the standings as a Parquet file, one a row."""
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(record_rows(board), pyarrow.schema(COLUMNS)), file)
    return file.getvalue().to_pybytes()
