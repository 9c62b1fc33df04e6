import torch
from families import TOKENIZER
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_gpt2

from hf_nextfail.models.frozen import frozen


def test_the_inputs_get_gradients_and_the_weights_none():
    model = tiny_gpt2(TOKENIZER)
    unembed, states = model.get_output_embeddings(), torch.ones(2, 16, requires_grad=True)
    assert torch.equal(frozen(unembed, states), unembed(states))
    frozen(unembed, states).square().sum().backward()
    assert model.lm_head.weight.grad is None
    assert states.grad.abs().sum() > 0


def test_an_adapted_module_is_called_with_its_adapter():
    config = LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False)
    model, states = get_peft_model(tiny_gpt2(TOKENIZER, tie_word_embeddings=False), config), torch.ones(2, 16)
    unembed = model.get_output_embeddings()
    assert not torch.allclose(unembed(states), torch.nn.functional.linear(states, unembed.weight))
    torch.testing.assert_close(frozen(unembed, states), unembed(states))
