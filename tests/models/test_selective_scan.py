import random

import pytest
import torch
from close_tensors import assert_same
from torch.utils.checkpoint import checkpoint
from transformers.models.mamba import modeling_mamba

from hf_nextfail.models import selective_scan as module
from hf_nextfail.models.selective_scan import selective_scan

STOCK = modeling_mamba.mamba_selective_scan
STOCK = getattr(STOCK, "stock", STOCK)
#: Batch, width, state size and length: single ones, lengths around the square of a stride, and several blocks of rows.
SHAPES = [(1, 1, 1, 1), (2, 3, 4, 2), (3, 5, 2, 3), (1, 4, 3, 9), (5, 6, 4, 17), (9, 8, 16, 40)]


def random_arguments(shape, names=("D", "z", "delta_bias"), dtype=torch.float64, seed=0):
    batch_size, width, state_size, length = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=generator, dtype=dtype)

    arguments = {
        "hidden_states": normal(batch_size, width, length),
        "dt": normal(batch_size, width, length),
        "A": -normal(width, state_size).exp(),
        "B": normal(batch_size, state_size, length),
        "C": normal(batch_size, state_size, length),
    }
    more = {"D": normal(width), "z": normal(batch_size, width, length), "delta_bias": normal(width)}
    arguments |= {name: more[name] for name in names}
    return {name: tensor.requires_grad_() for name, tensor in arguments.items()}


def results_and_gradients(scan, arguments, use_state=True, **options):
    """Return outputs, last states and the gradient of every argument, for a random gradient of the results."""
    outputs, state = scan(**arguments, return_last_state=True, **options)
    generator = torch.Generator().manual_seed(1)
    loss = (outputs * torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)).sum()
    if use_state:
        loss = loss + (state * torch.randn(state.shape, generator=generator, dtype=state.dtype)).sum()
    gradients = torch.autograd.grad(loss, list(arguments.values()), allow_unused=True)
    return {"outputs": outputs, "state": state} | dict(zip(arguments, gradients, strict=True))


# The function


@pytest.mark.parametrize("names", [(), ("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")], ids="+".join)
@pytest.mark.parametrize("delta_softplus", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_stock_in_float64(exact_float, monkeypatch, shape, delta_softplus, names):
    monkeypatch.setattr(module, "STATE_NUMBERS", 2 * shape[1] * shape[2])  # two rows a block
    arguments = random_arguments(shape, names)
    if not delta_softplus:  # then steps are to be positive
        arguments["dt"] = arguments["dt"].detach().abs().requires_grad_()
    ours = results_and_gradients(selective_scan, arguments, delta_softplus=delta_softplus)
    assert_same(ours, results_and_gradients(STOCK, arguments, delta_softplus=delta_softplus), 1e-10)


@pytest.mark.parametrize("use_state", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_stock_in_float32(shape, use_state):
    arguments = random_arguments(shape, dtype=torch.float32)
    ours = results_and_gradients(selective_scan, arguments, use_state, delta_softplus=True)
    assert_same(ours, results_and_gradients(STOCK, arguments, use_state, delta_softplus=True), 1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_random_shapes(exact_float, seed):
    draw = random.Random(seed).randint
    arguments = random_arguments((draw(1, 7), draw(1, 9), draw(1, 17), draw(1, 70)), seed=seed)
    ours = results_and_gradients(selective_scan, arguments, delta_softplus=True)
    assert_same(ours, results_and_gradients(STOCK, arguments, delta_softplus=True), 1e-10)


def test_error_in_float32_is_that_of_stock(exact_float):
    """The yardstick is float64; steps from short to long."""
    for shift in (-4, 0, 3):
        exact = random_arguments((4, 32, 16, 100))
        exact["delta_bias"] = (exact["delta_bias"] + shift).float().detach().requires_grad_()
        rounded = {name: tensor.detach().to(torch.float32).requires_grad_() for name, tensor in exact.items()}
        exact = {name: tensor.detach().double().requires_grad_() for name, tensor in rounded.items()}
        truth = results_and_gradients(STOCK, exact, delta_softplus=True)
        errors = [
            {name: ((tensor - truth[name]).norm() / truth[name].norm()).item() for name, tensor in found.items()}
            for found in (
                results_and_gradients(scan, rounded, delta_softplus=True) for scan in (selective_scan, STOCK)
            )
        ]
        for name in truth:
            assert errors[0][name] < 2 * errors[1][name] + 1e-7, (name, shift)


def test_softplus_is_the_identity_for_large_steps(exact_float):
    arguments = random_arguments((2, 3, 4, 5))
    arguments["dt"] = (torch.linspace(15, 25, 30, dtype=torch.float64).view(2, 3, 5)).requires_grad_()
    ours = results_and_gradients(selective_scan, arguments, delta_softplus=True)
    assert_same(ours, results_and_gradients(STOCK, arguments, delta_softplus=True), 1e-10)


def test_gradcheck():
    arguments = random_arguments((2, 3, 2, 5))
    assert torch.autograd.gradcheck(
        lambda *tensors: selective_scan(*tensors, delta_softplus=True, return_last_state=True),
        tuple(arguments.values()),
    )


def test_gradient_of_some_arguments_only():
    arguments = {name: tensor.detach() for name, tensor in random_arguments((2, 3, 4, 5)).items()}
    arguments["A"].requires_grad_()
    selective_scan(**arguments, delta_softplus=True).sum().backward()
    assert arguments["A"].grad.abs().sum() > 0
    assert arguments["B"].grad is None


def test_arguments_stay_as_they_were():
    arguments = random_arguments((2, 3, 4, 5))
    before = {name: tensor.detach().clone() for name, tensor in arguments.items()}
    outputs = selective_scan(**arguments, delta_softplus=True)
    outputs.sum().backward(retain_graph=True)
    first = arguments["B"].grad.clone()
    outputs.sum().backward()
    torch.testing.assert_close(arguments["B"].grad, 2 * first)  # what was saved is intact
    for name, tensor in arguments.items():
        assert torch.equal(tensor, before[name])


def test_nothing_is_kept_without_gradients():
    arguments = random_arguments((2, 3, 4, 5))
    with torch.no_grad():
        without = selective_scan(**arguments, delta_softplus=True)
    assert without.grad_fn is None
    assert torch.equal(without, selective_scan(**arguments, delta_softplus=True))
    with torch.inference_mode():
        assert torch.equal(without, selective_scan(**arguments, delta_softplus=True))


def test_memory_that_is_kept_grows_with_the_root_of_the_length():
    sizes = []
    arguments = random_arguments((2, 64, 16, 100), dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: sizes.append(saved.numel()) or saved, lambda saved: saved
    ):
        selective_scan(**arguments)
    assert max(sizes) == 10 * 2 * 64 * 16  # 10 of 100 states


def test_second_derivatives_are_refused():
    arguments = random_arguments((2, 3, 4, 5))
    (gradient,) = torch.autograd.grad(selective_scan(**arguments).sum(), arguments["B"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("names", [(), ("D", "z", "delta_bias")], ids="+".join)
def test_half_precision_inputs(dtype, names):
    """Types are those of transformers, and values are closer to those of float32."""
    arguments = random_arguments((3, 8, 4, 12), names, dtype=torch.float32)
    halves = {
        name: tensor.detach().to(dtype).requires_grad_() if name in ("hidden_states", "dt", "B", "C", "z") else tensor
        for name, tensor in arguments.items()
    }
    exact = {name: tensor.detach().float().requires_grad_() for name, tensor in halves.items()}
    ours, stock, truth = (
        results_and_gradients(scan, given, delta_softplus=True)
        for scan, given in ((selective_scan, halves), (STOCK, halves), (STOCK, exact))
    )
    tolerance = 20 * torch.finfo(dtype).eps
    assert_same(ours, stock, tolerance)
    for name, expected in truth.items():
        assert (ours[name] - expected).norm() <= (stock[name] - expected).norm() * 1.1, name


def test_checkpoint_of_the_function_alone():
    arguments = random_arguments((2, 3, 4, 5))

    def checkpointed(*, return_last_state, **given):
        return checkpoint(
            lambda *tensors: selective_scan(*tensors, return_last_state=True), *given.values(), use_reentrant=False
        )

    assert_same(
        results_and_gradients(checkpointed, arguments), results_and_gradients(selective_scan, arguments), 1e-12
    )


def test_other_keywords_are_ignored():
    arguments = random_arguments((2, 3, 4, 5))
    ours = selective_scan(**arguments, use_mambapy=True, use_associative_scan=True, anything=1)
    assert torch.equal(ours, selective_scan(**arguments))
