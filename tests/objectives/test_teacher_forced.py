import math
from types import SimpleNamespace

import pytest
import torch
from tiny_rows import ragged_rows
from torch import nn

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import TeacherForcedObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
PAD = TOKENIZER.pad_token_id


class Bigram(nn.Module):
    """A model whose next token depends on the last one alone, with the probabilities of a table."""

    def __init__(self, table):
        super().__init__()
        self.logits = torch.tensor(table).log()

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.logits[input_ids])


def test_what_is_learnt_is_what_is_scored():
    objective, rows = TeacherForcedObjective(TOKENIZER), ragged_rows(TOKENIZER)
    batch, scored = objective.encode(rows), objective.decoding.view(rows)
    assert batch.keys() == scored.keys()
    assert all(torch.equal(batch[name], scored[name]) for name in batch)
    assert objective.decoding.shows_true_tokens


def test_loss_is_that_of_each_token_after_the_true_one_before_it():
    # P(1 | 0) = 1/2, P(2 | 1) = 1/4, P(0 | 2) = 1/8
    model = Bigram([[0.1, 0.5, 0.4], [0.7, 0.05, 0.25], [0.125, 0.375, 0.5]])
    objective = TeacherForcedObjective(TOKENIZER)
    # 2 0 | 1 2 and 1 | 2 0: the labels have 1 + 2 and 2 + 3 bits
    rows = Rows(torch.tensor([[2, 0], [1, PAD]]), torch.tensor([[1, 2], [2, 0]]), torch.tensor([[2, 2], [1, 2]]))
    batch = objective.encode(rows)
    batch["input_ids"] = batch["input_ids"].clamp(max=2)  # a column of padding has to be in the table, too
    parts = objective.loss(completion_outputs(model, batch), batch)
    assert {name: total.item() for name, total in parts.items()} == {"next_token": pytest.approx(8 * math.log(2))}
