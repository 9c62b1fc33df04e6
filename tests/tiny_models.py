"""The GPT-2 that tests use where any causal LM does. The families are in `families.py`."""

import json
from contextlib import contextmanager, nullcontext

import torch

from hf_nextfail.data.rows import IGNORED
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.with_heads import WithHeads

# Two layers and two heads, so that a token can act through another; room for the longest rows of most tests.
TINY_GPT2 = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def tiny_options(**overrides):
    """The options of `finetune` that train this model, with other values in its configuration if need be."""
    return ["--model_type=gpt2", f"--config_overrides={json.dumps(TINY_GPT2 | overrides)}"]


def tiny_gpt2(tokenizer, attention=None, **overrides):
    """The model with the same random weights each time, with other values in its configuration if need be."""
    torch.manual_seed(0)
    return build_model(
        tokenizer, model_type="gpt2", config_overrides=TINY_GPT2 | overrides, attn_implementation=attention
    )


def learning(objective, model):
    """The heads of an objective, as a context in which a model learns by it; without heads that gives `None`."""
    heads = objective.heads(model)
    if heads is None:
        return nullcontext()
    return attached(WithHeads(model, heads, objective.run_heads, objective.heads_read_whole_row))


@contextmanager
def attached(heads):
    with heads.attached():
        yield heads


def mean_loss(objective, model, batch, first=None, heads=None):
    """The loss of a batch a label, all its parts together."""
    outputs = completion_outputs(model, batch, first, heads)
    return sum(objective.loss(outputs, batch).values()) / (outputs.labels != IGNORED).sum()
