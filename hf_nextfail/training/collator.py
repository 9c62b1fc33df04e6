"""Rows of token ids to batches, row by row or all at once."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from hf_nextfail.data.rows import Batch, Rows, check_lengths
from hf_nextfail.objectives import Objective


class CompletionCollator:
    """Pad rows of `prompt_ids` and `completion_ids` of any lengths and let an objective lay them out.

    The batch has the plain Hugging Face meaning (`input_ids`, `attention_mask`, `labels`), so that it trains under a
    stock `transformers.Trainer`, too; give that one `remove_unused_columns=False`. (BART, TrOCR and Whisper train
    under ours alone: their own loss is not shifted.)

    Args:
        objective (`Objective`): how the batch is learnt.
        seed (`int`, *optional*, defaults to 0): of what a stochastic objective draws. This depends on nothing else but
            the batch itself and the epoch, so that a resumed run draws the same.

    Example:

    ```python
    >>> from hf_nextfail.objectives import TeacherlessObjective
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> collator = CompletionCollator(TeacherlessObjective(numeral_tokenizer(num_nodes=10)))
    >>> rows = [{"prompt_ids": [7, 8, 9], "completion_ids": [1, 2]}, {"prompt_ids": [7], "completion_ids": [3, 4]}]
    >>> collator(rows)["input_ids"].tolist()
    [[7, 8, 9, 13, 13], [7, 13, 13, 14, 14]]

    ```
    """

    def __init__(self, objective: Objective, seed: int = 0):
        self.objective = objective
        self.seed = seed
        # In memory that loader processes which live on from epoch to epoch see, too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch that batches are made for; our Trainer sets it."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __call__(self, examples: Sequence[dict[str, Any]] | Rows) -> Batch:
        """Make a batch; raises `ValueError` if a row has an empty prompt or completion."""
        rows = examples if isinstance(examples, Rows) else Rows.of_examples(examples, self.objective.pad_token_id)
        check_lengths(rows.lengths)
        # Not torch's own generator: batches are made ahead of the step whose state a checkpoint holds.
        digest = hashlib.blake2b(f"{self.seed} {self.epoch}".encode(), digest_size=8)
        digest.update(rows.prompt_ids.numpy())
        digest.update(rows.completion_ids.numpy())
        generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little", signed=True))
        return self.objective.encode(rows, generator)
