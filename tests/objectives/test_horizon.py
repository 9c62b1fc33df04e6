import pytest
import torch

from hf_nextfail.objectives.horizon import first_from, steps_ahead


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_position_meets_each_token_where_it_stands_first(offset):
    rows = [[-100, 3, 5, 3, 3, 5, -100], [4, 4, 4, 4, 4, 4, 4], [-100, -100, -100, 7, 8, 9, 6]]
    met = first_from(torch.tensor(rows), offset).tolist()
    for b, labels in enumerate(rows):
        for t, label in enumerate(labels):
            seen, expected = set(), set()
            for j in range(t + offset, len(labels)):
                if label != -100 and labels[j] != -100 and labels[j] not in seen:
                    seen.add(labels[j])
                    expected.add(j)
            assert {j for j in range(len(labels)) if met[b][t][j]} == expected


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_the_pairs_of_a_row_share_out_its_labels(num_steps):
    labels = torch.tensor([[3, 1, 4, 2, 0], [-100, 2, 2, 5, -100], [-100, -100, 1, -100, -100]])
    limit = torch.tensor([[3], [1], [4]])
    begins, ends, weights = steps_ahead(labels, limit, num_steps)
    pairs = list(zip(begins.tolist(), ends.tolist(), strict=True))
    assert len(set(pairs)) == weights.shape[1]
    found = [{pair for pair, w in zip(pairs, row, strict=True) if w} for row in weights]
    steps = range(1, min(3, num_steps) + 1)
    assert found == [{(t, t + i) for i in steps for t in range(5 - i)}, {(1, 2), (2, 3)}, set()]
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([5.0, 3.0, 0.0]))
    assert all(len(set(row[row > 0].tolist())) <= 1 for row in weights)


def test_one_position_makes_no_pair():
    begins, ends, weights = steps_ahead(torch.tensor([[3]]), torch.tensor([[1]]), num_steps=1)
    assert (begins.tolist(), ends.tolist(), weights.shape) == ([], [], (1, 0))
