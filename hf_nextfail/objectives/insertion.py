"""What is missing, and where, from what is left of a completion."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import Decoding, InsertingDecoding
from hf_nextfail.decoding.parallel_generate import seen_by_all
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.base import Objective


@dataclass
class InsertionObjective(Objective):
    """Predict which tokens are missing, and in which gaps, from the prompt and some tokens of the completion.

    A row loses from none to all of its tokens; their places are not marked. Every position sees all others. A gap is
    read at the token before it, the first one at the last token of the prompt, as in the causal LM that the model was.

    ```
    input_ids   p_1 ... p_P  r_2   .    .    .     padding; r_1, r_3 and r_4 are missing
    labels       .  ...  .   r_1  r_2  r_3  r_4    (. is -100)
    gaps                      0         1    1     0: behind p_P, 1: behind r_2
    weights      0  ...  0   4/3   0   4/3  4/3
    ```

    With `n ~ U{0..T}` and each set `D` of `n` tokens as likely as any other,

    ```
    L_inserted = E [ -sum_{i in D} log p(g_i, r_i | not complete) / n ]     for n > 0; g_i is the gap of r_i
    L_stop     = E [ -log p(complete) if n = 0, else -log p(not complete) ]
    ```

    where `p(g, v | not complete)` is one softmax over all tokens in all gaps, and `complete` one more entry of it: the
    dummy token in the first gap. So the sum of both is the cross-entropy of that softmax.

    The paper's `L_stop` is that of a binary head on a token of its own. This one differs in what the head is: the
    log-odds of `complete` are the dummy token's logit less the logarithm of the sum over everything that can be
    inserted. So a checkpoint is a plain causal LM. In the paper a token stands between prompt and completion, too.

    Each row weighs as much as it has labels, whatever it lost, so that accumulated batches are one.

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token, which says `complete`.

    *Needs*: a padding and a dummy token; attention that takes a mask of its own. Families without attention (Mamba),
    or whose attention knows the causal mask alone (GPT-Neo, BLOOM), are refused.

    *Decodes*: by inserting, one token a step, until it is complete.

    *Relations*: as in `masked_diffusion`, each order of writing is learnt, so that one which needs no guess can be
    found. But nothing says how much is missing, so a later token is not tied to a place.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.

    Raises:
        ValueError: if the tokenizer has no dummy token.

    Reference: Patel et al., "Insertion Language Models: Sequence Generation with Arbitrary-Position Insertions" (arXiv
        2505.05755).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> objective = InsertionObjective(numeral_tokenizer(num_nodes=10))
    >>> batch = objective.encode(rows, torch.Generator().manual_seed(0))
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 1, 14, 14]], [[-100, -100, -100, 1, 2, -100]])

    ```
    """

    name: ClassVar[str] = "insertion"
    decoding_class: ClassVar[type[Decoding]] = InsertingDecoding

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Drop tokens, and say in which gap each was and what it weighs. See [`Objective.encode`]."""
        prompt_length, length = rows.lengths[:, :1], rows.lengths[:, 1:]  # (B, 1)
        num_dropped = (torch.rand(length.shape, generator=generator) * (length + 1)).long()  # n
        drawn = torch.rand(rows.inside.shape, generator=generator).masked_fill(~rows.inside, 2.0)
        dropped = drawn.argsort(dim=1).argsort(dim=1) < num_dropped  # (B, T)
        kept = rows.inside & ~dropped
        # What is kept comes first, in its order.
        shown = rows.completion_ids.gather(1, (~kept).long().argsort(dim=1, stable=True))
        num_kept = length - num_dropped
        shown = shown.masked_fill(torch.arange(shown.shape[1]) >= num_kept, self.pad_token_id)
        batch = rows.lay_out(shown, self.pad_token_id)
        # One position more, which is cut off: behind the last token there is a gap, too.
        labels = F.pad(batch["labels"], (0, 1), value=IGNORED)
        gaps, weights = torch.zeros_like(labels), torch.zeros(labels.shape)
        gaps[labels != IGNORED] = (kept.cumsum(dim=1) - kept.long())[rows.inside]
        weights[labels != IGNORED] = (dropped * length / num_dropped.clamp(min=1))[rows.inside]
        return {
            "input_ids": F.pad(batch["input_ids"], (0, 1), value=self.pad_token_id),
            "attention_mask": seen_by_all(torch.arange(labels.shape[1]) < prompt_length + num_kept),
            "labels": labels,
            "gaps": gaps,
            "weights": weights,
        }

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Compare tokens in gaps, and whether a row is complete. See [`Objective.loss`]."""
        weights, gaps = (batch[name][:, outputs.first :] for name in ("weights", "gaps"))  # (B, K)
        dummy, is_label = self.decoding.dummy_token_id, outputs.labels != IGNORED
        num_tokens, num_dropped = is_label.sum(dim=1), (weights > 0).sum(dim=1)  # (B,)
        # A gap is a position of `outputs` after the first label's, which is where a prompt ends.
        first = is_label.int().argmax(dim=1, keepdim=True)  # (B, 1)
        place = torch.arange(weights.shape[1], device=weights.device) - first
        is_gap = (place >= 0) & (place <= (num_tokens - num_dropped)[:, None])
        complete = outputs.logits[:, :, dummy].gather(1, first)[:, 0]
        logits = outputs.logits.index_fill(2, torch.tensor(dummy, device=first.device), -torch.inf)
        everything = logits.logsumexp(dim=2).masked_fill(~is_gap, -torch.inf).logsumexp(dim=1)  # (B,)
        entry = (first + gaps) * logits.shape[2] + outputs.labels.clamp(min=0)
        inserted = (everything[:, None] - logits.flatten(1).gather(1, entry)).masked_fill(weights == 0, 0)
        is_complete = (num_dropped == 0).float()
        stop = F.binary_cross_entropy_with_logits(complete - everything, is_complete, reduction="none")
        return {"inserted": (weights * inserted).sum(), "stop": (num_tokens * stop).sum()}
