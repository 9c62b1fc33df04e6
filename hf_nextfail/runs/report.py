"""From the places of runs to one page about them."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from hf_nextfail.reporting.page import write_report
from hf_nextfail.reporting.record import Record, find_results
from hf_nextfail.reporting.trainings import trainings_of
from hf_nextfail.runs.command_of_record import repeat_all


def report_runs(places: Iterable[str | PathLike], folder: str | PathLike) -> Path:
    """Write a page of one run or several, with the commands that make them again.

    Args:
        places (iterable of paths): see `find_results`.
        folder (path): where the page and its pictures go.

    Returns:
        `Path` of the HTML; see `hf_nextfail.reporting.page.write_report`.

    Raises:
        UsageError: in one line, if there is no run, or a results.json cannot be read.
    """
    records = [Record.read(path) for path in find_results(places)]
    first = [training.records[0] for training in trainings_of(record.public() for record in records)]
    return write_report(records, folder, *repeat_all(first))
