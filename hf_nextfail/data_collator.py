"""Rows of token ids to batches."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from hf_nextfail.objectives import Objective
from hf_nextfail.objectives.base import Batch
from hf_nextfail.tokenization import COMPLETION_IDS, PROMPT_IDS


def pad_rows(rows: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of ids on the right; returns the ids `(B, longest)` and the lengths `(B,)`."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    padded = np.full((len(rows), lengths.max()), pad_token_id, np.int64)
    flat = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = flat
    return torch.from_numpy(padded), torch.from_numpy(lengths)


class CompletionCollator:
    """Pad rows of `prompt_ids` and `completion_ids` of any lengths and let an objective lay them out.

    The batch has the plain Hugging Face meaning (`input_ids`, `attention_mask`, `labels`), so that it trains under a
    stock `transformers.Trainer`, too; give that one `remove_unused_columns=False`. (BART, TrOCR and Whisper train
    under ours alone: their own loss is not shifted.)

    Args:
        objective (`Objective`): how the batch is learnt.
        generator (`torch.Generator`, *optional*): where a stochastic objective draws from; by default torch's own,
            which the Trainer seeds and restores.

    Example:

    ```python
    >>> from hf_nextfail.objectives import TeacherlessObjective
    >>> from hf_nextfail.tokenization import numeral_tokenizer
    >>> collator = CompletionCollator(TeacherlessObjective(numeral_tokenizer(num_nodes=10)))
    >>> rows = [{"prompt_ids": [7, 8, 9], "completion_ids": [1, 2]}, {"prompt_ids": [7], "completion_ids": [3, 4]}]
    >>> collator(rows)["input_ids"].tolist()
    [[7, 8, 9, 13, 13], [7, 13, 13, 14, 14]]

    ```
    """

    def __init__(self, objective: Objective, generator: torch.Generator | None = None):
        self.objective = objective
        self.generator = generator

    def __call__(self, examples: Sequence[dict[str, Any]]) -> Batch:
        """Make a batch; raises `ValueError` if a row has an empty prompt or completion."""
        padded = [
            pad_rows(list(map(itemgetter(name), examples)), self.objective.pad_token_id)
            for name in (PROMPT_IDS, COMPLETION_IDS)
        ]
        (prompt_ids, prompt_lengths), (completion_ids, completion_lengths) = padded
        lengths = torch.stack([prompt_lengths, completion_lengths], dim=1)  # (B, 2)
        if not lengths.all():
            raise ValueError(
                "a row has an empty prompt or completion: there is nothing to predict, or to predict from"
            )
        return self.objective.encode(prompt_ids, completion_ids, lengths, self.generator)
