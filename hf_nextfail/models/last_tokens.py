"""The last layer on the tokens whose logits are asked for: nothing reads its other outputs."""

import copy
import sys
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

#: What an attention module calls the projection of what it gathered.
OUTPUT_PROJECTIONS = ("c_proj", "o_proj", "out_proj", "dense")
#: The name under which transformers finds `attend_from_last`.
FROM_LAST = "hf_nextfail_from_last"


class LastTokens:
    """Let modules of the last layer see only the tokens whose logits are asked for.

    Args:
        model (`PreTrainedModel`): takes `logits_to_keep`.
    """

    def __init__(self, model: PreTrainedModel):
        self.shape: torch.Size | None = None
        self.num_kept = 0
        self.hooks = [
            model.register_forward_pre_hook(self.note, with_kwargs=True),
            model.register_forward_hook(self.forget, always_call=True),
        ]

    def cut_around(self, module: nn.Module) -> None:
        """Let a module, which computes each token by itself, see the last tokens alone."""
        self.hooks += [module.register_forward_pre_hook(self.cut), module.register_forward_hook(self.fill)]

    def remove(self) -> None:
        """Leave the model as it was."""
        for hook in self.hooks:
            hook.remove()

    def note(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember what is asked for."""
        kept, ids = kwargs.get("logits_to_keep", 0), kwargs.get("input_ids", args[0] if args else None)
        # Checkpointed activations are computed again in the backward pass, where nothing is asked for.
        whole = kwargs.get("output_hidden_states") or getattr(model, "is_activation_checkpointing", False)
        if isinstance(kept, int) and ids is not None and not whole:
            self.shape, self.num_kept = ids.shape, kept

    def forget(self, *_: Any) -> None:
        """Ask for nothing of forwards that do not come through the whole model."""
        self.shape, self.num_kept = None, 0

    def cut(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Leave out the tokens before."""
        if self.num_kept and args and args[0].shape[:2] == self.shape:
            return (args[0][:, -self.num_kept :].contiguous(), *args[1:])
        return None

    def fill(self, module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        """Put zeros in their places."""
        if self.num_kept and output.shape[1] < self.shape[1]:
            return nn.functional.pad(output, (0, 0, self.shape[1] - output.shape[1], 0))
        return None


def attend_from_last(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend as the family does, from the tokens that are asked for; the others get zeros.

    Args:
        module (`nn.Module`): the attention, on which `use_last_attention` has left `last_tokens`.
        query, key, value (`torch.Tensor` `(B, heads, S, width)`), attention_mask (`(B, 1, S, S)`, added): as
            transformers hands them to an attention function.
    """
    attend = sys.modules[type(module).__module__].eager_attention_forward
    num_tokens, kept = query.shape[2], module.last_tokens.num_kept
    rows_asked_for = (query.shape[0], num_tokens) == module.last_tokens.shape and key.shape[2] == num_tokens
    if not kept or not rows_asked_for or attention_mask is None:
        return attend(module, query, key, value, attention_mask, **kwargs)
    attended, _ = attend(module, query[:, :, -kept:], key, value, attention_mask[:, :, -kept:], **kwargs)
    return nn.functional.pad(attended, (0, 0, 0, 0, num_tokens - kept, 0)), None


def last_layer(model: PreTrainedModel) -> nn.Module | None:
    """Find the last layer of a model; `None` if it is not to be told."""
    num_layers = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    layers = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == num_layers]
    return layers[0][-1] if len(layers) == 1 else None


def use_last_mlp(model: PreTrainedModel, longest_row: int) -> bool:
    """Leave the tokens of the prompt out of the last MLP."""
    mlp = getattr(last_layer(model), "mlp", None)
    if not isinstance(mlp, nn.Module) or not computes_tokens_alone(mlp, model):
        return False
    LastTokens(model).cut_around(mlp)
    return True


def use_last_attention(model: PreTrainedModel, longest_row: int) -> bool:
    """Let the last attention, where it is plain, look from completions alone: see `attend_from_last`."""
    layer = last_layer(model)
    found = [m for m in ([] if layer is None else layer.children()) if type(m).__name__.endswith("Attention")]
    if len(found) != 1 or model.config._attn_implementation != "eager" or not hasattr(found[0], "config"):
        return False
    (attention,) = found
    if not hasattr(sys.modules[type(attention).__module__], "eager_attention_forward"):
        return False
    expected = some_logits(model)
    of_all, attention.last_tokens = attention.config, LastTokens(model)
    attention.config = copy.copy(of_all)
    attention.config._attn_implementation_internal = FROM_LAST
    projections = [getattr(attention, name) for name in OUTPUT_PROJECTIONS if hasattr(attention, name)]
    if len(projections) == 1 and computes_tokens_alone(projections[0], model):
        attention.last_tokens.cut_around(projections[0])
    if torch.allclose(some_logits(model), expected, rtol=1e-3, atol=1e-4):
        return True
    attention.last_tokens.remove()
    attention.config = of_all
    return False


@torch.no_grad()
def some_logits(model: PreTrainedModel) -> torch.Tensor:
    """Compute the last logits of some rows."""
    was_training = model.training
    model.eval()
    ids = torch.arange(10, device=model.device).view(2, 5) % model.config.get_text_config().vocab_size
    try:
        return model(ids, attention_mask=torch.ones_like(ids), logits_to_keep=2).logits.float()
    finally:
        model.train(was_training)


@torch.no_grad()
def computes_tokens_alone(module: nn.Module, model: PreTrainedModel) -> bool:
    """Say whether a module maps each token by itself to one of the same width."""
    tokens = model.get_input_embeddings().weight.new_zeros(1, 3, model.config.get_text_config().hidden_size)
    tokens[0].copy_(torch.linspace(-1, 1, tokens[0].numel()).view_as(tokens[0]))
    was_training = module.training
    module.eval()
    try:
        whole, last = module(tokens), module(tokens[:, 1:])
    except (TypeError, ValueError, RuntimeError):  # one that takes more than the tokens
        return False
    finally:
        module.train(was_training)
    tensors = isinstance(whole, torch.Tensor) and whole.shape == tokens.shape
    return tensors and torch.allclose(whole[:, 1:], last, rtol=1e-4, atol=1e-5)


AttentionInterface.register(FROM_LAST, attend_from_last)
