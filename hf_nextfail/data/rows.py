"""Rows of token ids, padded once and cut into batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.room import check_memory
from hf_nextfail.data.tokenization import (
    COMPLETION_IDS,
    PROMPT_IDS,
    encode_completions,
    end_token_id,
    largest_id,
    longest_of,
    longest_row,
    tokenize_dataset,
)

IGNORED = -100  # the label of positions where nothing is predicted, as everywhere in transformers

#: What a model takes: `input_ids`, `attention_mask` and `labels`, each `(B, S)`, and what an objective adds.
Batch = dict[str, torch.Tensor]


def pad(ids: np.ndarray, lengths: np.ndarray, pad_token_id: int) -> torch.Tensor:
    """Lay out rows that stand one behind the other as a matrix, padded on the right.

    Args:
        ids (`np.ndarray` `(sum of lengths,)`): the ids of all rows.
        lengths (`np.ndarray` `(n,)`): how many belong to each row.
        pad_token_id (`int`): fills up what is shorter than the longest.

    Returns:
        `torch.Tensor` `(n, longest)`, of `int16` where that holds all ids, else of `int32`.
    """
    small = max(ids.max(initial=0), pad_token_id) < 2**15
    padded = np.full((len(lengths), lengths.max(initial=0)), pad_token_id, np.int16 if small else np.int32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = ids
    return torch.from_numpy(padded)


def pad_lists(rows: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad lists of ids; returns the ids `(n, longest)` and the lengths `(n,)`."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return pad(ids, lengths, pad_token_id), torch.from_numpy(lengths)


def pad_column(dataset: Dataset, column: str, pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad a column of ids; returns the ids `(n, longest)` and the lengths `(n,)`."""
    lists = dataset.select_columns(column).with_format("arrow")[:].column(0).combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    ids = lists.flatten().to_numpy(zero_copy_only=False)
    return pad(ids, lengths, pad_token_id), torch.from_numpy(lengths)


@dataclass(frozen=True, eq=False)
class Rows(torch.utils.data.Dataset):
    """Hold prompts and completions as ids, padded on the right.

    A `torch.utils.data.Dataset` that a loader cuts batches from without running Python for each row.

    Args:
        prompt_ids (`torch.Tensor` `(n, P)`), completion_ids (`torch.Tensor` `(n, T)`): the ids, of any integer type.
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
        if isinstance(dataset, IterableDataset):
            raise ValueError(
                "evaluation needs a map-style dataset: of a stream, Dataset.from_list(list(stream.take(1000)))"
            )
        if isinstance(dataset, Dataset) and len(dataset) == 0:
            raise ValueError("cannot evaluate on an empty dataset")
        ids = tokenize_dataset(dataset, tokenizer)
        check_memory(f"{len(ids):,} rows, the longest of {longest_row(ids):,} tokens,", cls.bytes_of_ids(ids))
        rows = cls.of_ids(ids, tokenizer.pad_token_id).check()
        end = end_token_id(tokenizer)
        goes_on = (rows.completion_ids[:, :-1] == end) & rows.inside[:, 1:]
        if end is not None and goes_on.any():
            raise ValueError(
                f"completion_ids of row {goes_on.any(dim=1).nonzero()[0].item()} go on behind the end token "
                f"{tokenizer.eos_token}, where a model stops to write: end them there, or leave such rows out"
            )
        return rows

    @staticmethod
    def bytes_of_ids(dataset: Dataset) -> int:
        """Count what a dataset takes in memory as rows: one long row makes all of them wide."""
        longest = sum(longest_of(dataset, column) for column in (PROMPT_IDS, COMPLETION_IDS))
        return len(dataset) * longest * (2 if largest_id(dataset) < 2**15 else 4)

    @classmethod
    def of_ids(cls, dataset: Dataset, pad_token_id: int) -> "Rows":
        """Read the columns `prompt_ids` and `completion_ids` of a dataset."""
        columns = (pad_column(dataset, name, pad_token_id) for name in (PROMPT_IDS, COMPLETION_IDS))
        (prompt_ids, prompt_lengths), (completion_ids, completion_lengths) = columns
        return cls(prompt_ids, completion_ids, torch.stack([prompt_lengths, completion_lengths], dim=1))

    @classmethod
    def of_examples(cls, examples: Sequence[dict[str, Any]], pad_token_id: int) -> "Rows":
        """Pad a batch of examples with `prompt_ids` and `completion_ids`."""
        columns = (pad_lists([row[name] for row in examples], pad_token_id) for name in (PROMPT_IDS, COMPLETION_IDS))
        (prompt_ids, prompt_lengths), (completion_ids, completion_lengths) = columns
        lengths = torch.stack([prompt_lengths, completion_lengths], dim=1)
        return cls(prompt_ids.long(), completion_ids.long(), lengths)

    def with_completions(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> "Rows":
        """Return the same prompts with other completions."""
        completion_ids, lengths = pad_lists(encode_completions(tokenizer, texts), tokenizer.pad_token_id)
        return Rows(self.prompt_ids, completion_ids, torch.stack([self.lengths[:, 0], lengths], dim=1))

    def check(self) -> "Rows":
        """Return these rows; raise `ValueError` if one has an empty prompt or completion."""
        if not self.lengths.all():
            raise ValueError(
                "a row has an empty prompt or completion: there is nothing to predict, or to predict from"
            )
        return self

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> "Rows":
        return self.take(torch.tensor([index]))

    def __getitems__(self, indices: Sequence[int]) -> "Rows":
        # What `torch.utils.data` calls for a batch, if a dataset has it.
        return self.take(torch.tensor(indices))

    def take(self, indices: torch.Tensor) -> "Rows":
        """Return the rows of the given indices as `int64`, no wider than the longest of them."""
        lengths = self.lengths[indices]
        width = lengths.max(dim=0).values
        return Rows(
            self.prompt_ids[indices, : width[0]].long(), self.completion_ids[indices, : width[1]].long(), lengths
        )

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

    @property
    def largest_id(self) -> int:
        """The largest id of all rows."""
        return int(max(self.prompt_ids.max(), self.completion_ids.max()))

    @property
    def shortest_prompt(self) -> int:
        """The tokens of the shortest prompt: every completion begins behind so many."""
        return int(self.lengths[:, 0].min()) if len(self) else 0

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
