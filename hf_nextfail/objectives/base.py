"""What every objective shares."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import Decoding
from hf_nextfail.models.completion_logits import completion_logits


class Objective:
    """Define how a completion is learnt: what a model sees of it, and what it must predict.

    An objective knows nothing of graphs. Pass one to [`NextFailTrainer`] and to [`CompletionCollator`], or name it in
    a recipe; adding one takes a file in this folder and a line in `OBJECTIVES`. A subclass sets `name` and
    `decoding_class`, and overrides `encode` or `loss` where it differs.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Attributes:
        decoding (`Decoding`): how a checkpoint of it writes.

    Raises:
        ValueError: if the tokenizer lacks a token that the decoding needs.
    """

    name: ClassVar[str]
    decoding_class: ClassVar[type[Decoding]]

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.decoding = self.decoding_class(tokenizer)
        self.pad_token_id: int = self.decoding.pad_token_id

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Lay out a batch to learn from, by default as the decoding scores it.

        Args:
            rows (`Rows`): `B` of them, of `int64` as `Rows.take` gives them.
            generator (`torch.Generator`, *optional*): where a stochastic objective draws from; by default torch's own.

        Returns:
            `input_ids`, `attention_mask` and `labels`, each `(B, max(P + T))`; see [`Rows.lay_out`].
        """
        return self.decoding.view(rows)

    def loss(
        self,
        model: nn.Module,
        batch: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
        first: int | None = None,
    ) -> torch.Tensor:
        """Return the cross-entropy of a batch, a scalar in nats.

        Args:
            model (`nn.Module`): a causal LM.
            batch (`dict`): what `encode` returned.
            num_items_in_batch (`torch.Tensor` or `int`, *optional*): divide the sum by this, the number of labels of
                all batches of one optimizer step; by default by the number of labels here.
            first (`int`, *optional*): a position that no label stands before; see `completion_logits`.
        """
        logits, labels, _ = completion_logits(model, batch, first)
        total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        return total / ((labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch)
