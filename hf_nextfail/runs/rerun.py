"""Make a record again, and say what came out differently."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState

from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.page import read_record
from hf_nextfail.reporting.record import PLACES, find_results
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


def computed(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a run computed, down to the digest of its weights, as JSON has it and as far as it was recorded."""
    run = {name: record["run"][name] for name in ("weights_sha256", "steps", "examples") if name in record["run"]}
    return json.loads(json.dumps(run | {part: record[part] for part in COMPUTED if part in record}))


def surroundings(record: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what differs between the machine and the libraries of a record and those of `now`."""
    before = record["versions"] | {name: record["run"].get(name) for name in CHOICES}
    return differences(before, now["versions"] | {name: now["run"].get(name) for name in CHOICES})


def rerun(
    path: Path, output_dir: Path | None = None, trust_remote_code: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train again what a `results.json` says was trained.

    Args:
        path (`Path`): the file, or the folder of its run.
        output_dir (`Path`, *optional*): keep the new run there; by default in a folder that is removed again.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code of the model; what the file says of this
            does not count.

    Returns:
        The record of the file, and the new one.

    Raises:
        UsageError: if there is no such file, it is none of a training, names files to configure it by, or asks for
            another number of processes than there are.
        TrainingError: if the training fails.
    """
    path, *others = find_results([path])
    if others:
        raise UsageError(f"{path} is one of {len(others) + 1} results.json there: name one")
    read_record(path)
    before = json.loads(path.read_text(encoding="utf-8"))
    recipe, run = before["recipe"], before["run"]
    if not recipe:
        raise UsageError(f"{path} was measured, not trained: nextfail report {path} shows the command that repeats it")
    if named := sorted(set(NOT_PARSED) & recipe.keys()):
        raise UsageError(f"{path}: its recipe has {named[0]}, which is not taken from a record: run the recipe itself")
    if output_dir is not None and (output_dir / Path(run["name"]).name).absolute() == path.absolute().parent:
        raise UsageError(f"--output_dir {output_dir} would overwrite the run that is compared with: name another")
    processes, here = run.get("num_processes", 1), PartialState().num_processes
    if processes != here:
        raise UsageError(
            f"{path} was trained by {processes} processes, and here {'is' if here == 1 else 'are'} {here}: "
            f"accelerate launch --num_processes {processes} -m hf_nextfail.commands.main rerun {path}"
        )
    with tempfile.TemporaryDirectory(prefix="nextfail-rerun-") as scratch:
        name = Path(run["name"]).name
        left_out = (*PLACES, "trust_remote_code")
        options = {key: value for key, value in recipe.items() if key not in left_out}
        (Path(scratch) / f"{name}.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
        options = ["--config", f"{scratch}/{name}.yaml", "--output_dir", str(output_dir or scratch)]
        options += ["--trust_remote_code", str(trust_remote_code).lower()]
        (again,) = parse_runs([*options, "--report_to", "none"])
        if run.get("num_threads"):
            torch.set_num_threads(run["num_threads"])
        after, _ = execute(
            dataclasses.replace(again, name=run["name"]), {key: run[key] for key in CHOICES if key in run}
        )
    return before, after
