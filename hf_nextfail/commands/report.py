"""`nextfail report`: show runs on one page."""

from pathlib import Path
from typing import Annotated

import typer

from hf_nextfail.errors import check_output_folder


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs, or of several below; results.json files.", metavar="RUN_DIR..."),
    ],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the page and its pictures.")] = Path(
        "runs/report"
    ),
) -> None:
    """Show runs on one page: tables, pictures, diagnoses and how to repeat them, as Markdown and as one HTML file."""
    from hf_nextfail.runs.report import report_runs

    check_output_folder(output_dir)
    print(report_runs(runs, output_dir))
