"""What a checkpoint was trained on, and so what it is measured on unless somebody says otherwise."""

import logging
from pathlib import Path
from types import NoneType
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.files import read_json, read_yaml
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.own_code import is_reference, without_folder
from hf_nextfail.reporting.record import Record, is_local
from hf_nextfail.reporting.schema import check
from hf_nextfail.runs.options import checked_reference
from hf_nextfail.tasks import StarGraph, Task

logger = logging.getLogger(__name__)

#: What a recipe asks for that does not say so.
RECIPE_DEFAULTS = {
    "task": None,
    "dataset_name": f"{NAMESPACE}/{StarGraph.name}",
    "dataset_config": None,
    "dataset_seed": 0,
    "num_train": None,
    "objective": "teacher_forced",
}


def file_of(name_or_path: str, name: str) -> Path | None:
    """Return a file that came with a checkpoint, from the Hub if it is there; `None` if there is none."""
    if Path(name_or_path).is_dir():
        path = Path(name_or_path) / name
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name_or_path, name))
    except EntryNotFoundError:
        return None


def trained_on(name_or_path: str) -> dict[str, Any]:
    """Say what a checkpoint of ours was trained on and how, as its results.json or its recipe.yaml has it.

    Returns:
        `dict` of `dataset_name`, `dataset_config`, `dataset_seed`, `objective`, `decoding` (`None` where nobody
        knows), and `num_train` of the recipe, `None` for all rows that there are; empty for a checkpoint that has
        neither file, or none that says so.
    """
    said = of_results(file_of(name_or_path, "results.json")) or of_recipe(file_of(name_or_path, "recipe.yaml"))
    downloaded = not Path(name_or_path).is_dir()
    if not said or not isinstance(said["num_train"], int | None):
        return {}
    if downloaded and not is_reference(said["dataset_name"]) and is_local(said["dataset_name"]):
        return {}  # what was downloaded does not choose what is read on this machine
    return said


def of_results(path: Path | None) -> dict[str, Any]:
    """Read what a results.json says of a training; nothing if there is no such file, or another wrote it."""
    if path is None:
        return {}
    content = read_json(path)
    try:
        record = Record.from_dict(content)
    except ValueError as error:
        logger.warning("%s does not say what the checkpoint was trained on: %s", path, error)
        return {}
    run, recipe = record.run, record.recipe or {}
    if run["dataset_name"] is None:
        return {}
    said = {key: run[key] for key in ("dataset_name", "dataset_config", "objective", "decoding")}
    return said | {"dataset_seed": run["dataset_seed"] or 0, "num_train": recipe.get("num_train")}


def of_recipe(path: Path | None) -> dict[str, Any]:
    """Read what a recipe.yaml asks for; nothing if there is no such file, or another wrote it."""
    if path is None:
        return {}
    try:
        recipe = read_yaml(path)
        said = {key: recipe.get(key, default) for key, default in RECIPE_DEFAULTS.items()}
        for key, value in said.items():
            check(key, value, *((int, NoneType) if key in ("dataset_seed", "num_train") else (str, NoneType)))
    except (OSError, ValueError, AttributeError) as error:
        logger.warning("%s does not say what the checkpoint was trained on: %s", path, " ".join(str(error).split()))
        return {}
    said["dataset_name"] = said.pop("task") or said["dataset_name"]
    if is_reference(said["objective"]):  # its name stands in a file that nobody asked to run
        said["objective"] = None
    objective = OBJECTIVES.get(said["objective"])
    return said | {"decoding": objective and objective.decoding_class.name}


def rows_trained_on(training: dict[str, Any], dataset_name: str, kind: type[Task] | None) -> TaskConfig | None:
    """Return the rows of a task that a checkpoint was trained on, as it says.

    Args:
        training (`dict`): what `trained_on` returns.
        dataset_name (`str`), kind (`type[Task]`, *optional*): of the task; `None` for data of your own.

    Returns:
        `TaskConfig`; `None` where nobody knows, or it was trained on something else.
    """
    if not training or kind is None or not same_dataset(dataset_name, training["dataset_name"]):
        return None
    sizes = {"num_train": training["num_train"], "num_validation": 0, "num_test": 0}
    options = {name: value for name, value in sizes.items() if value is not None}
    try:
        return TaskConfig.resolve(kind, training["dataset_config"], seed=training["dataset_seed"], **options)
    except ValueError:  # no run of ours was trained on that
        return None


def same_dataset(one: str, other: str) -> bool:
    """Say whether two names are of one dataset, however each is written, and wherever a file is now."""
    if is_reference(one) and is_reference(other):
        return without_folder(one) == without_folder(other)
    if is_local(one) and is_local(other):
        return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()
    return one == other


def what_to_measure_on(
    name_or_path: str,
    training: dict[str, Any],
    task: str | None,
    dataset_name: str | None,
    dataset_config: str | None,
    dataset_seed: int | None,
) -> tuple[str, str | None, int, bool]:
    """Choose the rows to measure a checkpoint on: those asked for, else those that it was trained on.

    Returns:
        Name, configuration and seed of a dataset, and whether the checkpoint was trained on it.

    Raises:
        ValueError: if it was trained on a task of somebody's own, and that is not named.
    """
    if task is not None:
        dataset_name = checked_reference(task, dataset_name or task)
    known = training.get("dataset_name", f"{NAMESPACE}/{StarGraph.name}")
    if dataset_name is None and is_reference(known):
        raise ValueError(
            f"it was trained on {without_folder(known)}, a task of somebody's own, which runs only where you name it: "
            f"give --task PATH/{without_folder(known)}"
        )
    if not training and (dataset_name, dataset_config) == (None, None):
        logger.warning(
            "%s does not say what it was trained on, and is measured on %s %s; name others by --dataset_name and "
            "--dataset_config.",
            *(name_or_path, known, StarGraph.grid[0]),
        )
    dataset_name = dataset_name or known
    same = same_dataset(dataset_name, known)
    if dataset_config is None and same:
        dataset_config = training.get("dataset_config")
    own = same and dataset_config == training.get("dataset_config")
    if dataset_seed is None:
        dataset_seed = training.get("dataset_seed", 0) if own else 0
    return dataset_name, dataset_config, dataset_seed, own
