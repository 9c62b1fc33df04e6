"""What a results.json may hold: its keys and their types, and how a record of version 1 becomes one of version 2."""

import copy
import re
import reprlib
from collections.abc import Mapping
from types import NoneType
from typing import Any

from hf_nextfail.data.registration import NAMESPACE, task_called

SCHEMA_VERSION = 2

#: How deep a record is nested at most, what every number lies within, and how long the name of a version is at most.
DEEPEST, LARGEST, LONGEST_VERSION = 50, 2**63 - 1, 200
#: As many threads or processes as any machine has.
MOST_AT_ONCE = 2**16
#: What no terminal and no file of text is to be given: control characters, and halves of characters.
HALVES = re.compile("[\ud800-\udfff]")
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: Where texts stand that a model wrote, which hold any character.
WRITTEN = ("diagnosis.examples.", "diagnosis.drawing.")

Types = tuple[type, ...]
#: The keys of `run`, in the order of a file, and the types that each may have. A `float` may be a whole number.
RUN: dict[str, Types] = {
    "name": (str,),
    "started_from": (str, NoneType),
    "task": (str, NoneType),
    "dataset_name": (str, NoneType),
    "dataset_config": (str, NoneType),
    "split": (str,),
    "rows_sha256": (str, NoneType),
    "title": (str,),
    "model": (str,),
    "dataset_seed": (int, NoneType),
    "hard_node": (int, NoneType),
    "objective": (str, NoneType),
    "objective_options": (dict, NoneType),
    "decoding": (str,),
    "sampling": (dict, NoneType),
    "num_parameters": (int,),
    "num_head_parameters": (int, NoneType),
    "num_trainable_parameters": (int, NoneType),
    "seed": (int, NoneType),
    "steps": (int, NoneType),
    "epochs": (float, NoneType),
    "examples": (int, NoneType),
    "stopped_at_accuracy": (bool, NoneType),
    "precision": (str,),
    "fast_path": (list, NoneType),
    "device": (str,),
    "device_name": (str, NoneType),
    "num_threads": (int, NoneType),
    "num_processes": (int, NoneType),
    "weights_sha256": (str, NoneType),
    "sources": (dict, NoneType),
    "diagnosis_absent": (str, NoneType),
    "prompting": (dict, NoneType),
}
PROMPTING: dict[str, Types] = {"num_shots": (int,), "chat": (bool,), "max_new_tokens": (int,)}
SAMPLING: dict[str, Types] = {"num_samples": (int,), "temperature": (float,), "seed": (int,)}
TIMINGS = ("train_seconds", "examples_per_second", "evaluation_seconds")
#: The keys of `diagnosis`, and what each is where an earlier version did not write it.
DIAGNOSIS = {
    "task": {},
    "numbers": {},
    "absent": {},
    "calibration": [],
    "errors": {},
    "examples": {},
    "drawing": None,
    "verdict": None,
}
#: The results that are one number, and those that are one number a node, on whichever rows.
SCALARS = (
    *("loss", "accuracy", "hard_token_accuracy", "forced_hard_token_accuracy"),
    *("answer_rate", "choice_accuracy", "choice_mass"),
)
PER_NODE = ("token_accuracy", "forced_token_accuracy")
PREFIXES = ("", "train_", "test_file_")

WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def check(where: str, value: Any, *types: type) -> None:
    """Raise `ValueError` unless a value has one of the types; a whole number is a `float`, `true` is not a number."""
    for kind in types:
        if isinstance(value, bool) and kind is not bool:
            continue
        if isinstance(value, (int, float) if kind is float else kind):
            return
    allowed = " or ".join(WORDS[kind] for kind in types)
    raise ValueError(f"not what a run writes: {where} must be {allowed}, got {reprlib.repr(value)}")


def check_values(data: Any, at: str = "") -> None:
    """Raise `ValueError` for what JSON can say and no run writes, wherever it stands in what was read of a file.

    Args:
        data: what was read.
        at (`str`, *optional*): where in a record it stands.
    """
    places = [(at, 0, data)]
    while places:
        where, depth, value = places.pop()
        if depth > DEEPEST:
            raise ValueError(f"not what a run writes: it is nested too deeply, more than {DEEPEST} levels")
        if isinstance(value, dict):
            for key in value:
                check_text(f"each key of {where or 'the file'}", str(key))
            prefix = f"{where}." if where else ""
            places += [(f"{prefix}{key}", depth + 1, entry) for key, entry in value.items()]
        elif isinstance(value, list):
            places += [(f"{where}[{number}]", depth + 1, entry) for number, entry in enumerate(value)]
        elif isinstance(value, str):
            check_text(where, value, any_character=where.startswith(WRITTEN))
        elif isinstance(value, int) or (isinstance(value, float) and not where.startswith("recipe.")):
            check_size(where, value)


def check_text(where: str, text: str, any_character: bool = False) -> None:
    """Raise `ValueError` if a text holds control characters but tabs and new lines, or halves of characters."""
    if HALVES.search(text) or (not any_character and CONTROLS.search(text)):
        raise ValueError(f"not what a run writes: {where} must hold no control characters, got {reprlib.repr(text)}")


def check_size(where: str, number: float) -> None:
    """Raise `ValueError` if a number is not finite, or larger than any that is counted or measured."""
    if not abs(number) <= LARGEST:
        raise ValueError(f"not what a run writes: {where} must lie within 64 bits, got {reprlib.repr(number)}")


def decoding_of(objective: Any) -> str:
    """Name how checkpoints decoded that were trained with an objective before records said it."""
    return "parallel" if objective == "teacherless" else "autoregressive"


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a record of version 1 into one of version 2: it says how the model decodes, also where it is diagnosed."""
    run, diagnosis = data.get("run"), data.get("diagnosis")
    data = {**data, "schema_version": SCHEMA_VERSION}
    if isinstance(run, dict):
        data["run"] = {"decoding": decoding_of(run.get("objective")), **run}
    if isinstance(diagnosis, dict) and isinstance(diagnosis.get("task"), dict):
        task = dict(diagnosis["task"])
        decoding = decoding_of(task.pop("objective", None))
        data["diagnosis"] = diagnosis | {"task": {**task, "decoding": task.get("decoding", decoding)}}
    return data


def task_name(dataset_name: Any) -> str | None:
    """Name the task of ours that a dataset is of, as records did not always say."""
    ours = isinstance(dataset_name, str) and dataset_name.startswith(f"{NAMESPACE}/")
    return dataset_name.removeprefix(f"{NAMESPACE}/") if ours else None


def filled(parts: dict[str, Any]) -> dict[str, Any]:
    """Give the parts of a record every key that readers look up: `None`, or what was meant by its absence."""
    parts = {"timings": {}, "test_file": None, "diagnosis": None, "recipe": None} | parts
    for part in ("run", "results", "chance", "versions", "timings"):
        check(part, parts.get(part), dict)
    check("history", parts.get("history"), list)
    diagnosis = parts["diagnosis"]
    if diagnosis is not None:
        check("diagnosis", diagnosis, dict)
        diagnosis = copy.deepcopy(DIAGNOSIS) | diagnosis
        check("diagnosis.task", diagnosis["task"], dict)
        diagnosis["task"] = {"reverse": False} | diagnosis["task"]
    test_file = parts["test_file"]
    check("test_file", test_file, dict, NoneType)
    if test_file is not None:
        test_file = {"seen_share": None} | test_file
    for number, point in enumerate(parts["history"]):
        check(f"history[{number}]", point, dict)
    known = {"split": "test", "task": task_name(parts["run"].get("dataset_name"))}
    return {
        "run": dict.fromkeys(RUN) | known | parts["run"],
        "results": parts["results"],
        "chance": {"hard_token_accuracy": None} | parts["chance"],
        "test_file": test_file,
        "diagnosis": diagnosis,
        "history": [dict.fromkeys(("step", "accuracy", "loss", "diagnosis")) | point for point in parts["history"]],
        "recipe": parts["recipe"],
        "versions": parts["versions"],
        "timings": dict.fromkeys(TIMINGS) | parts["timings"],
    }


def check_parts(parts: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless the parts of a record, all keys filled, can be shown.

    What a drawing is made of is not looked at: a picture that fails is left out of a page.
    """
    run = parts["run"]
    for key, types in RUN.items():
        check(f"run.{key}", run[key], *types)
    for key in ("num_threads", "num_processes"):
        if run[key] is not None and not 1 <= run[key] <= MOST_AT_ONCE:
            raise ValueError(f"not what a run writes: run.{key} must be from 1 to {MOST_AT_ONCE:,}, got {run[key]}")
    for number, name in enumerate(run["fast_path"] or ()):
        check(f"run.fast_path[{number}]", name, str)
    for part, kinds in (("prompting", PROMPTING), ("sampling", SAMPLING)):
        for key, types in kinds.items() if run[part] is not None else ():
            check(f"run.{part}.{key}", run[part].get(key), *types)
    task_class = None if run["dataset_name"] is None else task_called(run["dataset_name"])
    if task_class is not None:
        check("run.dataset_config", run["dataset_config"], str)
    for name, text in parts["versions"].items():
        check(f"versions.{name}", text, str)
        if len(text) > LONGEST_VERSION:
            raise ValueError(f"not what a run writes: versions.{name} must be at most {LONGEST_VERSION} characters")
    for name in ("hf_nextfail", "metrics", *([] if task_class is None else [task_class.name])):
        check(f"versions.{name}", parts["versions"].get(name), str)
    check_results(parts["results"])
    for name, chance in parts["chance"].items():
        check(f"chance.{name}", chance, float, NoneType)
    for key in TIMINGS:
        check(f"timings.{key}", parts["timings"][key], float, NoneType)
    check("recipe", parts["recipe"], dict, NoneType)
    for name in parts["recipe"] or {}:
        if not name.isidentifier():
            raise ValueError(
                f"not what a run writes: an option of recipe must be an identifier, got {reprlib.repr(name)}"
            )
    if "test_file" in (parts["recipe"] or {}):
        check("recipe.test_file", parts["recipe"]["test_file"], str)
    if parts["test_file"] is not None:
        check("test_file.path", parts["test_file"].get("path"), str)
        for name in ("seen_share", "train_share"):  # an earlier version counted what hashes to the train split
            check(f"test_file.{name}", parts["test_file"].get(name), float, NoneType)
    check_history(parts["history"])
    if parts["diagnosis"] is not None:
        check_diagnosis(parts["diagnosis"])


def check_estimate(where: str, estimate: Any, lists: bool | None = None) -> None:
    """Raise `ValueError` unless a number has its standard error and its rows; `lists`: whether it is one a node."""
    check(where, estimate, dict)
    types = {None: (float, list), True: (list,), False: (float,)}[lists]
    for key in ("value", "standard_error"):
        check(f"{where}.{key}", estimate.get(key), *types)
        for entry in estimate[key] if isinstance(estimate[key], list) else ():
            check(f"{where}.{key}", entry, float)
    if isinstance(estimate["value"], list) != isinstance(estimate["standard_error"], list):
        raise ValueError(f"not what a run writes: {where} must have a standard error for each value")
    for key in ("n", "num_graphs"):
        check(f"{where}.{key}", estimate.get(key), int)


def check_results(results: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless each number of `results` is one, or `None`, and the accuracy is there."""
    lists = {prefix + name: name in PER_NODE for prefix in PREFIXES for name in (*SCALARS, *PER_NODE)}
    for name, estimate in results.items():
        if estimate is not None:
            check_estimate(f"results.{name}", estimate, lists.get(name))
    check("results.accuracy", results.get("accuracy"), dict)


def check_history(history: list[dict[str, Any]]) -> None:
    """Raise `ValueError` unless each evaluation has its step and its numbers, with one number a node of each path."""
    lengths = set()
    for number, point in enumerate(history):
        where = f"history[{number}]"
        check(f"{where}.step", point["step"], int)
        check(f"{where}.accuracy", point["accuracy"], float)
        check(f"{where}.loss", point["loss"], float, NoneType)
        check(f"{where}.diagnosis", point["diagnosis"], dict, NoneType)
        for name, value in (point["diagnosis"] or {}).items():
            check(f"{where}.diagnosis.{name}", value, *((dict,) if name == "errors" else (float, list, NoneType)))
        nodes = (point["diagnosis"] or {}).get("token_accuracy")
        if nodes is not None:
            check(f"{where}.diagnosis.token_accuracy", nodes, list)
            lengths.add(len(nodes))
    if len(lengths) > 1:
        raise ValueError("not what a run writes: history.diagnosis.token_accuracy must have one length everywhere")


def check_diagnosis(diagnosis: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless a diagnosis has numbers, kinds of errors, examples and a verdict that can be shown."""
    for key in ("numbers", "absent", "errors", "examples"):
        check(f"diagnosis.{key}", diagnosis[key], dict)
    check("diagnosis.verdict", diagnosis["verdict"], str)
    check("diagnosis.drawing", diagnosis["drawing"], dict, NoneType)
    check("diagnosis.task.reverse", diagnosis["task"]["reverse"], bool)
    check_estimate("diagnosis.numbers.accuracy", diagnosis["numbers"].get("accuracy"), lists=False)
    for name, estimate in diagnosis["numbers"].items():
        if estimate is not None:
            check_estimate(f"diagnosis.numbers.{name}", estimate)
    for name, reason in diagnosis["absent"].items():
        check(f"diagnosis.absent.{name}", reason, str)
    for kind, share in diagnosis["errors"].items():
        check_estimate(f"diagnosis.errors.{kind}", share, lists=False)
    for kind, rows in diagnosis["examples"].items():
        check(f"diagnosis.examples.{kind}", rows, list)
        for number, row in enumerate(rows):
            where = f"diagnosis.examples.{kind}[{number}]"
            check(where, row, dict)
            for key in ("prompt", "completion", "written"):
                check(f"{where}.{key}", row.get(key), str)
