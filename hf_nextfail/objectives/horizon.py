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


def steps_ahead(labels: torch.Tensor, limit: torch.Tensor, num_steps: int) -> tuple[torch.Tensor, ...]:
    """Pair each position with those that lie 1, 2, ... `num_steps` further on, and weigh the pairs.

    Pairs are listed by distance: first all of one step, then all of two. A pair counts where both positions predict
    something and its row allows so many steps. The pairs of a row that count share out the number of its labels
    evenly. The trainer divides by the number of labels, so for rows of one length the part is a mean over pairs,
    however a step is cut into batches.

    Args:
        labels (`torch.Tensor` `(B, K)`): ids, or -100 where nothing is predicted.
        limit (`torch.Tensor` `(B, 1)`): the most steps of each row.
        num_steps (`int`, >= 1): the most of all rows.

    Returns:
        Where each pair begins and ends, both `(N,)`, and its weight, `(B, N)`: 0 where it does not count.
    """
    place, inside = torch.arange(labels.shape[1], device=labels.device), labels != IGNORED
    ends = torch.cat([place[step:] for step in range(1, num_steps + 1)])
    begins = torch.cat([place[: len(place) - step] for step in range(1, num_steps + 1)])
    counts = inside[:, begins] & inside[:, ends] & (ends - begins <= limit)
    return begins, ends, counts * (inside.sum(dim=1, keepdim=True) / counts.sum(dim=1, keepdim=True).clamp(min=1))
