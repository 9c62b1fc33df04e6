"""Next-token prediction given the previous tokens, of which some are hidden."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import Batch, Rows
from hf_nextfail.data.tokenization import dummy_token_id
from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.objectives.base import Objective

Replacement = Literal["dummy", "random"]


@dataclass
class TargetMaskingObjective(Objective):
    """Predict each completion token from the prompt and the tokens before it, of which a random share is replaced.

    Where the true token before is hidden there is nothing to copy from, so the model has to know the path.

    ```
    input_ids   p_1 ... p_P  r_1  $  r_3 ...  $          each r_t is $ with probability u
    labels       .  ...  .   r_1 r_2 r_3 ... r_T         (. is -100)
    ```

    `L = - sum_t log p(r_t | p, m_1 .. m_(t-1))`, where `m_t` is the replacement with probability `u` and `r_t` else,
    and `u ~ U(0, 1)` for each row.

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token.

    *Needs*: a padding and a dummy token.

    *Decodes*: token by token.

    *Relations*: a row of `u = 0` is one of `teacher_forced`, a row of `u = 1` with dummies one of `teacherless`. A row
    is laid out once; in `hybrid`, twice.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.
        replace (`"dummy"` or `"random"`, *optional*, defaults to `"dummy"`): what stands in the place of a hidden
            token: the dummy token, or the token at a random place of the same row's prompt. That is a label of the
            same graph, or a separator, as one token in three of star graphs is.
        contiguous (`bool`, *optional*, defaults to `False`): hide one span of each row instead of single tokens: its
            length is drawn evenly from 0 to `T`, then its place evenly.

    Raises:
        ValueError: if the tokenizer has no dummy token, or `replace` is something else.

    Reference: Frydenlund, "The Mystery of the Pathological Path-star Task for Language Models" (arXiv 2410.13779), and
        arXiv 2503.10542. Where their random tokens and their spans come from was not found; ours is as said above.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2, 3, 4]]), torch.tensor([[3, 4]]))
    >>> objective = TargetMaskingObjective(numeral_tokenizer(num_nodes=10))
    >>> batch = objective.encode(rows, torch.Generator().manual_seed(0))
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 1, 13, 13, 13]], [[-100, -100, -100, 1, 2, 3, 4]])

    ```
    """

    name: ClassVar[str] = "target_masking"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding

    replace: Replacement = "dummy"
    contiguous: bool = False

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__post_init__(tokenizer)
        if self.replace not in get_args(Replacement):
            raise ValueError(f"replace must be {' or '.join(get_args(Replacement))}, got {self.replace!r}")
        self.dummy_token_id = dummy_token_id(tokenizer)

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Hide some of the tokens that are shown."""
        shape = rows.completion_ids.shape
        rate = torch.rand(len(rows), 1, generator=generator)
        if self.contiguous:
            size = (rate * (rows.lengths[:, 1:] + 1)).long()  # 0 to T
            begin = (torch.rand(len(rows), 1, generator=generator) * (rows.lengths[:, 1:] - size + 1)).long()
            place = torch.arange(shape[1])
            hidden = (place >= begin) & (place < begin + size)
        else:
            hidden = torch.rand(shape, generator=generator) < rate
        replacement = torch.full_like(rows.completion_ids, self.dummy_token_id)
        if self.replace == "random":
            replacement = rows.prompt_ids.gather(
                1, (torch.rand(shape, generator=generator) * rows.lengths[:, :1]).long()
            )
        return rows.lay_out(torch.where(hidden, replacement, rows.completion_ids), self.pad_token_id)
