import math

import pytest
import torch
from families import TOKENIZER

from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import FspObjective

LABELS = [[3, 1, 3, 2, 3], [-100, 4, 4, 0, 5], [-100, -100, 1, -100, -100]]


def expected_bag(scores, tau):
    """The sum over positions of the binary cross-entropies of all tokens, one by one."""
    total = 0.0
    for row, labels in enumerate(LABELS):
        for t, label in enumerate(labels):
            if label == -100:
                continue
            bag = {v for v in labels[t + 1 : t + tau] if v != -100}
            for v in range(6):
                yes = 1 / (1 + math.exp(-scores[row, t, v]))
                total -= math.log(yes if v in bag else 1 - yes) / 6
    return total


@pytest.mark.parametrize("tau", [None, 2, 3, 9])
def test_loss_is_the_binary_cross_entropy_of_the_bag(tau):
    torch.manual_seed(0)
    logits, scores = torch.randn(2, 3, 5, 6)
    parts = FspObjective(TOKENIZER, weight=2.0, tau=tau).loss(Outputs(logits, torch.tensor(LABELS), 1, scores), {})
    assert parts["bag"].item() == pytest.approx(2 * expected_bag(scores, tau or 5), rel=1e-5)
    said = logits.log_softmax(dim=2)
    next_token = -sum(said[b, t, v].item() for b, row in enumerate(LABELS) for t, v in enumerate(row) if v >= 0)
    assert parts["next_token"].item() == pytest.approx(next_token, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"weight": -1.0}, "weight must be above 0, got -1.0"),
        ({"tau": 1}, "tau must be at least 2, the next token and one behind it, got 1"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        FspObjective(TOKENIZER, **options)
