"""Our own training options, beside those of transformers."""

from dataclasses import dataclass, field

import torch
from accelerate.utils import parse_flag_from_env
from transformers import TrainingArguments

from hf_nextfail.objectives import OBJECTIVES

PRECISIONS = ("auto", "bf16", "fp32")

# Fields of transformers that must be positive, and that it does not check itself before training begins.
POSITIVE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "learning_rate",
)


def fast_bf16(use_cpu: bool = False) -> bool:
    """Say whether the device at hand, or the CPU beside it, computes faster in bfloat16 than in float32."""
    if torch.cuda.is_available() and not use_cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.accelerator.is_available() and not use_cpu:  # another accelerator: not measured, so not assumed
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@dataclass
class NextFailTrainingArguments(TrainingArguments):
    """Extend `transformers.TrainingArguments` by four fields. `output_dir` defaults to `"runs"`.

    Args:
        objective (`str`, *optional*, defaults to `"teacher_forced"`): a name in `OBJECTIVES`.
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
        default="teacher_forced", metadata={"help": f"How completions are learnt: {' or '.join(OBJECTIVES)}."}
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

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be {' or '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.stop_at_accuracy is not None and not 0 < self.stop_at_accuracy <= 1:
            raise ValueError(f"stop_at_accuracy must be above 0 and at most 1, got {self.stop_at_accuracy}")
        if self.num_diagnosed < 0:
            raise ValueError(f"num_diagnosed must be at least 0, got {self.num_diagnosed}")
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.max_steps == 0 or self.max_steps < -1:
            raise ValueError(
                f"max_steps must be at least 1, or -1 for num_train_epochs to decide, got {self.max_steps}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        # transformers refuses bf16 on a CPU that was not asked for; `accelerate launch` asks for one by the variable.
        if not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"):
            self.use_cpu = True
        if not self.fp16 and (self.precision == "bf16" or (self.precision == "auto" and fast_bf16(self.use_cpu))):
            self.bf16 = True
        super().__post_init__()
