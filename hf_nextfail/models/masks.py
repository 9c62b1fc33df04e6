"""Masks that say for each token which others it sees."""

import torch
from torch import nn

from hf_nextfail.decoding.parallel_generate import accepted


def added_to_scores(seen: torch.Tensor) -> torch.Tensor:
    """Turn what is seen into what is added to the scores of attention; return other masks as they are.

    Plain attention would add `True` and `False` as ones and zeros, and hide nothing.

    Args:
        seen (`torch.Tensor` `(B, 1, S, S)`): of `bool`, whether a token, in a row, sees another, in a column.
    """
    if seen.dtype != torch.bool:
        return seen
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)


@torch.no_grad()
def follows_masks(model: nn.Module) -> bool:
    """Say whether a model sees what a mask `(B, 1, S, S)` and `position_ids` let it see, and nothing else.

    The model is asked: some families refuse such a mask, others ignore it silently.

    Args:
        model (`nn.Module`): a causal LM.
    """
    if not accepted(model, position_ids=None):
        return False
    # The row 0 1 4 5, and in one row with it another end of its beginning: 0 1 2 3.
    whole = torch.tensor([[0, 1, 2, 3, 4, 5]], device=model.device) % len(model.get_input_embeddings().weight)
    options = {"position_ids": torch.tensor([[0, 1, 2, 3, 2, 3]], device=model.device)}
    causal = torch.ones(1, 1, 6, 6, dtype=torch.bool, device=model.device).tril()
    apart = causal.clone()
    apart[..., 4:, 2:4] = False
    was_training = model.training
    model.eval()
    try:
        alone = model(whole[:, [0, 1, 4, 5]]).logits[:, 2:]
        masked, mixed = (
            model(whole, attention_mask=added_to_scores(seen), **options).logits[:, 4:] for seen in (apart, causal)
        )
    except Exception:  # each family has refusals of its own
        return False
    finally:
        model.train(was_training)
    return bool((masked - alone).abs().max() < 0.01 * (mixed - alone).abs().max())
