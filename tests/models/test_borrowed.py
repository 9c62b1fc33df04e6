import torch
from families import TOKENIZER
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_gpt2
from torch import nn

from hf_nextfail.models.borrowed import Borrowed


class Head(nn.Module):
    """A head with a layer of its own and one of the model."""

    def __init__(self, model):
        super().__init__()
        self.own = nn.Linear(16, 16)
        self.unembed = Borrowed(model.get_output_embeddings())


def test_what_is_borrowed_is_no_part_of_the_head():
    head = Head(tiny_gpt2(TOKENIZER))
    assert set(head.state_dict()) == {"own.weight", "own.bias"}
    assert len(list(head.modules())) == 2


def test_it_is_the_models_module_with_the_weights_that_this_has_later():
    model, states = tiny_gpt2(TOKENIZER), torch.ones(2, 16)
    head = Head(model)
    with torch.no_grad():
        model.lm_head.weight.normal_()
    for borrowed in (head.unembed, head.unembed.frozen):
        assert torch.equal(borrowed(states), model.lm_head(states))


def test_frozen_gives_gradients_to_the_inputs_and_none_to_the_weights():
    model = tiny_gpt2(TOKENIZER)
    head, states = Head(model), torch.ones(2, 16, requires_grad=True)
    head.unembed.frozen(states).square().sum().backward()
    assert model.lm_head.weight.grad is None
    assert states.grad.abs().sum() > 0
    head.unembed(states).square().sum().backward()
    assert model.lm_head.weight.grad.abs().sum() > 0


def test_an_adapted_module_is_called_with_its_adapter():
    config = LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False)
    model, states = get_peft_model(tiny_gpt2(TOKENIZER, tie_word_embeddings=False), config), torch.ones(2, 16)
    borrowed = Borrowed(model.get_output_embeddings())
    plain = torch.nn.functional.linear(states, borrowed.module.weight)
    assert not torch.allclose(borrowed(states), plain)
    torch.testing.assert_close(borrowed.frozen(states), borrowed(states))
