"""Rows of random labels, for tests that ask how a row is laid out and not what it says."""

import torch

from hf_nextfail.data.rows import Rows

LABELS = 10  # of the tokenizer's, whose first ids they are
EXAMPLES = [
    {"prompt_ids": [1, 2, 12], "completion_ids": [4]},
    {"prompt_ids": [12], "completion_ids": [5, 6, 7]},
    {"prompt_ids": [3, 12], "completion_ids": [8, 9, 0]},
]


def random_rows(tokenizer, prompt_lengths, completion_lengths):
    """Rows of the given lengths, the same ones each time."""
    torch.manual_seed(1)
    lengths = torch.tensor([prompt_lengths, completion_lengths]).T

    def padded(lengths):
        width = int(lengths.max())
        ids = torch.randint(LABELS, (len(lengths), width))
        return ids.masked_fill(torch.arange(width) >= lengths[:, None], tokenizer.pad_token_id)

    return Rows(padded(lengths[:, 0]), padded(lengths[:, 1]), lengths)


def even_rows(tokenizer):
    """Four rows of one length."""
    return random_rows(tokenizer, prompt_lengths=[6] * 4, completion_lengths=[5] * 4)


def ragged_rows(tokenizer):
    """Four rows of four lengths of prompts and three of completions."""
    return random_rows(tokenizer, prompt_lengths=[6, 2, 4, 3], completion_lengths=[3, 5, 1, 3])


def other_label(ids, position):
    """Ids with another label at one position of each row."""
    changed = ids.clone()
    changed[:, position] = (changed[:, position] + 1) % LABELS
    return changed


def with_completions(rows, completion_ids):
    """The same prompts with other completions of the same lengths."""
    return Rows(rows.prompt_ids, completion_ids, rows.lengths)


def with_prompts(rows, prompt_ids):
    """The same completions behind other prompts of the same lengths."""
    return Rows(prompt_ids, rows.completion_ids, rows.lengths)
