"""Make a causal LM that fits a tokenizer."""

import difflib
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean ...?)` when a known word is near, else nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def config_from_scratch(
    model_type: str, overrides: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> PreTrainedConfig:
    """Build the configuration of an untrained model.

    Args:
        model_type (`str`): a family of transformers with a causal LM, e.g. `"gpt2"` or `"mamba"`.
        overrides (`dict`): fields of its configuration that differ from the family's defaults.
        tokenizer (`PreTrainedTokenizerBase`): gives the vocabulary size and the special tokens.

    Raises:
        ValueError: if the family is unknown or has no causal LM, or it has no such field.
    """
    if model_type not in CONFIG_MAPPING or CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        causal = [name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_CAUSAL_LM_MAPPING]
        raise ValueError(
            f"model_type {model_type!r} is no causal LM of transformers{did_you_mean(model_type, causal)}; "
            "'gpt2', 'llama' and 'mamba' are some of them"
        )
    defaults = AutoConfig.for_model(model_type)
    for field in overrides:
        if field == "vocab_size" or not hasattr(defaults, field):
            known = [name for name in defaults.to_dict() if name != "vocab_size"]
            reason = "the tokenizer decides" if field == "vocab_size" else f"{did_you_mean(field, known)}"
            raise ValueError(f"config_overrides: {model_type} takes no {field!r} {reason}".rstrip())
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return AutoConfig.for_model(model_type, **(special | {"vocab_size": len(tokenizer)} | overrides))


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
        ValueError: if not exactly one source is given, or the configuration is none of the family's.
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
    if (name_or_path is None) == (model_type is None):
        raise ValueError("give either model_name_or_path, a checkpoint, or model_type, a family to train from scratch")
    if name_or_path is None:
        config = config_from_scratch(model_type, config_overrides or {}, tokenizer)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attn_implementation).train()
    if config_overrides:
        raise ValueError("config_overrides go with model_type; a checkpoint keeps its own configuration")
    model = AutoModelForCausalLM.from_pretrained(
        name_or_path,
        dtype=torch.float32,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        use_safetensors=True,
    )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return model.train()
