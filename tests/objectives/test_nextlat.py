import pytest
import torch
from families import TOKENIZER
from peft import LoraConfig, get_peft_model
from tiny_models import NO_DROPOUT, learning, mean_loss, tiny_gpt2
from tiny_rows import ragged_rows

from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import NextlatObjective

LABELS = [[3, 1, 4, 2, 0], [-100, 2, 2, 5, -100], [-100, -100, 1, -100, -100]]
LENGTHS = [5, 3, 1]


def model_and_heads(objective):
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, tie_word_embeddings=False, **NO_DROPOUT)
    heads = objective.heads(model)
    for weight in heads.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # the last layer begins at zero
    return model, heads


def compared(objective, states):
    """The heads' answer on fixed states."""
    torch.manual_seed(0)
    model, heads = model_and_heads(objective)
    return model, heads, objective.run_heads(heads, states, {"labels": torch.tensor(LABELS)}, model)


def fixed_states():
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(5)).requires_grad_()


def by_hand(model, heads, states, horizon):
    """Both sums, one position and one step at a time."""
    E, U, (norm, first, _, second, _, third) = model.transformer.wte.weight, model.lm_head.weight, heads.step
    gelu = torch.nn.functional.gelu
    sums = [0.0, 0.0]
    for b, (row, length) in enumerate(zip(LABELS, LENGTHS, strict=True)):
        terms = []
        for t in range(5):
            guess = states[b, t]
            for i in range(1, (horizon or max(1, length - 2)) + 1):
                if t + i > 4 or row[t] == -100 or row[t + i] == -100:
                    break
                x = norm(torch.cat([guess, E[row[t + i - 1]]]))
                guess = guess + third(gelu(second(gelu(first(x)))))
                apart = (states[b, t + i] - guess).abs()
                smooth = torch.where(apart < 1, apart**2 / 2, apart - 0.5).mean()
                p, q = (U @ states[b, t + i]).softmax(0), (U @ guess).softmax(0)
                terms.append((smooth.item(), (p * (p / q).log()).sum().item()))
        for kind in (0, 1):
            sums[kind] += length * sum(term[kind] for term in terms) / max(1, len(terms))
    return sums


@pytest.mark.parametrize("horizon", [None, 1, 2, 9])
def test_both_losses_are_those_of_states_rolled_out_by_hand(horizon):
    objective, states = NextlatObjective(TOKENIZER, horizon=horizon), fixed_states()
    model, heads, said = compared(objective, states)
    expected = by_hand(model, heads, states, horizon)
    assert [said["next_state"].item(), said["kl"].item()] == pytest.approx(expected, rel=1e-4)


def test_parts_are_weighted():
    objective = NextlatObjective(TOKENIZER, state_weight=2.0, kl_weight=0.5)
    heads = {"next_state": torch.tensor(3.0), "kl": torch.tensor(5.0)}
    parts = objective.loss(Outputs(torch.zeros(1, 1, 4), torch.tensor([[2]]), 1, heads), {})
    assert (parts["next_state"].item(), parts["kl"].item()) == (6.0, 2.5)
    assert parts["next_token"].item() == pytest.approx(torch.tensor(4.0).log().item())


@pytest.mark.parametrize("part", ["next_state", "kl"])
def test_no_gradient_goes_through_what_is_aimed_at(part):
    states = fixed_states()
    model, _, said = compared(NextlatObjective(TOKENIZER, horizon=1), states)
    said[part].backward()
    moved = states.grad.abs().sum(dim=2) > 0
    # A state gets a gradient as the begin of a step, so the last one of each row, which is aimed at alone, gets none.
    assert moved.tolist() == [[True] * 4 + [False], [False, True, True, False, False], [False] * 5]
    assert model.lm_head.weight.grad is None
    assert model.transformer.wte.weight.grad.abs().sum() > 0


def test_a_state_that_steps_and_is_aimed_at_gets_the_gradient_of_its_step_alone():
    objective, states = NextlatObjective(TOKENIZER, horizon=1), fixed_states()
    model, heads, said = compared(objective, states)
    said["next_state"].backward()
    alone = states.detach().clone().requires_grad_()
    labels = torch.tensor(LABELS)
    labels[0, :3] = -100  # leaves the pair (3, 4) of row 0 alone: 2 labels, where 5 labels shared 4 pairs
    objective.run_heads(heads, alone, {"labels": labels}, model)["next_state"].backward()
    torch.testing.assert_close(states.grad[0, 3] / (5 / 4), alone.grad[0, 3] / (2 / 1))


def test_under_adapters_the_heads_learn_and_the_base_does_not():
    objective = NextlatObjective(TOKENIZER)
    base = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    with learning(objective, model) as heads:
        mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER)), heads=heads).backward()
    learnt = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert learnt
    assert all("lora_" in name for name in learnt)
    assert heads.heads.step[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"state_weight": -1.0}, "state_weight must be at least 0, got -1.0"),
        ({"kl_weight": -1.0}, "kl_weight must be at least 0, got -1.0"),
        ({"state_weight": 0, "kl_weight": 0}, "with both 0 this is teacher_forced"),
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        NextlatObjective(TOKENIZER, **options)
