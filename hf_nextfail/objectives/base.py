"""What every objective shares: rows laid out as prompt then completion, and logits on completions only."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_nextfail.models.completion_logits import IGNORED, Batch, completion_logits


class Objective(ABC):
    """Define how a completion is learnt: what a model sees of it, what it must predict, and how it is decoded.

    An objective knows nothing of graphs. Pass one to [`NextFailTrainer`] and to [`CompletionCollator`], or name it in
    a recipe; adding one takes a file in this folder and a line in `OBJECTIVES`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
    """

    name: ClassVar[str]
    #: Whether training shows the true previous completion tokens, so that forced numbers exist.
    teacher_forced: ClassVar[bool]
    #: The file that a checkpoint carries as `custom_generate/generate.py`, where `decode` is not plain generation.
    custom_generate: ClassVar[Path | None] = None

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        if tokenizer.pad_token_id is None:
            raise ValueError(
                "the tokenizer has no padding token: set tokenizer.pad_token, e.g. to tokenizer.eos_token"
            )
        self.pad_token_id: int = tokenizer.pad_token_id
        self.eos_token_id: int | None = tokenizer.eos_token_id

    @abstractmethod
    def shown_completion(self, completion_ids: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return what the model sees in the place of the completion `(B, T)`."""

    def encode(
        self,
        prompt_ids: torch.Tensor,
        completion_ids: torch.Tensor,
        lengths: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> Batch:
        """Lay out a batch for a causal LM, padded on the right.

        Args:
            prompt_ids (`torch.Tensor` `(B, P)`): right-padded prompts.
            completion_ids (`torch.Tensor` `(B, T)`): right-padded completions.
            lengths (`torch.Tensor` `(B, 2)`): the true lengths of both.
            generator (`torch.Generator`, *optional*): where a stochastic objective draws from; by default torch's own.

        Returns:
            `input_ids`, `attention_mask` and `labels`, each `(B, max(P + T))`. Labels are -100 where nothing is
            predicted, and are not shifted: the model does that.
        """
        prompt_lengths, total_lengths = lengths[:, :1], lengths.sum(dim=1, keepdim=True)  # (B, 1)
        position = torch.arange(int(total_lengths.max()), device=lengths.device)  # (S,)
        in_completion = (position >= prompt_lengths) & (position < total_lengths)  # (B, S)
        source = (position - prompt_lengths).clamp(0, completion_ids.shape[1] - 1)

        def place(completions: torch.Tensor, elsewhere: torch.Tensor) -> torch.Tensor:
            return torch.where(in_completion, completions.gather(1, source), elsewhere)

        prompts = F.pad(prompt_ids, (0, max(0, len(position) - prompt_ids.shape[1])), value=self.pad_token_id)
        prompts = torch.where(position < prompt_lengths, prompts[:, : len(position)], self.pad_token_id)
        return {
            "input_ids": place(self.shown_completion(completion_ids, generator), prompts),
            "attention_mask": (position < total_lengths).long(),
            "labels": place(completion_ids, torch.full_like(prompts, IGNORED)),
        }

    def loss(
        self,
        model: nn.Module,
        batch: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
        first: int | None = None,
    ) -> torch.Tensor:
        """Return the cross-entropy of a batch, a scalar in nats.

        Args:
            model (`nn.Module`): a causal LM.
            batch (`dict`): what `encode` returned.
            num_items_in_batch (`torch.Tensor` or `int`, *optional*): divide the sum by this, the number of labels of
                all batches of one optimizer step; by default by the number of labels here.
            first (`int`, *optional*): a position that no label stands before; see `completion_logits`.
        """
        logits, labels, _ = completion_logits(model, batch, first)
        total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        return total / ((labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch)

    def generation_config(self, max_new_tokens: int | None) -> GenerationConfig:
        """Say how a checkpoint decodes, so that it does so as it was trained.

        Args:
            max_new_tokens (`int`, *optional*): the tokens of a completion, if they are known.
        """
        return GenerationConfig(
            objective=self.name,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=self.pad_token_id,
            eos_token_id=self.eos_token_id,
        )

    @abstractmethod
    def decode(
        self, model: nn.Module, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor, completion_length: int
    ) -> torch.Tensor:
        """Write completions greedily, without having seen them: what the model does when it is used.

        Args:
            model (`nn.Module`): a causal LM in evaluation mode.
            prompt_ids (`torch.Tensor` `(B, P)`): right-padded prompts.
            prompt_lengths (`torch.Tensor` `(B,)`): their true lengths.
            completion_length (`int`): how many tokens to write at most.

        Returns:
            `torch.Tensor` `(B, completion_length)` of ids, the padding id after an end token.
        """
