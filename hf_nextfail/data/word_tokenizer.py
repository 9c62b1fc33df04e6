"""A tokenizer with one token a word, for models that begin from scratch."""

import re
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_nextfail.tasks import Task

DUMMY, PAD, EOS = "$", "<pad>", "<eos>"
#: What `tokenizer_config.json` says of tokenizers from here: whether completions end with the end token. Trainers and
#: harnesses of others need an end and an unknown token, so that the padding token stands for both.
COMPLETIONS_END = "completions_end"
#: Without it, clients that speak in messages write the role of each before it, in words that the tokenizer lacks.
CHAT_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def task_tokenizer(task: Task) -> PreTrainedTokenizerFast:
    """Build the tokenizer of the words of a task: see [`word_tokenizer`].

    Raises:
        ValueError: naming the task and the word, if a word cannot be a token.
    """
    try:
        return word_tokenizer(task.words, task.separator, ends=not task.fixed_length)
    except ValueError as error:
        raise ValueError(f"the words of {task.name}: {error}") from None


def word_tokenizer(words: Sequence[str], separator: str, ends: bool) -> PreTrainedTokenizerFast:
    """Build a tokenizer that knows some words, a dummy token `$`, `<pad>`, and `<eos>` if texts end.

    Word `i` has the id `i`. Decoding gives a text back. Any other word becomes `<pad>`, which `encode_texts` refuses.
    Where texts do not end, `<pad>` is the `eos_token`, too, and `encode_completions` leaves it out.

    Args:
        words (sequence of `str`): without a separator each is one character; with one, each is letters and digits, or
            one sign.
        separator (`str`): the character between two words of letters and digits, which is no token; empty if there is
            none.
        ends (`bool`): whether completions end with `<eos>`, as those of several lengths must.

    Raises:
        ValueError: naming the word, if one is not of that form, or stands there twice.

    Example:

    ```python
    >>> tokenizer = word_tokenizer("0123456789+=", separator="", ends=True)
    >>> tokenizer("12+3=")["input_ids"]
    [1, 2, 10, 3, 11]
    >>> tokenizer.decode([1, 2, 10, 3, 11])
    '12+3='

    ```
    """
    check_words(words, separator)
    special = [DUMMY, PAD, *([EOS] if ends else [])]
    vocabulary = {token: i for i, token in enumerate([*words, *special])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    if separator:
        signs = [word for word in words if not re.fullmatch(r"\w+", word)]
        kind = "0-9" if all(re.fullmatch("[0-9]+", word) for word in words if word not in signs) else r"\w"
        # Words and signs become tokens; whatever lies between them, the separators, is dropped.
        pattern = Regex(f"[{kind}]+|[^{kind}{re.escape(separator)}]")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="removed", invert=True)
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.WordPiece(prefix="##", cleanup=False),  # a space before each token but the first
                decoders.Fuse(),
                *(decoders.Replace(Regex(f" ?{re.escape(sign)} ?"), sign) for sign in signs),
                decoders.Replace(" ", separator),
            ]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=PAD,
        eos_token=EOS if ends else PAD,
        **{COMPLETIONS_END: ends},
        chat_template=CHAT_TEMPLATE,
        extra_special_tokens={"dummy_token": DUMMY},
        model_input_names=["input_ids", "attention_mask"],  # GPT-2 would add token types to its embeddings
        clean_up_tokenization_spaces=False,
    )


def check_words(words: Sequence[str], separator: str) -> None:
    """Raise `ValueError` for the first word that cannot be a token."""
    if separator and not re.fullmatch(r"[^\w\s]", separator):
        raise ValueError(f"the separator must be one sign, got {separator!r}")
    known = {DUMMY, PAD, EOS, separator}
    for word in words:
        if word in known:
            raise ValueError(f"{word!r} stands there twice, or is the separator, or the name of a special token")
        known.add(word)
        if not separator and len(word) != 1:
            raise ValueError(f"without a separator each must be one character, got {word!r}; set separator")
        if separator and not re.fullmatch(rf"\w+|[^\w\s{re.escape(separator)}]", word):
            raise ValueError(f"with a separator each must be letters and digits, or one sign, got {word!r}")
