import pytest
import torch
from families import build
from tiny_models import NO_DROPOUT, tiny_gpt2
from tiny_rows import even_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.decoding import AutoregressiveDecoding
from hf_nextfail.models.completion_logits import completion_logits
from hf_nextfail.models.masks import follows_masks

TOKENIZER = numeral_tokenizer(num_nodes=10)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "qwen3", "mistral"])
def test_families_with_attention_follow_masks(family, attention):
    model = build(family, attention)
    assert follows_masks(model)
    assert model.training


# By the class of their positions: told by the mask alone, or by nothing; recurrent; mixed.
@pytest.mark.parametrize("family", ["bloom", "mpt", "bart", "mamba", "rwkv", "jamba", "bamba", "lfm2"])
def test_others_do_not(family):
    assert not follows_masks(build(family))


def test_an_untrained_model_of_usual_weights_follows_masks_as_well():
    assert follows_masks(tiny_gpt2(TOKENIZER))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_a_mask_of_true_and_false_hides_tokens_from_any_attention(attention):
    model = tiny_gpt2(TOKENIZER, attention, initializer_range=0.3, **NO_DROPOUT).eval()
    batch = AutoregressiveDecoding(TOKENIZER).view(even_rows(TOKENIZER))
    size = batch["input_ids"].shape[1]
    causal = torch.ones(size, size, dtype=torch.bool).tril().expand(4, 1, size, size)
    expected, *_ = completion_logits(model, batch)
    logits, *_ = completion_logits(model, batch | {"attention_mask": causal})
    torch.testing.assert_close(logits, expected, rtol=0.0, atol=1e-5)
