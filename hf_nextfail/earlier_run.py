"""What an earlier command left in the folder of a run, and whether to go on from it."""

import json
import logging
from pathlib import Path
from typing import Any

import yaml

from hf_nextfail.arguments import Run
from hf_nextfail.cards import PLACES
from hf_nextfail.errors import UsageError
from hf_nextfail.resume import checkpoints_of, last_whole_checkpoint, read_seal

logger = logging.getLogger(__name__)


def resume_point(run: Run) -> Path | None:
    """Return the checkpoint to go on from: the one named, or with `true` the last whole one of the run, if any.

    Raises:
        UsageError: if the one named does not exist or is not whole, or the folder holds checkpoints and nobody said
            what to do.
    """
    asked = str(run.training.resume_from_checkpoint)
    if asked.lower() in ("none", "false"):
        if checkpoints_of(run.folder):
            raise UsageError(
                f"{run.folder} holds checkpoints of an earlier run; go on from the last with "
                "--resume_from_checkpoint true, or choose another --output_dir"
            )
        return None
    if asked.lower() == "true":
        return last_whole_checkpoint(run.folder)
    if not Path(asked).is_dir():
        raise UsageError(f"--resume_from_checkpoint must be true or a checkpoint folder; there is no folder {asked}")
    try:
        read_seal(Path(asked))
    except ValueError as error:
        raise UsageError(f"--resume_from_checkpoint: {asked} is not a whole checkpoint of ours: {error}") from None
    return Path(asked)


def own_options(recipe: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a recipe what says where a run goes, not what it is."""
    return json.loads(json.dumps({name: value for name, value in recipe.items() if name not in PLACES}))


def finished_record(run: Run) -> dict[str, Any] | None:
    """Return the record of a run that shall be gone on with and needs not: it is finished."""
    path = run.folder / "results.json"
    if str(run.training.resume_from_checkpoint).lower() != "true" or not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        same = own_options(record["recipe"]) == own_options(run.recipe)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is no results.json of ours: move it away, or choose another --output_dir") from None
    return record if same else None


def warn_of_another_recipe(run: Run) -> None:
    """Say where a run goes on with other options than it began with."""
    path = run.folder / "recipe.yaml"
    if not path.is_file():
        return
    before, now = (own_options(recipe) for recipe in (yaml.safe_load(path.read_text(encoding="utf-8")), run.recipe))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            logger.warning(
                "The checkpoints of %s were made with %s %s, and it goes on with %s: the result is not that of an "
                "uninterrupted run.",
                *(run.folder, name, before.get(name, "at its default"), now.get(name, "its default")),
            )
