"""Low-rank adapters on a pretrained model, and models that are stored as an adapter."""

import functools
from collections.abc import Sequence
from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D
from transformers.utils.hub import has_file
from transformers.utils.peft_utils import find_adapter_config_file

from hf_nextfail.errors import did_you_mean
from hf_nextfail.files import read_object
from hf_nextfail.models import build_model
from hf_nextfail.models.checks import check_layout, check_model_source

# Where PEFT has no modules of its own for a family.
TARGET_MODULES = {
    "falcon_mamba": ("in_proj", "x_proj"),
    "mamba": ("in_proj", "x_proj"),
    "mamba2": ("in_proj",),
}
#: What PEFT calls every linear module but the head.
ALL_LINEAR = "all-linear"
# Modules whose weight these families read outside of the module's forward, where an adapter has no say.
BYPASSED = dict.fromkeys(TARGET_MODULES, ("dt_proj", "out_proj", "conv1d"))


def save_adapter_alone(model: PeftModel) -> PeftModel:
    """Let a model save its adapter and the rows of new tokens, not the whole embedding that they are rows of.

    PEFT would add the embedding, hundreds of megabytes, because it has grown by those rows.
    """
    model.save_pretrained = functools.partial(model.save_pretrained, save_embedding_layers=False)
    return model


def add_lora(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rank: int = 8,
    alpha: int = 16,
    dropout: float = 0.0,
    target_modules: Sequence[str] | None = None,
    special_tokens: Sequence[str] = (),
) -> PeftModel:
    """Freeze a model but for low-rank adapters and the embeddings of tokens that are new to it.

    Args:
        model (`PreTrainedModel`): pretrained.
        tokenizer (`PreTrainedTokenizerBase`): the model's, with the dummy token if it has one.
        rank (`int`, >= 1, *optional*, defaults to 8): of the adapters.
        alpha (`int`, >= 1, *optional*, defaults to 16): their outputs are scaled by `alpha / rank`.
        dropout (`float`, 0 to 1, *optional*, defaults to 0): on their inputs.
        target_modules (sequence of `str`, *optional*): names of the adapted modules, or `"all-linear"` alone for
            every linear one that can be adapted; by default the family's usual.
        special_tokens (sequence of `str`, *optional*): of the tokenizer, beside the dummy token new to the model.

    Returns:
        `PeftModel` of the same model.

    Raises:
        ValueError: if a module does not exist, or an adapter on it would learn nothing.

    Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
    """
    family = model.config.model_type
    if bypassed := sorted(set(target_modules or ()) & set(BYPASSED.get(family, ()))):
        raise ValueError(
            f"lora_target_modules: {', '.join(bypassed)} of {family} cannot be adapted, because the model reads the "
            f"weight without calling the module; {' and '.join(TARGET_MODULES[family])} can"
        )
    usual = None
    if list(target_modules or ()) == [ALL_LINEAR]:
        usual, target_modules = ALL_LINEAR, None
    names = [name for name, _ in model.named_modules()]
    for target in target_modules or ():
        if not any(f".{name}".endswith(f".{target}") for name in names):
            near = did_you_mean(target, {name.rpartition(".")[2] for name in names})
            raise ValueError(f"lora_target_modules: {family} has no module {target!r}{near}")
    targets = target_modules or TARGET_MODULES.get(family, usual)
    new = [token for token in (getattr(tokenizer, "dummy_token", None), *special_tokens) if token is not None]
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets if targets in (None, ALL_LINEAR) else list(targets),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        trainable_token_indices=tokenizer.convert_tokens_to_ids(new) or None,
    )
    return save_adapter_alone(get_peft_model(model, settings))


def base_of_adapter(name_or_path: str) -> str | None:
    """Return the name of the model that an adapter belongs to, `None` if the checkpoint is not an adapter."""
    path = find_adapter_config_file(name_or_path)
    if path is None:
        return None
    base = read_object(Path(path)).get("base_model_name_or_path")
    if not isinstance(base, str):
        raise ValueError(f"{path} names no base_model_name_or_path, the model that the adapter belongs to: add it")
    return base


def load_checkpoint(
    tokenizer: PreTrainedTokenizerBase,
    name_or_path: str,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel | PeftModel:
    """Load a causal LM, or an adapter together with the model that it belongs to, ready to be trained further.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): of the checkpoint; an adapter's may have more tokens than its model.
        name_or_path (`str`): on the Hub or a folder.
        attn_implementation (`str`, *optional*): by default what transformers chooses.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Raises:
        ValueError, OSError: if it, or the model that an adapter belongs to, cannot be loaded.
    """
    base = base_of_adapter(name_or_path)
    if base is not None:
        check_model_source(base, None, {})
        check_layout(base)
        if base_of_adapter(base) is not None:  # transformers would load that one too, from a pickle if need be
            raise ValueError(
                f"{name_or_path} is an adapter of {base}, which is an adapter itself: merge that one first"
            )
    model = build_model(
        tokenizer,
        base or name_or_path,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
    )
    if base is None:
        return model
    if not has_file(name_or_path, "adapter_model.safetensors"):
        raise ValueError(
            f"{name_or_path} has no adapter_model.safetensors; hf_nextfail does not load pickled adapters"
        )
    try:
        adapted = save_adapter_alone(PeftModel.from_pretrained(model, name_or_path, is_trainable=True))
    except SafetensorError as error:
        raise ValueError(
            f"the adapter {name_or_path} cannot be read, the file is damaged: {error}; copy or download it again"
        ) from error
    except (KeyError, TypeError, RuntimeError) as error:  # a kind or a shape that PEFT does not know
        raise ValueError(
            f"the adapter {name_or_path} does not fit {base}, or its adapter_config.json is damaged: "
            f"{type(error).__name__}: {error}"
        ) from error
    if has_file(name_or_path, "generation_config.json"):  # one of ours, which says how it decodes
        set_generation_config(adapted, GenerationConfig.from_pretrained(name_or_path))
    return adapted


def set_generation_config(model: PreTrainedModel | PeftModel, config: GenerationConfig) -> None:
    """Say in a model how it writes, and in an adapted one also in its base, which is left once the two are merged."""
    for part in {model, model.get_base_model()} if isinstance(model, PeftModel) else {model}:
        part.generation_config = config
