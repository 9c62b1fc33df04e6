import math
from types import SimpleNamespace

import pytest
import torch
from tiny_rows import ragged_rows
from torch import nn

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import TeacherlessObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY = TOKENIZER.dummy_token_id


class Bigram(nn.Module):
    """A model whose next token depends on the last one alone, with the probabilities of a table."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def forward(self, input_ids, attention_mask):
        probabilities = [[self.table[token] for token in row] for row in input_ids.tolist()]
        return SimpleNamespace(logits=torch.tensor(probabilities).log())


def test_what_is_learnt_is_what_is_scored():
    objective, rows = TeacherlessObjective(TOKENIZER), ragged_rows(TOKENIZER)
    batch, scored = objective.encode(rows), objective.decoding.view(rows)
    assert batch.keys() == scored.keys()
    assert all(torch.equal(batch[name], scored[name]) for name in batch)
    assert not objective.decoding.shows_true_tokens


def test_loss_is_that_of_each_token_after_the_prompt_and_dummies():
    # P(1 | 0) = 1/2; P(2 | $) = 1/4; P(0 | $) = 1/8; the true tokens would say something else
    model = Bigram({0: [0.1, 0.5, 0.4], 1: [0.9, 0.05, 0.05], 2: [0.6, 0.3, 0.1], DUMMY: [0.125, 0.625, 0.25]})
    objective = TeacherlessObjective(TOKENIZER)
    # 0 | 1 2 and 2 0 | 1 0: the labels have 1 + 2 and 1 + 3 bits
    rows = Rows(torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1, 2], [1, 0]]), torch.tensor([[1, 2], [2, 2]]))
    batch = objective.encode(rows)
    parts = objective.loss(completion_outputs(model, batch), batch)
    assert {name: total.item() for name, total in parts.items()} == {"next_token": pytest.approx(7 * math.log(2))}


def test_tokenizer_without_a_dummy_token_is_refused():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.dummy_token = None
    with pytest.raises(ValueError, match="the tokenizer has no dummy token"):
        TeacherlessObjective(tokenizer)
