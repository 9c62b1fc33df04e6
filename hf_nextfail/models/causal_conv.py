"""The causal convolution of Mamba on a CPU, forward and backward, without the official kernels.

torch takes many times as long for the gradient of a convolution of each channel by itself as for the convolution. Its
kernels are four numbers wide, so both are a few products of shifted tensors.
"""

from typing import Any

import torch
from torch.autograd.function import FunctionCtx, once_differentiable
from transformers.activations import ACT2FN


class CausalConv(torch.autograd.Function):
    """`b + sum_k w_k x_{t-k}` of inputs (B, T, D), weights (K, D), the latest position last, and a bias."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(
        ctx: FunctionCtx, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Add up the products of each shift."""
        ctx.save_for_backward(inputs, weight)
        inputs = inputs.to(weight.dtype)
        outputs = inputs * weight[-1]
        if bias is not None:
            outputs += bias
        for shift in range(1, min(len(weight), inputs.shape[1])):
            outputs[:, shift:].addcmul_(inputs[:, :-shift], weight[-1 - shift])
        return outputs

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: FunctionCtx, grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Shift the other way."""
        inputs, weight = ctx.saved_tensors
        dtype, inputs, grads = inputs.dtype, inputs.to(weight.dtype), grads.contiguous()
        input_grads, weight_grads = grads * weight[-1], torch.zeros_like(weight)
        weight_grads[-1] = (grads * inputs).sum((0, 1))
        for shift in range(1, min(len(weight), inputs.shape[1])):
            input_grads[:, :-shift].addcmul_(grads[:, shift:], weight[-1 - shift])
            weight_grads[-1 - shift] = (grads[:, shift:] * inputs[:, :-shift]).sum((0, 1))
        bias_grads = grads.sum((0, 1)) if ctx.needs_input_grad[2] else None
        return input_grads.to(dtype), weight_grads, bias_grads


def causal_conv(
    hidden_states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    activation: str | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """Do what `causal_conv1d_fn` of transformers does, in training on a CPU in less than half of the time.

    Computes in float32, or in float64 if the weight is. The gradient has no gradient of its own.

    Args:
        hidden_states (`torch.Tensor` of shape `(batch_size, width, length)`): the inputs.
        weight (`torch.Tensor` of shape `(width, kernel_size)`): of each channel, the latest position last.
        bias (`torch.Tensor` of shape `(width,)`, *optional*): of each channel.
        activation (`str`, *optional*): a name of transformers' `ACT2FN`.
        kwargs (*optional*): ignored. transformers chooses among its ways by them.

    Returns:
        `torch.Tensor` of shape `(batch_size, width, length)` and the type of `hidden_states`.
    """
    dtype = torch.promote_types(weight.dtype, torch.float32)
    bias = None if bias is None else bias.to(dtype)
    outputs = CausalConv.apply(hidden_states.transpose(1, 2), weight.t().to(dtype).contiguous(), bias)
    outputs = outputs if activation is None else ACT2FN[activation](outputs)
    return outputs.to(hidden_states.dtype).transpose(1, 2)
