import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.objectives import TeacherForcedObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
PAD = TOKENIZER.pad_token_id  # 14
LENGTHS = torch.tensor([[3, 1], [1, 3], [2, 3]])
PROMPTS = torch.tensor([[1, 2, 12], [12, PAD, PAD], [3, 12, PAD]])
COMPLETIONS = torch.tensor([[4, PAD, PAD], [5, 6, 7], [8, 9, 0]])


class Bigram(nn.Module):
    """A model whose next token depends on the last one alone, with the probabilities of a table."""

    def __init__(self, table):
        super().__init__()
        self.logits = torch.tensor(table).log()

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.logits[input_ids])


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


def argmax_step_by_step(model, prompt, num_tokens, end_token_id=None):
    written = []
    while len(written) < num_tokens and end_token_id not in written:
        ids = torch.tensor([prompt.tolist() + written])
        written.append(model(input_ids=ids).logits[0, -1].argmax().item())
    return written + [PAD] * (num_tokens - len(written))


def test_completion_follows_the_prompt_and_is_its_own_label():
    batch = TeacherForcedObjective(TOKENIZER).encode(PROMPTS, COMPLETIONS, LENGTHS)
    assert batch["input_ids"].tolist() == [[1, 2, 12, 4, 14], [12, 5, 6, 7, 14], [3, 12, 8, 9, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [
        [-100, -100, -100, 4, -100],
        [-100, 5, 6, 7, -100],
        [-100, -100, 8, 9, 0],
    ]


def test_what_pads_the_given_rows_does_not_matter():
    objective = TeacherForcedObjective(TOKENIZER)
    expected = objective.encode(PROMPTS, COMPLETIONS, LENGTHS)
    prompts, completions = (ids.masked_fill(ids == PAD, 3) for ids in (PROMPTS, COMPLETIONS))
    wide = [nn.functional.pad(ids, (0, 4), value=3) for ids in (prompts, completions)]
    for batch in (objective.encode(prompts, completions, LENGTHS), objective.encode(*wide, LENGTHS)):
        for name, values in expected.items():
            assert torch.equal(batch[name], values), name


def test_padding_of_a_token_that_also_ends_completions():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.pad_token = tokenizer.eos_token = "9"
    batch = TeacherForcedObjective(tokenizer).encode(
        torch.tensor([[1, 2], [3, 9]]), torch.tensor([[4, 9], [5, 9]]), torch.tensor([[2, 2], [1, 2]])
    )
    assert batch["input_ids"].tolist() == [[1, 2, 4, 9], [3, 5, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 4, 9], [-100, 5, 9, -100]]


def test_loss_is_that_of_each_token_after_the_true_one_before_it():
    # P(1 | 0) = 1/2, P(2 | 1) = 1/4, P(0 | 2) = 1/8
    model = Bigram([[0.1, 0.5, 0.4], [0.7, 0.05, 0.25], [0.125, 0.375, 0.5]])
    objective = TeacherForcedObjective(TOKENIZER)
    # 2 0 | 1 2 and 1 | 2 0: the labels have 1 + 2 and 2 + 3 bits
    prompts, completions = torch.tensor([[2, 0], [1, PAD]]), torch.tensor([[1, 2], [2, 0]])
    batch = objective.encode(prompts, completions, torch.tensor([[2, 2], [1, 2]]))
    batch["input_ids"] = batch["input_ids"].clamp(max=2)  # a column of padding has to be in the table, too
    assert objective.loss(model, batch).item() == pytest.approx(8 / 4 * math.log(2))
    assert objective.loss(model, batch, num_items_in_batch=16).item() == pytest.approx(8 / 16 * math.log(2))
    assert objective.loss(model, batch, torch.tensor(16)).item() == pytest.approx(8 / 16 * math.log(2))


def test_decoding_is_argmax_step_by_step():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    decoded = TeacherForcedObjective(TOKENIZER).decode(model, prompts, lengths, completion_length=5)
    rows = zip(prompts, lengths, strict=True)
    expected = [argmax_step_by_step(model, prompt[:length], num_tokens=5) for prompt, length in rows]
    assert decoded.tolist() == expected
    assert len(set(map(tuple, expected))) > 10


def test_rows_of_different_lengths_decode_as_one_by_one():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    objective = TeacherForcedObjective(TOKENIZER)
    together = objective.decode(model, prompts, lengths, completion_length=5)
    for row in range(len(prompts)):
        alone = objective.decode(model, prompts[row : row + 1, : lengths[row]], lengths[row : row + 1], 5)
        assert torch.equal(together[row], alone[0])


def test_decoding_stops_after_the_end_token():
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    unstopped = TeacherForcedObjective(TOKENIZER).decode(model, prompts, lengths, completion_length=5)
    tokenizer = numeral_tokenizer(num_nodes=10)
    end = unstopped.flatten().mode().values.item()
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    decoded = TeacherForcedObjective(tokenizer).decode(model, prompts, lengths, completion_length=5)
    rows = zip(prompts, lengths, strict=True)
    expected = [argmax_step_by_step(model, prompt[:length], 5, end_token_id=end) for prompt, length in rows]
    assert decoded.tolist() == expected
    stops = [row.index(end) if end in row else None for row in expected]
    assert {None, 0, 1} <= set(stops)  # some never stop


# Checkpoints come with generation settings of their own, which are for chatting.
@pytest.mark.parametrize(
    "setting",
    [
        {"eos_token_id": 3},
        {"repetition_penalty": 3.0},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": [3, 5, 7]},
        {"num_beams": 3},
        {"do_sample": True, "temperature": 2.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_generation_settings_of_the_checkpoint_do_not_matter(setting):
    model, (prompts, lengths) = random_gpt2(), random_prompts()
    objective = TeacherForcedObjective(TOKENIZER)
    expected = objective.decode(model, prompts, lengths, completion_length=5)
    model.generation_config.update(**setting)
    assert torch.equal(objective.decode(model, prompts, lengths, completion_length=5), expected)
    assert {name: getattr(model.generation_config, name) for name in setting} == setting  # and are left alone
