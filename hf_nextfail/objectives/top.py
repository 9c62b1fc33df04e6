"""Next-token prediction, and a head that ranks all later tokens by how soon they come."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.horizon import first_from
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class TopObjective(TeacherForcedObjective):
    """Predict the next token, and with a second head the order of the tokens to come (token order prediction).

    A state that ranks the whole rest of the path has found it before the first step is written, where the Clever Hans
    cheat says nothing.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    order        .  ...  .   r_1 > r_2 > ... > r_T   r_2 > ... > r_T   ...   r_T
    ```

    With `h_t` the state that predicts `r_t`, a token `v` has the score `y_t(v) = W - distance` to its first occurrence
    at or after `r_t`, and minus infinity if it has none there in the window `W`:

        L_TOP = - mean_t sum_v softmax(y_t)_v log softmax(U_TOP h_t)_v,    L = L_NTP + weight L_TOP

    The softmax of scores that differ by one is geometric, whatever `W` is: about 64, 24, 9 and 3 % for four tokens.
    The paper takes the plain sum; its `(1 - a) L_NTP + a L_TOP` has the weight `a / (1 - a)`. Its window is the length
    of a row; ours ends with the completion.

    *Adds parameters*: one linear head, as large as the output embedding, which is left out of the checkpoint.

    *Needs*: a padding token.

    *Decodes*: token by token, with the model alone.

    *Relations*: `fsp` predicts which tokens come later and forgets their order; `mtp` says which token stands at each
    distance, with a head for each. If no token repeats, its targets are those of `teacher_forced`, smoothed over
    the tokens to come.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        weight (`float`, above 0, *optional*, defaults to 1.0): of the loss of the second head.
        window (`int`, >= 2, *optional*): the tokens that are ranked, the next one included; by default all of the
            completion.

    Raises:
        ValueError: if an option is out of range.

    Reference: Zuhri et al., "Predicting the Order of Upcoming Tokens Improves Language Modeling" (arXiv 2508.19228).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> objective = TopObjective(numeral_tokenizer(num_nodes=10))
    >>> objective.shares(torch.tensor([[3, 2, 3]]))[0]
    tensor([[0.7311, 0.2689, 0.0000],
            [0.0000, 0.7311, 0.2689],
            [0.0000, 0.0000, 1.0000]])

    ```
    """

    name: ClassVar[str] = "top"

    weight: float = 1.0
    window: int | None = None

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight must be above 0, got {self.weight}")
        if self.window is not None and self.window < 2:
            raise ValueError(f"window must be at least 2, the next token and one more, got {self.window}")

    def heads(self, model: nn.Module) -> nn.Module:
        """Make a second head of the size of the output embedding."""
        vocabulary, width = model.get_output_embeddings().weight.shape
        return nn.Linear(width, vocabulary, bias=False)

    def shares(self, labels: torch.Tensor) -> torch.Tensor:
        """Return what share of its target each position `t` gives to each label `j`: `(B, K, K)`."""
        place = torch.arange(labels.shape[1], device=labels.device)
        distance = place - place[:, None]
        ranked = first_from(labels, 0)
        if self.window is not None:
            ranked = ranked & (distance < self.window)
        shares = torch.where(ranked, (-distance).exp(), 0)
        return shares / shares.sum(dim=2, keepdim=True).clamp(min=1)  # 1 is the share of the next token before

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token and of the order."""
        labels, scores = outputs.labels, outputs.heads
        inside = labels != IGNORED
        # Only tokens of the completion have a share: the vocabulary is read once, for the normalisation.
        ranked = scores.gather(2, labels.clamp(min=0)[:, None, :].expand(-1, labels.shape[1], -1))
        order = scores.logsumexp(dim=2) * inside - (self.shares(labels) * ranked).sum(dim=2)
        return super().loss(outputs, batch) | {"token_order": self.weight * order.sum()}
