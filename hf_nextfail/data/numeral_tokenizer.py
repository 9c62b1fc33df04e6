"""The paper's tokenizer: one token a node label."""

import itertools
import json
import string
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from hf_nextfail.data.word_tokenizer import DUMMY, word_tokenizer

SIGNS = "|/=$"  # that the numeral tokenizer knows beside labels, in the order of their ids


def numeral_tokenizer(num_nodes: int) -> PreTrainedTokenizerFast:
    """Build the paper's tokenizer: one token per node label, commas dropped.

    Label `i` has the id `i`; then come `|`, `/`, `=`, the dummy token `$` and `<pad>`. Completions do not end with a
    token of their own, since all of a task have one length. Decoding writes the commas back.

    Args:
        num_nodes (`int`, >= 1): the number of labels.

    Returns:
        `PreTrainedTokenizerFast` of `num_nodes + 5` tokens that survives `save_pretrained` and `AutoTokenizer`.

    Example:

    ```python
    >>> tokenizer = numeral_tokenizer(num_nodes=20)
    >>> ids = tokenizer("3,1|1,12/3,12=")["input_ids"]
    >>> ids
    [3, 1, 20, 1, 12, 21, 3, 12, 22]
    >>> tokenizer.decode(ids)
    '3,1|1,12/3,12='

    ```

    Reference: Bachmann and Nagarajan (arXiv 2403.06963); the ids of labels and signs are those of their code.
    """
    return word_tokenizer([*map(str, range(num_nodes)), *SIGNS.rstrip(DUMMY)], ",", ends=False)


def num_labels(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return for how many labels a tokenizer is that of `numeral_tokenizer`; `None` if it is another."""
    number = tokenizer.vocab_size - len(SIGNS) - 1
    if not tokenizer.is_fast or tokenizer.get_vocab().get(SIGNS[0]) != number:
        return None
    plain = numeral_tokenizer(number)
    added = tokenizer.get_vocab().keys() - plain.get_vocab()
    if any({*string.digits, ",", *SIGNS}.issuperset(token) for token in added):  # one that texts may hold
        return None
    own, ours = (json.loads(of.backend_tokenizer.to_str()) for of in (tokenizer, plain))
    for of in (own, ours):
        of["model"].pop("unk_token", None)  # its words are the same, and other words are not for the fast path
    same = all(own[part] == ours[part] for part in ("normalizer", "pre_tokenizer", "post_processor", "model"))
    return number if same else None


def numeral_ids(texts: Sequence[str], num_nodes: int) -> list[list[int]] | None:
    """Do for many texts at once what the tokenizer of `numeral_tokenizer` does text by text.

    Args:
        texts (sequence of `str`): problems or paths.
        num_nodes (`int`): the number of labels.

    Returns:
        The ids of each text; `None` if a text holds anything but labels and signs, which is for the
        tokenizer to judge.
    """
    characters = np.frombuffer("".join(texts).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, texts)])
    if len(characters) != offsets[-1]:  # not ASCII
        return None
    values = characters.astype(np.int32) - ord("0")
    digits = (values >= 0) & (values <= 9)
    more = digits.copy()  # whether a digit goes on with a label
    more[1:] &= digits[:-1]
    more[offsets[:-1][np.diff(offsets) > 0]] = False
    begins = digits & ~more
    places = np.flatnonzero(begins | (~digits & (characters != ord(","))))  # of tokens
    ids = np.full(len(places), -1, np.int32)
    for sign, character in enumerate(SIGNS):
        ids[characters[places] == ord(character)] = num_nodes + sign
    of_labels = begins[places]
    at, labels = places[of_labels], values[places[of_labels]]
    longest = len(str(num_nodes))
    more = np.append(more, np.zeros(longest + 1, bool))
    known = ~((labels == 0) & more[at + 1])  # 07 is no label
    alive = np.ones(len(at), bool)
    for digit in range(1, longest + 1):
        alive &= more[at + digit]
        labels[alive] = labels[alive] * 10 + values[at[alive] + digit]
    known &= (labels < num_nodes) & ~alive  # a label that still goes on is too long
    ids[of_labels] = np.where(known, labels, -1)
    if (ids < 0).any():
        return None
    ends = np.searchsorted(places, offsets).tolist()
    ids = ids.tolist()
    return [ids[begin:end] for begin, end in itertools.pairwise(ends)]
