"""What is computed faster is the same, for every family."""

import pytest
import torch
from families import FAMILIES, TOKENIZER, build
from tiny_models import attached, mean_loss
from tiny_rows import random_rows
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AttentionInterface
from transformers.activations import FastGELUActivation, GELUTanh, NewGELUActivation

from hf_nextfail.models.fast_path import FAST_PATHS, FEW_THREADS, SHORT_ROW, TableGELU, use_fast_path
from hf_nextfail.models.last_tokens import FROM_LAST, attend_from_last, last_layer
from hf_nextfail.models.with_heads import WithHeads
from hf_nextfail.objectives import TeacherForcedObjective, build_objective

LAST = {"last_mlp", "last_attention"}
GPT2 = {"attention", "gelu", "gelu_table", *LAST}
# What each family of the paper and of the README takes.
TAKEN = {
    "codegen": {"gelu", "gelu_table", "last_mlp"},
    "falcon": {"attention", "last_mlp"},
    "gemma2": {"gelu_table", *LAST},
    "gpt2": GPT2,
    "gpt_neox": {"attention", *LAST},
    "gptj": {"gelu", "gelu_table", "last_mlp"},
    "llama": {"attention", *LAST},
    "mamba": set(),
    "mistral": {"attention", *LAST},
    "opt": {"attention", "last_attention"},
    "phi": GPT2,
    "qwen3": {"attention", *LAST},
    "xlstm": set(),
}


FUSED_SINCE_5_24 = {"codegen", "gptj"}  # their attention, in transformers
PROMPTS, LONGEST = (7, 4), 10


def batch_of(objective):
    completions = LONGEST - max(PROMPTS)
    return objective.encode(random_rows(TOKENIZER, PROMPTS, [completions] * len(PROMPTS)))


def loss_and_gradients(model, objective, batch):
    model.zero_grad()
    loss = mean_loss(objective, model, batch)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_those_of_the_plain_model(family):
    objective = TeacherForcedObjective(TOKENIZER)
    batch = batch_of(objective)
    plain, fast = build(family).eval(), build(family).eval()  # without dropout
    use_fast_path(fast, longest_row=LONGEST)
    expected, gradients = loss_and_gradients(plain, objective, batch)
    loss, found = loss_and_gradients(fast, objective, batch)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert found.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(
            found[parameter], gradient, rtol=1e-3, atol=1e-5 * (1 + float(gradient.abs().max()))
        )


@pytest.mark.parametrize("family", TAKEN)
def test_each_family_takes_what_it_can(family):
    model = build(family)
    fused = family in FUSED_SINCE_5_24 and type(model)._supports_sdpa
    assert set(use_fast_path(model, longest_row=LONGEST)) == TAKEN[family] | (
        {"attention", "last_attention"} if fused else set()
    )
    assert use_fast_path(build(family), longest_row=LONGEST, allowed=()) == []
    assert not any(isinstance(module, (NewGELUActivation, FastGELUActivation)) for module in model.modules())


def test_the_last_mlp_sees_only_what_is_asked_for():
    model, objective = build("gpt2").eval(), TeacherForcedObjective(TOKENIZER)
    seen = []
    assert use_fast_path(model, LONGEST, ["last_mlp"]) == ["last_mlp"]
    model.transformer.h[-1].mlp.c_fc.register_forward_hook(lambda _, args, out: seen.append(args[0].shape[1]))
    batch = batch_of(objective)
    mean_loss(objective, model, batch)
    whole = model(batch["input_ids"]).logits
    kept = model(batch["input_ids"], logits_to_keep=2).logits
    hidden = model(batch["input_ids"], logits_to_keep=2, output_hidden_states=True).hidden_states
    model.transformer(batch["input_ids"])
    from_the_shorter_prompt_on = LONGEST - min(PROMPTS)
    assert seen == [from_the_shorter_prompt_on, LONGEST, 2, LONGEST, LONGEST]
    torch.testing.assert_close(kept, whole[:, -2:])
    torch.testing.assert_close(hidden[-1], model.transformer(batch["input_ids"]).last_hidden_state)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_the_last_attention_looks_from_what_is_asked_for(family):
    model, objective = build(family).eval(), TeacherForcedObjective(TOKENIZER)
    batch = batch_of(objective)
    whole = model(batch["input_ids"]).logits
    assert use_fast_path(model, LONGEST, ["attention", "last_attention"])[-1] == "last_attention"
    attention = last_layer(model).get_submodule("attn" if family == "gpt2" else "self_attn")
    seen = []
    projection = attention.get_submodule("c_proj" if family == "gpt2" else "o_proj")
    projection.register_forward_hook(lambda _, args, out: seen.append(args[0].shape[1]))
    kept = model(batch["input_ids"], logits_to_keep=2).logits
    every = model(batch["input_ids"]).logits
    mean_loss(objective, model, batch)
    assert seen == [2, LONGEST, LONGEST - min(PROMPTS)]
    torch.testing.assert_close(kept, whole[:, -2:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(every, whole, rtol=1e-4, atol=1e-5)


def test_an_attention_that_would_answer_otherwise_is_left_as_it_was():
    def wrong(module, query, key, value, mask, **kwargs):
        return torch.zeros_like(query).transpose(1, 2), None

    AttentionInterface.register(FROM_LAST, wrong)
    try:
        model = build("gpt2").eval()
        ids = torch.arange(6).view(1, 6)
        before = model(ids).logits
        assert "last_attention" not in use_fast_path(model, LONGEST, ["attention", "last_attention"])
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-5)
        assert not model.transformer.h[-1].attn.c_proj._forward_hooks
    finally:
        AttentionInterface.register(FROM_LAST, attend_from_last)


def test_checkpointed_activations_are_computed_on_all_tokens():
    objective = TeacherForcedObjective(TOKENIZER)
    batch, plain, fast = batch_of(objective), build("gpt2"), build("gpt2")
    for model in (plain, fast):
        model.config.attn_pdrop = 0.0
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    use_fast_path(fast, LONGEST)
    fast.gradient_checkpointing_enable()
    expected, gradients = loss_and_gradients(plain, objective, batch)
    loss, found = loss_and_gradients(fast, objective, batch)
    assert loss == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-3, atol=1e-5)


def test_what_is_written_is_what_the_plain_model_writes():
    plain, fast = build("gpt2").eval(), build("gpt2").eval()
    use_fast_path(fast, LONGEST)
    prompts = torch.arange(12).view(2, 6) % 10
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": TOKENIZER.pad_token_id}
    assert torch.equal(plain.generate(prompts, **options), fast.generate(prompts, **options))


class Seen(TorchDispatchMode):
    """Note what torch is asked to compute."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["mtp", "ds_mtp", "jtp", "bst"])
def test_heads_compute_as_their_model_does(name):
    slow = {"aten::_scaled_dot_product_flash_attention_for_cpu", "aten::tanh"}
    objective, found = build_objective(name, TOKENIZER), []
    batch = batch_of(objective)
    for allowed in ((), FAST_PATHS):
        model = build("gpt2").eval()
        heads = objective.heads(model).eval()
        use_fast_path(model, LONGEST, allowed, heads)
        beside = WithHeads(model, heads, objective.run_heads, objective.heads_read_whole_row)
        with attached(beside), Seen() as seen:
            loss = mean_loss(objective, model, batch, heads=beside)
            loss.backward()
        assert seen.names & slow == (set() if allowed else slow)
        found.append({parameter: p.grad for parameter, p in heads.named_parameters()} | {"loss": loss.detach()})
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


def test_a_checkpoint_does_not_know_how_it_was_computed(tmp_path):
    plain, fast = build("gpt2"), build("gpt2")
    use_fast_path(fast, LONGEST)
    for name, model in (("plain", plain), ("fast", fast)):
        model.save_pretrained(tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "fast" / file).read_bytes()


def test_long_rows_and_chosen_attention_keep_the_fused_one():
    assert "attention" not in use_fast_path(build("gpt2"), SHORT_ROW + 1)
    assert use_fast_path(build("gpt2", "eager"), LONGEST) == ["gelu", "gelu_table", "last_mlp", "last_attention"]
    model = build("gpt2")
    use_fast_path(model, LONGEST)
    assert model.config._attn_implementation == "eager"


def test_gelu_is_looked_up_for_every_value_of_bfloat16():
    values = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    values = values[values.isfinite()]
    upstream = torch.linspace(-2, 2, len(values)).bfloat16()
    found, expected = [], []
    for gelu, outcome in ((TableGELU(), found), (GELUTanh(), expected)):
        tokens = values.clone().requires_grad_()
        outcome.append(gelu(tokens))
        outcome[0].backward(upstream)
        outcome.append(tokens.grad)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=2**-7, atol=1e-30, equal_nan=True)  # rounded once more
    whole = torch.linspace(-3, 3, 50).view(5, 10).t()
    assert torch.equal(TableGELU()(whole), GELUTanh()(whole))
    assert torch.equal(TableGELU()(whole.bfloat16()), GELUTanh()(whole.bfloat16()))


def test_many_threads_compute_gelu_sooner_than_one_looks_it_up():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(FEW_THREADS + 1)
        assert "gelu_table" not in use_fast_path(build("gpt2"), LONGEST)
    finally:
        torch.set_num_threads(threads)


def test_every_way_is_named_for_the_log():
    for use, text in FAST_PATHS.values():
        assert callable(use) and text
