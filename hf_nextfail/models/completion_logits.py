"""Logits on completions only."""

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.decoding.parallel_generate import accepted


def completion_logits(
    model: nn.Module, batch: Batch, first: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Run a model and return the logits that predict completion tokens, beside those tokens.

    The head is applied from the first position that predicts anything. The last input position predicts nothing and
    is left out altogether.

    Args:
        model (`nn.Module`): a causal LM, possibly wrapped by DDP or PEFT.
        batch (`dict`): `input_ids`, `attention_mask` and `labels`, each `(B, S)`, in the meaning of transformers:
            the label of position `t` is predicted by the logits of position `t - 1`.
        first (`int`, *optional*): a position that no label stands before; by default looked for in the batch, for
            which a GPU must be waited for.

    Returns:
        Logits `(B, K, V)` in float32, the labels `(B, K)` that they predict, and the position of the first of these.
    """
    labels = batch["labels"]
    if first is None:
        first = int((labels != IGNORED).any(dim=0).int().argmax())
    labels = labels[:, first:]  # (B, K)
    num_kept = labels.shape[1]
    # Nothing is written token by token here, and some hybrids cannot make the cache they would fill.
    options = accepted(extract_model_from_parallel(model), logits_to_keep=num_kept, use_cache=False)
    outputs = model(input_ids=batch["input_ids"][:, :-1], attention_mask=batch["attention_mask"][:, :-1], **options)
    return outputs.logits[:, -num_kept:].float(), labels, first


def at_completion(values: torch.Tensor, first: int, lengths: torch.Tensor) -> torch.Tensor:
    """Move values that stand where a batch predicts to the completion positions that they are about.

    Args:
        values (`torch.Tensor` `(B, K)`), first (`int`): one value for each of the labels that `completion_logits`
            returned, and the position of the first of these.
        lengths (`torch.Tensor` `(B, 2)`): of the prompts and completions.

    Returns:
        `torch.Tensor` `(B, T)`; past the end of a completion the values mean nothing.
    """
    position = lengths[:, :1] - first + torch.arange(int(lengths[:, 1].max()), device=lengths.device)  # (B, T)
    return values.gather(1, position.clamp(max=values.shape[1] - 1))
