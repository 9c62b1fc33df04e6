"""Configurations as names, such as `d2_l5_n50`, and back: see `Task.codes`."""

import re
from collections.abc import Mapping
from typing import Any


def coded_name(values: Mapping[str, Any], codes: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Write the values of fields behind their codes, in the order of the codes."""
    parts = []
    for name, code in codes.items():
        value = values[name]
        left_out = value is False or (code.startswith("_") and value == defaults[name])
        if not left_out:
            parts.append(code.removeprefix("_") + ("" if value is True else str(value)))
    return "_".join(parts)


def form_of_names(codes: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Write the regular expression of the configuration names of a task, of the codes and defaults of its fields."""
    if not codes:
        return "-".join(f"{name}_(?P<{name}>.+?)" for name in defaults) or "default"
    form = ""
    for name, code in codes.items():
        begin = "_" * bool(form) + code.removeprefix("_")
        if isinstance(defaults[name], bool):
            form += f"(?P<{name}>{begin})?"
        elif code.startswith("_"):  # left out by default
            form += f"(?:{begin}(?P<{name}>.+?))?"
        else:
            form += f"{begin}(?P<{name}>.+?)"
    return form


def readable(form: str) -> str:
    """Write the form of configuration names for people: `digits_<digits>`, or `l<length>[_rev][_s<seed_length>]`."""
    form = re.sub(r"\(\?P<\w+>(_\w+)\)\?", r"[\1]", form)
    form = re.sub(r"\(\?P(<\w+>)\.\+\?\)", r"\1", form)
    return re.sub(r"\(\?:(.*?)\)\?", r"[\1]", form)


def value_of(name: str, text: str, default: Any) -> Any:
    """Read the value of a field of a configuration name, of the type that its default has.

    Raises:
        ValueError: if the text is of another type, or is not how that value is written.
    """
    kind = type(default)
    if kind is bool and text in ("True", "False"):
        return text == "True"
    try:
        if kind in (int, float, str) and str(kind(text)) == text:
            return kind(text)
    except ValueError:
        pass  # not a number
    raise ValueError(f"{name} must be written like {default!r}, got {text!r}")
