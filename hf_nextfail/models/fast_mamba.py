"""Make transformers' Mamba and FalconMamba compute by our functions on a CPU."""

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import torch

from hf_nextfail.models.causal_conv import causal_conv
from hf_nextfail.models.selective_scan import selective_scan

#: Model families that call these functions of their own modules.
FAMILIES = ("mamba", "falcon_mamba")
#: A function of transformers, ours in its place, and the package that has the official kernel.
OURS = (
    ("mamba_selective_scan", selective_scan, "mamba_ssm"),
    ("causal_conv1d_fn", causal_conv, "causal_conv1d"),
)


def for_cpu(stock: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes by `ours` what is on a CPU, and by `stock` whatever that misses."""

    @functools.wraps(stock)
    def mixed(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # there, transformers has other ways
        transformed = torch._C._are_functorch_transforms_active()  # which no `autograd.Function` like ours can follow
        packed = kwargs.get("cu_seqlens") is not None or kwargs.get("seq_idx") is not None  # an error of `stock`
        missed = hidden_states.device.type != "cpu" or traced or transformed or packed
        return (stock if missed else ours)(hidden_states, *args, **kwargs)

    mixed.stock = stock
    return mixed


def use_fast_mamba() -> None:
    """Make the Mamba and FalconMamba models of transformers compute by `selective_scan` and `causal_conv` on a CPU.

    Leaves what official kernels do, where they are installed and work, and does nothing more when called again.
    """
    # A mixer looks the functions up in its module at every call: the same for models that exist already. Decorators of
    # transformers stay below: Hub kernels are put into what the function was, which is what we call then.
    for family in FAMILIES:
        modeling = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
        # transformers has tried to import it by now, and a failed import leaves no module behind.
        for name, ours, official in OURS:
            stock = getattr(modeling, name)
            if official not in sys.modules and not hasattr(stock, "stock"):
                setattr(modeling, name, for_cpu(stock, ours))
