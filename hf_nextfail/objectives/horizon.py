"""Which later tokens a position can look at."""

import torch

from hf_nextfail.data.rows import IGNORED


def first_from(labels: torch.Tensor, offset: int) -> torch.Tensor:
    """Say which labels a position meets for the first time, counting from so many positions further on.

    Args:
        labels (`torch.Tensor` `(B, K)`): ids, or -100 where nothing is predicted.
        offset (`int`, >= 0): where a position begins to look; 0 is its own label.

    Returns:
        `torch.Tensor` of `bool` `(B, K, K)`: at `[b, t, j]`, whether label `j` stands at or behind `t + offset`, and
        the same id does not stand between the two.
    """
    place = torch.arange(labels.shape[1], device=labels.device)
    inside = labels != IGNORED
    same = (labels[:, :, None] == labels[:, None, :]) & (place[:, None] < place)  # [b, i, j], i before j
    nearest = (same * (place[:, None] + 1)).amax(dim=1)  # one more than where the same id stood last; 0: nowhere
    begin = place[:, None] + offset
    met = (begin <= place) & (nearest[:, None, :] <= begin)
    return met & inside[:, :, None] & inside[:, None, :]
