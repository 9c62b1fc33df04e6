"""What this machine computes with, and which code runs a model on it."""

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version

import torch
from transformers import AutoConfig

from hf_nextfail.models.checks import check_model_source, refuse_unsupported
from hf_nextfail.models.fast_mamba import FAMILIES
from hf_nextfail.reporting.provenance import versions
from hf_nextfail.training.hardware import fast_bf16

#: Packages that only a Mamba on a GPU uses.
KERNELS = ("mamba_ssm", "causal_conv1d")


def describe_machine() -> dict[str, str]:
    """Name the versions, the device, the threads and the precision that `precision: auto` chooses."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    name = platform.machine() if device is None else torch.cuda.get_device_name() if device.type == "cuda" else ""
    described = dict(versions())
    for package in ("peft", "huggingface_hub", "evaluate", *KERNELS):
        try:
            described[package] = version(package.replace("_", "-"))
        except PackageNotFoundError:
            described[package] = "not installed"
    return described | {
        "device": f"{device or 'cpu'} ({name})",
        "threads": str(torch.get_num_threads()),
        "precision auto": "bf16" if fast_bf16() else "fp32",
    }


def explain_code_path(name_or_path: str) -> str:
    """Say by which code a model runs its recurrence or attention here, and why.

    Args:
        name_or_path (`str`): a checkpoint on the Hub, a folder, or a family such as `mamba`.
    """
    try:
        config = AutoConfig.for_model(name_or_path)
    except ValueError:  # not a family, so a checkpoint
        check_model_source(name_or_path, None, {})
        config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
    family = config.model_type
    refuse_unsupported(family)
    kernels = all(importlib.util.find_spec(kernel) is not None for kernel in KERNELS)
    if "mamba" not in family:
        return f"{family}: the code of transformers; attention by SDPA where the family has it, or as asked for"
    if kernels:
        return f"{family}: the official kernels, because mamba_ssm and causal_conv1d are installed; they need a GPU"
    missing = " and ".join(kernel for kernel in KERNELS if importlib.util.find_spec(kernel) is None)
    if family in FAMILIES:
        return (
            f"{family}: the scan of hf_nextfail on a CPU and that of transformers elsewhere; not installed: {missing}"
        )
    return f"{family}: the scan of transformers, by chunks in plain PyTorch; not installed: {missing}"
