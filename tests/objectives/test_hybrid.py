import pytest
import torch
from families import build
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import other_label, ragged_rows, with_completions

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import HybridObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY = TOKENIZER.dummy_token_id


def gpt2(attention=None, **overrides):
    return tiny_gpt2(TOKENIZER, attention, initializer_range=0.3, **NO_DROPOUT | overrides)


def for_model(model, **options):
    objective = HybridObjective(TOKENIZER, **options)
    objective.check(model)
    return objective


def losses_row_by_row(model, rows):
    """The mean losses of both halves, each token from a row of its own that ends where it is predicted."""
    sums, count = {"teacher_forced": 0.0, "teacherless": 0.0}, 0
    for prompt, completion, (p, t) in zip(
        rows.prompt_ids.tolist(), rows.completion_ids.tolist(), rows.lengths.tolist(), strict=True
    ):
        for place in range(t):
            count += 1
            for name, shown in {"teacher_forced": completion[:place], "teacherless": [DUMMY] * place}.items():
                logits = model(torch.tensor([prompt[:p] + shown])).logits[0, -1]
                sums[name] -= logits.log_softmax(dim=0)[completion[place]].item()
    return {name: total / count for name, total in sums.items()}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("weight", [0.5, 0.2])
@torch.no_grad()
def test_loss_is_the_weighted_sum_of_both_halves(attention, weight):
    model, rows = gpt2(attention).eval(), ragged_rows(TOKENIZER)
    objective = for_model(model, weight=weight)
    batch = objective.encode(rows)
    assert len(batch["labels"]) == len(rows)  # the prompts are computed once
    parts = objective.loss(completion_outputs(model, batch), batch)
    expected = losses_row_by_row(model, rows)
    count = rows.lengths[:, 1].sum().item()
    assert parts["teacher_forced"].item() / count == pytest.approx((1 - weight) * expected["teacher_forced"], abs=1e-5)
    assert parts["teacherless"].item() / count == pytest.approx(weight * expected["teacherless"], abs=1e-5)


@pytest.mark.parametrize(("family", "num_rows"), [("gpt2", 1), ("llama", 1), ("bloom", 2), ("mamba", 2), ("jamba", 2)])
def test_every_family_has_that_loss_and_shares_prompts_if_it_follows_masks(family, num_rows):
    model, rows = build(family).eval(), ragged_rows(TOKENIZER)
    objective = for_model(model)
    batch = objective.encode(rows)
    assert len(batch["labels"]) == num_rows * len(rows)
    loss = mean_loss(objective, model, batch)
    assert loss.item() == pytest.approx(sum(losses_row_by_row(model, rows).values()) / 2, abs=1e-4)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_one_row_and_two_have_the_same_gradients():
    rows = ragged_rows(TOKENIZER)
    # The longest row, 6 + 2 * 3 or 2 + 2 * 5 tokens, has room in the first model alone.
    models = [gpt2(n_positions=12), gpt2(n_positions=11)]
    positions = "transformer.wpe.weight"
    state = models[0].state_dict()
    models[1].load_state_dict(state | {positions: state[positions][:11]})
    for model, num_rows in zip(models, (1, 2), strict=True):
        objective = for_model(model)
        batch = objective.encode(rows)
        assert len(batch["labels"]) == num_rows * len(rows)
        mean_loss(objective, model, batch).backward()
    of_two_rows = {name: weight.grad for name, weight in models[1].named_parameters()}
    for name, weight in models[0].named_parameters():
        gradient = weight.grad[:11] if name == positions else weight.grad
        torch.testing.assert_close(gradient, of_two_rows[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_dummies_see_no_true_token(attention):
    model, rows = gpt2(attention).eval(), ragged_rows(TOKENIZER)
    objective = for_model(model)
    said = []
    for completion_ids in (rows.completion_ids, other_label(rows.completion_ids, 0)):
        batch = objective.encode(with_completions(rows, completion_ids))
        outputs = completion_outputs(model, batch)
        from_dummies = batch["input_ids"][:, outputs.first - 1 : -1] == DUMMY
        said.append(outputs.logits[from_dummies])
    torch.testing.assert_close(*said, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5, float("nan")])
def test_weights_that_leave_one_half_out_are_refused(weight):
    with pytest.raises(ValueError, match=f"weight must be above 0 and below 1, got {weight}"):
        HybridObjective(TOKENIZER, weight=weight)


def test_tokenizer_without_a_dummy_token_is_refused():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.dummy_token = None
    with pytest.raises(ValueError, match="the tokenizer has no dummy token"):
        HybridObjective(tokenizer)
