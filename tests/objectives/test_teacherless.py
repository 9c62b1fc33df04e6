import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.objectives import TeacherlessObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY, PAD = TOKENIZER.dummy_token_id, TOKENIZER.pad_token_id  # 13, 14
LENGTHS = torch.tensor([[3, 1], [1, 3], [2, 3]])
PROMPTS = torch.tensor([[1, 2, 12], [12, PAD, PAD], [3, 12, PAD]])
COMPLETIONS = torch.tensor([[4, PAD, PAD], [5, 6, 7], [8, 9, 0]])


class Bigram(nn.Module):
    """A model whose next token depends on the last one alone, with the probabilities of a table."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def forward(self, input_ids, attention_mask):
        probabilities = [[self.table[token] for token in row] for row in input_ids.tolist()]
        return SimpleNamespace(logits=torch.tensor(probabilities).log())


def random_gpt2():
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 16}
    # Weights far from 0: what it writes varies with the prompt.
    model = build_model(TOKENIZER, model_type="gpt2", config_overrides=sizes | {"initializer_range": 0.5})
    return model.eval()


def random_prompts(rows=20, longest=6):
    torch.manual_seed(0)
    lengths = torch.randint(2, longest + 1, (rows,))
    prompts = torch.randint(10, (rows, longest))
    return prompts.masked_fill(torch.arange(longest) >= lengths[:, None], PAD), lengths


def argmax_in_one_pass(model, prompt, num_tokens):
    # The last token of the prompt predicts the first of the completion.
    ids = torch.tensor([prompt.tolist() + [DUMMY] * (num_tokens - 1)])
    return model(input_ids=ids).logits[0, len(prompt) - 1 :].argmax(dim=-1).tolist()


def test_dummies_follow_the_prompt_and_the_completion_is_the_label():
    batch = TeacherlessObjective(TOKENIZER).encode(PROMPTS, COMPLETIONS, LENGTHS)
    assert batch["input_ids"].tolist() == [[1, 2, 12, 13, 14], [12, 13, 13, 13, 14], [3, 12, 13, 13, 13]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [
        [-100, -100, -100, 4, -100],
        [-100, 5, 6, 7, -100],
        [-100, -100, 8, 9, 0],
    ]


def test_end_token_is_a_label_behind_a_dummy():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.pad_token = tokenizer.eos_token = "9"
    batch = TeacherlessObjective(tokenizer).encode(
        torch.tensor([[1, 2], [3, 9]]), torch.tensor([[4, 9], [5, 9]]), torch.tensor([[2, 2], [1, 2]])
    )
    assert batch["input_ids"].tolist() == [[1, 2, 13, 13], [3, 13, 13, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 4, 9], [-100, 5, 9, -100]]


def test_loss_is_that_of_each_token_after_the_prompt_and_dummies():
    # P(1 | 0) = 1/2; P(2 | $) = 1/4; P(0 | $) = 1/8; the true tokens would say something else
    model = Bigram({0: [0.1, 0.5, 0.4], 1: [0.9, 0.05, 0.05], 2: [0.6, 0.3, 0.1], DUMMY: [0.125, 0.625, 0.25]})
    objective = TeacherlessObjective(TOKENIZER)
    # 0 | 1 2 and 2 0 | 1 0: the labels have 1 + 2 and 1 + 3 bits
    prompts, completions = torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1, 2], [1, 0]])
    batch = objective.encode(prompts, completions, torch.tensor([[1, 2], [2, 2]]))
    assert objective.loss(model, batch).item() == pytest.approx(7 / 4 * math.log(2))
    assert objective.loss(model, batch, num_items_in_batch=16).item() == pytest.approx(7 / 16 * math.log(2))
    assert objective.loss(model, batch, torch.tensor(16)).item() == pytest.approx(7 / 16 * math.log(2))


def test_decoding_is_argmax_in_one_pass():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    decoded = TeacherlessObjective(TOKENIZER).decode(model, prompts, lengths, completion_length=5)
    rows = zip(prompts, lengths, strict=True)
    expected = [argmax_in_one_pass(model, prompt[:length], num_tokens=5) for prompt, length in rows]
    assert decoded.tolist() == expected
    assert len(set(map(tuple, expected))) > 10


def test_rows_of_different_lengths_decode_as_one_by_one():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    objective = TeacherlessObjective(TOKENIZER)
    together = objective.decode(model, prompts, lengths, completion_length=5)
    for row in range(len(prompts)):
        alone = objective.decode(model, prompts[row : row + 1, : lengths[row]], lengths[row : row + 1], 5)
        assert torch.equal(together[row], alone[0])


def test_nothing_is_decoded_after_the_end_token():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    rows = zip(prompts, lengths, strict=True)
    unstopped = [argmax_in_one_pass(model, prompt[:length], num_tokens=5) for prompt, length in rows]
    tokenizer = numeral_tokenizer(num_nodes=10)
    end = torch.tensor(unstopped).flatten().mode().values.item()
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    decoded = TeacherlessObjective(tokenizer).decode(model, prompts, lengths, completion_length=5)
    assert any(end not in tokens for tokens in unstopped)
    stops = [tokens.index(end) if end in tokens else 4 for tokens in unstopped]
    assert {1, 2, 4} <= set(stops)
    rows = zip(unstopped, stops, strict=True)
    assert decoded.tolist() == [tokens[: stop + 1] + [PAD] * (4 - stop) for tokens, stop in rows]


def test_tokenizer_without_a_dummy_token_is_refused():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.dummy_token = None
    with pytest.raises(ValueError, match="the tokenizer has no dummy token"):
        TeacherlessObjective(tokenizer)
