import pytest
import torch

from hf_nextfail.objectives.horizon import first_from


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
