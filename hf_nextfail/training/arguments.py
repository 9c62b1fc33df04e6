"""Our own training options, beside those of transformers."""

import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate.utils import parse_flag_from_env
from transformers import TrainingArguments
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import is_liger_kernel_available

from hf_nextfail.errors import did_you_mean
from hf_nextfail.objectives import OBJECTIVES, objective_class
from hf_nextfail.own_code import FORMS
from hf_nextfail.tasks.base import keep_integer
from hf_nextfail.training.hardware import fast_bf16

logger = logging.getLogger(__name__)

#: Rows of one pass of an evaluation. On a CPU, half or twice as many take as long; a GPU is not filled by so few.
EVALUATED_TOGETHER = {"cpu": 256, "accelerator": 1024}
PRECISIONS = ("auto", "bf16", "fp32")

# Fields of transformers with their ranges, which it does not check itself before training begins.
POSITIVE = (
    "adam_epsilon",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "learning_rate",
)
NOT_NEGATIVE = (
    "weight_decay",
    "max_grad_norm",
    "neftune_noise_alpha",
    "warmup_steps",
    "eval_steps",
    "logging_steps",
    "save_steps",
    "dataloader_num_workers",
)
OF_WORKERS = ("dataloader_persistent_workers", "dataloader_multiprocessing_context")
DECAYS = ("adam_beta1", "adam_beta2")
SEEDS = ("seed", "data_seed")
# Fields that are JSON objects, and those that may also be a file of one.
OBJECTS = ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
OBJECT_FILES = ("accelerator_config", "fsdp_config")
# What reports is another package's; those that are called as their package.
TRACKER_PACKAGES = ("tensorboard", "trackio", "wandb", "mlflow", "neptune", "codecarbon", "clearml", "swanlab")


@dataclass
class NextFailTrainingArguments(TrainingArguments):
    """Extend `transformers.TrainingArguments` by five fields, and give three of its own other defaults.

    `output_dir` is `"runs"`; `logging_nan_inf_filter` off: a loss that is not finite ends the training; and
    `per_device_eval_batch_size` `None`: chosen for the device, see `EVALUATED_TOGETHER`.

    Args:
        objective (`str`, *optional*, defaults to `"teacher_forced"`): a name in `OBJECTIVES`, or a reference to a
            class of your own, `FILE.py:Class` or `package.module:Class`, which is imported.
        objective_options (`dict` or its JSON, *optional*): fields of the objective and their values.
        stop_at_accuracy (`float`, above 0 to 1, *optional*): stop as soon as validation accuracy reaches this.
        precision (`str`, *optional*, defaults to `"auto"`): `"bf16"` (autocast; weights stay float32), `"fp32"`, or
            `"auto"`: bf16 where the device is faster at it. `bf16=True` or `fp16=True` has the last word.
        num_diagnosed (`int`, >= 0, *optional*, defaults to 500): validation rows diagnosed at every evaluation; 0 for
            none. Rows of other tasks than ours are never.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    # transformers groups the options of `--help` by this.
    _argument_group_name = "training, all of transformers.TrainingArguments among them"

    output_dir: str | None = field(default="runs", metadata={"help": "Folder for all runs; each gets its own inside."})
    objective: str = field(
        default="teacher_forced",
        metadata={"help": f"How completions are learnt: {', '.join(OBJECTIVES)}, or one of your own: {FORMS}."},
    )
    objective_options: dict | str | None = field(
        default=None, metadata={"help": "Options of the objective, as JSON: '{\"weight\": 0.5}'."}
    )
    stop_at_accuracy: float | None = field(
        default=None, metadata={"help": "Stop as soon as validation accuracy reaches this, above 0 and at most 1."}
    )
    precision: str = field(
        default="auto", metadata={"help": "bf16, fp32, or auto: bf16 where the device is faster at it."}
    )

    num_diagnosed: int = field(
        default=500,
        metadata={
            "help": "Validation rows diagnosed at every evaluation, to see what is learnt when; 0 for no diagnosis, "
            "also at the end."
        },
    )

    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={"help": "Leave losses that are not finite out of the log; training ends at the first."},
    )

    per_device_eval_batch_size: int | None = field(
        default=None,
        metadata={
            "help": f"Rows of one pass of an evaluation; by default {EVALUATED_TOGETHER['cpu']} on a CPU, "
            f"{EVALUATED_TOGETHER['accelerator']} elsewhere."
        },
    )

    def __post_init__(self):
        self.objective_options = self._read_object("objective_options", self.objective_options or {})
        objective_class(self.objective, self.objective_options)
        if self.stop_at_accuracy is not None and not 0 < self.stop_at_accuracy <= 1:
            raise ValueError(f"stop_at_accuracy must be above 0 and at most 1, got {self.stop_at_accuracy}")
        if self.num_diagnosed < 0:
            raise ValueError(f"num_diagnosed must be at least 0, got {self.num_diagnosed}")
        self._check_ranges()
        self._check_objects()
        self._check_trackers()
        if self.use_liger_kernel and not is_liger_kernel_available():
            raise ValueError("use_liger_kernel needs the package liger-kernel: pip install liger-kernel")
        if self.liger_kernel_config is not None:
            self.liger_kernel_config = self._read_object("liger_kernel_config", self.liger_kernel_config)
        if self.max_steps == 0 or self.max_steps < -1:
            raise ValueError(
                f"max_steps must be at least 1, or -1 for num_train_epochs to decide, got {self.max_steps}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        # transformers refuses bf16 on a CPU that was not asked for; `accelerate launch` asks for one by the variable.
        if not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"):
            self.use_cpu = True
        if self.per_device_eval_batch_size is None:
            self.per_device_eval_batch_size = EVALUATED_TOGETHER["cpu" if self.use_cpu else "accelerator"]
        if not self.fp16 and (self.precision == "bf16" or (self.precision == "auto" and fast_bf16(self.use_cpu))):
            self.bf16 = True
        super().__post_init__()
        if self.stop_at_accuracy is not None and self.eval_strategy == IntervalStrategy.NO:
            logger.warning("stop_at_accuracy has no effect: with eval_strategy no, nothing is evaluated on the way.")

    def _check_ranges(self) -> None:
        for name in POSITIVE:
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value}")
        for name in NOT_NEGATIVE:
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        for name in DECAYS:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if self.optim_args and any(part.count("=") != 1 for part in self.optim_args.split(",")):
            raise ValueError(f"optim_args must be such as rho=0.9,alpha=0.1, got {self.optim_args!r}")
        for name in OF_WORKERS:
            if getattr(self, name) and not self.dataloader_num_workers:
                raise ValueError(f"{name} needs dataloader_num_workers above 0")
        for name in SEEDS:
            if getattr(self, name) is not None:
                keep_integer(self, name, 0, 2**32 - 1)

    def _check_objects(self) -> None:
        for name in (*OBJECTS, *OBJECT_FILES):
            value = getattr(self, name)
            if not isinstance(value, str):
                continue
            if name in OBJECT_FILES and not value.startswith("{"):
                if not Path(value).is_file():
                    raise ValueError(f"{name} must be a JSON object or a file of one; there is no file {value}")
                continue
            self._read_object(name, value)

    @staticmethod
    def _read_object(name: str, value: dict | str) -> dict:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"{name} must be a JSON object, got {value!r}: {error}") from error
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be a JSON object, got {value!r}")
        return value

    def _check_trackers(self) -> None:
        names = [self.report_to] if isinstance(self.report_to, str) else self.report_to or []
        if list(names) == ["no"]:  # as the strategies call it
            self.report_to = names = ["none"]
        for name in names:
            if name not in (known := (*INTEGRATION_TO_CALLBACK, "all", "none")):
                raise ValueError(
                    f"report_to must be some of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
                )
            if name in TRACKER_PACKAGES and name not in get_available_reporting_integrations():
                raise ValueError(f"report_to: {name} is not installed; pip install {name}, or report_to none")

    def use_precision(self, precision: str) -> None:
        """Compute in what a run began with, `bf16` or `fp32`, if the choice was left to us."""
        if self.precision == "auto" and not self.fp16:
            self.bf16 = precision == "bf16"
            self.mixed_precision = "bf16" if self.bf16 else "no"
