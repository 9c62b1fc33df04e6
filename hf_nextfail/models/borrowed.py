"""Modules of a model that its heads call."""

import torch
from torch import nn
from torch.func import functional_call


class Borrowed:
    """Let a head call a module of the model, such as an embedding, whose parameters stay the model's alone.

    As an attribute of a head, a module would be registered a second time: its parameters would be counted, saved and
    loaded as parts of the head. This is no module, so PyTorch does not look into it. Call it within `run_heads`, where
    FSDP has all parameters gathered; what it gives has gradients, as everywhere.

    Args:
        module (`nn.Module`): as `model.get_input_embeddings()` returns it, with adapters or not.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Call the module."""
        return self.module(inputs)

    def frozen(self, inputs: torch.Tensor) -> torch.Tensor:
        """Call the module so that the inputs get gradients, and its parameters get none."""
        detached = {name: parameter.detach() for name, parameter in self.module.named_parameters()}
        return functional_call(self.module, detached, (inputs,))
