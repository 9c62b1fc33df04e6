"""Checkpoints that are whole or not taken for one, and where a run goes on from."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from torch import nn
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_nextfail.decoding import Decoding
from hf_nextfail.errors import TrainingError
from hf_nextfail.files import write_whole

logger = logging.getLogger(__name__)

#: The file that is written last into a checkpoint: the sizes of all others, and what was chosen for the run.
SEAL = "whole.json"


@contextmanager
def writing(what: str, way_out: str) -> Iterator[None]:
    """Turn what a full disk is called by Python, torch, safetensors and tokenizers into one line.

    Raises:
        TrainingError: naming what could not be written, why, and the way out.
    """
    try:
        yield
    except Exception as error:
        # torch names its writer in a RuntimeError, and tokenizers raises the base class.
        writer = isinstance(error, RuntimeError) and re.search("PytorchStreamWriter|inline_container", str(error))
        if not (isinstance(error, (OSError, SafetensorError)) or type(error) is Exception or writer):
            raise
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"{what} could not be written: {reason}. {way_out}, and go on with --resume_from_checkpoint true"
        ) from error


def sync(path: Path) -> None:
    """Have the system write a file or a folder to its disk."""
    try:
        descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if path.is_file():
            raise
        # Windows, and some file systems elsewhere, cannot do it to folders.


def seal(checkpoint: Path, choices: dict[str, Any]) -> None:
    """Say in a checkpoint that it is whole, now that all of it is written.

    Whatever happens to the process or the machine, a folder with a seal is whole, or the sizes in it say that it is
    not.

    Args:
        checkpoint (`Path`): the folder.
        choices (`dict`): what a resumed run must choose alike: device, precision, ...
    """
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    for path in files:
        sync(path)
    content = json.dumps({"choices": choices, "files": sizes}, indent=2) + "\n"
    write_whole(checkpoint / SEAL, content)
    for path in [checkpoint / SEAL, *(path for path in checkpoint.rglob("*") if path.is_dir()), checkpoint]:
        sync(path)
    sync(checkpoint.parent)


def read_seal(checkpoint: Path) -> dict[str, Any]:
    """Return the seal of a checkpoint.

    Raises:
        ValueError: saying what is missing, if the checkpoint is not whole.
    """
    try:
        content = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        sizes, _ = dict(content["files"]), dict(content["choices"])
    except FileNotFoundError:
        raise ValueError(f"it has no {SEAL}, which is written last") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"its {SEAL} cannot be read") from None
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if path.stat().st_size != size:
            raise ValueError(f"{name} has {path.stat().st_size:,} of {size:,} bytes")
    return content


def add_decoding(folder: Path, model: nn.Module, decoding: Decoding) -> None:
    """Add to a checkpoint what says how it decodes, and remove what an earlier training left there of another kind.

    Args:
        folder (`Path`): where the model was just saved.
        model (`nn.Module`): what was saved, an adapter or a whole model.
        decoding (`Decoding`): how it writes.
    """
    adapted = isinstance(model, PeftModel)
    shutil.rmtree(folder / "custom_generate", ignore_errors=True)
    # A whole model beside an adapter, or the other way round, would be loaded instead.
    for pattern in ("config.json", "model*.safetensors*") if adapted else ("adapter_*",):
        for path in folder.glob(pattern):
            path.unlink()
    if adapted:
        model.generation_config.save_pretrained(folder)  # PEFT leaves it out
        (folder / "README.md").unlink(missing_ok=True)  # its form of a card, with names of local folders
    elif decoding.travels:  # which transformers does not look for beside an adapter
        (folder / "custom_generate").mkdir()
        first, *others = decoding.travels
        for path, name in [(first, "generate.py"), *((path, path.name) for path in others)]:
            shutil.copyfile(path, folder / "custom_generate" / name)


def step_of(checkpoint: Path) -> int:
    """Return the step of `checkpoint-500`, -1 for a folder of another name."""
    prefix, _, step = checkpoint.name.rpartition("-")
    return int(step) if prefix == PREFIX_CHECKPOINT_DIR and step.isdecimal() else -1


def checkpoints_of(run_folder: Path) -> list[Path]:
    """Return the checkpoints of a run, whole or not, the last one first."""
    found = [path for path in run_folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir() and step_of(path) >= 0]
    return sorted(found, key=step_of, reverse=True)


def last_whole_checkpoint(run_folder: Path) -> Path | None:
    """Return the last checkpoint of a run that is whole, if any; later ones are left out, and the log says so."""
    for checkpoint in checkpoints_of(run_folder):
        try:
            read_seal(checkpoint)
        except ValueError as error:
            logger.warning("%s is not whole, and left out: %s.", checkpoint, error)
        else:
            return checkpoint
    return None
