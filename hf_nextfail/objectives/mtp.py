"""Next-token prediction, and heads that predict the tokens after it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.models.causal_block import CausalBlock
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class MtpObjective(TeacherForcedObjective):
    """Predict the next token, and each of the tokens after it with a head of its own (multi-token prediction).

    A head skips the token that a cheat would copy from, so the state must know the path a few steps ahead.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T            (. is -100)
    ahead 1      .  ...  .   r_2 ... r_T  .
    ahead 2      .  ...  .   r_3 ... r_T  .  .
    ```

    With `h_t` the state that predicts `r_t`, `f_0` the identity, and `f_i` a transformer block that ends with a norm:

        L = - sum_{i = 0..n-1} mean_t log p_i(r_{t+i}),    p_i = softmax U f_i(h)_t

    The paper's `n` is `num_heads + 1`, and `U` is the model's own output embedding, as in the paper. Its heads take
    their blocks from the trunk, so that the parameters stay the same, and share the last norm of the model. Ours are
    added to a whole trunk, are the same on every family (see [`CausalBlock`]), and read the states of the whole row
    behind the model's last norm, which families have in many places or not at all. What a family does to logits
    behind `U`, such as scaling, the heads leave out.

    Head `i` predicts from the states that predict `r_1 .. r_{T-i}`. Each row weighs its terms by `T / (T - i)`: so
    each part is the mean of its own terms where all rows are as long, however batches are divided.

    *Adds parameters*: a block a head, about 12 times the width squared, which are left out of the checkpoint.

    *Needs*: a padding token.

    *Decodes*: token by token, with the model alone.

    *Relations*: `ds_mtp` shows its heads the true tokens between; `jtp`, too, from a single state. `top` ranks all
    tokens to come with one linear head.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        num_heads (`int`, >= 1, *optional*, defaults to 2): how many tokens are predicted beside the next one.
        linear (`bool`, *optional*, defaults to `False`): whether a head is a square matrix in the place of the block.

    Raises:
        ValueError: if an option is out of range.

    Reference: Gloeckle et al., "Better & Faster Large Language Models via Multi-token Prediction" (arXiv 2404.19737).

    Example:

    ```python
    >>> import torch
    >>> labels = torch.tensor([[3, 1, 2]])
    >>> certain = 50.0 * torch.nn.functional.one_hot(torch.tensor([[1, 2, 0]]), 4)
    >>> cross_entropy_ahead(certain, labels, distance=1).item()
    0.0

    ```
    """

    name: ClassVar[str] = "mtp"

    num_heads: int = 2
    linear: bool = False

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if self.num_heads < 1:
            raise ValueError(f"num_heads must be at least 1, the token after the next, got {self.num_heads}")

    @property
    def heads_read_whole_row(self) -> bool:
        """Whether the heads attend to the prompt."""
        return not self.linear

    def heads(self, model: nn.Module) -> nn.Module:
        """Make the heads, each without the output embedding that it shares with the model."""
        width = model.get_output_embeddings().weight.shape[1]
        return nn.ModuleList(
            nn.Linear(width, width, bias=False) if self.linear else CausalBlock(width) for _ in range(self.num_heads)
        )

    def run_heads(self, heads: nn.Module, states: torch.Tensor, batch: Batch, model: nn.Module) -> list[torch.Tensor]:
        """Return the logits `(B, K, V)` of each head."""
        num_kept = batch["labels"].shape[1]
        ahead = [head(states) if self.linear else head(states, num_kept) for head in heads]
        return [model.get_output_embeddings()(later) for later in ahead]

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token and of each head."""
        ahead = {
            f"ahead_{i}": cross_entropy_ahead(logits, outputs.labels, i) for i, logits in enumerate(outputs.heads, 1)
        }
        return super().loss(outputs, batch) | ahead


def cross_entropy_ahead(logits: torch.Tensor, labels: torch.Tensor, distance: int) -> torch.Tensor:
    """Sum the cross-entropy with the labels so many further on, each row as if it had as many of them as labels.

    Args:
        logits (`torch.Tensor` `(B, K, V)`), labels (`torch.Tensor` `(B, K)`): what is said of label `k + distance`
            where label `k` is predicted, and all labels; -100 where nothing is predicted.
        distance (`int`, >= 1): how much further on.
    """
    later = F.pad(labels, (0, distance), value=IGNORED)[:, distance:].masked_fill(labels == IGNORED, IGNORED)
    terms = F.cross_entropy(logits.flatten(0, 1), later.flatten(), ignore_index=IGNORED, reduction="none")
    num_labels, num_terms = ((ids != IGNORED).sum(dim=1) for ids in (labels, later))
    return (terms.view_as(later).sum(dim=1) * num_labels / num_terms.clamp(min=1)).sum()
