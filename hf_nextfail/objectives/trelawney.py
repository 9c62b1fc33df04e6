"""Next-token prediction on completions that a look ahead is written into."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.objectives.base import Objective


@dataclass
class TrelawneyObjective(Objective):
    """Predict each completion token from those before it, where some rows name a later span early.

    A span of what comes later stands between two special tokens, so that the model learns to know it ahead of time,
    and after it to write what leads there.

    ```
    input_ids   p_1 ... p_P  r_1 .. r_k  <T>  r_i .. r_j  </T>  r_(k+1) ... r_T
    labels       .  ...  .   r_1 .. r_k   .   r_i .. r_j  </T>  r_(k+1) ... r_T        (. is -100)
    ```

    `y = r_1 .. r_k <T> z </T> r_(k+1) .. r_T` with probability `p`, else `y = r`; `L = - sum_s log p(y_s | p, y_<s)`
    but for `<T>`. So a model does not learn to write `<T>`; whoever wants a look ahead writes it. `z = r_i .. r_j`
    begins behind the next token, `i >= k + 2`; `k`, then `i`, then `j` are drawn, all that are possible being as
    likely. A completion of one token has nothing later, and stays as it is. The loss is a mean over all labels of a
    step, those of `z` and `</T>` among them.

    *Adds parameters*: none but the embeddings of the two special tokens.

    *Needs*: a padding token, and `<T>` and `</T>`, which `finetune` adds to the tokenizer.

    *Decodes*: token by token, without `<T>`. The paper also writes `<T>` by hand, to have a span named first; for
    that, append it to the prompt.

    *Relations*: `teacher_forced` on other data; with `p = 0` it is that. The first step gets easier only in rows whose
    span stands before it.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with `<T>` and `</T>` among its special tokens.
        probability (`float`, 0 to 1, *optional*, defaults to 0.5): `p`, of a row being rewritten.

    Raises:
        ValueError: if the tokenizer lacks one of the tokens, or the probability is out of its range.

    Reference: Thankaraj et al., "Looking beyond the next token" (arXiv 2504.11336). How they draw `k` and `z` was not
        found for this task; ours is as said above.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> tokenizer = numeral_tokenizer(num_nodes=10)
    >>> tokenizer.add_tokens(list(TrelawneyObjective.special_tokens), special_tokens=True)
    2
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2, 3]]), torch.tensor([[3, 3]]))
    >>> objective = TrelawneyObjective(tokenizer, probability=1.0)
    >>> batch = objective.encode(rows, torch.Generator().manual_seed(0))
    >>> tokenizer.decode(batch["input_ids"][0, 3:])
    '1,<T>,3,</T>,2,3'

    ```
    """

    name: ClassVar[str] = "trelawney"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding
    special_tokens: ClassVar[tuple[str, ...]] = ("<T>", "</T>")

    probability: float = 0.5

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__post_init__(tokenizer)
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, got {self.probability}")

    def added_positions(self, num_tokens: int) -> int:
        """Say how much longer rows become: by two tokens and the longest span."""
        return num_tokens + 1 if num_tokens > 1 else 0

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Write looks ahead into some of the completions."""
        length = rows.lengths[:, 1:]  # (B, 1)

        def draw(number: torch.Tensor) -> torch.Tensor:
            return (torch.rand(length.shape, generator=generator) * number).long()

        rewritten = (torch.rand(length.shape, generator=generator) < self.probability) & (length > 1)
        k = draw(length - 1)  # from 0 to T - 2
        i = k + 1 + draw(length - k - 1)  # from here on places are counted from 0, to T - 1
        size = 1 + draw(length - i)
        place = torch.arange(2 * rows.completion_ids.shape[1] + 1)
        open_at, close_at = k, k + size + 1
        source = torch.where(place < open_at, place, place - size - 2)
        source = torch.where((place > open_at) & (place < close_at), i + place - k - 1, source)
        source = torch.where(rewritten, source, place).clamp(0, rows.completion_ids.shape[1] - 1)
        written = rows.completion_ids.gather(1, source)
        for at, token in zip((open_at, close_at), self.special_token_ids, strict=True):
            written = written.masked_fill(rewritten & (place == at), token)
        longer = torch.cat([rows.lengths[:, :1], length + rewritten * (size + 2)], dim=1)
        batch = Rows(rows.prompt_ids, written, longer).lay_out(written, self.pad_token_id)
        unpredicted = batch["labels"] == self.special_token_ids[0]
        return batch | {"labels": batch["labels"].masked_fill(unpredicted, IGNORED)}
