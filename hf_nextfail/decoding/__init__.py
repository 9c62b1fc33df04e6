"""HOW A MODEL WRITES: one file a decoding, one line in `DECODINGS`."""

from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.decoding.autoregressive import AutoregressiveDecoding
from hf_nextfail.decoding.base import Decoding
from hf_nextfail.decoding.inserting import InsertingDecoding
from hf_nextfail.decoding.parallel import ParallelDecoding
from hf_nextfail.decoding.unmasking import UnmaskingDecoding
from hf_nextfail.errors import did_you_mean

DECODINGS: dict[str, type[Decoding]] = {
    "autoregressive": AutoregressiveDecoding,
    "parallel": ParallelDecoding,
    "unmasking": UnmaskingDecoding,
    "inserting": InsertingDecoding,
}

# Checkpoints of hf_nextfail 0.1.0 say in their generation config how they were trained, and that said how they decode.
BY_TRAINING = {"teacher_forced": "autoregressive", "teacherless": "parallel"}


def says_decoding(model: nn.Module) -> bool:
    """Say whether the generation config of a model says how it decodes."""
    return any(getattr(model.generation_config, key, None) is not None for key in ("decoding", "objective"))


def decoding_name(model: nn.Module) -> str:
    """Return how a checkpoint says that it decodes, `"autoregressive"` for one that says nothing.

    Raises:
        ValueError: if its generation config names a decoding that does not exist.
    """
    config = model.generation_config
    name = getattr(config, "decoding", None)
    if name is None:
        training = getattr(config, "objective", "teacher_forced")
        name = BY_TRAINING.get(training, training)
    if name not in DECODINGS:
        raise ValueError(
            f"the decoding in generation_config.json must be {' or '.join(DECODINGS)}, got {name!r}"
            f"{did_you_mean(str(name), DECODINGS)}; or name the objective whose own decoding it is"
        )
    return name


def find_decoding(
    decoding: Decoding | type[Decoding] | str | None, model: nn.Module, tokenizer: PreTrainedTokenizerBase
) -> Decoding:
    """Make a decoding of what a caller gave.

    Args:
        decoding (`Decoding`, its class or `str`, *optional*): one, or a name in `DECODINGS`; by default what the
            model's generation config says.

    Raises:
        ValueError: if no decoding has that name, the tokenizer lacks a token that it needs, or the model cannot write
            this way.
    """
    if isinstance(decoding, Decoding):
        return decoding
    kind = decoding_name(model) if decoding is None else decoding
    if isinstance(kind, str):
        if kind not in DECODINGS:
            raise ValueError(f"decoding must be {' or '.join(DECODINGS)}, got {kind!r}{did_you_mean(kind, DECODINGS)}")
        kind = DECODINGS[kind]
    if not (isinstance(kind, type) and issubclass(kind, Decoding)):
        raise ValueError(f"decoding must be a Decoding or its name, got {kind!r}; of an objective, objective.decoding")
    found = kind.of_checkpoint(tokenizer, getattr(model, "generation_config", None))
    found.check(model)
    return found


__all__ = [
    "DECODINGS",
    "AutoregressiveDecoding",
    "Decoding",
    "InsertingDecoding",
    "ParallelDecoding",
    "UnmaskingDecoding",
    "decoding_name",
    "find_decoding",
    "says_decoding",
]
