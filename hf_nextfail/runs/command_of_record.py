"""From a record to the command that makes it again."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hf_nextfail.data.own_dataset import ALL_ROWS
from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.own_code import is_reference
from hf_nextfail.reporting.record import PLACES, Record
from hf_nextfail.reporting.schema import SAMPLING
from hf_nextfail.runs.recipes import RecipeParser, parse_runs
from hf_nextfail.tasks import SPLITS

TRAIN = ("accelerate", "launch", "recipes/finetune.py", "--config")
# What parsing would read from a file, or answer with a page of help: no record makes it do that.
NOT_PARSED = ("accelerator_config", "config", "deepspeed", "fsdp_config", "help")


def as_options(recipe: dict[str, Any]) -> list[list[str]]:
    """Write options as words of a command line, one list an option. A value never becomes another option."""
    options = []
    for name, value in recipe.items():
        if isinstance(value, bool):
            value = str(value).lower()
        if isinstance(value, float) and value.is_integer():  # as JSON and transformers write a number of steps
            value = int(value)
        words = [
            one if isinstance(one, str) else json.dumps(one) for one in (value if isinstance(value, list) else [value])
        ]
        as_option = any(word.startswith("-") for word in words)
        options.append([f"--{name}={word}" for word in words] if as_option else [f"--{name}", *words])
    return options


def command_of(words: Sequence[str], options: Sequence[Sequence[str]]) -> str:
    """Join words to a command that can be pasted, each option on a line of its own."""
    return " \\\n    ".join([shlex.join(words), *map(shlex.join, options)])


def recipe_alone(tokens: Sequence[str]) -> dict[str, Any] | None:
    """Return what a command line asks for, less where it goes; `None` if it is refused here. It runs nobody's code."""
    try:
        (run,) = parse_runs(tokens, named=())
    except UsageError:  # an option of another version, or a device that is not here
        return None
    return {name: value for name, value in run.recipe.items() if name not in PLACES}


def options_over(path: Path, recipe: dict[str, Any]) -> list[list[str]] | None:
    """Say which options make a shipped recipe the one that a run had; `None` if none do."""
    shipped = recipe_alone(["--config", str(path)])
    if shipped is None:
        return None
    changed = {name: value for name, value in recipe.items() if name not in shipped or shipped[name] != value}
    parser = RecipeParser()
    defaults = {name: parser.get_default(name) for name in shipped if name not in recipe}
    changed |= {name: value for name, value in defaults.items() if value is not None}
    if changed.keys() & set(NOT_PARSED):
        return None
    options = as_options(changed)
    tokens = [word for option in options for word in option]
    # What a recipe sets and a run left at a default of nothing has no option: such a run shows its own recipe.
    return options if recipe_alone(["--config", str(path), *tokens]) == recipe else None


def measuring(record: Record) -> str:
    """Write the command of a record that was measured without training."""
    run, results = record.run, record.results
    split, test_file = run["split"], record.test_file and record.test_file["path"]
    if split not in (*SPLITS, ALL_ROWS):  # a diagnosis on a file is named after it
        split, test_file = None, split
    num_rows, of_file = results["accuracy"]["n"], record.estimate("test_file_accuracy")
    if of_file is not None and of_file["n"] > num_rows:  # it bounds the rows of a file, too: none was given
        num_rows = None
    own = run["dataset_name"] is not None and is_reference(run["dataset_name"])
    options = {
        "task" if own else "dataset_name": run["dataset_name"],
        "dataset_config": run["dataset_config"],
        "split": split,
        "num_rows": num_rows,
        "dataset_seed": run["dataset_seed"],
        "test_file": test_file,
        "decoding": run["decoding"],
        **({name: run["sampling"][name] for name in SAMPLING} if run["sampling"] else {}),
    }
    command = "evaluate" if "loss" in results or run["prompting"] else "diagnose"
    given = {name: value for name, value in options.items() if value is not None}
    asked = []
    if run["prompting"]:
        del given["decoding"]
        numbers = {name: run["prompting"][name] for name in ("num_shots", "max_new_tokens")}
        asked = as_options({"style": "instruct"} | numbers) + ([["--chat"]] if run["prompting"]["chat"] else [])
    return command_of(["nextfail", command, run["model"]], as_options(given) + asked)


def repeat(record: Record) -> tuple[str, str | None]:
    """Say how to make a record again.

    Args:
        record (`Record`): of the run; what is not public of it does not stand in the command.

    Returns:
        The command, and the text of the `recipe.yaml` that it names, if it names one: runs of shipped recipes name
        those, and give the options that differ.
    """
    record = record.public()
    run, recipe = record.run, record.recipe
    if not recipe:
        return measuring(record), None
    shipped = shipped_folder("recipes")
    names = {path.relative_to(shipped).with_suffix("").as_posix(): path for path in shipped.glob("*/*/*.yaml")}
    started_from = run["started_from"] or run["name"]  # which was the recipe's name before
    if started_from in names:
        options = options_over(names[started_from], recipe)
        if options is not None:
            return command_of([*TRAIN, f"recipes/{started_from}.yaml"], options), None
    return command_of([*TRAIN, "recipe.yaml"], []), yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).strip()


def repeat_all(records: Sequence[Record]) -> tuple[list[str], str | None]:
    """Say how to make records again with at most one recipe, which holds the options that they share.

    Args:
        records (sequence of `Record`): of the runs.

    Returns:
        The command of each, and the text of the `recipe.yaml` that commands name, if one of them does.
    """
    repeated = [(*repeat(record), record.public().recipe) for record in records]
    first, *others = [recipe for _, text, recipe in repeated if text is not None] or [{}]
    shared = {
        name: value for name, value in first.items() if all(name in other and other[name] == value for other in others)
    }
    commands = []
    for command, text, recipe in repeated:
        if text is not None:
            own = {name: value for name, value in recipe.items() if name not in shared}
            command = " ".join(map(shlex.join, [[*TRAIN, "recipe.yaml"], *as_options(own)]))
        commands.append(command)
    return commands, yaml.safe_dump(shared, sort_keys=False, allow_unicode=True).strip() if shared else None
