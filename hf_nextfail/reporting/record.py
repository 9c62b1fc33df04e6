"""The record of a run."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from hf_nextfail.data.registration import task_called
from hf_nextfail.errors import UsageError
from hf_nextfail.files import write_whole
from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.tasks import Task
from hf_nextfail.version import __version__

SCHEMA_VERSION = 1


@cache
def revision() -> str | None:
    """Return the commit of the checkout that this package is run from, `-dirty` if files differ from it."""
    folder = Path(__file__).parent
    try:
        for arguments in (
            ("ls-files", "--error-unmatch", Path(__file__).name),
            ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"),
        ):
            answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or an installed package
        return None
    return answer.stdout.strip()


def versions(task: Task | None = None) -> dict[str, str]:
    """Name the versions that numbers depend on: ours, with the commit if any, the task's, Python's, the libraries'."""
    libraries = ("accelerate", "datasets", "numpy", "torch", "transformers")
    return {
        "hf_nextfail": __version__,
        **({} if revision() is None else {"revision": revision()}),
        **({} if task is None else {task.name: task.version}),
        "metrics": METRICS_VERSION,
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def write_results(record: dict[str, Any], path: str | PathLike) -> None:
    """Write a `results.json`, whole or not at all."""
    write_whole(Path(path), json.dumps(record, indent=2) + "\n")


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, as they are on disk: equal for equal weights only."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# Options that say where a run goes, not what it is.
PLACES = (
    "hub_always_push",
    "hub_model_id",
    "hub_private_repo",
    "hub_revision",
    "hub_strategy",
    "hub_token",
    "logging_dir",
    "output_dir",
    "push_to_hub",
    "report_to",
    "resume_from_checkpoint",
    "run_name",
)


def without_paths(value: Any) -> Any:
    """Shorten every string that names a file or folder of this machine to its last part, however deep it stands."""
    if isinstance(value, dict):
        return {key: without_paths(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_paths(entry) for entry in value]
    if isinstance(value, str) and value and is_local(value):
        return Path(value).name
    return value


def is_local(name: str) -> bool:
    """Say whether a name is a path of this machine, not one on the Hub."""
    try:
        return Path(name).expanduser().is_absolute() or Path(name).exists()
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no path at all
        return False


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a `results.json` for other people to read: no place on this machine in it.

    Args:
        record (`dict`): what stands in a run's `results.json`; see `hf_nextfail.reporting.tables`.
    """
    run, recipe = record["run"], record["recipe"] or {}
    model = without_paths(run["model"])
    name = model if run["name"] == run["model"] else run["name"]  # an evaluation is named after its model
    if "test_file" in recipe:  # a path, also where it does not lead anywhere from here
        recipe = recipe | {"test_file": Path(recipe["test_file"]).name}
    dataset_name = run["dataset_name"]
    if dataset_name is not None and task_called(dataset_name) is None:
        dataset_name = without_paths(dataset_name)
    recipe = {key: without_paths(value) for key, value in recipe.items() if key not in PLACES}
    if "dataset_name" in recipe:
        recipe["dataset_name"] = dataset_name
    run = run | {"name": name, "model": model, "dataset_name": dataset_name}
    return record | {"run": run, "recipe": recipe or None}


def find_results(places: Iterable[str | PathLike]) -> list[Path]:
    """Find the results.json files of runs, each once.

    Args:
        places (iterable of paths): files, folders of a run, or folders of several.

    Raises:
        UsageError: if there is none at a place.
    """
    found: dict[Path, Path] = {}
    for place in map(Path, places):
        if place.is_file():
            files = [place]
        elif (place / "results.json").is_file():
            files = [place / "results.json"]
        elif place.is_dir():
            files = sorted(place.rglob("results.json"))
        else:
            raise UsageError(f"there is no file or folder {place}")
        if not files:
            raise UsageError(
                f"{place} holds no results.json: name the folder of a run, such as runs/star_graph/teacherless/smoke, "
                "or files that are called otherwise"
            )
        found |= {file.resolve(): file for file in files if file.resolve() not in found}
    if not found:
        raise UsageError("no run was named: nextfail report RUN_DIR ...")
    return list(found.values())
