"""What every decoding shares."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_nextfail.data.rows import Batch, Rows
from hf_nextfail.data.tokenization import end_token_id


class Decoding(ABC):
    """Say how a checkpoint writes completions, and which layout of a row scores them.

    Evaluation, diagnosis and cards ask the decoding, and know nothing of how the checkpoint was trained. Adding one
    takes a file in this folder and a line in `DECODINGS`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Raises:
        ValueError: if the tokenizer has no padding token.
    """

    name: ClassVar[str]
    #: The files that a checkpoint carries in `custom_generate`, `generate.py` first; none for plain generation.
    travels: ClassVar[tuple[Path, ...]] = ()
    #: The function of hf_nextfail that does the same without running these; none for plain generation.
    generates: ClassVar[str | None] = None
    #: How it writes, as the beginning of a sentence.
    in_words: ClassVar[str] = ""
    #: Whether `view` shows the true previous completion tokens, so that forced numbers exist.
    shows_true_tokens: ClassVar[bool]
    #: Whether greedy output is right if and only if every most likely token of one pass over `view` is.
    one_pass_exact: ClassVar[bool]
    #: Whether one pass over `view` says how likely each token is; if not, there is no view, and no number of it.
    scores_tokens: ClassVar[bool] = True

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        if tokenizer.pad_token_id is None:
            raise ValueError(
                "the tokenizer has no padding token: set tokenizer.pad_token, e.g. to tokenizer.eos_token"
            )
        self.pad_token_id: int = tokenizer.pad_token_id
        self.eos_token_id: int | None = end_token_id(tokenizer)

    @classmethod
    def of_checkpoint(cls, tokenizer: PreTrainedTokenizerBase, config: GenerationConfig) -> "Decoding":
        """Decode as the generation config of a checkpoint says; by default it says nothing more than the name.

        Args:
            tokenizer (`PreTrainedTokenizerBase`): of the checkpoint.
            config (`GenerationConfig`): what `generation_config` made, or that of a checkpoint which is not ours.
        """
        return cls(tokenizer)

    def check(self, model: nn.Module) -> None:
        """Raise `ValueError` with the reason for a model that cannot write this way; by default for none."""
        return

    @abstractmethod
    def view(self, rows: Rows) -> Batch:
        """Lay out a batch as it is scored, always the same for the same rows.

        Args:
            rows (`Rows`): `B` of them, of `int64` as `Rows.take` gives them.

        Returns:
            `input_ids`, `attention_mask` and `labels`, each `(B, max(P + T))`; see [`Rows.lay_out`].
        """

    @abstractmethod
    def write(
        self,
        model: nn.Module,
        rows: Rows,
        num_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Write completions from the prompts alone: what the model does when it is used.

        By default it writes greedily. Drawn tokens are drawn from all there are: a top-k or top-p would change how
        different outputs are, which is what drawing them measures.

        Args:
            model (`nn.Module`): a causal LM in evaluation mode.
            rows (`Rows`): `B` of them, of `int64` as `Rows.take` gives them; their completions are not read.
            num_tokens (`int`, >= 1): how many tokens to write at most, `T`.
            temperature (`float`, >= 0, *optional*, defaults to 0.0): what logits are divided by before tokens are
                drawn; 0 takes the likeliest.
            generator (`torch.Generator`, *optional*): what draws, on the device of the model; by default the one of
                the device.

        Returns:
            `torch.Tensor` `(B, T)` of ids, the padding id after an end token.
        """

    def generation_config(self, max_new_tokens: int | None) -> GenerationConfig:
        """Say in a checkpoint how it decodes, so that it does so wherever it is loaded.

        Args:
            max_new_tokens (`int`, *optional*): the tokens of a completion, if they are known.
        """
        return GenerationConfig(
            decoding=self.name,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=self.pad_token_id,
            eos_token_id=self.eos_token_id,
        )
