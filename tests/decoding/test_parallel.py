import pytest
import torch
from tiny_models import tiny_gpt2
from tiny_rows import random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.decoding import ParallelDecoding

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY = TOKENIZER.dummy_token_id


@torch.no_grad()
def test_all_tokens_are_the_most_likely_ones_of_one_pass_over_dummies():
    model = tiny_gpt2(TOKENIZER, initializer_range=0.5).eval()
    rows = random_rows(TOKENIZER, prompt_lengths=[2, 3, 4, 5, 6] * 4, completion_lengths=[5] * 20)
    written = ParallelDecoding(TOKENIZER).write(model, rows, 5).tolist()
    for row, (prompt, length) in enumerate(zip(rows.prompt_ids.tolist(), rows.lengths[:, 0].tolist(), strict=True)):
        # The last token of the prompt predicts the first of the completion.
        ids = torch.tensor([prompt[:length] + [DUMMY] * 4])
        assert written[row] == model(input_ids=ids).logits[0, length - 1 :].argmax(dim=-1).tolist()
    assert len(set(map(tuple, written))) > 10


def test_dummies_are_shown_in_the_place_of_the_completion():
    rows = random_rows(TOKENIZER, prompt_lengths=[3], completion_lengths=[2])
    shown = ParallelDecoding(TOKENIZER).view(rows)["input_ids"]
    assert shown.tolist() == [[*rows.prompt_ids[0].tolist(), DUMMY, DUMMY]]


def test_an_end_token_is_a_label_behind_a_dummy():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.pad_token = tokenizer.eos_token = "9"
    rows = random_rows(tokenizer, prompt_lengths=[2, 1], completion_lengths=[2, 2])
    end = rows.completion_ids[:, 1:].fill_(tokenizer.eos_token_id)
    batch = ParallelDecoding(tokenizer).view(rows)
    for row, last in enumerate((3, 2)):
        assert batch["input_ids"][row, last] == DUMMY
        assert batch["labels"][row, last] == end[row]
        assert batch["attention_mask"][row, last] == 1


def test_tokenizer_without_a_dummy_token_is_refused():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.dummy_token = None
    with pytest.raises(ValueError, match="the tokenizer has no dummy token"):
        ParallelDecoding(tokenizer)
