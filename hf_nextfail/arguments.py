"""Recipes and command lines to checked options."""

import json
from argparse import ArgumentDefaultsHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, load_dataset
from transformers import HfArgumentParser

from hf_nextfail.dataset_builder import TaskConfig
from hf_nextfail.errors import UsageError
from hf_nextfail.models.build import check_model_source
from hf_nextfail.own_dataset import load_own_dataset
from hf_nextfail.registration import NAMESPACE, task_called
from hf_nextfail.shipped import shipped_folder
from hf_nextfail.suggestion import did_you_mean
from hf_nextfail.tasks import SPLITS, TASKS, Task
from hf_nextfail.tasks.base import check_integer
from hf_nextfail.training_args import NextFailTrainingArguments

#: What a command line without `--config` runs: the paper's contrast.
DEFAULT_RECIPES = (
    "star_graph/teacher_forced/smoke.yaml",
    "star_graph/teacherless/smoke.yaml",
    "star_graph/reversed/smoke.yaml",
)


@dataclass
class DataArguments:
    """Say what to train and evaluate on."""

    _argument_group_name = "data"

    dataset_name: str = field(
        default="nextfail/star_graph",
        metadata={
            "help": f"{' or '.join(f'{NAMESPACE}/{name}' for name in TASKS)}, generated here; or your own data with "
            "the columns prompt and completion: a name on the Hub, a folder, a .json, .jsonl or .parquet file."
        },
    )
    dataset_config: str | None = field(
        default=None,
        metadata={
            "help": "d<degree>_l<path_length>_n<num_nodes>, with _rev for reversed paths; by default d2_l5_n50. Of "
            "your own data: the configuration, where there are several."
        },
    )
    num_train: int | None = field(
        default=None, metadata={"help": f"Rows of the train split; {TaskConfig.num_train:,} of ours, all of your own."}
    )
    num_validation: int | None = field(
        default=None, metadata={"help": f"Of the validation split; {TaskConfig.num_validation:,}, or all of your own."}
    )
    num_test: int | None = field(
        default=None, metadata={"help": f"Of the test split; {TaskConfig.num_test:,}, or all of your own."}
    )
    dataset_seed: int = field(default=0, metadata={"help": "Seed of the rows. (--seed is that of weights and order.)"})
    streaming: bool = field(default=False, metadata={"help": "Generate training rows as they are needed."})
    test_file: str | None = field(
        default=None, metadata={"help": "A text file in the paper's format, evaluated beside the test split."}
    )

    def __post_init__(self):
        task_class = task_called(self.dataset_name)
        for name, rows in self.sizes().items():
            if rows < 1:
                raise ValueError(f"{name} must be at least 1, got {rows}: training needs all three splits")
        #: What is generated; `None` for your own data.
        self.config: TaskConfig | None = None
        if task_class is not None:
            self.config = TaskConfig.resolve(task_class, self.dataset_config, **self.sizes(), seed=self.dataset_seed)
            self.dataset_config = self.config.name
        elif self.streaming or self.test_file is not None:
            raise ValueError(f"streaming and test_file go with {NAMESPACE}/star_graph, not with {self.dataset_name}")
        if self.test_file is not None and not Path(self.test_file).is_file():
            raise ValueError(f"test_file: there is no file {self.test_file}")

    @property
    def task(self) -> Task | None:
        """The task, `None` for your own data."""
        return self.config and self.config.task

    def sizes(self) -> dict[str, int]:
        """Return the sizes of splits that were asked for, by the names of the options of `load_dataset`."""
        sizes = {f"num_{split}": getattr(self, f"num_{split}") for split in SPLITS}
        return {name: rows for name, rows in sizes.items() if rows is not None}

    def load(self, **options: Any) -> dict[str, Dataset]:
        """Load all three splits; `options` of the generator win over those asked for."""
        if self.config is not None:
            options = self.sizes() | {"seed": self.dataset_seed} | options
            return load_dataset(self.dataset_name, self.dataset_config, **options)
        splits = load_own_dataset(self.dataset_name, self.dataset_config)
        asked = {name.removeprefix("num_"): rows for name, rows in self.sizes().items()}
        return {
            split: rows.select(range(min(asked[split], len(rows)))) if split in asked else rows
            for split, rows in splits.items()
        }


@dataclass
class ModelArguments:
    """Say which model to train."""

    _argument_group_name = "model"

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A causal LM to fine-tune: a name on the Hub, or a folder."}
    )
    model_type: str | None = field(
        default=None, metadata={"help": "A family of transformers to train from scratch: gpt2, llama, mamba, ..."}
    )
    tokenizer_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "The tokenizer of an untrained model, on the Hub or a folder; by default one token a label."
        },
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "Fields of the untrained model's configuration, as JSON: '{\"n_layer\": 4}'."}
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "eager, sdpa, ...; by default what transformers chooses."}
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "Run code that comes with the checkpoint."})
    use_peft: bool = field(
        default=False, metadata={"help": "Train low-rank adapters (LoRA) on model_name_or_path, and the dummy token."}
    )
    lora_r: int = field(default=8, metadata={"help": "Rank of the adapters."})
    lora_alpha: int = field(default=16, metadata={"help": "Their outputs are scaled by lora_alpha / lora_r."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout on their inputs."})
    lora_target_modules: list[str] | None = field(
        default=None, metadata={"help": "Names of the adapted modules; by default the family's usual ones."}
    )

    def __post_init__(self):
        try:
            self.overrides: dict[str, Any] = json.loads(self.config_overrides or "{}")
        except json.JSONDecodeError as error:
            raise ValueError(f'config_overrides must be JSON such as {{"n_layer": 4}}: {error}') from None
        if not isinstance(self.overrides, dict):
            raise ValueError(
                f'config_overrides must be a JSON object such as {{"n_layer": 4}}, got {self.overrides!r}'
            )
        check_model_source(self.model_name_or_path, self.model_type, self.overrides)
        for name, low in (("lora_r", 1), ("lora_alpha", 1)):
            check_integer(name, getattr(self, name), low)
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be from 0 to below 1, got {self.lora_dropout}")
        if self.use_peft and self.model_name_or_path is None:
            raise ValueError("use_peft adapts a pretrained model: give model_name_or_path")
        if self.model_name_or_path is not None and self.tokenizer_name_or_path is not None:
            raise ValueError("tokenizer_name_or_path goes with model_type: a checkpoint brings its own tokenizer")


@dataclass(frozen=True)
class Run:
    """Hold one checked run: what a recipe and the command line ask for together.

    Args:
        name (`str`): the recipe's, such as `star_graph/teacherless/smoke`; the run's folder inside `output_dir`.
        recipe (`dict`): every option that differs from its default, as it can be written to YAML and run again;
            without the Hub token.
        data (`DataArguments`), model (`ModelArguments`), training (`NextFailTrainingArguments`): the options.
    """

    name: str
    recipe: dict[str, Any]
    data: DataArguments
    model: ModelArguments
    training: NextFailTrainingArguments

    @property
    def folder(self) -> Path:
        """Where everything of this run goes."""
        return Path(self.training.output_dir)


class RecipeParser(HfArgumentParser):
    """Parse options strictly: no abbreviations, and errors that are exceptions of one line."""

    def __init__(self):
        super().__init__(
            (DataArguments, ModelArguments, NextFailTrainingArguments),
            prog="finetune.py",
            usage="accelerate launch recipes/finetune.py [--config RECIPE ...] [--OPTION VALUE ...]",
            description="Train causal LMs on star graphs and say how well they plan. Without --config: the paper's "
            "contrast, three small trainings in a few minutes on a CPU. Options apply to all recipes and win over "
            "what the recipes say.",
            formatter_class=ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        # HfArgumentParser takes one value where a field is a string or a list of them.
        next(action for action in self._actions if action.dest == "report_to").nargs = "+"
        self.add_argument(
            "--config", nargs="+", metavar="RECIPE", help="YAML files of options, run one after the other."
        )

    def error(self, message: str):
        """Raise instead of printing a page of usage."""
        raise UsageError(message.replace("argument ", "", 1))

    def check_key(self, key: str, shown: str) -> None:
        """Raise `UsageError` unless `key` is an option, naming the near one."""
        known = {action.dest for action in self._actions} - {"config", "help"}
        if key not in known:
            raise UsageError(f"there is no option {shown}{did_you_mean(key, known) or '; see --help for all'}")

    def read(self, tokens: Sequence[str]) -> dict[str, Any]:
        """Parse tokens to a dictionary of all options."""
        options, unknown = self.parse_known_args(tokens)
        for token in unknown:
            if token.startswith("--"):
                key = token[2:].partition("=")[0].replace("-", "_")
                self.check_key(key, f"--{key}")
            raise UsageError(f"unexpected argument {token!r}")
        return vars(options)


def find_recipe(name: str) -> Path:
    """Find a recipe: a file, or the name of one of ours as from the checkout (`recipes/` may be left out).

    Raises:
        UsageError: if there is none of that name.
    """
    if Path(name).is_file():
        return Path(name)
    folder = shipped_folder("recipes")
    ours = [path.relative_to(folder).as_posix() for path in folder.glob("*/*/*.yaml")]
    wanted = name.removeprefix("recipes/").removesuffix(".yaml") + ".yaml"
    if wanted in ours:
        return folder / wanted
    hint = did_you_mean(wanted, ours) or f"; ours are {', '.join(sorted(ours))}"
    raise UsageError(f"--config: there is no file and no recipe {name}{hint}")


def recipe_name(path: Path) -> str:
    """Return `star_graph/teacherless/smoke` for a recipe of ours, the file's stem for any other."""
    if path.resolve().is_relative_to(shipped_folder("recipes").resolve()):
        path = path.resolve().relative_to(shipped_folder("recipes").resolve())
        return path.with_suffix("").as_posix()
    return path.stem


def recipe_tokens(path: Path, parser: RecipeParser) -> list[str]:
    """Read a recipe as the command-line tokens that it stands for.

    Raises:
        UsageError: if the file is no YAML mapping, or a key is no option.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise UsageError(f"{path}: a recipe is a mapping of options, such as 'learning_rate: 1.0e-3'")
    tokens = []
    for key, value in recipe.items():
        try:
            parser.check_key(str(key), str(key))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
        if isinstance(value, dict):
            value = json.dumps(value)
        if isinstance(value, list):
            tokens += [f"--{key}", *map(str, value)]
        elif value is not None:
            tokens.append(f"--{key}={str(value).lower() if isinstance(value, bool) else value}")
    return tokens


def parse_runs(argv: Sequence[str]) -> list[Run]:
    """Parse a command line into runs, one a recipe, all checked before the first begins.

    Args:
        argv (sequence of `str`): the command line without the program's name.

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
            raise UsageError(f"{path}: {error}") from None
        options = parser.read([*tokens, *argv])
        del options["config"]
        if asked["model_name_or_path"] is not None or asked["model_type"] is not None:
            # Another model: none of what the recipe says of its own applies.
            source = ("model_name_or_path", "model_type", "tokenizer_name_or_path", "config_overrides")
            options |= {name: asked[name] for name in source}
        if options["dataset_name"] != of_recipe["dataset_name"]:  # other data: likewise
            options |= {name: asked[name] for name in ("dataset_config", *(f"num_{split}" for split in SPLITS))}
        # The recipe is written to files and cards, where a token must never stand.
        recipe = {
            key: value for key, value in options.items() if value != parser.get_default(key) and key != "hub_token"
        }
        name = recipe_name(path)
        options["output_dir"] = str(Path(options["output_dir"]) / name)
        for option, default in (("run_name", name), ("hub_model_id", name.replace("/", "-"))):
            if options[option] is None:
                options[option] = default
        try:
            run = Run(name, recipe, *parser.parse_dict(options))
            if run.data.config is None and (run.model.model_name_or_path or run.model.tokenizer_name_or_path) is None:
                raise ValueError(
                    f"{run.data.dataset_name} needs a tokenizer: give model_name_or_path, or tokenizer_name_or_path "
                    "beside model_type"
                )
        except (ValueError, TypeError, ImportError) as error:
            raise UsageError(f"{name}: {' '.join(str(error).split())}") from None
        if run.model.overrides:
            recipe["config_overrides"] = run.model.overrides
        if name in [other.name for other in runs]:
            raise UsageError(f"--config: two recipes are called {name}, and would share a folder; rename one")
        runs.append(run)
    return runs
