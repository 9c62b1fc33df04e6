"""All rows of a dataset as ids, from which batches are cut."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.room import check_memory
from hf_nextfail.data.rows import Ragged, Rows, check_lengths
from hf_nextfail.data.tokenization import (
    COMPLETION_IDS,
    PROMPT_IDS,
    encode_completions,
    end_token_id,
    largest_id,
    longest_of,
    longest_row,
    num_ids,
    tokenize_dataset,
)

#: What a score of a completion token takes: whether it is right, and its logarithmic probability.
SCORED_BYTES = 9


@dataclass(frozen=True, eq=False)
class RowStore(torch.utils.data.Dataset):
    """Hold prompts and completions as ids, in no more memory than the ids take.

    A `torch.utils.data.Dataset` that a loader cuts batches from without running Python for each row.

    Args:
        prompts, completions (`Ragged`): `n` of each.
    """

    prompts: Ragged
    completions: Ragged

    @classmethod
    def of(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> "RowStore":
        """Read a dataset of texts or ids, to measure a model on.

        Raises:
            ValueError: if it is a stream, or empty, or too large, or has an empty text, or a completion that goes on
                behind the end token.
        """
        if isinstance(dataset, IterableDataset):
            raise ValueError(
                "evaluation needs a map-style dataset: of a stream, Dataset.from_list(list(stream.take(1000)))"
            )
        if isinstance(dataset, Dataset) and len(dataset) == 0:
            raise ValueError("cannot evaluate on an empty dataset")
        ids = tokenize_dataset(dataset, tokenizer)
        measured = len(ids) * longest_of(ids, COMPLETION_IDS) * SCORED_BYTES
        check_memory(f"{len(ids):,} rows, the longest of {longest_row(ids):,} tokens,", cls.bytes_of(ids) + measured)
        rows = cls.of_ids(ids, tokenizer.pad_token_id)
        check_lengths(rows.lengths)
        rows.check_ends(tokenizer)
        return rows

    @staticmethod
    def bytes_of(dataset: Dataset) -> int:
        """Count what a dataset of ids takes in memory."""
        return num_ids(dataset) * (2 if largest_id(dataset) < 2**15 else 4)

    @classmethod
    def of_ids(cls, dataset: Dataset, pad_token_id: int) -> "RowStore":
        """Read the columns `prompt_ids` and `completion_ids` of a dataset."""
        return cls(*(Ragged.of_column(dataset, name, pad_token_id) for name in (PROMPT_IDS, COMPLETION_IDS)))

    def with_completions(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> "RowStore":
        """Return the same prompts with other completions."""
        completions = Ragged.of_lists(encode_completions(tokenizer, texts), tokenizer.pad_token_id)
        return RowStore(self.prompts, completions)

    def check_ends(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raise `ValueError` if a completion goes on behind the end token."""
        end, completions = end_token_id(tokenizer), self.completions
        if end is None:
            return
        inside = torch.ones(len(completions.ids), dtype=torch.bool)
        inside[completions.starts + completions.lengths - 1] = False
        goes_on = ((completions.ids == end) & inside).nonzero()
        if len(goes_on):
            row = int(torch.searchsorted(completions.starts, goes_on[0], right=True)) - 1
            raise ValueError(
                f"completion_ids of row {row} go on behind the end token {tokenizer.eos_token}, where a model stops "
                "to write: end them there, or leave such rows out"
            )

    def __len__(self) -> int:
        return len(self.prompts.lengths)

    def __getitem__(self, index: int) -> Rows:
        return self.take(torch.tensor([index]))

    def __getitems__(self, indices: Sequence[int]) -> Rows:
        # What `torch.utils.data` calls for a batch, if a dataset has it.
        return self.take(torch.tensor(indices))

    def take(self, indices: torch.Tensor) -> Rows:
        """Return the rows of the given indices, no wider than the longest of them."""
        return Rows(
            self.prompts.take(indices),
            self.completions.take(indices),
            torch.stack([self.prompts.lengths[indices], self.completions.lengths[indices]], dim=1),
        )

    @property
    def lengths(self) -> torch.Tensor:
        """The lengths of prompts and completions: `(n, 2)`."""
        return torch.stack([self.prompts.lengths, self.completions.lengths], dim=1)

    @property
    def inside(self) -> torch.Tensor:
        """Which positions of the completions, laid out as a matrix, hold tokens: `(n, T)`."""
        return torch.arange(self.completions.longest) < self.completions.lengths[:, None]

    @property
    def longest(self) -> int:
        """The tokens of the longest row, prompt and completion together."""
        return int(self.lengths.sum(dim=1).max())

    @property
    def largest_id(self) -> int:
        """The largest id of all rows."""
        return int(max(self.prompts.ids.max(), self.completions.ids.max()))

    @property
    def shortest_prompt(self) -> int:
        """The tokens of the shortest prompt: every completion begins behind so many."""
        return int(self.prompts.lengths.min()) if len(self) else 0


def with_lengths(dataset: Dataset, column: str) -> Dataset:
    """Add the tokens of each row as a column, by which batches are made of rows of like lengths."""
    lengths = RowStore.of_ids(dataset, 0).lengths.sum(dim=1)
    return dataset.remove_columns([column] if column in dataset.column_names else []).add_column(
        column, lengths.tolist()
    )
