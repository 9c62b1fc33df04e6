"""Records as a results dataset on the Hub: one commit, or none at all."""

import re
import shlex
from pathlib import Path

from huggingface_hub import CommitInfo, DatasetCardData

from hf_nextfail.errors import UsageError
from hf_nextfail.hub.collect import RECORDS, RESULTS_TAG, Collected, downloaded, rerun_command
from hf_nextfail.hub.push import check_access, push_files
from hf_nextfail.reporting.leaderboard import Leaderboard, Submission, leaderboard_of
from hf_nextfail.reporting.leaderboard_page import markdown_of
from hf_nextfail.reporting.leaderboard_table import parquet_of
from hf_nextfail.reporting.markdown import fence
from hf_nextfail.reporting.record import Record

TABLE = "leaderboard.parquet"


def file_name(number: int, record: Record) -> str:
    """Name the file of a record by its place among those handed in, in which it is read again, and after its run."""
    name = re.sub(r"[^\w.-]+", "-", record.run["name"]).strip("-.")[:100]
    return f"{RECORDS}/{number:05d}-{name}.json"


def results_card(board: Leaderboard, repo_id: str) -> str:
    """Write the card of a results dataset: how to read it, how to rank it again, and the standings."""
    data = DatasetCardData(
        license="apache-2.0",
        pretty_name="Which training objectives can plan: records of runs",
        task_categories=["text-generation"],
        tags=["nextfail", RESULTS_TAG, "planning", "next-token-prediction"],
        configs=[{"config_name": "records", "data_files": [{"split": "train", "path": TABLE}], "default": True}],
    )
    about = (
        f"Each file of `{RECORDS}/` is the record of one training: recipe, versions, history, numbers, the SHA-256 "
        f"of its weights. `{TABLE}` has a row for each that counts. Which protocol a record belongs to follows from "
        "its recipe."
    )
    commands = f"pip install hf_nextfail\nnextfail leaderboard {shlex.quote(repo_id)}"
    title, _, standings = markdown_of(board).partition("\n\n")
    return "\n\n".join([f"---\n{data}\n---", title, about, fence(commands, "bash"), standings])


def push_records(
    collected: Collected, repo_id: str, private: bool | None = None, token: str | None = None
) -> tuple[CommitInfo, Leaderboard]:
    """Publish records as a dataset, in one commit. It then holds these records and no others.

    Records that count in no protocol are published, too. The same records again make no commit.

    Args:
        collected (`Collected`): from `hf_nextfail.hub.collect.collect`: what of the records is public.
        repo_id (`str`): where to; created if it does not exist.
        private (`bool`, *optional*): whether a repository that this creates is private.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Raises:
        UsageError: if there is no record.
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    if not collected.submissions:
        raise UsageError("there is no record to publish")
    repo_id = check_access(repo_id, token)
    texts = {submission.record.as_json(): submission.record for submission in collected.submissions}
    named = {file_name(number, record): text for number, (text, record) in enumerate(texts.items(), start=1)}
    files: dict[str, Path | bytes] = {name: text.encode() for name, text in named.items()}
    published = [
        Submission(texts[text], f"{repo_id}/{name}", rerun_command(texts[text], downloaded(repo_id, name)))
        for name, text in named.items()
    ]
    board = leaderboard_of(published)
    files |= {"README.md": results_card(board, repo_id).encode(), TABLE: parquet_of(board)}
    message = f"{len(published)} records"
    return push_files(repo_id, "dataset", files, message, (f"{RECORDS}/*.json",), token, private), board
