"""Which protocol a record belongs to: its recipe says so, by its values, never a name that somebody gave it."""

import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.errors import UsageError
from hf_nextfail.own_code import references_in, without_folder
from hf_nextfail.reporting.grid import Cell, grid_file, protocol_files, read_grid
from hf_nextfail.reporting.record import NOT_GIVEN, PLACES, Record
from hf_nextfail.reporting.schema import check_values
from hf_nextfail.reporting.trainings import objective_of
from hf_nextfail.tasks import StarGraph

#: Options that change what is seen and kept of a run, and how the same function is computed: not what it is.
WITHOUT_EFFECT = re.compile(
    "attn_implementation|dataloader_(num|persistent|pin|prefetch)|debug|disable_tqdm|eval_on_start|fast_path|include_|"
    "log|num_diagnosed|per_device_eval|save_|test_file"
)
#: Options that say which cell of a protocol a run is: they are compared on their own.
OF_CELL = ("dataset_config", "dataset_name", "objective", "objective_options", "reverse", "seed", "task")
OF_MODEL = ("config_overrides", "model_name_or_path", "model_type")
# The rows of a step are the product of these and the number of processes.
ROWS, ACCUMULATED = "per_device_train_batch_size", "gradient_accumulation_steps"

#: Which task, configuration (without `_rev`) and model.
Setting = tuple[str, str, str]


def values_of(options: Mapping[str, Any], num_processes: int = 1) -> dict[str, Any]:
    """Return what a recipe fixes beside the objective, the data and the seed; `batch`: the rows of a step.

    Raises:
        TypeError, ValueError: if it is not one that can be run.
    """
    left_out = (*PLACES, *OF_CELL, ROWS, ACCUMULATED)
    kept = {name: value for name, value in options.items() if name not in left_out and not WITHOUT_EFFECT.match(name)}
    kept = {name: value for name, value in kept.items() if name not in NOT_GIVEN or value != NOT_GIVEN[name]}
    # What transformers takes as JSON stands in a recipe as the text of it.
    kept |= {
        name: from_text(name, value) for name, value in kept.items() if isinstance(value, str) and value[:1] == "{"
    }
    factors = (options.get(ROWS, 8), options.get(ACCUMULATED, 1), num_processes)
    if not all(isinstance(factor, int) for factor in factors):
        raise ValueError(f"{ROWS} and {ACCUMULATED} must be whole numbers")
    kept["batch"] = math.prod(factors)
    return json.loads(json.dumps(kept))


def from_text(name: str, text: str) -> Any:
    """Read an option that stands in a recipe as the text of JSON; raise `ValueError` if it is none of a record."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check_values(value, f"recipe.{name}")
    return value


def without_reversal(config: str) -> str:
    """Name the configuration that a training on reversed paths is about."""
    return config.removesuffix("_rev")


@dataclass(frozen=True)
class Protocol:
    """What is the same for every contestant.

    Args:
        name (`str`): such as `small`.
        grid (`str`): what `nextfail reproduce` calls it: the name of one of ours, else the file.
        settings (`dict`): from task, configuration and model to the values that a recipe must have; see `values_of`.
        models (`dict`): the families of the models.
        seeds (`dict`): from a setting to its seeds, in order.
        trainings (`dict`): from the name of a training in the file to its objective, its options and whether it
            writes reversed paths.
        graphs (`dict`): what the names of cells call a task's configuration.
    """

    name: str
    grid: str
    settings: dict[Setting, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    seeds: dict[Setting, list[int]] = field(default_factory=dict)
    trainings: dict[str, tuple[str, dict[str, Any], bool]] = field(default_factory=dict)
    graphs: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Protocol":
        """Read the file of a protocol.

        Raises:
            UsageError: in one line, if it is not one, or two of its blocks disagree.
        """
        name = grid_file(path).get("protocol")
        if name is None:
            raise UsageError(f"{path} is no protocol: its first line must be protocol: NAME")
        protocol = cls(name, name if path in protocol_files() else str(path))
        for cell in read_grid(path):
            protocol.add(path, cell)
        return protocol

    def add(self, path: Path, cell: Cell) -> None:
        """Take up what a cell says of its setting, its training and its seed."""
        options = cell.options
        task = options.get("dataset_name", f"{NAMESPACE}/{StarGraph.name}").removeprefix(f"{NAMESPACE}/")
        config, values = without_reversal(options["dataset_config"]), values_of(options)
        setting = (task, config, cell.model)
        if self.settings.setdefault(setting, values) != values:
            raise UsageError(f"{path}: block {cell.block} gives {cell.name} other values than a block before it")
        seeds = self.seeds.setdefault(setting, [])
        if cell.seed not in seeds:
            seeds.append(cell.seed)
        self.models[cell.model] = options.get("model_type") or options.get("model_name_or_path")
        self.graphs[task, config] = cell.graph
        objective = options.get("objective", "teacher_forced"), options.get("objective_options", {})
        self.trainings[cell.training] = (*objective, options["dataset_config"] != config)

    def contestants(self) -> Iterator[tuple[str, "Contestant"]]:
        """Yield what the file calls each of its trainings, and what competes there."""
        for name, (objective, options, reverse) in self.trainings.items():
            yield name, Contestant(objective, json.dumps(options, sort_keys=True), reverse)


@dataclass(frozen=True)
class Contestant:
    """What competes in a protocol: the one part of a recipe that is free.

    Args:
        objective (`str`): its name.
        options (`str`): its `objective_options` as JSON.
        reverse (`bool`): whether it writes paths from the goal to the start.
        reference (`str`, *optional*): the file, without its folder, and the class of an objective that is not ours.
        sha256 (`str`, *optional*): of that file.
    """

    objective: str
    options: str = "{}"
    reverse: bool = False
    reference: str | None = None
    sha256: str | None = None

    @property
    def title(self) -> str:
        """Say in words what it is."""
        options = [f"{name} {json.dumps(value)}" for name, value in json.loads(self.options).items()]
        own = [] if self.sha256 is None else [f"{self.reference or 'a file'} with SHA-256 {self.sha256[:8]}"]
        return ", ".join([self.objective, *["reversed paths"] * self.reverse, *options, *own])


@dataclass(frozen=True)
class Place:
    """Where in a protocol a record stands: its cell, and its seed there."""

    protocol: str
    task: str
    config: str
    model: str
    contestant: Contestant
    seed: int


class NoPlace(ValueError):
    """A record belongs to no protocol; one line says why."""


@cache
def our_protocols() -> tuple[Protocol, ...]:
    """Read the protocols that ship with the package."""
    return tuple(map(Protocol.read, protocol_files()))


def protocols_with(files: Iterable[Path]) -> tuple[Protocol, ...]:
    """Read protocols of somebody's own beside ours.

    Raises:
        UsageError: in one line, if a file is not one, or has the name of another.
    """
    protocols = {protocol.name: protocol for protocol in our_protocols()}
    for path in files:
        protocol = Protocol.read(path)
        if protocols.setdefault(protocol.name, protocol) is not protocol:
            raise UsageError(f"{path}: there is another protocol {protocol.name}: give it a name of its own")
    return tuple(protocols.values())


def contestant_of(record: Record) -> Contestant:
    """Return what a record was trained with that a protocol leaves free."""
    run, options = record.run, (record.recipe or {}).get("objective_options", {})
    source = (run["sources"] or {}).get("objective")
    sha256 = source.get("sha256") if isinstance(source, dict) else None
    if not isinstance(options, dict) or not isinstance(sha256, str | None):
        raise NoPlace("its objective_options must be an object, and the SHA-256 of its file a text")
    reverse = (run["dataset_config"] or "").endswith("_rev")
    own = references_in(record.recipe or {}).get("objective")
    reference = None if own is None else without_folder(own)
    return Contestant(objective_of(record), json.dumps(options, sort_keys=True), reverse, reference, sha256)


def option_of_objective(reference: str | None) -> str:
    """Write the option that names an objective that is not ours, as a shell reads it; nothing for one of ours."""
    if reference is None:
        return ""
    return f" --objective {shlex.quote(f'./{reference}' if '.py:' in reference else reference)}"


def place_of(record: Record, protocols: Iterable[Protocol] | None = None) -> Place:
    """Find the protocol whose values the recipe of a record has, and its cell there.

    The package's version, the fast paths and what was shown or kept do not count: the same recipe is the same cell.

    Args:
        record (`Record`): of a training.
        protocols (iterable of `Protocol`, *optional*): by default ours.

    Raises:
        NoPlace: saying in one line what differs from the nearest protocol.
    """
    run, recipe = record.run, record.recipe
    if recipe is None or run["steps"] is None or run["objective"] is None:
        raise NoPlace("it was measured, not trained here: nothing says with which budget")
    if run["task"] is None or run["dataset_name"] != f"{NAMESPACE}/{run['task']}":
        raise NoPlace(f"its task, {run['dataset_name']}, is not one of ours")
    try:
        values = values_of(recipe, run["num_processes"] or 1)
    except (TypeError, ValueError):
        raise NoPlace("its recipe is not one that can be run") from None
    contestant, config, reasons = contestant_of(record), without_reversal(run["dataset_config"] or ""), []
    for protocol in our_protocols() if protocols is None else protocols:
        for setting, asked in protocol.settings.items():
            if setting[:2] != (run["task"], config):
                continue
            differing = sorted(name for name in values.keys() | asked.keys() if values.get(name) != asked.get(name))
            if not differing and run["seed"] in protocol.seeds[setting]:
                return Place(protocol.name, *setting, contestant, run["seed"])
            seeds = ", ".join(map(str, protocol.seeds[setting]))
            shown = [difference(name, asked.get(name), values.get(name)) for name in differing]
            shown = shown or [f"seed {run['seed']} is not one of {seeds}"]
            more = f", and {len(shown) - 1} more" if len(shown) > 1 else ""
            of_model = sum(name in OF_MODEL for name in differing)
            reasons.append((of_model, len(shown), f"it is not of {protocol.name}: {shown[0]}{more}"))
    if not reasons:
        raise NoPlace(f"no protocol has {run['task']} {config}")
    raise NoPlace(min(reasons)[-1])


def difference(name: str, asked: Any, there: Any) -> str:
    """Say how a value of a recipe differs from that of a protocol; of two mappings, where first."""
    if isinstance(asked, dict) and isinstance(there, dict):
        part = min(key for key in asked.keys() | there.keys() if asked.get(key) != there.get(key))
        return difference(f"{name}.{part}", asked.get(part), there.get(part))
    is_asked, is_there = ("its default" if value is None else json.dumps(value) for value in (asked, there))
    return f"{name} must be {is_asked}, got {is_there}"
