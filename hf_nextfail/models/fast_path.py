"""The same functions, computed faster."""

from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import FastGELUActivation, GELUTanh, NewGELUActivation

from hf_nextfail.models.last_tokens import use_last_attention, use_last_mlp

#: Rows up to this many tokens are short: on a CPU, plain attention takes less time on them than torch's fused one.
SHORT_ROW = 128
#: torch looks values up on one thread: more than these compute GELU sooner than one reads it.
FEW_THREADS = 3


def use_plain_attention(model: PreTrainedModel, longest_row: int) -> bool:
    """Switch from torch's fused attention to the plain one, on a CPU and for short rows."""
    if model.device.type != "cpu" or longest_row > SHORT_ROW or model.config._attn_implementation != "sdpa":
        return False
    try:
        model.set_attn_implementation("eager")
    except ValueError:  # a family without it
        return False
    return True


def use_fused_gelu(model: nn.Module, longest_row: int) -> bool:
    """Compute GELU's tanh approximation in one kernel, where transformers takes eight for it."""
    slow = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if isinstance(child, (NewGELUActivation, FastGELUActivation))
    ]
    for module, name in slow:
        setattr(module, name, GELUTanh())
    return bool(slow)


@cache
def gelu_tables() -> tuple[torch.Tensor, torch.Tensor]:
    """Tabulate GELU's tanh approximation and its derivative over all 65,536 values of bfloat16, by their bits."""
    values = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    slope = torch.ops.aten.gelu_backward(torch.ones(2**16), values.float(), approximate="tanh")
    return nn.functional.gelu(values, approximate="tanh"), slope.bfloat16()


def look_up(table: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return what a table holds for each value of a bfloat16 tensor, in its shape."""
    return table.index_select(0, tokens.contiguous().view(torch.uint16).int().flatten()).view(tokens.shape)


class LookedUp(torch.autograd.Function):
    """GELU's tanh approximation of bfloat16 on a CPU: equal to torch's, its derivative rounded to bfloat16."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Look it up."""
        ctx.save_for_backward(tokens)
        return look_up(gelu_tables()[0], tokens)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Look the derivative up."""
        (tokens,) = ctx.saved_tensors
        return look_up(gelu_tables()[1], tokens).mul_(gradient)


class TableGELU(nn.Module):
    """GELU's tanh approximation: of bfloat16 on a CPU looked up, of all else as torch computes it."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map each value."""
        if tokens.dtype == torch.bfloat16 and tokens.device.type == "cpu":
            return LookedUp.apply(tokens)
        return nn.functional.gelu(tokens, approximate="tanh")


def use_gelu_table(model: nn.Module, longest_row: int) -> bool:
    """Look GELU's tanh approximation up, where a CPU of few threads would take three times as long to compute it."""
    parameter = next(model.parameters(), None)
    if parameter is None or parameter.device.type != "cpu" or torch.get_num_threads() > FEW_THREADS:
        return False
    fused = [(m, name) for m in model.modules() for name, child in m.named_children() if isinstance(child, GELUTanh)]
    for module, name in fused:
        setattr(module, name, TableGELU())
    return bool(fused)


#: What makes it faster: name -> (how, and whether it could be done; what a user reads of it).
FAST_PATHS: dict[str, tuple[Callable[[PreTrainedModel, int], bool], str]] = {
    "attention": (use_plain_attention, "plain attention, rows being short"),
    "gelu": (use_fused_gelu, "GELU in one kernel"),
    "gelu_table": (use_gelu_table, "GELU of bfloat16 from a table"),
    "last_mlp": (use_last_mlp, "the last MLP on completions only"),
    "last_attention": (use_last_attention, "the last attention of completions only"),
}


def follow(heads: nn.Module, taken: Collection[str]) -> None:
    """Let heads compute attention and GELU as the model does that they belong to."""
    if "attention" in taken:
        for module in heads.modules():
            if hasattr(module, "set_attn_implementation"):
                module.set_attn_implementation("eager")
    for name, use in (("gelu", use_fused_gelu), ("gelu_table", use_gelu_table)):
        if name in taken:
            use(heads, 0)


def use_fast_path(
    model: PreTrainedModel,
    longest_row: int,
    allowed: Collection[str] = tuple(FAST_PATHS),
    heads: nn.Module | None = None,
) -> list[str]:
    """Let a model compute the same faster, as far as its family, its device and its rows permit.

    Losses and gradients agree with those of the plain model up to rounding; checkpoints are the same.

    Args:
        model (`PreTrainedModel`): on the device where it will run; changed in place.
        longest_row (`int`): the tokens of the longest row, prompt and completion together.
        allowed (collection of `str`, *optional*): names in `FAST_PATHS`; by default all.
        heads (`nn.Module`, *optional*): what is trained beside it, and follows it.

    Returns:
        `list` of the names of what was done.
    """
    taken = [name for name, (use, _) in FAST_PATHS.items() if name in allowed and use(model, longest_row)]
    if heads is not None:
        follow(heads, taken)
    return taken
