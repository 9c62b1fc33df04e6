import pytest
import torch
from close_tensors import assert_same
from transformers import FalconMambaConfig, FalconMambaForCausalLM, MambaConfig, MambaForCausalLM
from transformers.models.falcon_mamba import modeling_falcon_mamba
from transformers.models.mamba import modeling_mamba

from hf_nextfail.models import fast_mamba
from hf_nextfail.models.fast_mamba import OURS, for_cpu, use_fast_mamba

MODELS = {"mamba": (MambaConfig, MambaForCausalLM), "falcon_mamba": (FalconMambaConfig, FalconMambaForCausalLM)}
MODELINGS = {"mamba": modeling_mamba, "falcon_mamba": modeling_falcon_mamba}
STOCK = {name: getattr(modeling_mamba, name) for name, _, _ in OURS}
STOCK = {name: getattr(function, "stock", function) for name, function in STOCK.items()}


@pytest.fixture(autouse=True)
def stock_functions(monkeypatch):
    """Begin with the functions of transformers, whatever was called before, and leave what was found."""
    for modeling in MODELINGS.values():
        for name, _, _ in OURS:
            found = getattr(modeling, name)
            monkeypatch.setattr(modeling, name, getattr(found, "stock", found))


# The models


def tiny_model(family, **overrides):
    torch.manual_seed(0)
    config_class, model_class = MODELS[family]
    config = {"vocab_size": 20, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "pad_token_id": 19}
    config = config_class(**config | {"bos_token_id": None, "eos_token_id": None} | overrides)
    return model_class(config).train()


def loss_and_gradients(model, **inputs):
    model.zero_grad()
    input_ids = torch.randint(0, 19, (3, 11), generator=torch.Generator().manual_seed(2))
    loss = model(input_ids=input_ids, labels=input_ids, **inputs).loss
    loss.backward()
    return {"loss": loss.detach()} | {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.fixture
def calls(monkeypatch):
    """List the functions of ours that are called, and the types of what they are called with."""
    listed = []

    def counted(ours):
        def count(hidden_states, *args, **kwargs):
            listed.append((ours.__name__, hidden_states.dtype))
            return ours(hidden_states, *args, **kwargs)

        return count

    monkeypatch.setattr(fast_mamba, "OURS", [(name, counted(ours), official) for name, ours, official in OURS])
    return listed


def a_pass(dtype):
    """List what a forward pass of two layers calls."""
    return [("causal_conv", dtype), ("selective_scan", dtype)] * 2


@pytest.mark.parametrize("family", MODELS)
def test_models_train_the_same(exact_float, calls, family):
    model = tiny_model(family).double()
    stock = loss_and_gradients(model)
    assert calls == []
    use_fast_mamba()
    assert_same(loss_and_gradients(model), stock, 1e-10)
    assert calls == a_pass(torch.float64)


@pytest.mark.parametrize("family", MODELS)
def test_padding(exact_float, family):
    model = tiny_model(family).double()
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[0, :4] = mask[1, 7:] = 0
    stock = loss_and_gradients(model, attention_mask=mask)
    use_fast_mamba()
    assert_same(loss_and_gradients(model, attention_mask=mask), stock, 1e-10)


@pytest.mark.parametrize("family", MODELS)
def test_generation_is_unchanged(calls, family):
    model = tiny_model(family).eval()
    prompts = torch.randint(0, 19, (3, 5), generator=torch.Generator().manual_seed(2))
    settings = {"max_new_tokens": 6, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    stock = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
    use_fast_mamba()
    for use_cache in (True, False):
        calls.clear()
        ours = model.generate(prompts, attention_mask=torch.ones_like(prompts), use_cache=use_cache, **settings)
        assert torch.equal(ours.sequences, stock.sequences)
        torch.testing.assert_close(ours.logits, stock.logits, rtol=0, atol=1e-5)
        assert len(calls) == (4 if use_cache else 24)


@pytest.mark.parametrize("family", MODELS)
def test_bf16_autocast_is_close(calls, family):
    model = tiny_model(family)
    found = []
    for install in (lambda: None, use_fast_mamba):
        install()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(loss_and_gradients(model))
    assert calls == a_pass(torch.bfloat16)
    assert_same(found[1], found[0], 0.02)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("family", MODELS)
def test_gradient_checkpointing(calls, family, use_reentrant):
    use_fast_mamba()
    model = tiny_model(family)
    plain = loss_and_gradients(model)
    model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    assert_same(loss_and_gradients(model), plain, 1e-6)
    assert len(calls) == 2 * (2 + 4)


# When they are used


def test_installing_again_changes_nothing():
    use_fast_mamba()
    installed = {name: getattr(modeling_mamba, name) for name in STOCK}
    assert {name: function.stock for name, function in installed.items()} == STOCK
    use_fast_mamba()
    assert {name: getattr(modeling_mamba, name) for name in STOCK} == installed


@pytest.mark.parametrize("official", ["mamba_ssm", "causal_conv1d"])
def test_official_kernels_are_left_alone(monkeypatch, official):
    monkeypatch.setitem(fast_mamba.sys.modules, official, object())
    use_fast_mamba()
    left = [name for name, _, package in OURS if getattr(modeling_mamba, name) is STOCK[name]]
    assert left == [name for name, _, package in OURS if package == official]


def test_other_devices_go_to_stock():
    reached = []
    function = for_cpu(lambda *args: reached.append("stock"), lambda *args: reached.append("ours"))
    function(torch.zeros(2, 3, 4, device="meta"))
    function(torch.zeros(2, 3, 4))
    assert reached == ["stock", "ours"]


def test_transforms_of_functions_go_to_stock(calls):
    use_fast_mamba()
    inputs, weight = torch.randn(2, 3, 5), torch.randn(3, 4)

    def total(weight):
        return modeling_mamba.causal_conv1d_fn(inputs, weight).sum()

    gradient = torch.func.grad(total)(weight)
    assert calls == []
    leaf = weight.clone().requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(total(leaf), leaf)[0])
    assert calls == [("causal_conv", torch.float32)]


def test_packed_sequences_are_refused_as_before(calls):
    use_fast_mamba()
    A, wide, states = torch.randn(3, 4), torch.randn(2, 3, 5), torch.randn(2, 4, 5)
    with pytest.raises(ValueError, match="packed sequences"):
        modeling_mamba.mamba_selective_scan(wide, wide, A, states, states, seq_idx=torch.zeros(2, 5))
    assert calls == []
