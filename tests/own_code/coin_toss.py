"""Learn each row by teacher forcing or teacherless, by the toss of a coin."""

from dataclasses import dataclass

import torch

from hf_nextfail.decoding import AutoregressiveDecoding
from hf_nextfail.objectives import Objective


@dataclass
class CoinToss(Objective):
    """Show the true completion or dummy tokens.

    Args:
        share (`float`, 0 to 1, *optional*, defaults to 0.5): of the rows that are learnt teacherless.
    """

    name = "coin_toss"
    decoding_class = AutoregressiveDecoding

    share: float = 0.5

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share}")
        self.dummy_token_id = tokenizer.dummy_token_id

    def encode(self, rows, generator=None):
        teacherless = torch.rand(len(rows), 1, generator=generator) < self.share
        shown = rows.completion_ids.masked_fill(teacherless, self.dummy_token_id)
        return rows.lay_out(shown, self.pad_token_id)
