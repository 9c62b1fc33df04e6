"""Texts of different lengths as token ids, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS

IGNORED = -100  # the label of positions where nothing is predicted, as everywhere in transformers

#: What a model takes: `input_ids`, `attention_mask` and `labels`, each `(B, S)`, and what an objective adds.
Batch = dict[str, torch.Tensor]


def check_lengths(lengths: torch.Tensor) -> None:
    """Raise `ValueError` if a prompt or a completion is empty; `lengths` is `(n, 2)`."""
    if not lengths.all():
        raise ValueError("a row has an empty prompt or completion: there is nothing to predict, or to predict from")


@dataclass(frozen=True, eq=False)
class Ragged:
    """Hold texts of different lengths as ids, one behind the other: a long one makes no other one longer.

    Args:
        ids (`torch.Tensor` `(sum of lengths,)`): of all texts, of `int16` where that holds them, else of `int32`.
        lengths (`torch.Tensor` `(n,)`): how many belong to each text.
        pad_token_id (`int`): fills up what is shorter than the longest of a batch.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    pad_token_id: int

    def __post_init__(self):
        object.__setattr__(self, "starts", self.lengths.cumsum(0) - self.lengths)

    @classmethod
    def of_flat(cls, ids: np.ndarray, lengths: np.ndarray, pad_token_id: int) -> "Ragged":
        """Keep ids that stand one behind the other in as few bytes as they need."""
        kind = np.int16 if ids.max(initial=0) < 2**15 else np.int32
        return cls(torch.from_numpy(ids.astype(kind)), torch.from_numpy(lengths.astype(np.int64)), pad_token_id)

    @classmethod
    def of_column(cls, dataset: Dataset, column: str, pad_token_id: int) -> "Ragged":
        """Read a column of ids."""
        lists = dataset.select_columns(column).with_format("arrow")[:].column(0).combine_chunks()
        flat, lengths = (array.to_numpy(zero_copy_only=False) for array in (lists.flatten(), lists.value_lengths()))
        return cls.of_flat(flat, lengths, pad_token_id)

    @classmethod
    def of_lists(cls, lists: Sequence[Sequence[int]], pad_token_id: int) -> "Ragged":
        """Put lists of ids one behind the other."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        return cls.of_flat(np.fromiter(chain.from_iterable(lists), np.int64, lengths.sum()), lengths, pad_token_id)

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""
        return int(self.lengths.max()) if len(self.lengths) else 0

    def take(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the texts of the given indices as `int64`, padded on the right to the longest of them."""
        lengths = self.lengths[indices, None]
        place = torch.arange(int(lengths.max()) if len(lengths) else 0)
        source = (self.starts[indices, None] + place).clamp(max=len(self.ids) - 1)
        return self.ids[source].long().masked_fill(place >= lengths, self.pad_token_id)


@dataclass(frozen=True, eq=False)
class Rows:
    """Hold the prompts and completions of a batch as ids, padded on the right.

    Args:
        prompt_ids (`torch.Tensor` `(B, P)`), completion_ids (`torch.Tensor` `(B, T)`): the ids.
        lengths (`torch.Tensor` `(B, 2)`): the true lengths of both.
    """

    prompt_ids: torch.Tensor
    completion_ids: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of_examples(cls, examples: Sequence[dict[str, Any]], pad_token_id: int) -> "Rows":
        """Pad a batch of examples with `prompt_ids` and `completion_ids`."""
        columns = [
            Ragged.of_lists([row[name] for row in examples], pad_token_id) for name in (PROMPT_IDS, COMPLETION_IDS)
        ]
        every = torch.arange(len(examples))
        lengths = torch.stack([column.lengths for column in columns], dim=1)
        return cls(*(column.take(every) for column in columns), lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: torch.Tensor) -> "Rows":
        """Return the rows of the given indices, no wider than the longest of them."""
        lengths = self.lengths[indices]
        width = lengths.max(dim=0).values
        return Rows(self.prompt_ids[indices, : width[0]], self.completion_ids[indices, : width[1]], lengths)

    def to(self, device: torch.device) -> "Rows":
        """Return the rows on a device."""
        return Rows(self.prompt_ids.to(device), self.completion_ids.to(device), self.lengths.to(device))

    @property
    def inside(self) -> torch.Tensor:
        """Which positions of `completion_ids` hold tokens: `(n, T)`."""
        return torch.arange(self.completion_ids.shape[1], device=self.lengths.device) < self.lengths[:, 1:]

    @property
    def longest(self) -> int:
        """The tokens of the longest row, prompt and completion together."""
        return int(self.lengths.sum(dim=1).max())

    def lay_out(self, shown: torch.Tensor, pad_token_id: int) -> Batch:
        """Lay out a batch for a causal LM: each prompt, what is shown of its completion, padding on the right.

        Args:
            shown (`torch.Tensor` `(B, T)`): what the model sees in the place of the completion.
            pad_token_id (`int`): of the tokenizer.

        Returns:
            `input_ids`, `attention_mask` and `labels`, each `(B, max(P + T))`. Labels are the true completion, -100
            where nothing is predicted, and are not shifted: the model does that.
        """
        lengths, prompt_ids = self.lengths, self.prompt_ids
        prompt_lengths, total_lengths = lengths[:, :1], lengths.sum(dim=1, keepdim=True)  # (B, 1)
        position = torch.arange(int(total_lengths.max()), device=lengths.device)  # (S,)
        in_completion = (position >= prompt_lengths) & (position < total_lengths)  # (B, S)
        source = (position - prompt_lengths).clamp(0, self.completion_ids.shape[1] - 1)

        def place(completions: torch.Tensor, elsewhere: torch.Tensor) -> torch.Tensor:
            return torch.where(in_completion, completions.gather(1, source), elsewhere)

        missing = max(0, len(position) - prompt_ids.shape[1])
        prompts = torch.nn.functional.pad(prompt_ids, (0, missing), value=pad_token_id)
        prompts = torch.where(position < prompt_lengths, prompts[:, : len(position)], pad_token_id)
        return {
            "input_ids": place(shown, prompts),
            "attention_mask": (position < total_lengths).long(),
            "labels": place(self.completion_ids, torch.full_like(prompts, IGNORED)),
        }
