"""Tokens to the parts of an answer that they write."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.tokenization import end_token_id
from hf_nextfail.tasks import Task


def check_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `ValueError` for a tokenizer that does not know where in a text its tokens come from."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer is a {type(tokenizer).__name__}, which does not say where in a text its tokens come from, "
            "as numbers per node need: take a model whose tokenizer has a tokenizer.json"
        )


def has_parts(task: Task, completions: Sequence[str]) -> bool:
    """Say whether completions have parts; only where all have as many can there be a number for each."""
    return all(task.parts(text) is not None for text in completions)


def first_hard_places(task: Task, dataset: Dataset) -> np.ndarray:
    """Return the index of the first part of each row that needs planning, `(n,)`; -1 where a row has none."""
    try:
        places = task.hard_places({name: dataset[name][:] for name in dataset.column_names})
    except KeyError:  # rows that were made by hand have the two texts alone
        places = [{}] * len(dataset)
    return np.array([next(iter(of_row), -1) for of_row in places], dtype=np.int64)


def part_texts(task: Task, text: str) -> list[str]:
    """Divide a text, right or not, into the parts of a task."""
    return [text[begin:end] for begin, end in task.parts(text)]


def part_of_each_token(
    tokenizer: PreTrainedTokenizerBase, completions: Sequence[str], width: int, task: Task
) -> np.ndarray:
    """Say which part of its completion each token belongs to, so that numbers per part compare between tokenizers.

    A token belongs to the part of its last character that is in one; and a token outside of all, such as a comma, to
    the part that it ends: before a separator or the end token, 1 may still become 12.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): a fast one, which knows where in the text its tokens come from.
        completions (sequence of `str`): right answers.
        width (`int`): the length of the longest of the completions, in tokens, their end tokens included.
        task (`Task`): says what their parts are.

    Returns:
        `np.ndarray` of `int64`, shape `(rows, width)`; -1 for padding.

    Raises:
        ValueError: if the tokenizer is a slow one.
    """
    check_fast(tokenizer)
    found = np.full((len(completions), width), -1)
    spans = tokenizer(list(completions), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for row, (text, row_spans) in enumerate(zip(completions, spans, strict=True)):
        parts = task.parts(text)
        inside = {place: part for part, (begin, end) in enumerate(parts) for place in range(begin, end)}
        for position, (begin, end) in enumerate(row_spans):
            ended = max(sum(last <= begin for _, last in parts) - 1, 0)
            found[row, position] = next((inside[i] for i in reversed(range(begin, end)) if i in inside), ended)
        if end_token_id(tokenizer) is not None:
            found[row, len(row_spans)] = len(parts) - 1
    return found
