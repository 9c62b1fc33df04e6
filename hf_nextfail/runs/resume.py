"""What an earlier command left in the folder of a run, and whether to go on from it."""

import json
import logging
from pathlib import Path
from typing import Any

from hf_nextfail.errors import UsageError
from hf_nextfail.files import read_yaml
from hf_nextfail.reporting.record import PLACES, Record
from hf_nextfail.runs.recipes import Run
from hf_nextfail.training.checkpoints import checkpoints_of, last_whole_checkpoint, read_seal, step_of

logger = logging.getLogger(__name__)

#: What a record says of its diagnosis until that is made.
INTERRUPTED = "the run ended before its diagnosis"
#: Options that change what is shown of a run, and nothing else.
SHOWN = (
    "debug",
    "disable_tqdm",
    "include_num_input_tokens_seen",
    "log_level",
    "logging_first_step",
    "logging_steps",
    "logging_strategy",
)
#: Options that a run may go on with other values of: how long it trains, and what is looked at and kept.
CHANGEABLE = (
    "eval_on_start",
    "eval_steps",
    "eval_strategy",
    "max_steps",
    "num_diagnosed",
    "num_test",
    "num_train_epochs",
    "per_device_eval_batch_size",
    "save_steps",
    "save_strategy",
    "save_total_limit",
    "stop_at_accuracy",
    "test_file",
)


def resume_point(run: Run) -> Path | None:
    """Return the checkpoint to go on from: the one named, or with `true` the last whole one of the run, if any.

    Raises:
        UsageError: if the one named does not exist or is not whole, or the folder holds later ones than it, or any
            and nobody said what to do.
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
    later = [path for path in checkpoints_of(run.folder) if step_of(path) > step_of(Path(asked))]
    if later:  # of another future, which `true` would take up again
        raise UsageError(
            f"--resume_from_checkpoint {asked}: {run.folder} holds later ones, up to {later[0].name}; move them away, "
            "or choose another --output_dir"
        )
    return Path(asked)


def own_options(recipe: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a recipe what says where a run goes and what it shows, not what it is."""
    left_out = (*PLACES, *SHOWN)
    return json.loads(json.dumps({name: value for name, value in recipe.items() if name not in left_out}))


def finished_record(run: Run) -> Record | None:
    """Return the record of a run that is finished; `None` if there is none, or it is one of another recipe or code.

    Raises:
        UsageError: if its results.json cannot be read.
    """
    path = run.folder / "results.json"
    if not path.is_file():
        return None
    try:
        record = Record.read(path)
    except UsageError:
        raise UsageError(
            f"{path} is not a results.json of hf_nextfail: move it away, or choose another --output_dir"
        ) from None
    same = own_options(record.recipe or {}) == own_options(run.recipe) and record.run["sources"] == run.sources
    return record if same and record.run["diagnosis_absent"] != INTERRUPTED else None


def check_recipe(run: Run, checkpoint: Path) -> None:
    """See to it that a run goes on as what it began as; of some options, such as `max_steps`, it may have others.

    Raises:
        UsageError: naming the first option that may not differ.
    """
    if run.training.save_only_model:
        raise UsageError(f"{checkpoint} holds no state to go on from: it was saved with save_only_model")
    path = checkpoint.parent / "recipe.yaml"
    if not path.is_file():
        return
    try:
        before = own_options(read_yaml(path))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{path} is not a recipe of hf_nextfail: move it away, or choose another --output_dir"
        ) from error
    now = own_options(run.recipe)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        then, asked = before.get(name, "its default"), now.get(name, "its default")
        if name not in CHANGEABLE:
            raise UsageError(
                f"{path.parent} was begun with {name} {then}, and cannot go on with {asked}: name another --output_dir"
            )
        logger.warning(
            "%s was begun with %s %s, and goes on with %s: it does not end as an uninterrupted run.",
            *(path.parent, name, then, asked),
        )
