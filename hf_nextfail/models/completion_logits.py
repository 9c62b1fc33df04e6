"""Logits on completions only."""

from contextlib import nullcontext

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.decoding.parallel_generate import accepted
from hf_nextfail.models.masks import added_to_scores
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.models.with_heads import WithHeads


def completion_outputs(
    model: nn.Module, batch: Batch, first: int | None = None, heads: WithHeads | None = None
) -> Outputs:
    """Run a model, and its heads if there are any, where completion tokens are predicted.

    The output embedding is applied from the first position that predicts anything. The last input position predicts
    nothing and is left out altogether.

    Args:
        model (`nn.Module`): a causal LM, possibly wrapped by DDP or PEFT.
        batch (`dict`): `input_ids` and `labels`, each `(B, S)`, in the meaning of transformers: the label of position
            `t` is predicted by the logits of position `t - 1`. `attention_mask`, `(B, S)`, or `(B, 1, S, S)` with what
            is added to the scores or `True` where a position is seen. And `position_ids` `(B, S)`, if they are not
            the usual ones.
        first (`int`, *optional*): a position that no label stands before; by default looked for in the batch, for
            which a GPU must be waited for.
        heads (`WithHeads`, *optional*): what is attached to the model, to be asked.
    """
    labels, mask = batch["labels"], batch["attention_mask"]
    if first is None:
        first = max(1, int((labels != IGNORED).any(dim=0).int().argmax()))  # nothing predicts the first token of a row
    labels = labels[:, first:]  # (B, K)
    num_kept = labels.shape[1]
    inputs = {"input_ids": batch["input_ids"][:, :-1]}
    inputs["attention_mask"] = mask[:, :-1] if mask.dim() == 2 else added_to_scores(mask[..., :-1, :-1])
    if "position_ids" in batch:
        inputs["position_ids"] = batch["position_ids"][:, :-1]
    # Nothing is written token by token here, and some hybrids cannot make the cache they would fill.
    num_seen = 0 if heads is not None and heads.read_whole_row else num_kept  # by the output embedding; 0 is all
    options = accepted(extract_model_from_parallel(model), logits_to_keep=num_seen, use_cache=False)
    with nullcontext() if heads is None else heads.asked(batch | {"labels": labels}, num_kept):
        answer = model(**inputs, **options)
    output, said = (answer, None) if heads is None else answer
    return Outputs(output.logits[:, -num_kept:].float(), labels, first, said)


def completion_logits(
    model: nn.Module, batch: Batch, first: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the logits, labels and first position of `completion_outputs`."""
    outputs = completion_outputs(model, batch, first)
    return outputs.logits, outputs.labels, outputs.first


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
