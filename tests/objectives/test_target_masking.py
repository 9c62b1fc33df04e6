import pytest
import torch
from families import build
from small_tokenizers import whole_numbers
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows, random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import TargetMaskingObjective, TeacherForcedObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY = TOKENIZER.dummy_token_id
MANY = random_rows(TOKENIZER, prompt_lengths=[6] * 4000, completion_lengths=[5] * 4000)


def shown(rows=MANY, **options):
    """What stands in the place of completions, of which no token is a dummy."""
    batch = TargetMaskingObjective(TOKENIZER, **options).encode(rows, torch.Generator().manual_seed(0))
    return batch["input_ids"][:, rows.prompt_ids.shape[1] :]


@torch.no_grad()
def test_loss_is_that_of_each_token_after_what_is_shown():
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval()
    objective, rows = TargetMaskingObjective(TOKENIZER), ragged_rows(TOKENIZER)
    batch = objective.encode(rows, torch.Generator().manual_seed(3))
    assert DUMMY in batch["input_ids"]
    expected = 0.0
    for row, (p, t) in enumerate(rows.lengths.tolist()):
        for place in range(t):
            logits = model(batch["input_ids"][row : row + 1, : p + place]).logits[0, -1]
            expected -= logits.log_softmax(dim=0)[rows.completion_ids[row, place]].item()
    parts = objective.loss(completion_outputs(model, batch), batch)
    assert {name: total.item() for name, total in parts.items()} == {"next_token": pytest.approx(expected, abs=1e-4)}


@pytest.mark.parametrize("contiguous", [False, True])
def test_labels_and_prompts_are_those_of_teacher_forcing(contiguous):
    rows = ragged_rows(TOKENIZER)
    batch = TargetMaskingObjective(TOKENIZER, contiguous=contiguous).encode(rows)
    usual = TeacherForcedObjective(TOKENIZER).encode(rows)
    assert torch.equal(batch["labels"], usual["labels"])
    outside = usual["labels"] == -100
    assert torch.equal(batch["input_ids"][outside], usual["input_ids"][outside])
    changed = batch["input_ids"] != usual["input_ids"]
    assert (batch["input_ids"][changed] == DUMMY).all()


@pytest.mark.parametrize("contiguous", [False, True])
def test_every_number_of_hidden_tokens_is_as_likely(contiguous):
    # A rate u ~ U(0, 1) for each of 5 tokens hides 0 to 5 of them with probability 1/6 each.
    counts = (shown(contiguous=contiguous) == DUMMY).sum(dim=1).bincount(minlength=6) / len(MANY)
    assert counts.tolist() == pytest.approx([1 / 6] * 6, abs=0.03)


def test_one_span_is_hidden_and_may_stand_anywhere():
    hidden = (shown(contiguous=True) == DUMMY).int()
    edges = (hidden.diff(dim=1, prepend=torch.zeros(len(MANY), 1), append=torch.zeros(len(MANY), 1)) != 0).sum(dim=1)
    assert set(edges.tolist()) == {0, 2}
    of_two = hidden[hidden.sum(dim=1) == 2]
    assert len(of_two.unique(dim=0)) == 4
    several = (shown() == DUMMY).int()
    assert (several.diff(dim=1).abs().sum(dim=1) > 2).any()


def test_random_tokens_come_from_the_prompt_of_the_row():
    rows = random_rows(TOKENIZER, [4] * 2000, [3] * 2000)
    rows.prompt_ids[:] = torch.tensor([20, 21, 22, 23])  # which stand in no completion
    rows.lengths[::2, 0] = 2
    objective = TargetMaskingObjective(TOKENIZER, replace="random")
    ids = objective.encode(rows)["input_ids"]
    for first, prompt in ((0, 2), (1, 4)):
        drawn = ids[first::2, prompt : prompt + 3]
        shares = (drawn[drawn >= 20] - 20).bincount() / (drawn >= 20).sum()
        assert shares.tolist() == pytest.approx([1 / prompt] * prompt, abs=0.05)
    assert 0.45 < (ids[1::2, 4:7] >= 20).float().mean() < 0.55


@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba"])
@pytest.mark.parametrize("options", [{}, {"replace": "random", "contiguous": True}])
def test_families_learn_it(family, options):
    model = build(family)
    mean_loss(
        objective := TargetMaskingObjective(TOKENIZER, **options), model, objective.encode(MANY.take(torch.arange(4)))
    ).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_pretrained_tokenizer_has_a_dummy_to_hide_with(tmp_path):
    whole_numbers().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    batch = TargetMaskingObjective(tokenizer).encode(ragged_rows(tokenizer), torch.Generator().manual_seed(0))
    assert tokenizer.dummy_token_id in batch["input_ids"]


def test_other_replacements_are_refused():
    with pytest.raises(ValueError, match="replace must be dummy or random, got 'noise'"):
        TargetMaskingObjective(TOKENIZER, replace="noise")
