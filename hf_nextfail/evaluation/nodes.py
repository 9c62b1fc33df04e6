"""Tokens to the nodes that they write."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase


def check_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `ValueError` for a tokenizer that does not know where in a text its tokens come from."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer is a {type(tokenizer).__name__}, which does not say where in a text its tokens come from, "
            "as numbers per node need: take a model whose tokenizer has a tokenizer.json"
        )


def node_of_each_token(tokenizer: PreTrainedTokenizerBase, completions: Sequence[str], width: int) -> np.ndarray:
    """Say which node of its completion each token belongs to, so that numbers per node compare between tokenizers.

    A token belongs to the node of the last digit in it, and one without digits to the node that it ends: before the
    separator or the end token after it, 1 may still become 12.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): a fast one, which knows where in the text its tokens come from.
        completions (sequence of `str`): labels separated by commas.
        width (`int`): the length of the longest of the completions, in tokens, their end tokens included.

    Returns:
        `np.ndarray` of `int64`, shape `(rows, width)`; -1 for padding.

    Raises:
        ValueError: if the tokenizer is a slow one.
    """
    check_fast(tokenizer)
    nodes = np.full((len(completions), width), -1)
    spans = tokenizer(list(completions), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for row, (text, row_spans) in enumerate(zip(completions, spans, strict=True)):
        for position, (start, end) in enumerate(row_spans):
            last_digit = next((i for i in reversed(range(start, end)) if text[i].isdigit()), start)
            nodes[row, position] = text.count(",", 0, last_digit)
        if tokenizer.eos_token_id is not None:
            nodes[row, len(row_spans)] = text.count(",")
    return nodes
