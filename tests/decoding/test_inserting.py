import pytest
import torch
from tiny_models import NO_DROPOUT, tiny_gpt2
from tiny_rows import random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.decoding import InsertingDecoding

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY, PAD = TOKENIZER.dummy_token_id, TOKENIZER.pad_token_id
NUM_TOKENS = 5


def random_gpt2(attention=None, complete=1.0):
    """Weights far from 0: what it writes varies with what it sees. `complete` is how much more one weight does."""
    model = tiny_gpt2(TOKENIZER, attention, initializer_range=0.5, tie_word_embeddings=False, **NO_DROPOUT).eval()
    with torch.no_grad():
        model.lm_head.weight[DUMMY] *= complete
    return model


def twenty_rows():
    return random_rows(TOKENIZER, prompt_lengths=[2, 3, 4, 5, 6] * 4, completion_lengths=[NUM_TOKENS] * 20)


@torch.no_grad()
def by_hand(model, prompt):
    """Insert into one row until it is complete, and look at every token in every gap."""
    written = []
    while len(written) < NUM_TOKENS:
        ids = torch.tensor([prompt + written])
        everything = torch.zeros(1, 1, ids.shape[1], ids.shape[1])
        logits = model(input_ids=ids, attention_mask=everything).logits[0, len(prompt) - 1 :]
        entries = {
            (gap, token): logits[gap, token].exp().item()
            for gap in range(len(written) + 1)
            for token in range(logits.shape[1])
            if token != DUMMY
        }
        complete = logits[0, DUMMY].exp().item()
        if complete / (complete + sum(entries.values())) > 0.5:
            break
        gap, token = max(entries, key=entries.get)
        written.insert(gap, token)
    return written + [PAD] * (NUM_TOKENS - len(written))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("complete", [1.0, 4.0])
def test_the_likeliest_token_of_all_gaps_is_inserted_until_the_row_is_complete(attention, complete):
    model, rows = random_gpt2(attention, complete), twenty_rows()
    written = InsertingDecoding(TOKENIZER).write(model, rows, NUM_TOKENS).tolist()
    prompts = [
        prompt[:length] for prompt, (length, _) in zip(rows.prompt_ids.tolist(), rows.lengths.tolist(), strict=True)
    ]
    assert written == [by_hand(model, prompt) for prompt in prompts]
    assert len(set(map(tuple, written))) > 10
    lengths = {row.index(PAD) if PAD in row else NUM_TOKENS for row in written}
    assert lengths == ({NUM_TOKENS} if complete == 1 else {0, 1, NUM_TOKENS})
