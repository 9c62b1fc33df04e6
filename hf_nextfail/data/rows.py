"""Rows of token ids, padded."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS, encode_completions, padded_ids, tokenize_dataset


def pad_rows(rows: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of ids on the right; returns the ids `(B, longest)` and the lengths `(B,)`."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    padded = np.full((len(rows), lengths.max()), pad_token_id, np.int64)
    flat = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = flat
    return torch.from_numpy(padded), torch.from_numpy(lengths)


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


@dataclass(frozen=True)
class Rows:
    """Prompts and completions as right-padded ids on the CPU.

    Args:
        prompt_ids (`torch.Tensor` `(n, P)`), completion_ids (`torch.Tensor` `(n, T)`): the ids.
        lengths (`torch.Tensor` `(n, 2)`): the true lengths of both.
    """

    prompt_ids: torch.Tensor
    completion_ids: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> "Rows":
        """Read a dataset of texts or ids.

        Raises:
            ValueError: if it is a stream, or empty, or has an empty prompt or completion.
        """
        if not isinstance(dataset, Dataset):
            raise ValueError(
                "evaluation needs a map-style dataset: of a stream, Dataset.from_list(list(stream.take(1000)))"
            )
        if len(dataset) == 0:
            raise ValueError("cannot evaluate on an empty dataset")
        dataset = tokenize_dataset(dataset, tokenizer)
        (prompt_ids, prompt_lengths), (completion_ids, completion_lengths) = (
            map(torch.from_numpy, padded_ids(dataset, column, tokenizer.pad_token_id))
            for column in (PROMPT_IDS, COMPLETION_IDS)
        )
        lengths = torch.stack([prompt_lengths, completion_lengths], dim=1)
        if not lengths.all():
            raise ValueError(
                "a row has an empty prompt or completion: there is nothing to predict, or to predict from"
            )
        return cls(prompt_ids, completion_ids, lengths)

    def with_completions(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> "Rows":
        """Return the same prompts with other completions."""
        ids = Dataset.from_dict({COMPLETION_IDS: encode_completions(tokenizer, texts)})
        completion_ids, lengths = map(torch.from_numpy, padded_ids(ids, COMPLETION_IDS, tokenizer.pad_token_id))
        return Rows(self.prompt_ids, completion_ids, torch.stack([self.lengths[:, 0], lengths], dim=1))

    @property
    def inside(self) -> torch.Tensor:
        """Which positions of `completion_ids` hold tokens: `(n, T)`."""
        return torch.arange(self.completion_ids.shape[1]) < self.lengths[:, 1:]
