"""Rows of token ids to batches, row by row or all at once."""

import hashlib
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset

from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS, padded_ids
from hf_nextfail.objectives import Objective
from hf_nextfail.objectives.base import Batch


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
        seed (`int`, *optional*, defaults to 0): of what a stochastic objective draws. This depends on nothing else but
            the batch itself and the epoch, so that a resumed run draws the same.

    Example:

    ```python
    >>> from hf_nextfail.objectives import TeacherlessObjective
    >>> from hf_nextfail.data.tokenization import numeral_tokenizer
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

    def __call__(self, examples: "Sequence[dict[str, Any]] | PaddedRows") -> Batch:
        """Make a batch; raises `ValueError` if a row has an empty prompt or completion."""
        rows = examples if isinstance(examples, PaddedRows) else PaddedRows.of(examples, self.objective.pad_token_id)
        if not rows.lengths.all():
            raise ValueError(
                "a row has an empty prompt or completion: there is nothing to predict, or to predict from"
            )
        # Not torch's own generator: batches are made ahead of the step whose state a checkpoint holds.
        digest = hashlib.blake2b(f"{self.seed} {self.epoch}".encode(), digest_size=8)
        digest.update(rows.prompt_ids.numpy())
        digest.update(rows.completion_ids.numpy())
        generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little", signed=True))
        return self.objective.encode(rows.prompt_ids, rows.completion_ids, rows.lengths, generator)


class PaddedRows(NamedTuple):
    """A batch before an objective has laid it out.

    Args:
        prompt_ids (`torch.Tensor` `(B, P)`), completion_ids (`torch.Tensor` `(B, T)`): padded on the right.
        lengths (`torch.Tensor` `(B, 2)`): the true lengths of both.
    """

    prompt_ids: torch.Tensor
    completion_ids: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, examples: Sequence[dict[str, Any]], pad_token_id: int) -> "PaddedRows":
        """Pad rows of `prompt_ids` and `completion_ids`."""
        (prompt_ids, prompt_lengths), (completion_ids, completion_lengths) = (
            pad_rows(list(map(itemgetter(name), examples)), pad_token_id) for name in (PROMPT_IDS, COMPLETION_IDS)
        )
        return cls(prompt_ids, completion_ids, torch.stack([prompt_lengths, completion_lengths], dim=1))


def smallest(ids: np.ndarray) -> torch.Tensor:
    """Store ids in as few bytes as they need."""
    return torch.from_numpy(ids.astype(np.int16) if ids.max(initial=0) < 2**15 else ids)


class TokenRows(torch.utils.data.Dataset):
    """All rows of a dataset as two tensors, handed out a batch at a time: no Python is run for each row.

    Batches are those that `CompletionCollator` makes of the dataset itself, in less than a tenth of the time.

    Args:
        dataset (`datasets.Dataset`): has `prompt_ids` and `completion_ids`.
        pad_token_id (`int`): fills up what is shorter than the longest.
    """

    def __init__(self, dataset: Dataset, pad_token_id: int):
        prompt_ids, prompt_lengths = padded_ids(dataset, PROMPT_IDS, pad_token_id, np.int32)
        completion_ids, completion_lengths = padded_ids(dataset, COMPLETION_IDS, pad_token_id, np.int32)
        self.prompt_ids, self.completion_ids = smallest(prompt_ids), smallest(completion_ids)
        self.lengths = torch.from_numpy(np.stack([prompt_lengths, completion_lengths], axis=1).astype(np.int32))
        #: The tokens of the shortest prompt: every completion begins behind so many.
        self.shortest_prompt = int(prompt_lengths.min()) if len(dataset) else 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> PaddedRows:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PaddedRows:
        # What `torch.utils.data` calls for a batch, if a dataset has it.
        chosen = torch.tensor(indices)
        lengths = self.lengths[chosen].long()
        width = lengths.max(dim=0).values
        return PaddedRows(
            self.prompt_ids[chosen, : width[0]].long(), self.completion_ids[chosen, : width[1]].long(), lengths
        )
