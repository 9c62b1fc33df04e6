"""Make a causal LM that fits a tokenizer."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_nextfail.suggestion import did_you_mean


def check_model_source(name_or_path: str | None, model_type: str | None, config_overrides: dict[str, Any]) -> None:
    """Raise `ValueError` unless there is exactly one source of a model, and the configuration fits it."""
    if (name_or_path is None) == (model_type is None):
        raise ValueError("give either model_name_or_path, a checkpoint, or model_type, a family to train from scratch")
    if model_type is None:
        if name_or_path.startswith(("/", "./", "../", "~")) and not Path(name_or_path).is_dir():
            raise ValueError(f"model_name_or_path: there is no folder {name_or_path}")
        if config_overrides:
            raise ValueError("config_overrides go with model_type; a checkpoint keeps its own configuration")
        return
    if model_type not in CONFIG_MAPPING or CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        causal = [name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_CAUSAL_LM_MAPPING]
        raise ValueError(
            f"model_type {model_type!r} is no causal LM of transformers{did_you_mean(model_type, causal)}; "
            "'gpt2', 'llama' and 'mamba' are some of them"
        )
    defaults = AutoConfig.for_model(model_type)
    for field in config_overrides:
        if field == "vocab_size":
            raise ValueError("config_overrides: vocab_size is the tokenizer's to decide; leave it out")
        if not hasattr(defaults, field):
            raise ValueError(
                f"config_overrides: {model_type} has no {field!r}{did_you_mean(field, list(defaults.to_dict()))}"
            )


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
        ValueError: if not exactly one source is given, the configuration is none of the family's, or the weights are
            damaged.
        OSError: if the checkpoint is not found.

    Example:

    ```python
    >>> from hf_nextfail.tokenization import numeral_tokenizer
    >>> tokenizer = numeral_tokenizer(num_nodes=20)
    >>> model = build_model(tokenizer, model_type="gpt2", config_overrides={"n_layer": 2, "n_head": 4, "n_embd": 64})
    >>> model.config.vocab_size, model.config.n_layer
    (25, 2)

    ```
    """
    config_overrides = config_overrides or {}
    check_model_source(name_or_path, model_type, config_overrides)
    if model_type is not None:
        special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        config = AutoConfig.for_model(model_type, **(special | {"vocab_size": len(tokenizer)} | config_overrides))
        return AutoModelForCausalLM.from_config(config, attn_implementation=attn_implementation).train()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            dtype=torch.float32,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
        )
    except SafetensorError as error:
        raise ValueError(f"the weights of {name_or_path} cannot be read, the file is damaged: {error}") from error
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return model.train()
