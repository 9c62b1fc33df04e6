"""Recipes and command lines to checked options."""

import argparse
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from hf_nextfail.data.own_dataset import name_of_data
from hf_nextfail.errors import UsageError, check_output_folder, did_you_mean
from hf_nextfail.files import read_yaml, shipped_folder
from hf_nextfail.objectives import objective_class
from hf_nextfail.own_code import check_named, sources_of
from hf_nextfail.reporting.record import is_local
from hf_nextfail.runs.options import DataArguments, ModelArguments
from hf_nextfail.tasks import SPLITS, TASKS
from hf_nextfail.training.arguments import NextFailTrainingArguments

#: What a command line without `--config` runs: the paper's contrast.
DEFAULT_RECIPES = (
    "star_graph/teacher_forced/contrast.yaml",
    "star_graph/teacherless/contrast.yaml",
    "star_graph/reversed/contrast.yaml",
)


#: What a run does whatever these say, since its evaluation is ours.
NO_EFFECT = (
    "batch_eval_metrics",
    "bf16_full_eval",
    "eval_accumulation_steps",
    "eval_do_concat_batches",
    "eval_use_gather_object",
    "fp16_full_eval",
    "include_for_metrics",
    "prediction_loss_only",
)
#: What every run does, whether asked to or not.
ALWAYS = ("do_train", "do_eval", "do_predict")


@dataclass(frozen=True)
class Run:
    """Hold one checked run: what a recipe and the command line ask for together.

    Args:
        name (`str`): what is run, such as `star_graph/teacherless/d2_l3_n20-gpt2`; the run's folder inside
            `output_dir`.
        started_from (`str`, *optional*): the name of the recipe, such as `star_graph/teacherless/smoke`, if it is one
            of ours.
        recipe (`dict`): every option that differs from its default, as it can be written to YAML and run again;
            without the Hub token.
        data (`DataArguments`), model (`ModelArguments`), training (`NextFailTrainingArguments`): the options.
    """

    name: str
    started_from: str | None
    recipe: dict[str, Any]
    data: DataArguments
    model: ModelArguments
    training: NextFailTrainingArguments

    @property
    def folder(self) -> Path:
        """Where everything of this run goes."""
        return Path(self.training.output_dir)

    @property
    def sources(self) -> dict[str, Any] | None:
        """Whose code the run takes that is not ours: see `hf_nextfail.own_code.sources_of`."""
        task = self.data.generated
        return sources_of(
            objective=objective_class(self.training.objective), task=None if task is None else type(task)
        )


def word_or_truth(word: str) -> str:
    """Read what to count of the input tokens: `all`, `non_padding` or `no`, or whether to count all."""
    word = {"true": "all", "false": "no"}.get(word.lower(), word)
    if word not in ("all", "non_padding", "no"):
        raise argparse.ArgumentTypeError(f"must be all, non_padding or no, got {word!r}")
    return word


class GivenOnce(argparse._StoreAction):
    """Store an option: values that are given apart are one list, and what is one value is given once."""

    def __call__(self, parser: "RecipeParser", namespace: argparse.Namespace, values: Any, option: str | None = None):
        """Store it, or refuse it."""
        if self.dest in parser.given:
            if self.nargs not in ("+", "*"):
                parser.error(f"{option} is given twice: give it once")
            values = [*getattr(namespace, self.dest), *values]
        parser.given.add(self.dest)
        super().__call__(parser, namespace, values, option)


class RecipeParser(HfArgumentParser):
    """Parse options strictly: no abbreviations, no option twice, and errors that are exceptions of one line."""

    def __init__(self):
        super().__init__(
            (DataArguments, ModelArguments, NextFailTrainingArguments),
            prog="finetune.py",
            usage="accelerate launch recipes/finetune.py [--config RECIPE ...] [--OPTION VALUE ...]",
            description="Train causal LMs on star graphs and say how well they plan. Without --config: the paper's "
            "contrast, three small trainings in a few minutes on a CPU. Options apply to all recipes and win over "
            "what the recipes say.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        option = {action.dest: action for action in self._actions}
        # HfArgumentParser takes one value where a field is a string or a list of them, and text for no truth value.
        option["report_to"].nargs = "+"
        option["include_num_input_tokens_seen"].type = word_or_truth
        option["liger_kernel_config"].type = str
        # Without a value it shows tracebacks alone, which `finetune.main` does: the value is the default, and so not
        # recorded.
        debug = option["debug"]
        debug.nargs, debug.const, debug.type = "?", debug.default, str
        debug.help = f"Show the traceback of an error. With a value, also what transformers does: {debug.help}"
        self.add_argument(
            "--config", nargs="+", metavar="RECIPE", help="YAML files of options, run one after the other."
        )

    def _add_dataclass_arguments(self, *args: Any, **kwargs: Any) -> None:
        for name in (None, "store"):
            self.register("action", name, GivenOnce)
        super()._add_dataclass_arguments(*args, **kwargs)

    def error(self, message: str):
        """Raise instead of printing a page of usage."""
        raise UsageError(message.replace("argument ", "", 1))

    def check_key(self, key: str, shown: str) -> None:
        """Raise `UsageError` unless `key` is an option, naming the near one."""
        known = {action.dest for action in self._actions} - {"config", "help"}
        if key not in known:
            raise UsageError(f"there is no option {shown}{did_you_mean(key, known) or '; see --help for all'}")

    def check_values(self, key: str, values: Sequence[str]) -> None:
        """Raise `UsageError` unless the option `key` can have these values, of which a recipe has a list."""
        several = key in {action.dest for action in self._actions if action.nargs in ("+", "*")}
        if not several or not values:
            allowed = "one value or more" if several else "one value and no list"
            raise UsageError(f"{key} must have {allowed}, got {values}")

    def read(self, tokens: Sequence[str], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Parse tokens to a dictionary of all options; those not given are as before, or by default as they are."""
        self.given: set[str] = set()
        options, unknown = self.parse_known_args(tokens, None if before is None else argparse.Namespace(**before))
        for token in unknown:
            if token.startswith("--"):
                key = token[2:].partition("=")[0].replace("-", "_")
                self.check_key(key, f"--{key}")
            way_on = "; recipes stand behind --config" if token.endswith((".yaml", ".yml")) else ""
            raise UsageError(f"unexpected argument {token!r}{way_on}")
        for name in ALWAYS:
            if name in self.given and not getattr(options, name):
                raise UsageError(
                    f"--{name} false has no effect: each run trains, is evaluated as eval_strategy says, and is "
                    "measured at its end; nextfail evaluate measures without training"
                )
        for name in NO_EFFECT:
            if getattr(options, name) != self.get_default(name):
                raise UsageError(f"--{name} has no effect: evaluation is hf_nextfail's own; leave it out")
        return vars(options)


def find_recipe(name: str) -> Path:
    """Find a recipe: a file, or the name of one of ours as from the checkout (`recipes/` may be left out).

    Raises:
        UsageError: if no recipe or file has that name.
    """
    if Path(name).is_file():
        return Path(name)
    if Path(name).is_dir():
        raise UsageError(f"--config: {name} is a folder; name a YAML file in it")
    folder = shipped_folder("recipes")
    ours = [path.relative_to(folder).as_posix() for path in folder.glob("*/*/*.yaml")]
    wanted = name.removeprefix("recipes/").removesuffix(".yaml") + ".yaml"
    if wanted in ours:
        return folder / wanted
    same = sorted(known for known in ours if Path(known).name == Path(wanted).name)
    hint = did_you_mean(wanted, ours) or f"; ours are {', '.join(same or sorted(ours))}"
    raise UsageError(f"--config: there is no file and no recipe {name}{hint}")


def shipped_name(path: Path) -> str | None:
    """Return `star_graph/teacherless/smoke` for a recipe of ours, in any clone, `None` for any other."""
    *_, recipes, task, training, _ = ("", "", "", *path.resolve().parts)
    return f"{task}/{training}/{path.stem}" if recipes == "recipes" and task in TASKS else None


def name_of(data: DataArguments, model: ModelArguments, training: NextFailTrainingArguments) -> str:
    """Name what is run: `star_graph/teacherless/d2_l3_n20-gpt2`, the last part being `run_name` if there is one."""
    task, objective = data.generated, objective_class(training.objective, training.objective_options).name
    what = name_of_data(data.dataset_name) if task is None else task.name
    config, source = data.dataset_config, model.model_name_or_path or model.model_type
    source = Path(source).name if is_local(source) else source
    last = training.run_name or "-".join(filter(None, (config, source, "lora" if model.use_peft else None)))
    for part in (what, objective, last):
        if part.strip(".") == "" or not part.isprintable():
            raise ValueError(f"a run cannot be named {part!r}, since no folder can: give it another run_name")
    return "/".join(re.sub(r"[/\\:]", "--", part) for part in (what, objective, last))


def recipe_tokens(path: Path, parser: RecipeParser) -> list[str]:
    """Read a recipe as the command-line tokens that it stands for.

    Raises:
        UsageError: if the file is not a YAML mapping, or a key is not an option.
    """
    try:
        recipe = read_yaml(path, as_written=True)  # whether it is a number or a text, the parser knows
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    if not isinstance(recipe, dict):
        raise UsageError(f"{path}: a recipe is a mapping of options, such as 'learning_rate: 1.0e-3'")
    tokens = []
    for key, value in recipe.items():
        values = [str(one) for one in value] if isinstance(value, list) else [value]
        try:
            parser.check_key(str(key), str(key))
            if isinstance(value, list):
                parser.check_values(key, values)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        if isinstance(value, dict):
            try:
                values = [json.dumps(value)]
            except (TypeError, ValueError) as error:  # dates, and what else JSON has not
                raise UsageError(f"{path}: {key} must hold texts, numbers and lists: {error}") from error
        tokens += [f"--{key}={one}" for one in values if one is not None]  # a word alone could be another option
    return tokens


def parse_runs(argv: Sequence[str], named: Collection[str] | None = None) -> list[Run]:
    """Parse a command line into runs, one a recipe, all checked before the first begins.

    Args:
        argv (sequence of `str`): the command line without the program's name.
        named (collection of `str`, *optional*): the references whose code may run, for recipes that are not the
            user's; by default whatever the command line and its recipes name.

    Raises:
        UsageError: with one line, for anything that is wrong.
        SystemExit: with code 0, for `--help`.
    """
    parser = RecipeParser()
    asked = parser.read(argv)
    names = asked["config"] or DEFAULT_RECIPES
    if asked["hub_model_id"] is not None and len(names) > 1:
        raise UsageError(
            f"--hub_model_id names one repository, and {len(names)} recipes would share it: leave it out, and each "
            "gets one of its own name, or push one recipe with --config"
        )
    runs: list[Run] = []
    for path in map(find_recipe, names):
        tokens = recipe_tokens(path, parser)
        try:
            of_recipe = parser.read(tokens)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        options = parser.read(argv, before=of_recipe)
        del options["config"]
        if asked["model_name_or_path"] is not None or asked["model_type"] is not None:
            # Another model: what the recipe says of its own model does not apply.
            source = ("model_name_or_path", "model_type", "tokenizer_name_or_path", "config_overrides")
            options |= {name: asked[name] for name in source}
        other_data = any(word.partition("=")[0] in ("--dataset_name", "--dataset-name") for word in argv)
        # Of the two that a recipe may name, one takes the place of the other.
        if other_data or asked["task"] is not None:
            options |= {name: asked[name] for name in ("dataset_name", "task")}
        if (options["dataset_name"], options["task"]) != (of_recipe["dataset_name"], of_recipe["task"]):  # likewise
            options |= {name: asked[name] for name in ("dataset_config", *(f"num_{split}" for split in SPLITS))}
        # The recipe is written to files and cards, where a token must never stand.
        recipe = {
            key: value for key, value in options.items() if value != parser.get_default(key) and key != "hub_token"
        }
        name = shipped_name(path) or path.stem
        try:
            check_named(options, named)
            data, model, training = parser.parse_dict(options)
            name = name_of(data, model, training)
            training.output_dir = str(Path(training.output_dir) / name)
            training.run_name, training.hub_model_id = name, training.hub_model_id or name.replace("/", "-")
            run = Run(name, shipped_name(path), recipe, data, model, training)
            check_output_folder(run.folder)
            if run.data.config is None and (run.model.model_name_or_path or run.model.tokenizer_name_or_path) is None:
                raise ValueError(
                    f"{run.data.dataset_name} needs a tokenizer: give model_name_or_path, or tokenizer_name_or_path "
                    "beside model_type"
                )
        except (ValueError, TypeError, ImportError, OSError, ArithmeticError, RecursionError) as error:
            raise UsageError(f"{name}: {' '.join(str(error).split())}") from error
        for option, value in (
            ("config_overrides", model.overrides),
            ("objective_options", training.objective_options),
        ):
            if value:
                recipe[option] = value
        if name in [other.name for other in runs]:
            raise UsageError(f"--config: two recipes are {name}, and would share a folder; give one a run_name")
        precisions = ["bf16" if one.training.bf16 else "fp16" if one.training.fp16 else "fp32" for one in [*runs, run]]
        if precisions[-1] != precisions[0]:  # accelerate is set up once a process
            raise UsageError(
                f"{name} computes in {precisions[-1]}, and {runs[0].name} in {precisions[0]}: give both the same "
                "--precision, or run them by two commands"
            )
        runs.append(run)
    return runs
