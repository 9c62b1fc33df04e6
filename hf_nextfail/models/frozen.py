"""Modules that are called and learn nothing by it."""

import torch
from torch import nn
from torch.func import functional_call


def frozen(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Call a module, with adapters or not, so that the inputs get gradients, and its parameters get none.

    Args:
        module (`nn.Module`): such as the output embedding of a model.
        inputs (`torch.Tensor`): what it takes.
    """
    detached = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return functional_call(module, detached, (inputs,))
