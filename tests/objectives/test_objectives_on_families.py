"""Each objective trains a step of a Transformer of two kinds and of a state space model, with real tokens, too."""

import pytest
from families import TOKENIZER, build
from small_tokenizers import END, byte_level_tokenizer
from tiny_models import learning, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows

from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.objectives import OBJECTIVES


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
    assert_all_learn(build(family), TOKENIZER, name)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_gets_a_gradient_from_byte_level_tokens(name, tmp_path):
    byte_level_tokenizer(eos_token=END).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    assert_all_learn(tiny_gpt2(tokenizer), tokenizer, name)
