import math
from collections import Counter
from itertools import combinations

import pytest
import torch
from families import build
from small_tokenizers import split_digits
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import even_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED, Rows
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import InsertionObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY, PAD = TOKENIZER.dummy_token_id, TOKENIZER.pad_token_id
OBJECTIVE = InsertionObjective(TOKENIZER)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_of(*pairs):
    """Rows of prompts and completions of any lengths."""
    examples = [{"prompt_ids": prompt, "completion_ids": completion} for prompt, completion in pairs]
    return Rows.of_examples(examples, PAD)


def many_rows(count, prompt=(7, 8), completion=(1, 2, 3, 4)):
    return rows_of((list(prompt), list(completion))).take(torch.zeros(count, dtype=torch.int64))


def read(batch, row, prompt, completion):
    """What is shown of a completion, and the missing tokens with the number of shown ones before each."""
    labels = batch["labels"][row].tolist()
    assert labels[prompt : prompt + len(completion)] == completion
    assert {label for place, label in enumerate(labels) if not 0 <= place - prompt < len(completion)} == {IGNORED}
    missing, shown = [], []
    for place, token in enumerate(completion, prompt):
        if batch["weights"][row, place] > 0:
            missing.append((len(shown), token, batch["weights"][row, place].item(), batch["gaps"][row, place].item()))
        else:
            shown.append(token)
    return shown, missing


def test_loss_is_the_formula_of_the_paper():
    # Three rows, from which one, none and all tokens are missing: lengths 3, 2 and 3, behind prompts of 2, 3 and 2.
    rows = rows_of(([7, 8], [1, 2, 3]), ([7, 8, 9], [4, 5]), ([8, 8], [6, 6, 0]))
    missing = [{1}, set(), {0, 1, 2}]
    batch = OBJECTIVE.encode(rows)
    for row, dropped in enumerate(missing):
        begin, completion = rows.lengths[row, 0].item(), rows.completion_ids[row, : rows.lengths[row, 1]].tolist()
        for place in range(len(completion)):
            batch["weights"][row, begin + place] = len(completion) / len(dropped) if place in dropped else 0
            batch["gaps"][row, begin + place] = sum(other not in dropped for other in range(place))
    torch.manual_seed(0)
    logits = torch.randn(*batch["labels"].shape, 15) * 3  # the label of a position stands in the same place
    inserted, stop, num_labels = 0.0, 0.0, 0
    for row, dropped in enumerate(missing):
        begin, completion = rows.lengths[row, 0].item(), rows.completion_ids[row, : rows.lengths[row, 1]].tolist()
        num_gaps = len(completion) - len(dropped) + 1
        chances = {
            (gap, token): math.exp(logits[row, begin + gap, token].item())
            for gap in range(num_gaps)
            for token in range(15)
            if token != DUMMY
        }
        anything, complete = sum(chances.values()), math.exp(logits[row, begin, DUMMY].item())
        counts = Counter((sum(other not in dropped for other in range(place)), completion[place]) for place in dropped)
        of_row = -sum(count / len(dropped) * math.log(chances[entry] / anything) for entry, count in counts.items())
        right = complete if not dropped else anything
        inserted += len(completion) * of_row
        stop += len(completion) * -math.log(right / (anything + complete))
        num_labels += len(completion)

    first = 1
    outputs = Outputs(logits[:, first:], batch["labels"][:, first:], first)
    parts = {name: total.item() for name, total in OBJECTIVE.loss(outputs, batch).items()}
    assert parts == {"inserted": pytest.approx(inserted, rel=1e-5), "stop": pytest.approx(stop, rel=1e-5)}
    assert num_labels == (batch["labels"] != IGNORED).sum()


def test_what_is_left_is_shown_in_order_and_each_missing_token_knows_its_gap():
    pairs = [([7, 8], [1, 2, 3, 4]), ([9], [5, 5]), ([7, 8, 9], [6])] * 40
    batch = OBJECTIVE.encode(rows_of(*pairs), seeded())
    seen_sizes = set()
    for row, (prompt, completion) in enumerate(pairs):
        shown, missing = read(batch, row, len(prompt), completion)
        whole = prompt + shown
        assert batch["input_ids"][row].tolist() == whole + [PAD] * (batch["input_ids"].shape[1] - len(whole))
        assert len(batch["attention_mask"][row, 0].unique(dim=0)) == 1
        assert (batch["attention_mask"][row, 0, 0] == 0).tolist() == [
            place < len(whole) for place in range(batch["input_ids"].shape[1])
        ]
        for before, _, weight, gap in missing:
            assert gap == before
            assert weight == pytest.approx(len(completion) / len(missing))
        assert not batch["weights"][row, : len(prompt)].any()
        seen_sizes.add((len(completion), len(missing)))
    assert seen_sizes == {(length, n) for length in (1, 2, 4) for n in range(length + 1)}


def test_every_number_of_missing_tokens_is_as_likely_and_so_is_every_set_of_that_many():
    batch, count = OBJECTIVE.encode(many_rows(6000), seeded()), 6000
    dropped = (batch["weights"][:, 2:6] > 0).tolist()
    sets = Counter(tuple(place for place in range(4) if row[place]) for row in dropped)
    for n in range(5):
        every = list(combinations(range(4), n))
        for places in every:
            assert sets[places] / count == pytest.approx(1 / 5 / len(every), abs=0.02)


def test_a_row_weighs_as_much_as_it_has_labels_whatever_it_lost():
    pairs = [([7, 8], [1, 2, 3, 4]), ([9], [5, 5])] * 20
    weights = OBJECTIVE.encode(rows_of(*pairs), seeded())["weights"].sum(dim=1).tolist()
    for weight, (_, completion) in zip(weights, pairs, strict=True):
        assert weight == pytest.approx(len(completion)) or weight == 0  # which is when nothing is missing


def test_a_gap_is_predicted_from_everything_that_is_shown_and_from_nothing_that_is_missing():
    model, rows = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval(), even_rows(TOKENIZER)
    batch = OBJECTIVE.encode(rows, seeded(3))
    before = completion_outputs(model, batch).logits
    states = set()
    for j in range(5):
        other = Rows(rows.prompt_ids, rows.completion_ids.clone(), rows.lengths)
        other.completion_ids[:, j] = (other.completion_ids[:, j] + 1) % 10
        after = completion_outputs(model, OBJECTIVE.encode(other, seeded(3))).logits
        for row in range(len(rows)):
            _, missing = read(batch, row, 6, rows.completion_ids[row].tolist())
            gaps = slice(0, 5 - len(missing) + 1)
            change = (after - before)[row, gaps].abs().amax(dim=1)
            is_missing = batch["weights"][row, 6 + j].item() > 0
            assert change.max() < 1e-5 if is_missing else change.min() > 1e-4
            states.add(is_missing)
    assert states == {True, False}


def test_mamba_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="the decoding inserting lets every token see the later ones, and Mamba"):
        OBJECTIVE.check(build("mamba"))


def test_completions_of_many_lengths_and_of_byte_level_tokens_are_learnt_with_their_ends(tmp_path):
    split_digits().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    objective = InsertionObjective(tokenizer)
    texts = [("1,2=", "1"), ("3,4=", "12,3"), ("5=", "7,25")]
    ids = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in texts]
    rows = Rows.of_examples([{"prompt_ids": p, "completion_ids": c} for p, c in ids], tokenizer.pad_token_id)
    model, generator = tiny_gpt2(tokenizer, n_embd=32, initializer_range=0.2, **NO_DROPOUT), seeded()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    many = rows.take(torch.arange(3).repeat(16))
    for _ in range(100):
        optimizer.zero_grad()
        mean_loss(objective, model, objective.encode(many, generator)).backward()
        optimizer.step()
    # Without an end token, and with room for more: that it is complete is what it learnt.
    written = objective.decoding.write(model.eval(), rows, 8)
    expected = torch.full_like(written, tokenizer.pad_token_id)
    expected[:, : rows.completion_ids.shape[1]] = rows.completion_ids
    assert written.tolist() == expected.tolist()
