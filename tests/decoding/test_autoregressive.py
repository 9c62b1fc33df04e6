import torch
from tiny_models import tiny_gpt2
from tiny_rows import random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.decoding import AutoregressiveDecoding

TOKENIZER = numeral_tokenizer(num_nodes=10)


def step_by_step(model, prompt, num_tokens):
    ids = list(prompt)
    for _ in range(num_tokens):
        ids.append(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item())
    return ids[len(prompt) :]


@torch.no_grad()
def test_each_token_is_the_most_likely_one_after_those_before_it():
    model = tiny_gpt2(TOKENIZER, initializer_range=0.5).eval()
    rows = random_rows(TOKENIZER, prompt_lengths=[2, 3, 4, 5, 6] * 4, completion_lengths=[5] * 20)
    written = AutoregressiveDecoding(TOKENIZER).write(model, rows, 5).tolist()
    pairs = zip(rows.prompt_ids.tolist(), rows.lengths[:, 0].tolist(), strict=True)
    assert written == [step_by_step(model, prompt[:length], 5) for prompt, length in pairs]
    assert len(set(map(tuple, written))) > 10


def test_the_true_completion_is_shown():
    rows = random_rows(TOKENIZER, prompt_lengths=[3], completion_lengths=[2])
    shown = AutoregressiveDecoding(TOKENIZER).view(rows)["input_ids"]
    assert shown.tolist() == [rows.prompt_ids[0].tolist() + rows.completion_ids[0].tolist()]
