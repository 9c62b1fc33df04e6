"""Make a record again, and say what came out differently."""

import dataclasses
import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState

from hf_nextfail.errors import UsageError
from hf_nextfail.own_code import references_in
from hf_nextfail.reporting.record import PLACES, Record, find_results
from hf_nextfail.runs.command_of_record import NOT_PARSED
from hf_nextfail.runs.recipes import parse_runs
from hf_nextfail.runs.run import execute
from hf_nextfail.training.trainer import CHOICES

#: The parts of a record that a run computes; the others say what it was asked for, and how long it took.
COMPUTED = ("results", "diagnosis", "history", "test_file")


def differences(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """List where two values made of dictionaries, lists and numbers differ: the path, and both values there.

    What `before` does not know, as a record of an earlier version may not, is not compared.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(f"{path}.{name}" if path else str(name), before[name], after.get(name)) for name in before]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(f"{path}[{i}]", *pair) for i, pair in enumerate(zip(before, after, strict=True))]
    else:
        return [] if before == after else [(path, before, after)]
    return [found for name, old, new in pairs for found in differences(old, new, name)]


def computed(record: Record) -> dict[str, Any]:
    """Return what a run computed, down to the digest of its weights, as JSON has it and as far as it was recorded.

    Records of before there were diagnoses or digests do not know these, which is no difference.
    """
    parts = json.loads(json.dumps({part: getattr(record, part) for part in COMPUTED}))
    parts["history"] = [without_unknown(point, ("diagnosis",)) for point in parts["history"]]
    of_file = parts["test_file"] or {}
    parts["test_file"] = {name: of_file[name] for name in ("path", "seen_share") if of_file.get(name) is not None}
    run = {name: record.run[name] for name in ("weights_sha256", "steps", "examples")}
    return without_unknown(run, tuple(run)) | without_unknown(parts, ("diagnosis",))


def without_unknown(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Leave out those of some values that are `None`."""
    return {name: value for name, value in values.items() if name not in names or value is not None}


def surroundings(record: Record, now: Record) -> list[tuple[str, Any, Any]]:
    """List what differs between the machine and the libraries of a record and those of `now`."""
    before, after = (of.versions | {name: of.run[name] for name in CHOICES} for of in (record, now))
    return differences(before, after)


def with_own_code(path: Path, record: Record, named: Mapping[str, str]) -> dict[str, Any]:
    """Return the recipe of a record with the references that somebody named in the place of those that it has.

    Raises:
        UsageError: in one line, if what somebody named is one of ours in the record.
    """
    recipe = dict(record.recipe)
    own = {"task" if option == "dataset_name" else option for option in references_in(recipe)}
    if other := sorted(named.keys() - own):
        raise UsageError(f"{path}: its {other[0]} is one of ours: leave --{other[0]} out")
    if "task" in named:
        recipe.pop("dataset_name", None)
    return recipe | named


def rerun(
    path: Path,
    output_dir: Path | None = None,
    trust_remote_code: bool = False,
    objective: str | None = None,
    task: str | None = None,
) -> tuple[Record, Record]:
    """Train again what a `results.json` says was trained.

    Args:
        path (`Path`): the file, or the folder of its run.
        output_dir (`Path`, *optional*): keep the new run there; by default in a folder that is removed again.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code of the model; what the file says of this
            does not count.
        objective, task (`str`, *optional*): references to the code that the record is of, if it is not ours: what the
            file says of it is not run.

    Returns:
        The record of the file, and the new one.

    Raises:
        UsageError: if there is no such file, it is not of a training, names files to configure it by, or asks for
            another number of processes than there are.
        TrainingError: if the training fails.
    """
    path, *others = find_results([path])
    if others:
        raise UsageError(f"{path} is one of {len(others) + 1} results.json there: name one")
    before = Record.read(path)
    recipe, run = before.recipe, before.run
    if not recipe:
        command = f"nextfail report {shlex.quote(str(path))}"
        raise UsageError(f"{path} was measured, not trained: {command} shows the command that repeats it")
    if files := sorted(set(NOT_PARSED) & recipe.keys()):
        raise UsageError(f"{path}: its recipe has {files[0]}, which is not taken from a record: run the recipe itself")
    given = {"objective": objective, "task": task}
    named = {option: reference for option, reference in given.items() if reference is not None}
    recipe = with_own_code(path, before, named)
    processes, here = run["num_processes"] or 1, PartialState().num_processes
    if processes != here:
        raise UsageError(
            f"{path} was trained by {processes} processes, and here {'is' if here == 1 else 'are'} {here}: "
            f"accelerate launch --num_processes {processes} -m hf_nextfail.commands.main rerun "
            f"{shlex.quote(str(path))}"
        )
    with tempfile.TemporaryDirectory(prefix="nextfail-rerun-") as scratch:
        left_out = (*PLACES, "trust_remote_code")
        options = {key: value for key, value in recipe.items() if key not in left_out}
        file = Path(scratch) / "recipe.yaml"
        file.write_text(yaml.safe_dump(options), encoding="utf-8")
        options = ["--config", str(file), "--output_dir", str(output_dir or scratch)]
        options += ["--trust_remote_code", str(trust_remote_code).lower()]
        try:
            (again,) = parse_runs([*options, "--report_to", "none"], named.values())
        except UsageError as error:
            raise UsageError(f"{path}: {str(error).replace(str(file), file.stem)}") from error
        if again.folder.absolute() == path.absolute().parent:
            raise UsageError(f"--output_dir {output_dir} would overwrite the run that is compared with: name another")
        if run["num_threads"] is not None:
            torch.set_num_threads(run["num_threads"])
        chosen = {name: run[name] for name in CHOICES if run[name] is not None}
        after, _ = execute(dataclasses.replace(again, name=run["name"]), chosen)
    return before, after
