import pytest
import torch
from tiny_models import NO_DROPOUT, tiny_gpt2
from tiny_rows import ragged_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED
from hf_nextfail.decoding import AutoregressiveDecoding
from hf_nextfail.models.completion_logits import at_completion, completion_logits

TOKENIZER = numeral_tokenizer(num_nodes=10)
ROWS = ragged_rows(TOKENIZER)
SHORTEST_PROMPT = int(ROWS.lengths[:, 0].min())
BATCH = AutoregressiveDecoding(TOKENIZER).view(ROWS)


@pytest.fixture(scope="module")
def model():
    return tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval()


@pytest.fixture(scope="module")
@torch.no_grad()
def whole(model):
    """The logits of all positions."""
    return model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits


@torch.no_grad()
def test_they_are_those_of_the_whole_model(model, whole):
    logits, labels, first = completion_logits(model, BATCH)
    assert first == SHORTEST_PROMPT
    assert torch.equal(labels, BATCH["labels"][:, first:])
    predicted = labels != IGNORED
    assert predicted.sum() == ROWS.lengths[:, 1].sum()
    torch.testing.assert_close(logits[predicted], whole[:, first - 1 : -1][predicted], rtol=0.0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("earlier", [0, 1])
def test_they_begin_where_the_caller_says(model, whole, earlier):
    first = SHORTEST_PROMPT - earlier
    logits, labels, said = completion_logits(model, BATCH, first)
    assert said == first
    assert torch.equal(labels, BATCH["labels"][:, first:])
    torch.testing.assert_close(logits, whole[:, first - 1 : -1], rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_the_head_is_applied_to_completion_positions_only(model):
    positions = []
    hook = model.lm_head.register_forward_hook(lambda head, inputs, logits: positions.append(logits.shape[1]))
    _, labels, _ = completion_logits(model, BATCH)
    hook.remove()
    from_the_shortest_prompt_on = BATCH["labels"].shape[1] - SHORTEST_PROMPT
    assert positions == [labels.shape[1]] == [from_the_shortest_prompt_on]


@torch.no_grad()
def test_values_move_to_the_completion_positions_that_they_are_about(model, whole):
    logits, _, first = completion_logits(model, BATCH)
    tokens = at_completion(logits.argmax(dim=-1), first, ROWS.lengths)
    assert tokens.shape == ROWS.completion_ids.shape
    for row, (prompt, completion) in enumerate(ROWS.lengths.tolist()):
        expected = whole.argmax(dim=-1)[row, prompt - 1 : prompt - 1 + completion]
        assert torch.equal(tokens[row, :completion], expected)
