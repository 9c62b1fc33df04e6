"""What a model and its heads say where something is predicted."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Outputs:
    """What a model says of the labels of a batch, `K` positions a row from the first label on.

    Args:
        logits (`torch.Tensor` `(B, K, V)` of `float32`): what is predicted.
        labels (`torch.Tensor` `(B, K)`): what is right; -100 where nothing is predicted.
        first (`int`): the position in the batch of the first of these labels.
        heads: what the objective's `run_heads` returned; `None` without heads.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    first: int
    heads: Any = None
