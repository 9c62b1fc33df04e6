"""Make a causal LM that fits a tokenizer."""

from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from hf_nextfail.data.tokenization import end_token_id
from hf_nextfail.models.checks import (
    check_model_source,
    make_config,
    refuse_pickles,
    refuse_sight_of_later_tokens,
    refuse_unsupported,
)
from hf_nextfail.models.fast_mamba import FAMILIES, use_fast_mamba


def build_model(
    tokenizer: PreTrainedTokenizerBase,
    name_or_path: str | None = None,
    model_type: str | None = None,
    config_overrides: dict[str, Any] | None = None,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal LM by name, or build one from scratch, with an embedding for every token of the tokenizer.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): the model's embeddings grow to its size; new rows, such as the dummy
            token's, begin at the mean of the others.
        name_or_path (`str`, *optional*): a checkpoint on the Hub, or a folder. Loaded from safetensors, in float32.
        model_type (`str`, *optional*): the family of an untrained model; give either this or `name_or_path`.
        config_overrides (`dict`, *optional*): fields of the untrained model's configuration.
        attn_implementation (`str`, *optional*): `"eager"`, `"sdpa"`, ...; by default what transformers chooses.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Returns:
        `PreTrainedModel` in training mode. Seed torch before, and the weights repeat.

    Raises:
        ValueError: if not exactly one source is given, the family is not supported, the family does not accept the
            configuration, the checkpoint is not a causal LM, or the weights are damaged.
        OSError: if the checkpoint is not found.

    Example:

    ```python
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> tokenizer = numeral_tokenizer(num_nodes=20)
    >>> model = build_model(tokenizer, model_type="gpt2", config_overrides={"n_layer": 2, "n_head": 4, "n_embd": 64})
    >>> model.config.vocab_size, model.config.n_layer
    (25, 2)

    ```
    """
    config_overrides = config_overrides or {}
    check_model_source(name_or_path, model_type, config_overrides)
    if model_type is not None:
        model = from_scratch(tokenizer, model_type, config_overrides, attn_implementation)
    else:
        model = from_checkpoint(name_or_path, attn_implementation, trust_remote_code)
        if len(tokenizer) > model.get_input_embeddings().num_embeddings:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # around the mean, and the same whenever and wherever this checkpoint is loaded
                model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    if model.config.model_type in FAMILIES:
        use_fast_mamba()
    return model.train()


def from_scratch(
    tokenizer: PreTrainedTokenizerBase,
    model_type: str,
    config_overrides: dict[str, Any],
    attn_implementation: str | None,
) -> PreTrainedModel:
    """Build an untrained model of a family, with an embedding for every token of the tokenizer."""
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": end_token_id(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = make_config(model_type, **(special | {"vocab_size": len(tokenizer)} | config_overrides))
    refuse_sight_of_later_tokens(config)
    if getattr(config, "num_hidden_layers", 1) < 1:
        field = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        raise ValueError(f"config_overrides: {field} must be at least 1, got {config.num_hidden_layers}")
    try:
        return AutoModelForCausalLM.from_config(config, attn_implementation=attn_implementation)
    except Exception as error:  # the fields of each family depend on each other in ways of its own
        raise ValueError(f"{model_type} cannot be built: {type(error).__name__}: {error}") from error


def from_checkpoint(name_or_path: str, attn_implementation: str | None, trust_remote_code: bool) -> PreTrainedModel:
    """Load a model of which every tensor comes from the checkpoint, and none was begun at random."""
    refuse_pickles(name_or_path)
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            dtype=torch.float32,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # to name them below
            output_loading_info=True,
        )
    except (ImportError, StrictDataclassError) as error:
        raise ValueError(f"{name_or_path} cannot be loaded: {error}") from error
    except ValueError as error:
        if (reason := str(error).partition("\n")[0]).startswith("Unrecognized configuration class"):
            raise ValueError(f"{name_or_path} is not a causal LM: {reason}") from error  # the rest lists all that are
        raise ValueError(f"{name_or_path} cannot be loaded: {reason}") from error
    except SafetensorError as error:
        raise ValueError(
            f"the weights of {name_or_path} cannot be read, the file is damaged: {error}; copy or download it again"
        ) from error
    # Such tensors have begun at random values: what is measured would not be this checkpoint.
    unread = sorted({*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])})
    if unread:
        raise ValueError(
            f"the weights of {name_or_path} do not fit its config.json: {len(unread)} tensors are missing or of "
            f"another shape, {unread[0]} among them; take the config.json that belongs to them"
        )
    refuse_unsupported(model.config.model_type)
    refuse_sight_of_later_tokens(model.config)
    return model
