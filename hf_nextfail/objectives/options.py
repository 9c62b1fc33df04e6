"""The options of an objective: the fields of its dataclass."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hf_nextfail.errors import did_you_mean

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    NoneType: "null",
}


def check_options(kind: type, options: Mapping[str, Any]) -> None:
    """Check options against the fields of a dataclass.

    Args:
        kind (`type`): of objective.
        options (mapping): names of fields and values, as from YAML or JSON.

    Raises:
        ValueError: in one line, if an option is unknown, is missing, or is of another type than its field.
    """
    annotated = [name for name, hint in vars(kind).get("__annotations__", {}).items() if "ClassVar" not in str(hint)]
    if annotated and "__dataclass_fields__" not in vars(kind):
        raise ValueError(f"{kind.__name__} has a field {annotated[0]} and is no dataclass: put @dataclass above it")
    known = {field.name: field for field in fields(kind) if field.init}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known)
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"objective_options: {kind.name} has no option {name!r}{hint}; {takes}")
    types = get_type_hints(kind)
    for name, field in known.items():
        if name not in options:
            if is_required(field):
                raise ValueError(f"objective_options: {kind.name} needs {name}, {describe(types[name])}")
        elif not fits(options[name], types[name]):
            allowed = describe(types[name])
            raise ValueError(f"objective_options: {name} of {kind.name} must be {allowed}, got {options[name]!r}")


def is_required(field: Field) -> bool:
    """Say whether a field has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def fits(value: Any, allowed: Any) -> bool:
    """Say whether a value is of the type that a field is annotated with; a whole number is a `float`, too."""
    origin = get_origin(allowed)
    if origin is Literal:
        return value in get_args(allowed)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in get_args(allowed))
    if origin is list:
        return isinstance(value, list) and all(fits(entry, get_args(allowed)[0]) for entry in value)
    if allowed not in WORDS:
        return True  # for the objective to judge
    if isinstance(value, bool) and allowed is not bool:
        return False
    return isinstance(value, (int, float) if allowed is float else allowed)


def describe(allowed: Any) -> str:
    """Say in words what a field may hold."""
    origin = get_origin(allowed)
    if origin is Literal:
        return " or ".join(map(str, get_args(allowed)))
    if origin in (Union, UnionType):
        return " or ".join(map(describe, get_args(allowed)))
    return WORDS.get(origin or allowed, str(allowed))
