"""What options are where nobody says: reports load no torch, so it stands here, and a test holds it to the code."""

from collections.abc import Mapping
from typing import Any

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.tasks import SPLITS, StarGraph

#: Options of a recipe, of those that decide what a run is.
RECIPE: dict[str, Any] = {
    "dataset_name": f"{NAMESPACE}/{StarGraph.name}",
    **{f"num_{split}": getattr(TaskConfig, f"num_{split}") for split in SPLITS},
    "dataset_seed": TaskConfig.seed,
    "streaming": False,
    "use_peft": False,
    "objective": "teacher_forced",
    "seed": 42,
    "precision": "auto",
    "bf16": False,
    "fp16": False,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "dataloader_drop_last": False,
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.0,
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "label_smoothing_factor": 0.0,
    "eval_strategy": "no",
    "eval_delay": 0.0,
}

#: The options of our objectives.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "teacher_forced": {},
    "teacherless": {},
    "hybrid": {"weight": 0.5},
    "target_masking": {"replace": "dummy", "contiguous": False},
    "trelawney": {"probability": 0.5},
    "mtp": {"num_heads": 2, "linear": False},
    "ds_mtp": {"depth": 2, "weight": 0.3},
    "top": {"weight": 1.0, "window": None},
    "fsp": {"weight": 1.0, "tau": None},
    "jtp": {"weight": 1.0, "horizon": None},
    "nextlat": {"state_weight": 1.0, "kl_weight": 1.0, "horizon": None},
    "mutor": {"d_max": 4, "weight": 0.5},
    "bst": {},
    "masked_diffusion": {"weighting": "elbo", "num_levels": 20, "num_steps": None},
    "insertion": {},
}


def less_defaults(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is as it would be anyway."""
    return {name: value for name, value in options.items() if name not in defaults or value != defaults[name]}


def with_defaults(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a recipe leaves out; `None` says nothing."""
    return RECIPE | {name: value for name, value in recipe.items() if value is not None}
