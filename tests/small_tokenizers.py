"""Small real tokenizers of the kinds that pretrained models come with, trained on numbers up to 99 and a few words."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.word_tokenizer import COMPLETIONS_END
from hf_nextfail.objectives import OBJECTIVES

TEXTS = [f"{i},{i}|{i}/{i}={i} + {i} = {2 * i}" for i in range(100)]

END, BEGIN = "<|end|>", "<|begin|>"  # of `byte_level_tokenizer`


def whole_numbers() -> PreTrainedTokenizerFast:
    """Byte-level BPE like GPT-2's: most numbers are one token; an end token, no padding token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def split_digits() -> PreTrainedTokenizerFast:
    """Byte-level BPE like Qwen's: one token a digit, so that labels take one or two; end and padding tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>", "<|pad|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")


def sentencepiece_style() -> PreTrainedTokenizerFast:
    """BPE over spaces written as `▁`, like Llama's: a begin token before every text, an end and an unknown token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", model_max_length=128
    )


def byte_level_tokenizer(split_digits=False, **special_tokens):
    """A BPE like those of pretrained models, in which each number up to 29 is one token unless digits are split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=split_digits), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(special_tokens=[END, BEGIN], show_progress=False)
    tokenizer.train_from_iterator([f"{i},{i}|{i}/{i}=" for i in range(30)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens)


def numerals_that_end(num_nodes: int, end: int) -> PreTrainedTokenizerFast:
    """The numeral tokenizer with a label, of this id, as the token that completions end with."""
    tokenizer = numeral_tokenizer(num_nodes)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    tokenizer.init_kwargs[COMPLETIONS_END] = True
    return tokenizer


def with_special_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer with the special tokens of all objectives."""
    for objective in OBJECTIVES.values():
        tokenizer.add_tokens(list(objective.special_tokens), special_tokens=True)
    return tokenizer


TOKENIZERS = {
    "whole numbers": whole_numbers,
    "split digits": split_digits,
    "sentencepiece style": sentencepiece_style,
}
