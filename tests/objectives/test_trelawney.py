import collections

import pytest
import torch
from datasets import Dataset
from families import build
from small_tokenizers import whole_numbers, with_special_tokens
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows, random_rows
from transformers import TrainingArguments

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import TeacherForcedObjective, TrelawneyObjective
from hf_nextfail.training.trainer import NextFailTrainer

TOKENIZER = with_special_tokens(numeral_tokenizer(num_nodes=10))
OPEN, CLOSE = TOKENIZER.convert_tokens_to_ids(["<T>", "</T>"])


def encode(rows, probability=1.0, seed=0):
    return TrelawneyObjective(TOKENIZER, probability).encode(rows, torch.Generator().manual_seed(seed))


def written(batch, rows):
    """The completions that a batch shows, without padding."""
    return [
        ids[p:][mask[p:].bool()].tolist()
        for ids, mask, p in zip(batch["input_ids"], batch["attention_mask"], rows.lengths[:, 0], strict=True)
    ]


def all_that_may_be_written(completion):
    """Every look ahead that a completion has, with its probability."""
    t, shares = len(completion), collections.Counter()
    for k in range(t - 1):
        for i in range(k + 1, t):
            for end in range(i + 1, t + 1):
                text = (*completion[:k], OPEN, *completion[i:end], CLOSE, *completion[k:])
                shares[text] += 1 / (t - 1) / (t - 1 - k) / (t - i)
    return shares


def test_every_look_ahead_is_written_as_often_as_it_is_likely():
    completion = [4, 2, 7, 5]
    rows = Rows(torch.full((20_000, 2), 3), torch.tensor([completion] * 20_000), torch.tensor([[2, 4]] * 20_000))
    counts = collections.Counter(map(tuple, written(encode(rows), rows)))
    expected = all_that_may_be_written(completion)
    assert sum(expected.values()) == pytest.approx(1)
    assert counts.keys() == expected.keys()
    for text, share in expected.items():
        assert counts[text] / 20_000 == pytest.approx(share, abs=0.015)


def test_rows_of_all_lengths_are_rewritten_and_one_token_stays():
    rows = ragged_rows(TOKENIZER)
    for seed in range(20):
        for text, completion, (_, t) in zip(
            written(encode(rows, seed=seed), rows), rows.completion_ids.tolist(), rows.lengths.tolist(), strict=True
        ):
            completion = completion[:t]
            assert tuple(text) in (all_that_may_be_written(completion) if t > 1 else {tuple(completion)})


def test_a_share_of_rows_is_rewritten():
    rows = random_rows(TOKENIZER, [3] * 4000, [4] * 4000)
    share = sum(OPEN in text for text in written(encode(rows, 0.3), rows)) / 4000
    assert share == pytest.approx(0.3, abs=0.03)
    plain, usual = encode(rows, 0.0), TeacherForcedObjective(TOKENIZER).encode(rows)
    assert plain.keys() == usual.keys()
    assert all(torch.equal(plain[name], usual[name]) for name in usual)


@torch.no_grad()
def test_loss_is_that_of_all_that_is_written_but_for_the_opening():
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval()
    objective, rows = TrelawneyObjective(TOKENIZER, 1.0), ragged_rows(TOKENIZER)
    batch = objective.encode(rows, torch.Generator().manual_seed(0))
    expected, count = 0.0, 0
    for text, prompt, p in zip(
        written(batch, rows), rows.prompt_ids.tolist(), rows.lengths[:, 0].tolist(), strict=True
    ):
        for place, token in enumerate(text):
            if token != OPEN:
                logits = model(torch.tensor([prompt[:p] + text[:place]])).logits[0, -1]
                expected -= logits.log_softmax(dim=0)[token].item()
                count += 1
    outputs = completion_outputs(model, batch)
    assert (outputs.labels != -100).sum() == count
    assert objective.loss(outputs, batch)["next_token"].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba"])
def test_families_learn_it(family):
    model, objective = build(family), TrelawneyObjective(TOKENIZER)
    model.resize_token_embeddings(len(TOKENIZER))
    mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER))).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_byte_level_tokenizer_is_given_the_tokens():
    tokenizer = with_special_tokens(whole_numbers())
    tokenizer.pad_token = tokenizer.eos_token
    rows = random_rows(tokenizer, [3] * 8, [4] * 8)
    ids = TrelawneyObjective(tokenizer, 1.0).encode(rows)["input_ids"]
    assert all((ids == token).sum() == 8 for token in tokenizer.convert_tokens_to_ids(["<T>", "</T>"]))


# What is said before training


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_probabilities_are_checked(probability):
    with pytest.raises(ValueError, match=f"probability must be from 0 to 1, got {probability}"):
        TrelawneyObjective(TOKENIZER, probability=probability)


def trainer_of(folder, model, rows):
    args = TrainingArguments(str(folder / "out"), use_cpu=True, max_steps=1, disable_tqdm=True)
    objective = TrelawneyObjective(TOKENIZER, 1.0)
    return NextFailTrainer(model, args, objective=objective, train_dataset=rows, processing_class=TOKENIZER)


def test_room_for_looks_ahead_is_asked_for(tmp_path):
    # 10 + 5 tokens, and as many as 4 more between two new ones
    rows = Dataset.from_list([{"prompt_ids": [1] * 10, "completion_ids": [2, 3, 4, 5, 6]}] * 100)
    trainer_of(tmp_path, tiny_gpt2(TOKENIZER, n_positions=21), rows).train()
    with pytest.raises(ValueError, match="a row has 21 tokens, but the model has 20 positions"):
        trainer_of(tmp_path, tiny_gpt2(TOKENIZER, n_positions=20), rows)


def test_missing_tokens_and_embeddings_are_named(tmp_path):
    plain = numeral_tokenizer(num_nodes=10)
    with pytest.raises(
        ValueError, match=r"trelawney needs the special token <T>, which the tokenizer lacks: tokenize"
    ):
        TrelawneyObjective(plain)
    rows = Dataset.from_list([{"prompt_ids": [1], "completion_ids": [2, 3]}])
    with pytest.raises(ValueError, match="the tokenizer has the id 16, but the model has 15 embeddings"):
        trainer_of(tmp_path, tiny_gpt2(plain), rows)
