"""Multi-token modules as a family of transformers makes, loads and generates with them."""

import logging
import re

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import MtpModel

logger = logging.getLogger(__name__)


class FamilyModules(nn.Module):
    """Take states one token further with each layer of transformers' own `MtpModel`, whose block is the family's.

    `generate(use_mtp=True)` finds the layers in the file of the model, under the names of `names_in_checkpoint`.

    Args:
        model (`PreTrainedModel`): the causal LM, with `num_mtp_layers` in its configuration. Both embeddings are its
            own.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        mtp = MtpModel(model, model.config.get_text_config().num_mtp_layers)
        # transformers 5.24 leaves the experts of an MtpModel as `torch.empty` made them.
        mtp.layers.apply(model._init_weights)
        self._mtp = [mtp]  # in a list, so that what the model shares with it is not registered here, too
        for name, module in mtp.named_children():
            if name not in ("embed_tokens", "shared_head", "rotary_emb"):
                self.add_module(name, module)

    def forward(self, states: torch.Tensor, ids: torch.Tensor, num_kept: int) -> list[torch.Tensor]:
        """Return the logits `(B, num_kept, V)` of each module.

        Args:
            states (`torch.Tensor` `(B, S, H)`): of the model.
            ids (`torch.Tensor` `(B, S + num_mtp_layers)`): the tokens of a row.
            num_kept (`int`): how many of the last positions are asked.
        """
        [mtp] = self._mtp
        length, logits = states.shape[1], []
        for k in range(mtp.num_mtp_layers):
            shown = slice(k + 1, k + 1 + length)
            positions = torch.arange(ids.shape[1], device=ids.device)[shown].expand(len(ids), -1)
            states = mtp.forward_layer(k, states, positions, None, input_ids=ids[:, shown])
            logits.append(mtp._project_to_logits(states[:, -num_kept:]))
        return logits

    def names_in_checkpoint(self, model: PreTrainedModel) -> dict[str, str]:
        """Return what each weight is called in the model's own checkpoint."""
        return {name: name_in_checkpoint(name, model) for name in self.state_dict()}


def num_family_modules(model: nn.Module) -> int:
    """Return how many multi-token modules transformers would find in a checkpoint of this model, and generate with."""
    if not isinstance(model, PreTrainedModel) or model._is_stateful:
        return 0
    if hasattr(model.get_input_embeddings(), "embed_norm"):  # of which an MtpModel makes a copy, that learns alone
        return 0
    config = model.config.get_text_config()
    number = getattr(config, "num_mtp_layers", None) or 0
    # As many as the model has layers: transformers takes the numbers above for those of layers behind the model's.
    fits = number <= config.num_hidden_layers
    return number if fits and all(name_in_checkpoint(f"layers.{k}.", model) for k in range(number)) else 0


def check_family_modules(model: nn.Module, depth: int) -> None:
    """Raise `ValueError` if transformers makes multi-token modules of this model that cannot be trained.

    Args:
        model (`nn.Module`): any causal LM.
        depth (`int`): how many modules are trained.
    """
    number = num_family_modules(model)
    if not number:
        if asked := getattr(getattr(model, "config", None), "num_mtp_layers", None):
            logger.warning(
                "num_mtp_layers is %d, and transformers finds no modules of this model in a checkpoint: ours are "
                "trained, %d of them, and left out of it.",
                asked,
                depth,
            )
        return
    if number != depth:
        raise ValueError(f"depth must be the num_mtp_layers of the model, {number}, got {depth}")
    config = model.config.get_text_config()
    types, of_modules = (set(getattr(config, name, None) or ()) for name in ("layer_types", "mtp_layer_types"))
    if of_modules - types and config.nested_rope_parameter_keys(config.rope_parameters):
        raise ValueError(
            f"mtp_layer_types must be among the layer_types of the model, {', '.join(sorted(types))}, whose rotary "
            f"embeddings modules share, got {', '.join(sorted(of_modules))}"
        )


def name_in_checkpoint(name: str, model: PreTrainedModel) -> str | None:
    """Return the name by which transformers finds a weight of `MtpModel` in the checkpoint of a model.

    By transformers' own mapping it can only be loaded: several layouts lead to one name there, and none leads back.

    Args:
        name (`str`): in the `MtpModel`, such as `layers.0.enorm.weight`.

    Returns:
        `None` if transformers looks elsewhere, whatever it is called.
    """
    try:
        found = MtpModel.get_mtp_weights_regex(model)
    except ValueError:  # the family says nowhere how its modules are called
        return None
    first = model.config.get_text_config().num_hidden_layers
    behind = re.sub(r"^layers\.(\d+)\.(mtp_block\.)?", lambda at: f"model.layers.{first + int(at[1])}.", name)
    layouts = (behind.replace(".post_norm.", ".shared_head.norm."), f"mtp.{name}", f"model.mtp.{name}")
    return next(filter(found.search, layouts), None)
