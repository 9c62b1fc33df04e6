"""What makes a checkpoint or a configuration one that can be trained and decoded as a causal LM."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedConfig
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import has_file

from hf_nextfail.errors import did_you_mean
from hf_nextfail.files import check_objects, read_object

# What of a checkpoint must be a JSON object where it is there.
CHECKPOINT_OBJECTS = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "model.safetensors.index.json",
)


PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


ENCODER = "it is an encoder, in which every token sees the later ones"


ROBERTA = "it is an encoder, and generation gives its tokens other positions than training"


# Families that transformers lists among the causal LMs, and why they are not causal LMs here.
UNSUPPORTED = {
    "bert": ENCODER,
    "bert-generation": ENCODER,
    "big_bird": ENCODER,
    "camembert": ROBERTA,
    "cpmant": "every token sees the later ones",
    "data2vec-text": ROBERTA,
    "electra": ENCODER,
    "ernie": ENCODER,
    "megatron-bert": ENCODER,
    "musicgen": "it writes audio codes, not tokens",
    "musicgen_melody": "it writes audio codes, not tokens",
    "prophetnet": "it refuses the positions that generation gives its tokens",
    "rembert": ENCODER,
    "roberta": ROBERTA,
    "roberta-prelayernorm": ROBERTA,
    "roc_bert": ENCODER,
    "roformer": ENCODER,
    "xlm": ENCODER,
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": ROBERTA,
    "xlnet": "every token sees the later ones",
    "xmod": ROBERTA,
}


def refuse_unsupported(model_type: str) -> None:
    """Raise `ValueError` with the reason if a family cannot be trained or decoded as a causal LM."""
    if model_type in UNSUPPORTED:
        raise ValueError(
            f"model_type {model_type!r} is not supported: {UNSUPPORTED[model_type]}; "
            "supported are 'gpt2', 'llama', 'mamba' and many others"
        )


def refuse_sight_of_later_tokens(config: PreTrainedConfig) -> None:
    """Raise `ValueError` if the configuration of a causal LM turns the causal mask off, as embedding models do."""
    config = config.get_text_config()
    for field, values in {"is_causal": (False,), "use_bidirectional_attention": (True, "all")}.items():
        if (value := getattr(config, field, None)) in values:
            raise ValueError(f"the model is not a causal LM: its configuration sets {field} to {value!r}")


def make_config(model_type: str, **fields: Any) -> PreTrainedConfig:
    """Make the configuration of a family; raises `ValueError` if it does not accept the fields."""
    try:
        return AutoConfig.for_model(model_type, **fields)
    except Exception as error:  # each family has checks of its own
        raise ValueError(f"{model_type} does not accept this configuration: {error}") from error


def check_layout(name_or_path: str) -> None:
    """Raise `ValueError` unless the checkpoint can be loaded, naming the file at fault and the way out.

    For one in the layout of the state-spaces repository, that is the name of the converted one.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        check_objects(folder, CHECKPOINT_OBJECTS)
    elif folder.exists():
        raise ValueError(f"{name_or_path} is a file; name the folder of a checkpoint")
    try:
        config, _ = PreTrainedConfig.get_config_dict(name_or_path)
    except OSError:  # said better by what loads it
        config = {}
    if "model_type" not in config and {"d_model", "n_layer"} <= config.keys():
        raise ValueError(
            f"{name_or_path} is in the layout of the mamba_ssm package (MambaLMHeadModel), pickled, and transformers "
            f"cannot read it: take the converted {name_or_path}-hf"
        )
    if "model_type" in config and "auto_map" not in config:
        check_family(name_or_path, config)
    if folder.is_dir():
        check_weights(folder)


def check_family(name_or_path: str, config: dict[str, Any]) -> None:
    """Raise `ValueError` unless transformers knows the family of a configuration, and that family its fields."""
    family = config["model_type"]
    if family not in CONFIG_MAPPING:
        raise ValueError(
            f"{name_or_path}: its config.json says model_type {family!r}, which transformers does not know"
            f"{did_you_mean(str(family), CONFIG_MAPPING)}; a newer transformers may know it"
        )
    refuse_unsupported(family)
    try:
        CONFIG_MAPPING[family].from_dict(config)
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{name_or_path}: its config.json is not a valid configuration of {family}: {error}; correct it"
        ) from error


def check_weights(folder: Path) -> None:
    """Raise `ValueError` for a folder without a model in safetensors, naming the file that is missing."""
    adapter = (folder / "adapter_config.json").is_file()
    if not adapter and not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no checkpoint: it has no config.json and no adapter_config.json")
    names = ["adapter_model.safetensors" if adapter else "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if not adapter and not (folder / names[0]).is_file() and index.is_file():  # divided into several files
        names = sorted(set(read_object(index).get("weight_map", {}).values())) or names
    for name in names:
        if (folder / name).is_file():
            continue
        if pickles := sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES):
            raise ValueError(
                f"{folder} has no {name}, and hf_nextfail does not load its pickle {pickles[0]}, because it may run "
                "any code: save the model as safetensors, or name a checkpoint in safetensors"
            )
        raise ValueError(f"{folder} has no {name}, so its weights are missing: copy or download it again")


def refuse_pickles(name_or_path: str) -> None:
    """Raise `ValueError` for a checkpoint without safetensors.

    transformers would not read its pickle either, but have a service on the Hub convert it, and load what comes back.
    """
    if not any(has_file(name_or_path, name) for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME)):
        raise ValueError(
            f"{name_or_path} has no {SAFE_WEIGHTS_NAME}, and hf_nextfail does not load pickles (*.bin, *.pt), because "
            "reading one can run code: name a checkpoint in safetensors"
        )


def check_model_source(name_or_path: str | None, model_type: str | None, config_overrides: dict[str, Any]) -> None:
    """Raise `ValueError` unless there is exactly one source of a model, and the configuration fits it."""
    if (name_or_path is None) == (model_type is None):
        raise ValueError("give either model_name_or_path, a checkpoint, or model_type, a family to train from scratch")
    if model_type is None:
        path = Path(name_or_path)
        if path.is_file():
            raise ValueError(f"{name_or_path} is a file; name the folder of a checkpoint")
        if (path.is_absolute() or name_or_path.startswith((".", "~")) or len(path.parts) > 2) and not path.is_dir():
            raise ValueError(f"there is no folder {name_or_path}")  # the Hub has no such names
        if config_overrides:
            raise ValueError("config_overrides go with model_type; a checkpoint keeps its own configuration")
        return
    if model_type not in CONFIG_MAPPING or CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        causal = [name for name, config in CONFIG_MAPPING.items() if config in MODEL_FOR_CAUSAL_LM_MAPPING]
        raise ValueError(
            f"model_type {model_type!r} is not a causal LM of transformers{did_you_mean(model_type, causal)}; "
            "'gpt2', 'llama' and 'mamba' are some of them"
        )
    refuse_unsupported(model_type)
    defaults = make_config(model_type)
    if (text := defaults.get_text_config()) is not defaults:
        family = text.model_type if type(text) in MODEL_FOR_CAUSAL_LM_MAPPING else "llama"
        raise ValueError(
            f"model_type {model_type!r} has a language model as a part; "
            f"name the family of that part, such as {family!r}"
        )
    for field in config_overrides:
        if field == "vocab_size":
            raise ValueError("config_overrides: the tokenizer decides vocab_size; leave it out")
        if field not in defaults.to_dict() and not hasattr(defaults, field):
            raise ValueError(
                f"config_overrides: {model_type} has no {field!r}{did_you_mean(field, list(defaults.to_dict()))}"
            )


def num_positions(model: nn.Module) -> int | None:
    """Return how many tokens a row may have; `None` for families without a limit."""
    config = model.config.get_text_config()
    limits = ("max_position_embeddings", "max_target_positions")
    return next((limit for name in limits if (limit := getattr(config, name, None)) is not None), None)


def check_positions(model: nn.Module, longest: int) -> None:
    """Raise `ValueError` when the longest row, in tokens, is longer than the model has positions for."""
    positions = num_positions(model)
    if positions is not None and longest > positions:
        raise ValueError(
            f"a row has {longest} tokens, but the model has {positions} positions; take a smaller graph or shorter "
            "rows, or a model with more (config_overrides: max_position_embeddings, n_positions for gpt2)"
        )


def check_fits(model: nn.Module, longest: int, largest_id: int) -> None:
    """Raise `ValueError` for rows that a model has no positions or no embeddings for.

    Args:
        model (`nn.Module`): a causal LM; one without a `config` is taken as it is.
        longest (`int`): the tokens of the longest row.
        largest_id (`int`): the largest id in a row, or of a token that is laid out beside it.
    """
    if getattr(model, "config", None) is None:
        return
    check_positions(model, longest)
    vocab_size = model.config.get_text_config().vocab_size
    if largest_id >= vocab_size:
        raise ValueError(
            f"the tokenizer has the id {largest_id}, but the model has {vocab_size} embeddings: "
            "model.resize_token_embeddings(len(tokenizer)) adds the missing ones"
        )
