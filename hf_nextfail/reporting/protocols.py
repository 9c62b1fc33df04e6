"""Which protocol a record belongs to: its recipe says so, by its values, never a name that somebody gave it."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.contestants import Contestant, contestant_of
from hf_nextfail.reporting.defaults import RECIPE, less_defaults, with_defaults
from hf_nextfail.reporting.grid import Cell, grid_file, protocol_files, read_grid
from hf_nextfail.reporting.record import PLACES, Record
from hf_nextfail.reporting.schema import WORDS, check_values
from hf_nextfail.tasks import TASKS

#: Options that change what is seen and kept of a run, and how the same function is computed: not what it is.
WITHOUT_EFFECT = re.compile(
    "attn_implementation|dataloader_(num|persistent|pin|prefetch)|debug|disable_tqdm|eval_on_start|fast_path|include_|"
    "log|num_diagnosed|per_device_eval|save_|test_file"
)
#: Options that say which cell of a protocol a run is: they are compared on their own.
OF_CELL = ("dataset_config", "dataset_name", "objective", "objective_options", "seed", "task")
OF_MODEL = ("config_overrides", "model_name_or_path", "model_type")
# The rows of a step are the product of these and the number of processes.
ROWS, ACCUMULATED = "per_device_train_batch_size", "gradient_accumulation_steps"

#: What kinds of values options have, of those that something is computed from, or that a default is known of.
KINDS = {name: type(value) for name, value in RECIPE.items()} | {
    **dict.fromkeys(("model_type", "model_name_or_path"), str),
    "objective_options": dict,
    "stop_at_accuracy": float,
}

#: Which task, configuration (without `_rev`) and model.
Setting = tuple[str, str, str]


def read_text(value: Any) -> Any:
    """Read what transformers takes as JSON, and what a recipe may have as the text of it; all else is as it is.

    Raises:
        ValueError: if it is not JSON, or holds what no record may.
    """
    if not (isinstance(value, str) and value[:1] == "{"):
        return value
    try:
        read = json.loads(value)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check_values(read, "recipe.")  # where numbers may be infinite, as a configuration has them
    return read


def values_of(options: Mapping[str, Any], num_processes: int = 1) -> dict[str, Any]:
    """Return what a recipe fixes beside the objective, the data and the seed; `batch`: the rows of a step.

    What is as by default is left out, as in a record, whether somebody wrote it or not.

    Raises:
        TypeError, ValueError: if it is not one that can be run.
    """
    left_out = (*PLACES, *OF_CELL, ROWS, ACCUMULATED)
    given = less_defaults({name: value for name, value in options.items() if value is not None}, RECIPE)
    kept = {name: value for name, value in given.items() if name not in left_out and not WITHOUT_EFFECT.match(name)}
    kept = {name: read_text(value) for name, value in kept.items()}
    asked = with_defaults(options)
    factors = (asked[ROWS], asked[ACCUMULATED], num_processes)
    if not all(isinstance(factor, int) and factor > 0 for factor in factors):
        raise ValueError(f"{ROWS} and {ACCUMULATED} must be whole numbers of 1 or more")
    kept["batch"] = math.prod(factors)
    return json.loads(json.dumps(kept))


def fits(value: Any, kind: type) -> bool:
    """Say whether a value is of a kind: a whole number is a `float`, too, and one such as 2e3 an `int`."""
    if kind is float:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    return type(value) is kind or (kind is int and type(value) is float and value.is_integer())


def check_options(cell: Cell) -> None:
    """Raise `ValueError` in one line for options of a cell that no run can have."""
    for name, value in cell.options.items():
        try:
            json.dumps(read_text(value), sort_keys=True)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must hold texts, numbers and lists, got {value!r}") from None
        if name in KINDS and not fits(value, KINDS[name]):
            raise ValueError(f"{name} must be {WORDS[KINDS[name]]}, got {value!r}")
    if "model_type" not in cell.options and "model_name_or_path" not in cell.options:
        raise ValueError(f"the model {cell.model} must have model_type or model_name_or_path")


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
        trainings (`dict`): from the name of a training in the file to what competes there.
        graphs (`dict`): what the names of cells call a task's configuration.
    """

    name: str
    grid: str
    settings: dict[Setting, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    seeds: dict[Setting, list[int]] = field(default_factory=dict)
    trainings: dict[str, Contestant] = field(default_factory=dict)
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
            try:
                protocol.add(cell)
            except (TypeError, ValueError) as error:
                raise UsageError(f"{path}: block {cell.block}: {cell.name}: {error}") from error
        return protocol

    def add(self, cell: Cell) -> None:
        """Take up what a cell says of its setting, its training and its seed.

        Raises:
            TypeError, ValueError: in one line, if it cannot be run, or an earlier one gives its setting other values.
        """
        check_options(cell)
        options = with_defaults(cell.options)
        name = options.get("task", options["dataset_name"])
        task, config = str(name).removeprefix(f"{NAMESPACE}/"), without_reversal(options["dataset_config"])
        if task not in TASKS:
            raise ValueError(f"a protocol is about a task of ours: {', '.join(TASKS)}; got {name!r}")
        TASKS[task].from_config_name(options["dataset_config"])
        setting, values = (task, config, cell.model), values_of(options)
        if self.settings.setdefault(setting, values) != values:
            raise ValueError("it has other values than in a block before: a protocol has one for all contestants")
        seeds = self.seeds.setdefault(setting, [])
        if cell.seed not in seeds:
            seeds.append(cell.seed)
        self.models[cell.model] = options.get("model_type") or options["model_name_or_path"]
        self.graphs[task, config] = cell.graph
        self.trainings[cell.training] = Contestant.of(
            options["objective"], options.get("objective_options", {}), options["dataset_config"] != config
        )

    def contestants(self) -> Iterable[tuple[str, Contestant]]:
        """Return what the file calls each of its trainings, and what competes there."""
        return self.trainings.items()


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


def check_cell(record: Record) -> None:
    """Raise `ValueError` unless a run had the seed and the data that its recipe asks for: they say where it stands."""
    run, recipe = record.run, with_defaults(record.recipe)
    task = TASKS[run["task"]]
    asked = {
        "seed": recipe["seed"],
        "dataset_name": recipe.get("task", recipe["dataset_name"]),
        "dataset_config": recipe.get("dataset_config", task().config_name),
    }
    for name, value in asked.items():
        if value != run[name]:
            raise ValueError(f"its recipe asks for {name} {value!r}, and its run had {run[name]!r}")
    if type(run["seed"]) is not int:
        raise ValueError(f"its seed must be a whole number, got {run['seed']!r}")
    task.from_config_name(run["dataset_config"])


def places_of(record: Record, protocols: Iterable[Protocol] | None = None) -> list[Place]:
    """Find the protocols whose values the recipe of a record has, and its cell in each.

    The package's version, the fast paths and what was shown or kept do not count: the same recipe is the same cell.

    Args:
        record (`Record`): of a training.
        protocols (iterable of `Protocol`, *optional*): by default ours.

    Raises:
        NoPlace: if there are none, saying in one line what differs from the nearest protocol.
    """
    run, recipe = record.run, record.recipe
    if recipe is None or run["steps"] is None or run["objective"] is None:
        raise NoPlace("it was measured, not trained here: nothing says with which budget")
    if run["task"] not in TASKS or run["dataset_name"] != f"{NAMESPACE}/{run['task']}":
        raise NoPlace(f"its task, {run['dataset_name']}, is not one of ours")
    try:
        values = values_of(recipe, run["num_processes"] or 1)
    except (TypeError, ValueError):
        raise NoPlace("its recipe is not one that can be run") from None
    try:
        check_cell(record)
        contestant = contestant_of(record)
    except ValueError as error:
        raise NoPlace(str(error)) from None
    found: dict[str, Place] = {}
    reasons, data = [], (run["task"], without_reversal(run["dataset_config"]))
    for protocol in our_protocols() if protocols is None else protocols:
        for setting in protocol.settings:
            if setting[:2] != data or protocol.name in found:
                continue
            reason = distance(protocol, setting, values, run["seed"])
            if reason is None:
                found[protocol.name] = Place(protocol.name, *setting, contestant, run["seed"])
            else:
                reasons.append(reason)
    if not found:
        raise NoPlace(min(reasons)[-1] if reasons else f"no protocol has {' '.join(data)}")
    return list(found.values())


def distance(
    protocol: Protocol, setting: Setting, values: Mapping[str, Any], seed: int
) -> tuple[int, int, str] | None:
    """Say how far a recipe is from a setting: by its model, by how many values, and in words; `None` if it has it."""
    asked, seeds = protocol.settings[setting], protocol.seeds[setting]
    differing = sorted(name for name in values.keys() | asked.keys() if values.get(name) != asked.get(name))
    if not differing and seed in seeds:
        return None
    shown = [difference(name, asked.get(name), values.get(name)) for name in differing]
    shown = shown or [f"seed {seed} is not one of {', '.join(map(str, seeds))}"]
    more = f", and {len(shown) - 1} more" if len(shown) > 1 else ""
    return sum(name in OF_MODEL for name in differing), len(shown), f"it is not of {protocol.name}: {shown[0]}{more}"


def difference(name: str, asked: Any, there: Any) -> str:
    """Say how a value of a recipe differs from that of a protocol; of two mappings, where first."""
    if isinstance(asked, dict) and isinstance(there, dict):
        part = min(key for key in asked.keys() | there.keys() if asked.get(key) != there.get(key))
        return difference(f"{name}.{part}", asked.get(part), there.get(part))
    is_asked, is_there = ("its default" if value is None else json.dumps(value) for value in (asked, there))
    return f"{name} must be {is_asked}, got {is_there}"
