"""What a device is called, computes fast in, and how many threads and how much memory it gets."""

import ctypes
import os
import platform
import sys

import psutil
import torch

#: Options of glibc's `mallopt`, by their numbers in malloc.h.
MALLOC_OPTIONS = {
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: give nothing back
    -4: 0,  # M_MMAP_MAX: take large blocks from the heap, too
    -2: 2**26,  # M_TOP_PAD: let the heap grow by 64 MB at a time
}


def fast_bf16(use_cpu: bool = False) -> bool:
    """Say whether the device at hand, or the CPU beside it, computes faster in bfloat16 than in float32."""
    if torch.cuda.is_available() and not use_cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.accelerator.is_available() and not use_cpu:  # another accelerator: not measured, so not assumed
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def device_name(device: torch.device) -> str:
    """Name what decides how a device rounds: the model of a GPU, the instructions that torch uses of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        amx = "+AMX" if torch.cpu.get_capabilities().get("amx_bf16") else ""
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}{amx}"
    return device.type


def usable_cores() -> int:
    """Count the physical cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(psutil.cpu_count(logical=False) or 1, usable)


def set_num_threads() -> None:
    """Give torch the physical cores of this machine, divided by its processes, where `accelerate launch` gave it one.

    The launcher sets `OMP_NUM_THREADS=1` unless told otherwise (accelerate 1.15), which leaves the other cores idle.
    What somebody exported, or asked of the launcher, stays.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1" and not one_asked_for():
        torch.set_num_threads(max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def keep_freed_memory() -> None:
    """Have the C library keep what this process frees, as far as it is glibc.

    It would give large blocks back to the system and ask for them again at every step, and a system clears each page
    that it hands out: a tenth of a step of a small GPT-2 on a CPU. The process takes no more at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in MALLOC_OPTIONS.items():
            mallopt(option, value)


def one_asked_for() -> bool:
    """Say whether whoever started the launcher chose a number of threads, which its child cannot tell from its own."""
    try:
        launcher = psutil.Process().parent()
        return "OMP_NUM_THREADS" in launcher.environ() or any("num_cpu_threads" in word for word in launcher.cmdline())
    except (psutil.Error, AttributeError):  # it is gone, or somebody else's
        return False
