import pytest
import torch
from close_tensors import assert_same
from transformers.models.mamba import modeling_mamba

from hf_nextfail.models.causal_conv import CausalConv, causal_conv

STOCK = modeling_mamba.causal_conv1d_fn
STOCK = getattr(STOCK, "stock", STOCK)


def results_and_gradients(convolve, shape, bias, activation, dtype=torch.float64):
    batch_size, width, length, kernel_size = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*size, dtype=torch.float64):
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    arguments = [normal(batch_size, width, length, dtype=dtype), normal(width, kernel_size)]
    arguments += [normal(width)] if bias else []
    outputs = convolve(*arguments, activation=activation)
    weights = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((outputs * weights).sum(), arguments)
    names = ("hidden_states", "weight", "bias")
    return {"outputs": outputs} | dict(zip(names[: len(gradients)], gradients, strict=True))


@pytest.mark.parametrize("activation", ["silu", None])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 2, 4), (3, 5, 4, 4), (2, 8, 11, 4), (4, 3, 7, 2)])
def test_same_as_stock(shape, bias, activation):
    ours, stock = (results_and_gradients(convolve, shape, bias, activation) for convolve in (causal_conv, STOCK))
    assert_same(ours, stock, 1e-12)


def test_inputs_of_bfloat16_are_rounded_once():
    half, exact = (
        results_and_gradients(causal_conv, (2, 8, 11, 4), True, "silu", dtype)
        for dtype in (torch.bfloat16, torch.float64)
    )
    stock = results_and_gradients(STOCK, (2, 8, 11, 4), True, "silu", torch.bfloat16)
    for name, expected in exact.items():
        assert half[name].dtype == stock[name].dtype, name
        assert (half[name] - expected).norm() <= (stock[name] - expected).norm() * 1.01, name


def test_gradcheck_and_no_second_derivatives():
    inputs, weight, bias = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((2, 5, 3), (4, 3), (3,))
    )
    assert torch.autograd.gradcheck(CausalConv.apply, (inputs, weight, bias))
    gradient = torch.autograd.grad(CausalConv.apply(inputs, weight, bias).square().sum(), inputs, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
