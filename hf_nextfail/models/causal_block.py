"""A transformer block to put on top of any causal LM."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def plain_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor
) -> torch.Tensor:
    """Compute what `scaled_dot_product_attention` does, whose fused kernel takes five times as long on short rows."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return scores.masked_fill(~attn_mask, -torch.inf).softmax(dim=-1) @ value


class CausalBlock(nn.Module):
    """Mix states with earlier ones, and end with a norm as a trunk does, so that an output embedding can read them.

    A pre-norm block of attention and an MLP, the same on every family. It has no encoding of positions, since the
    states that it reads come from a causal LM and know where they stand. Rows are padded on the right, where no token
    looks, so it needs no mask of padding.

    Args:
        width (`int`): of the states; a head of attention has 64 of it, or the largest divisor that both have.
    """

    def __init__(self, width: int):
        super().__init__()
        self.head_width = math.gcd(width, 64)
        self.attention = F.scaled_dot_product_attention
        self.attention_norm = nn.RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.last_norm = nn.RMSNorm(width)

    def set_attn_implementation(self, name: str) -> None:
        """Choose how attention is computed, by the names that transformers has: `sdpa` or `eager`, which is plain."""
        self.attention = {"sdpa": F.scaled_dot_product_attention, "eager": plain_attention}[name]

    def forward(self, states: torch.Tensor, num_kept: int | None = None) -> torch.Tensor:
        """Return the new states, of the last `num_kept` positions alone if nothing reads the others.

        Args:
            states (`torch.Tensor` `(B, S, H)`): of all positions.
            num_kept (`int`, from 1 to `S`, *optional*): by default all.

        Returns:
            `torch.Tensor` `(B, num_kept, H)`.
        """
        length = states.shape[1]
        num_kept = num_kept or length
        normed, last = self.attention_norm(states), states[:, -num_kept:]
        query = self._per_head(self.query(normed[:, -num_kept:]))
        key, value = (self._per_head(part) for part in self.key_value(normed).chunk(2, dim=2))
        seen = torch.ones(num_kept, length, dtype=torch.bool, device=states.device).tril(length - num_kept)
        mixed = self.attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        last = last + self.attention_output(mixed)
        return self.last_norm(last + self.mlp(self.mlp_norm(last)))

    def _per_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(2, (-1, self.head_width)).transpose(1, 2)
