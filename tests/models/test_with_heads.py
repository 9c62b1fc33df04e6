"""Heads in a causal LM: everything that looks for a causal LM still finds one."""

import pytest
import torch
from families import TOKENIZER, build
from own_code.after_next import AfterNext
from peft import LoraConfig, get_peft_model
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows
from torch import nn
from transformers import AutoModelForCausalLM

from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.fast_path import use_fast_path
from hf_nextfail.models.with_heads import HEADS, HEADS_FILE, WithHeads, of_heads, of_model

ROWS = ragged_rows(TOKENIZER)
OBJECTIVE = AfterNext(TOKENIZER)
BATCH = OBJECTIVE.encode(ROWS)


def gpt2():
    return tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT)


def with_heads(model):
    torch.manual_seed(1)
    return WithHeads(model, OBJECTIVE.heads(model), OBJECTIVE.run_heads)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba", "gpt_neox"])
def test_heads_see_what_the_output_embedding_sees(family):
    model = build(family).eval()
    heads = with_heads(model)
    with heads.attached():
        outputs = completion_outputs(model, BATCH, heads=heads)
    hidden = model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"], output_hidden_states=True)
    # The state before a label predicts it.
    states = hidden.hidden_states[-1][:, outputs.first - 1 : -1]
    inside = BATCH["attention_mask"][:, outputs.first :].bool()
    torch.testing.assert_close(outputs.heads[inside], heads.heads(states)[inside], rtol=1e-4, atol=1e-4)
    assert torch.equal(outputs.logits, completion_outputs(model, BATCH).logits)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba", "opt"])
def test_heads_that_read_the_whole_row_see_it_and_the_model_says_the_same(family):
    model = build(family).eval()
    seen = []
    model.get_output_embeddings().register_forward_hook(lambda _, args, output: seen.append(args[0].shape[1]))
    of_last, of_row = (
        WithHeads(model, nn.Identity(), lambda _, states, *__: states, whole) for whole in (False, True)
    )
    with of_last.attached():
        last = completion_outputs(model, BATCH, heads=of_last)
    with of_row.attached():
        row = completion_outputs(model, BATCH, heads=of_row)
    num_labels, num_positions = row.labels.shape[1], BATCH["input_ids"].shape[1] - 1
    assert seen == [num_labels] * 2  # for the logits of the prompt nobody pays
    assert row.heads.shape[1] == num_positions > num_labels
    torch.testing.assert_close(row.logits, last.logits)
    torch.testing.assert_close(row.heads[:, -num_labels:], last.heads)
    inputs = {name: BATCH[name][:, :-1] for name in ("input_ids", "attention_mask")}
    hidden = model(**inputs, output_hidden_states=True).hidden_states[-1]
    inside = inputs["attention_mask"].bool()
    torch.testing.assert_close(row.heads[inside], hidden[inside], rtol=1e-4, atol=1e-4)


def test_heads_of_which_some_read_the_whole_row_cost_others_nothing():
    model = gpt2()
    assert use_fast_path(model, longest_row=16, allowed=["last_mlp"])
    seen = []
    model.transformer.h[-1].mlp.c_fc.register_forward_hook(lambda _, args, output: seen.append(args[0].shape[1]))
    for whole in (False, True):
        heads = WithHeads(model, nn.Identity(), lambda _, states, *__: states, whole)
        with heads.attached():
            completion_outputs(model, BATCH, heads=heads)
    num_labels = BATCH["labels"].shape[1] - int(ROWS.lengths[:, 0].min())
    assert seen == [num_labels, BATCH["labels"].shape[1] - 1]


def test_heads_may_use_the_embeddings_of_the_model():
    def run(heads, states, batch, model):
        model_sees = model.get_input_embeddings()(batch["input_ids"][:, -states.shape[1] :])
        return model.get_output_embeddings()(heads(states) + model_sees)

    model = gpt2()
    heads = WithHeads(model, nn.Linear(16, 16), run)
    with heads.attached():
        outputs = completion_outputs(model, BATCH, heads=heads)
        outputs.heads.logsumexp(dim=2).sum().backward()
    assert outputs.heads.shape == outputs.logits.shape
    # Tied: from the logits every token gets a gradient, and from the inputs some get more.
    gradient = model.get_output_embeddings().weight.grad
    assert gradient is model.get_input_embeddings().weight.grad
    assert (gradient.abs().sum(dim=1) > 0).all()
    assert model.transformer.wpe.weight.grad.abs().sum() > 0


def test_the_model_and_the_heads_get_gradients():
    model = gpt2()
    heads = with_heads(model)
    with heads.attached():
        mean_loss(OBJECTIVE, model, BATCH, heads=heads).backward()
    assert heads.heads.weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_they_are_a_module_of_the_model_only_as_long_as_they_are_attached():
    model = gpt2()
    plain = set(model.state_dict())
    heads = with_heads(model)
    with heads.attached():
        assert heads.are_attached
        assert set(model.state_dict()) == plain | {f"{HEADS}.weight"}
        with heads.taken_off():
            assert set(model.state_dict()) == plain
        assert heads.are_attached
    assert not heads.are_attached
    assert set(model.state_dict()) == plain
    assert not (model._forward_hooks or model.get_output_embeddings()._forward_pre_hooks)


def test_a_forward_that_does_not_ask_is_that_of_the_plain_model():
    model = gpt2().eval()
    before = model(BATCH["input_ids"]).logits
    written = model.generate(BATCH["input_ids"][:, :3], max_new_tokens=4, do_sample=False, pad_token_id=14)
    heads = with_heads(model)
    with heads.attached():
        assert torch.equal(model(BATCH["input_ids"]).logits, before)
        again = model.generate(BATCH["input_ids"][:, :3], max_new_tokens=4, do_sample=False, pad_token_id=14)
    assert torch.equal(again, written)


def test_activation_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = gpt2().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        heads = with_heads(model)
        with heads.attached():
            mean_loss(OBJECTIVE, model, BATCH, heads=heads).backward()
        gradients.append([parameter.grad for parameter in [*model.parameters(), *heads.heads.parameters()]])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_in_half_precision_the_heads_compute_as_the_model_does():
    model = gpt2()
    heads = with_heads(model)
    forward = model.forward
    model.forward = torch.autocast("cpu", torch.bfloat16)(forward)  # as accelerate does
    with heads.attached():
        outputs = completion_outputs(model, BATCH, heads=heads)
        sum(OBJECTIVE.loss(outputs, BATCH).values()).backward()
    assert outputs.heads.dtype == torch.float32
    assert heads.heads.weight.grad.isfinite().all()
    assert torch.equal(outputs.heads, outputs.heads.bfloat16().float())  # it was computed in bfloat16


def test_under_adapters_the_heads_learn_and_the_base_does_not():
    model = get_peft_model(gpt2(), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    heads = with_heads(model)
    with heads.attached():
        mean_loss(OBJECTIVE, model, BATCH, heads=heads).backward()
    learnt = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt
    assert all("lora_" in name for name in learnt)
    assert heads.heads.weight.grad.abs().sum() > 0


def test_what_is_saved_is_read_again_and_the_plain_model_loads_without_them(tmp_path):
    model = gpt2()
    heads = with_heads(model)
    with heads.attached(), heads.taken_off():
        model.save_pretrained(tmp_path)
        heads.save(tmp_path)
    assert (tmp_path / HEADS_FILE).is_file()
    loaded, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    other = WithHeads(loaded, nn.Linear(16, loaded.config.vocab_size, bias=False), OBJECTIVE.run_heads)
    other.load(tmp_path)
    assert torch.equal(other.heads.weight, heads.heads.weight)


def test_a_models_state_is_loaded_without_a_word_about_the_heads():
    model = gpt2()
    plain = model.state_dict()
    heads = with_heads(model)
    with heads.attached():
        result = model.load_state_dict(plain, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])


def test_a_state_is_divided_into_model_and_heads():
    state = {"lm_head.weight": 1, f"{HEADS}.a.weight": 2}
    assert (of_model(state), of_heads(state)) == ({"lm_head.weight": 1}, {"a.weight": 2})


def test_a_checkpoint_without_heads_or_with_others_is_refused(tmp_path):
    model = gpt2()
    heads = with_heads(model)
    with pytest.raises(ValueError, match=f"has no {HEADS_FILE}: it was trained with an objective without heads"):
        heads.load(tmp_path)
    WithHeads(model, nn.Linear(3, 3), OBJECTIVE.run_heads).save(tmp_path)
    with pytest.raises(ValueError, match="holds the heads of another objective"):
        heads.load(tmp_path)


def test_a_model_without_an_output_embedding_is_refused():
    model = gpt2().transformer
    with pytest.raises(ValueError, match="GPT2Model has none"):
        WithHeads(model, nn.Linear(16, 16), OBJECTIVE.run_heads)
