"""What competes in a protocol: an objective with its options, as a record or a file says it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hf_nextfail.own_code import references_in, without_folder
from hf_nextfail.reporting.defaults import OBJECTIVES, less_defaults, with_defaults
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import objective_of


@dataclass(frozen=True)
class Contestant:
    """What competes in a protocol: the one part of a recipe that is free. Make one by `of`.

    Args:
        objective (`str`): its name.
        options (`str`): what is shown of its `objective_options`, as JSON: those that differ from our
            defaults. The defaults of an objective that is not ours are unknown: then those that a recipe gives.
        reverse (`bool`): whether it writes paths from the goal to the start.
        reference (`str`, *optional*): the file, without its folder, and the class of an objective that is not ours.
        sha256 (`str`, *optional*): of that file.
        resolved (`str`): all of its options as JSON, by which contestants are compared: a default that is written out
            makes no other one.
    """

    objective: str
    options: str = field(default="{}", compare=False)
    reverse: bool = False
    reference: str | None = None
    sha256: str | None = None
    resolved: str = "{}"

    @classmethod
    def of(
        cls,
        objective: str,
        given: Mapping[str, Any],
        reverse: bool = False,
        *,
        ran: Mapping[str, Any] | None = None,
        reference: str | None = None,
        sha256: str | None = None,
    ) -> Self:
        """Fill in the options of ours that are not given; `ran`: all options, where a record has them."""
        defaults = OBJECTIVES.get(objective, {}) if reference is None else {}
        resolved = {**defaults, **given, **(ran or {})}
        shown = less_defaults(resolved if reference is None else given, defaults)
        return cls(objective, json.dumps(shown, sort_keys=True), reverse, reference, sha256, comparable(resolved))

    @property
    def title(self) -> str:
        """Say in words what it is."""
        options = [f"{name} {json.dumps(value)}" for name, value in json.loads(self.options).items()]
        own = [] if self.sha256 is None else [f"{self.reference or 'a file'} with SHA-256 {self.sha256[:8]}"]
        return ", ".join([self.objective, *["reversed paths"] * self.reverse, *options, *own])


def comparable(options: Mapping[str, Any]) -> str:
    """Write options as JSON that is the same for equal ones: in the order of their names, and 1.0 as 1."""

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() else value

    return json.dumps(json.loads(json.dumps(options), parse_float=number), sort_keys=True)


def contestant_of(record: Record) -> Contestant:
    """Return what a record was trained with that a protocol leaves free.

    Raises:
        ValueError: in one line, if its recipe and its run do not say the same.
    """
    run, recipe = record.run, record.recipe or {}
    given, source = recipe.get("objective_options", {}), (run["sources"] or {}).get("objective")
    own, ran = references_in(recipe).get("objective"), run["objective_options"]
    if not isinstance(given, dict):
        raise ValueError(f"its objective_options must be an object, got {given!r}")
    if own is None:
        asked = with_defaults(recipe)["objective"]
        if asked != run["objective"] or source is not None:
            had = run["objective"] if source is None else source
            raise ValueError(f"its recipe asks for the objective {asked!r}, and its run had {had!r}")
        if asked not in OBJECTIVES:
            raise ValueError(f"its objective, {asked}, is not one of ours, and its recipe names no file")
        for name, value in given.items():
            if value != (ran or {}).get(name, value):
                raise ValueError(f"its recipe asks for {name} {value!r}, and its run had {ran[name]!r}")
        return Contestant.of(asked, given, is_reversed(record), ran=ran)
    reference, sha256 = without_folder(own), source.get("sha256") if isinstance(source, dict) else None
    if not isinstance(source, dict) or source.get("class") != reference.rpartition(":")[2]:
        raise ValueError(f"its recipe asks for the objective {reference!r}, and its sources name another or none")
    if not isinstance(sha256, str | None):
        raise ValueError(f"the SHA-256 of its objective's file must be a text, got {sha256!r}")
    return Contestant.of(objective_of(record), given, is_reversed(record), ran=ran, reference=reference, sha256=sha256)


def is_reversed(record: Record) -> bool:
    """Say whether a run is on the reversed paths of a configuration."""
    return (record.run["dataset_config"] or "").endswith("_rev")


def option_of_objective(name: str) -> str:
    """Write the option that names an objective, ours or a file in the working directory, as a shell reads it."""
    return f" --objective {shlex.quote(f'./{name}' if '.py:' in name else name)}"


def options_of_objective(contestant: Contestant) -> str:
    """Write the options of `nextfail reproduce` that name what a contestant brings."""
    options = "" if contestant.options == "{}" else f" --objective_options {shlex.quote(contestant.options)}"
    return option_of_objective(contestant.reference or contestant.objective) + options
