"""Next-token prediction, and a head that says which tokens come later, in any order."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.horizon import first_from
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class FspObjective(TeacherForcedObjective):
    """Predict the next token, and with a second head the bag of the tokens behind it (future summary prediction).

    A state that knows which tokens lie ahead has chosen the arm before the first step is written, where the Clever
    Hans cheat says nothing.

    ```
    input_ids   p_1 ... p_P    r_1   ...  r_T
    labels       .  ...  .     r_1   ...  r_T        (. is -100)
    bag          .  ...  .  {r_2 .. r_T}  ...  {}
    ```

    With `h_t` the state that predicts `r_t`, `V` the size of the vocabulary, and the bag as zeros and ones,
    `a_t(v) = 1` where `v` is one of `r_(t+1), ..., r_(t+tau-1)`, by binary cross-entropy:

        L_FSP = - mean_t 1/V sum_v [a_t(v) log s(z_t(v)) + (1 - a_t(v)) log(1 - s(z_t(v)))],    z_t = U_FSP h_t
        L = L_NTP + weight L_FSP

    The next token itself is left out, and what comes twice counts once. The bag of the last token is empty, which is
    predicted, too. This is the paper's bag of words, without weights for rare words; its other summary, the state of a
    language model that reads from right to left, is not built here.

    *Adds parameters*: one linear head, as large as the output embedding, which is left out of the checkpoint.

    *Needs*: a padding token.

    *Decodes*: token by token, with the model alone.

    *Relations*: `top` says in which order the tokens come, too. `mtp` says which token stands at each distance, and
    needs a head for each; one bag reaches to the end.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        weight (`float`, above 0, *optional*, defaults to 1.0): of the loss of the second head.
        tau (`int`, >= 2, *optional*): the bag holds the `tau - 1` tokens behind the next one; by default all to the
            end of the completion.

    Raises:
        ValueError: if an option is out of range.

    Reference: Mahajan et al., "Beyond Multi-Token Prediction: Pretraining LLMs with Future Summaries"
        (arXiv 2510.14751).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> objective = FspObjective(numeral_tokenizer(num_nodes=10))
    >>> objective.bags(torch.tensor([[3, 2, 4, 2]]))[0].int()
    tensor([[0, 1, 1, 0],
            [0, 0, 1, 1],
            [0, 0, 0, 1],
            [0, 0, 0, 0]], dtype=torch.int32)

    ```
    """

    name: ClassVar[str] = "fsp"

    weight: float = 1.0
    tau: int | None = None

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight must be above 0, got {self.weight}")
        if self.tau is not None and self.tau < 2:
            raise ValueError(f"tau must be at least 2, the next token and one behind it, got {self.tau}")

    def heads(self, model: nn.Module) -> nn.Module:
        """Make a second head of the size of the output embedding."""
        vocabulary, width = model.get_output_embeddings().weight.shape
        return nn.Linear(width, vocabulary, bias=False)

    def bags(self, labels: torch.Tensor) -> torch.Tensor:
        """Say which labels `j` make up the bag of each position `t`, each id once: `(B, K, K)`."""
        bags = first_from(labels, 1)
        return bags if self.tau is None else bags.tril(self.tau - 1)

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token and of the bag."""
        labels, scores = outputs.labels, outputs.heads
        inside = labels != IGNORED
        # -log s(z) = softplus(z) - z, and -log(1 - s(z)) = softplus(z): only tokens of the bag are picked out.
        later = scores.gather(2, labels.clamp(min=0)[:, None, :].expand(-1, labels.shape[1], -1))
        bag = F.softplus(scores).sum(dim=2) * inside - (self.bags(labels) * later).sum(dim=2)
        return super().loss(outputs, batch) | {"bag": self.weight * bag.sum() / scores.shape[2]}
