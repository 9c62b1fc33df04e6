"""Records from where people keep them: folders, results datasets and models on the Hub."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hf_nextfail.errors import HubError, UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.hub.push import bound_waits, one_line
from hf_nextfail.own_code import references_in
from hf_nextfail.reporting.contestants import option_of_objective
from hf_nextfail.reporting.leaderboard import Submission
from hf_nextfail.reporting.record import Record, find_results

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
#: The tags of models, and of results datasets.
MODEL_TAG, RESULTS_TAG = "nextfail", "nextfail-results"
RECORDS = "records"  # the folder of a results dataset


@dataclass
class Collected:
    """What was found: records, and what should have been one, with the reason why it is not."""

    submissions: list[Submission] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: Path, source: str, file: str, remark: str = "") -> None:
        """Read a record; `file` is what a shell takes for its path, and `remark` stands behind the command."""
        try:
            record = Record.read(path).public()
        except UsageError as error:
            self.unreadable.append((source, str(error).removeprefix(f"{path}: ")))
            return
        self.submissions.append(Submission(record, source, rerun_command(record, file) + remark))


def rerun_command(record: Record, file: str) -> str:
    """Write the command that trains a record again; `file` is what a shell takes for its path."""
    own = references_in(record.recipe or {}).get("objective")
    return "nextfail rerun " + file + (option_of_objective(own) if own else "")


def downloaded(repo_id: str, name: str, repo_type: str = "dataset") -> str:
    """Write what a shell makes the path of a file on the Hub of."""
    option = "" if repo_type == "model" else f" --repo-type {repo_type}"
    return f'"$(hf download -q{option} {repo_id} {shlex.quote(name)})"'


def collect(places: Sequence[str], tagged: bool = False, token: str | None = None) -> Collected:
    """Find records.

    Args:
        places (sequence of `str`): files, folders, and repositories on the Hub: results datasets, or models that were
            pushed with their results. Without any: those that ship with the package, and those below `runs/`.
        tagged (`bool`, *optional*, defaults to `False`): also whatever on the Hub is tagged as ours.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`; public repositories need none.

    Raises:
        UsageError: if there is nothing at a place.
        HubError: if the Hub cannot be reached.
    """
    collected = Collected()
    for place in places or ([] if tagged else default_places()):
        if Path(place).exists():
            collect_folder(collected, place)
        elif REPOSITORY.fullmatch(place):
            if not (collect_dataset(collected, place, token) or collect_model(collected, place, token)):
                raise UsageError(f"{place} is no folder here, and no dataset or model with results on the Hub")
        else:
            raise UsageError(f"there is no file or folder {place}, and a repository on the Hub is USER/NAME")
    if tagged:
        datasets, models = tagged_repositories(token)
        for collect_one, names in ((collect_dataset, datasets), (collect_model, models)):
            for repo_id in names:
                try:
                    collect_one(collected, repo_id, token)
                except HubError as error:  # one repository must not hide the others
                    collected.unreadable.append((repo_id, str(error).removeprefix(f"{repo_id} ")))
    return collected


def default_places() -> list[str]:
    """Return where records are that nobody named: in the package, and in the folder of runs."""
    return [str(place) for place in (shipped_folder("hub_cards") / "results", Path("runs")) if holds_records(place)]


def holds_records(place: Path) -> bool:
    """Say whether there are records at a place: a first training that is under way has none yet."""
    try:
        return bool(find_results([place]))
    except UsageError:
        return False


def collect_folder(collected: Collected, place: str) -> None:
    """Read the records of a file or folder; a page for others does not say where on this machine it lies."""
    root, here, shipped = Path(place), Path.cwd(), shipped_folder("hub_cards")
    for path in find_results([place]):
        shown, before, remark = path, "", ""
        if path.is_relative_to(shipped):
            shown = "hub_cards" / path.relative_to(shipped)
        elif path.is_relative_to(here):
            shown = path.relative_to(here)
        elif path.is_absolute():
            shown = path.relative_to(root.parent)
            before, remark = "PATH/", "  # PATH stands for the folder that holds it"
        collected.add(path, shown.as_posix(), shlex.quote(before + shown.as_posix()), remark)


def reading(repo_id: str, error: Exception) -> HubError:
    """Make the error of a repository that could not be read."""
    return HubError(f"{repo_id} could not be read from the Hub: {one_line(error)}", 1)


def collect_dataset(collected: Collected, repo_id: str, token: str | None) -> bool:
    """Read the records of a results dataset; says whether there is such a dataset."""
    bound_waits()
    try:
        folder = snapshot_download(repo_id, repo_type="dataset", allow_patterns=f"{RECORDS}/*.json", token=token)
    except RepositoryNotFoundError:
        return False
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, OSError) as error:
        raise reading(repo_id, error) from error
    paths = sorted(Path(folder).glob(f"{RECORDS}/*.json"))
    for path in paths:
        name = f"{RECORDS}/{path.name}"
        collected.add(path, f"{repo_id}/{name}", downloaded(repo_id, name))
    return bool(paths)


def collect_model(collected: Collected, repo_id: str, token: str | None) -> bool:
    """Read the record of a model that was pushed after its training; says whether there is one."""
    bound_waits()
    try:
        path = hf_hub_download(repo_id, "results.json", token=token)
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise reading(repo_id, error) from error
        return False
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise reading(repo_id, error) from error
    collected.add(Path(path), f"{repo_id}/results.json", downloaded(repo_id, "results.json", "model"))
    return True


def tagged_repositories(token: str | None) -> tuple[list[str], list[str]]:
    """List the results datasets and the models on the Hub that are tagged as ours, in the order of their names."""

    def names(found: Iterable) -> Iterator[str]:
        return (info.id for info in found)

    bound_waits()
    api = HfApi(token=token)
    try:
        datasets = sorted(names(api.list_datasets(filter=RESULTS_TAG)))
        return datasets, sorted(names(api.list_models(filter=MODEL_TAG)))
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise reading(f"what is tagged {MODEL_TAG}", error) from error
