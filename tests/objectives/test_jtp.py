from types import SimpleNamespace

import pytest
import torch
from families import TOKENIZER
from tiny_models import NO_DROPOUT, tiny_gpt2
from torch import nn

from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import JtpObjective

LABELS = [[3, 1, 4, 2, 0], [-100, 2, 2, 5, -100], [-100, -100, 1, -100, -100]]
LENGTHS = [5, 3, 1]


def fixed():
    """A model, its head with weights far from zero, and states."""
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, tie_word_embeddings=False, **NO_DROPOUT)
    heads = JtpObjective(TOKENIZER).heads(model)
    for weight in heads.parameters():
        nn.init.normal_(weight, std=0.3)
    return model, heads, torch.randn(3, 5, 16)


def attention_of_the_last(block, sequence):
    """What a block makes of the last of some vectors, which sees all of them: four heads of width four."""
    normed = block.norm1(sequence)
    q, k, v = (normed @ block.self_attn.in_proj_weight.T + block.self_attn.in_proj_bias).split(16, dim=1)
    seen = []
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        shares = ((k[:, part] @ q[-1, part]) / 2).softmax(dim=0)
        seen.append(shares @ v[:, part])
    out = sequence[-1] + block.self_attn.out_proj(torch.cat(seen))
    return out + block.linear2(nn.functional.gelu(block.linear1(block.norm2(out))))


@pytest.mark.parametrize("horizon", [None, 1, 2, 9])
@torch.no_grad()
def test_loss_is_that_of_each_later_token_fetched_alone(horizon):
    model, heads, states = fixed()
    expected = 0.0
    for b, (row, length) in enumerate(zip(LABELS, LENGTHS, strict=True)):
        terms = []
        for t in range(5):
            for i in range(1, (horizon or 4) + 1):
                if t + i > 4 or row[t] == -100 or row[t + i] == -100:
                    break
                between = model.transformer.wte.weight[torch.tensor(row[t : t + i])]
                fetched = attention_of_the_last(heads.block, torch.cat([states[b, t : t + 1], between]))
                logits = model.lm_head.weight @ heads.norm(fetched)
                terms.append(-logits.log_softmax(dim=0)[row[t + i]].item())
        expected += length * sum(terms) / max(1, len(terms))
    objective = JtpObjective(TOKENIZER, weight=2.0, horizon=horizon)
    said = objective.run_heads(heads, states, {"labels": torch.tensor(LABELS)}, model)
    parts = objective.loss(Outputs(torch.zeros(1, 1, 4), torch.tensor([[2]]), 1, said), {})
    assert parts["later_tokens"].item() == pytest.approx(2 * expected, rel=1e-4)
    assert parts["next_token"].item() == pytest.approx(torch.tensor(4.0).log().item())


def test_gradients_reach_the_state_both_embeddings_and_the_block():
    model, heads, states = fixed()
    states.requires_grad_()
    JtpObjective(TOKENIZER).run_heads(heads, states, {"labels": torch.tensor(LABELS)}, model).backward()
    # From the last state of a row no later token is fetched.
    assert (states.grad.abs().sum(dim=2) > 0).tolist() == [
        [True] * 4 + [False],
        [False, True, True, False, False],
        [False] * 5,
    ]
    for weight in (model.lm_head.weight, model.transformer.wte.weight, *heads.parameters()):
        assert weight.grad.abs().sum() > 0


def test_embeddings_of_another_width_are_refused():
    model = SimpleNamespace(
        config=SimpleNamespace(model_type="narrow"),
        get_input_embeddings=lambda: nn.Embedding(5, 8),
        get_output_embeddings=lambda: nn.Linear(16, 5),
    )
    with pytest.raises(ValueError, match="those of narrow have the widths 8 and 16: take a model in which both are"):
        JtpObjective(TOKENIZER).check(model)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"weight": 0.0}, "weight must be above 0, got 0.0"), ({"horizon": 0}, "horizon must be at least 1, got 0")],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        JtpObjective(TOKENIZER, **options)
