"""What to train, on what: checked options beside those of transformers."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.own_dataset import load_own_dataset
from hf_nextfail.data.registration import NAMESPACE, task_class
from hf_nextfail.errors import did_you_mean
from hf_nextfail.evaluation.creativity import NUM_SAMPLES, TEMPERATURE, Sampling
from hf_nextfail.models.checks import check_model_source
from hf_nextfail.models.fast_path import FAST_PATHS
from hf_nextfail.own_code import FORMS, is_reference
from hf_nextfail.tasks import SPLITS, TASKS, StarGraph, Task
from hf_nextfail.tasks.base import keep_integer


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
    task: str | None = field(
        default=None,
        metadata={"help": f"A task of your own in the place of dataset_name: {FORMS}; its rows are generated here."},
    )
    dataset_config: str | None = field(
        default=None,
        metadata={
            "help": "Of the star graph d<degree>_l<path_length>_n<num_nodes>; by default d2_l5_n50. Of another task "
            "or your own data: the configuration, where there are several. With _rev for reversed paths."
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
        default=None,
        metadata={"help": "A text file in the paper's format, evaluated beside the test split of the star graph."},
    )
    num_samples: int | None = field(
        default=None,
        metadata={"help": f"Outputs drawn at the end to measure creativity, of creative tasks; {NUM_SAMPLES:,}."},
    )
    temperature: float | None = field(
        default=None,
        metadata={"help": f"At which they are drawn, without top-k or top-p; {TEMPERATURE}."},
    )

    def __post_init__(self):
        if self.task is not None:
            self.dataset_name = checked_reference(self.task, self.dataset_name)
        kind = task_class(self.dataset_name)
        for name, rows in self.sizes().items():
            if rows < 1:
                raise ValueError(f"{name} must be at least 1, got {rows}: training needs all three splits")
        #: What is generated; `None` for your own data.
        self.config: TaskConfig | None = None
        if kind is not None:
            self.config = TaskConfig.resolve(kind, self.dataset_config, **self.sizes(), seed=self.dataset_seed)
            self.dataset_config = self.config.name
        elif self.streaming:
            raise ValueError(f"streaming goes with rows that are generated, not with those of {self.dataset_name}")
        if self.test_file is not None and kind is not StarGraph:
            raise ValueError(f"test_file goes with {NAMESPACE}/{StarGraph.name}, not with {self.dataset_name}")
        self.sampling(seed=0)
        if self.test_file is not None and not Path(self.test_file).is_file():
            raise ValueError(f"test_file: there is no file {self.test_file}")

    @property
    def generated(self) -> Task | None:
        """The task whose rows are generated, `None` for your own data."""
        return self.config and self.config.task

    def sampling(self, seed: int) -> Sampling | None:
        """Say how outputs of a creative task are drawn; `None` for other rows."""
        sampling = Sampling.of(self.generated, self.num_samples, self.temperature, None)
        return sampling and replace(sampling, seed=seed)

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


def checked_reference(task: str, dataset_name: str) -> str:
    """Return the reference of `--task`, which stands in the place of a dataset's name.

    Raises:
        ValueError: if it is none, or another dataset is named, too.
    """
    if task in TASKS:
        raise ValueError(f"task must be one of your own, {FORMS}; {task} is --dataset_name {NAMESPACE}/{task}")
    if not is_reference(task):
        raise ValueError(f"task must be {FORMS}, got {task!r}")
    if dataset_name not in (task, DataArguments.dataset_name):
        raise ValueError(f"give dataset_name {dataset_name} or task {task}, not both")
    return task


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
        default=None, metadata={"help": "eager, sdpa, ...; by default the faster one that is exact."}
    )
    fast_path: list[str] = field(
        default_factory=lambda: list(FAST_PATHS),
        metadata={
            "help": f"What may be computed in a faster way, of {', '.join(FAST_PATHS)}: the same function, up to "
            "rounding. none for nothing."
        },
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
        for name in self.fast_path:
            if name not in FAST_PATHS and self.fast_path != ["none"]:
                near = did_you_mean(name, FAST_PATHS)
                raise ValueError(f"fast_path must be some of {', '.join(FAST_PATHS)}, or none, got {name!r}{near}")
        for name, low in (("lora_r", 1), ("lora_alpha", 1)):
            keep_integer(self, name, low)
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be from 0 to below 1, got {self.lora_dropout}")
        for name in ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules"):
            if not self.use_peft and getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"{name} goes with use_peft true: give that, or leave {name} out")
        if self.use_peft and self.model_name_or_path is None:
            raise ValueError("use_peft adapts a pretrained model: give model_name_or_path")
        if self.model_name_or_path is not None and self.tokenizer_name_or_path is not None:
            raise ValueError("tokenizer_name_or_path goes with model_type: a checkpoint brings its own tokenizer")
