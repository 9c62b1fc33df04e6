import math

import pytest
import torch
from families import TOKENIZER

from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import TopObjective

LABELS = [[3, 1, 3, 2], [-100, 4, 4, 0], [-100, -100, 1, -100]]


def expected_order(scores, window):
    """The sum over positions of the cross-entropy with the softmax of `W - distance`, token by token."""
    total = 0.0
    for row, labels in enumerate(LABELS):
        for t, label in enumerate(labels):
            if label == -100:
                continue
            rank = {}
            for j in range(t, len(labels)):
                if labels[j] != -100 and j - t < window:
                    rank.setdefault(labels[j], window - (j - t))
            target = {v: math.exp(r) / sum(map(math.exp, rank.values())) for v, r in rank.items()}
            said = scores[row, t].log_softmax(dim=0)
            total -= sum(share * said[v].item() for v, share in target.items())
    return total


def outputs():
    torch.manual_seed(0)
    logits, scores = torch.randn(2, 3, 4, 6)
    return Outputs(logits, torch.tensor(LABELS), first=1, heads=3 * scores)


@pytest.mark.parametrize("window", [None, 2, 3, 9])
def test_loss_is_the_cross_entropy_with_the_softmax_of_the_scores(window):
    said = outputs()
    parts = TopObjective(TOKENIZER, weight=2.0, window=window).loss(said, {})
    assert parts["token_order"].item() == pytest.approx(2 * expected_order(said.heads, window or 4), rel=1e-5)
    said = said.logits.log_softmax(dim=2)
    next_token = -sum(said[b, t, v].item() for b, row in enumerate(LABELS) for t, v in enumerate(row) if v >= 0)
    assert parts["next_token"].item() == pytest.approx(next_token, rel=1e-5)


def test_four_tokens_get_the_shares_of_the_paper():
    shares = TopObjective(TOKENIZER).shares(torch.tensor([[5, 1, 7, 2]]))[0, 0]
    assert [round(100 * share) for share in shares.tolist()] == [64, 24, 9, 3]


def test_shares_of_long_rows_are_finite():
    shares = TopObjective(TOKENIZER).shares(torch.arange(300)[None])
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(1, 300))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"weight": 0}, "weight must be above 0, got 0"),
        ({"window": 1}, "window must be at least 2, the next token and one more, got 1"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        TopObjective(TOKENIZER, **options)
