"""Each objective trains a step of a Transformer of two kinds and of a state space model, with real tokens, too."""

import pytest
import torch
from families import build
from small_tokenizers import END, byte_level_tokenizer, with_special_tokens
from tiny_models import learning, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models.lora import add_lora
from hf_nextfail.objectives import OBJECTIVES

#: What they show no model without attention can be told, by objective; each has tests of its refusals.
LATER_TOKENS = "lets every token see the later ones, and MambaForCausalLM takes no attention mask"
WITHOUT_ATTENTION = {
    "mutor": "mutor hides registers by an attention mask .* mamba does not heed both",
    "masked_diffusion": LATER_TOKENS,
    "insertion": LATER_TOKENS,
}


def assert_all_learn(model, tokenizer, name):
    objective = OBJECTIVES[name](tokenizer)
    objective.check(model)
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(tokenizer)), heads=heads).backward()
        gradients = {key: weight.grad for key, weight in model.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba"])
def test_every_parameter_of_a_family_gets_a_gradient(family, name):
    tokenizer = with_special_tokens(numeral_tokenizer(num_nodes=10))
    model = build(family)
    model.resize_token_embeddings(len(tokenizer))
    if family == "mamba" and name in WITHOUT_ATTENTION:
        with pytest.raises(ValueError, match=WITHOUT_ATTENTION[name]):
            OBJECTIVES[name](tokenizer).check(model)
    else:
        assert_all_learn(model, tokenizer, name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_gets_a_gradient_from_byte_level_tokens(name, tmp_path):
    byte_level_tokenizer(eos_token=END).save_pretrained(tmp_path)
    tokenizer = with_special_tokens(load_tokenizer(str(tmp_path)))
    assert_all_learn(tiny_gpt2(tokenizer), tokenizer, name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_adapter_learns_beside_the_heads(name):
    tokenizer = with_special_tokens(numeral_tokenizer(num_nodes=10))
    model = build("gpt2")
    model.resize_token_embeddings(len(tokenizer))
    model, objective = add_lora(model, tokenizer), OBJECTIVES[name](tokenizer)
    objective.check(model)
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(tokenizer)), heads=heads).backward()
        of_heads = [] if heads is None else [*heads.heads.parameters()]
        # Of its two factors the first learns nothing while the second is 0.
        adapter = [weight for key, weight in model.named_parameters() if "lora_B" in key]
        assert adapter
        assert all(weight.grad.abs().max() > 0 for weight in adapter)
        assert all(weight.grad is not None for weight in of_heads)
    weights = dict(model.named_parameters())
    learnt = {key for key, weight in weights.items() if weight.grad is not None}
    assert learnt == {key for key, weight in weights.items() if weight.requires_grad}
    assert learnt < weights.keys()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_model_of_half_precision_learns_with_heads_of_full(name):
    tokenizer = with_special_tokens(numeral_tokenizer(num_nodes=10))
    assert_all_learn(tiny_gpt2(tokenizer).to(torch.bfloat16), tokenizer, name)
