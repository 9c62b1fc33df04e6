import pytest
import torch
from families import TOKENIZER, build
from tiny_models import learning, mean_loss
from tiny_rows import even_rows, other_label, ragged_rows, with_completions

from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import MtpObjective

LABELS = [[3, 1, 3, 2], [-100, 4, 4, 0], [-100, -100, 1, -100]]  # of 4, 3 and 1 tokens


def expected_ahead(logits, distance):
    """The mean cross-entropy with the token so many further on, of each row, times the tokens of the row."""
    total = 0.0
    for b, row in enumerate(LABELS):
        inside = [k for k, label in enumerate(row) if label != -100]
        terms = [-logits[b, k].log_softmax(0)[row[k + distance]].item() for k in inside if k + distance in inside]
        total += len(inside) * sum(terms) / max(len(terms), 1)
    return total


@pytest.mark.parametrize("num_heads", [1, 3, 6])
def test_each_head_is_measured_on_the_tokens_so_many_further_on(num_heads):
    torch.manual_seed(0)
    logits, *heads = torch.randn(1 + num_heads, 3, 4, 6)
    parts = MtpObjective(TOKENIZER, num_heads).loss(Outputs(logits, torch.tensor(LABELS), 1, heads), {})
    expected = {f"ahead_{i}": expected_ahead(said, i) for i, said in enumerate(heads, 1)}
    next_token = -sum(
        logits[b, k].log_softmax(0)[v].item() for b, row in enumerate(LABELS) for k, v in enumerate(row) if v >= 0
    )
    assert {name: part.item() for name, part in parts.items()} == pytest.approx({"next_token": next_token} | expected)
    assert num_heads < 4 or parts["ahead_4"].item() == 0  # the longest row has four tokens


def test_a_part_is_the_mean_of_its_terms_where_rows_are_as_long():
    torch.manual_seed(0)
    labels, said = torch.randint(6, (5, 4)), torch.randn(5, 4, 6)
    part = MtpObjective(TOKENIZER, 1).loss(Outputs(said, labels, 1, [said]), {})["ahead_1"]
    mean = torch.nn.functional.cross_entropy(said[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(part / labels.numel(), mean)


@pytest.mark.parametrize("linear", [False, True])
@torch.no_grad()
def test_heads_see_the_true_tokens_so_far_and_only_blocks_see_the_prompt(linear):
    objective, model, rows = MtpObjective(TOKENIZER, linear=linear), build("gpt2").eval(), even_rows(TOKENIZER)

    def said(rows):
        return torch.stack(completion_outputs(model, objective.encode(rows), heads=heads).heads)

    with learning(objective, model) as heads:
        before = said(rows)
        for j in range(5):
            after = said(with_completions(rows, other_label(rows.completion_ids, j)))
            torch.testing.assert_close(after[:, :, : j + 1], before[:, :, : j + 1], rtol=0, atol=1e-5)
            assert (after - before)[:, :, j + 1 :].abs().sum(dim=(1, 3)).gt(1e-3).all()
        batch = objective.encode(rows)
        states = torch.randn(4, batch["input_ids"].shape[1] - 1, 32)
        states = states[:, -5:] if linear else states
        batch["labels"] = batch["labels"][:, -5:]
        one = objective.run_heads(heads.heads, states, batch, model)
        other = objective.run_heads(heads.heads, states.roll(1, dims=1), batch, model)
        from_the_prompt = objective.run_heads(
            heads.heads, torch.cat([states[:, :1] + 1, states[:, 1:]], 1), batch, model
        )
    assert one[0].shape == (4, 5, model.config.vocab_size)
    assert not torch.equal(one[0], other[0])
    assert torch.equal(from_the_prompt[0][:, -1], one[0][:, -1]) == linear


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama", "mamba"])
def test_everything_learns_on_every_family(family, linear):
    objective, model = MtpObjective(TOKENIZER, linear=linear), build(family)
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER)), heads=heads).backward()
        assert [
            name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
        ] == []


def test_it_has_a_head_for_each_further_token():
    model = build("gpt2")
    assert len(MtpObjective(TOKENIZER).heads(model)) == 2
    assert len(MtpObjective(TOKENIZER, num_heads=4).heads(model)) == 4
    linear = MtpObjective(TOKENIZER, linear=True).heads(model)
    assert [tuple(weight.shape) for weight in linear.parameters()] == [(32, 32)] * 2


def test_fewer_than_one_head_is_refused():
    with pytest.raises(ValueError, match="num_heads must be at least 1, the token after the next, got 0"):
        MtpObjective(TOKENIZER, num_heads=0)
