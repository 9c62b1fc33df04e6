"""What every objective shares."""

from dataclasses import InitVar, dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import Decoding
from hf_nextfail.models.outputs import Outputs


@dataclass
class Objective:
    """Define how a completion is learnt: what a model sees of it, and what it must predict.

    An objective knows nothing of tasks. Pass one to [`NextFailTrainer`] and to [`CompletionCollator`], or name it in a
    recipe or on a command line; one of your own by `--objective FILE.py:Class`. A subclass is a dataclass: it sets
    `name` and `decoding_class`, its fields are its options, which it checks in `__post_init__`, and it overrides what
    differs: `encode`, `loss`, `heads`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Attributes:
        decoding (`Decoding`): how a checkpoint of it writes.
        pad_token_id (`int`): of the tokenizer.
        special_token_ids (`list` of `int`): those of `special_tokens`.

    Raises:
        ValueError: if the tokenizer lacks a token that the decoding needs, or one of `special_tokens`.
    """

    #: What it is called in recipes, records and tables.
    name: ClassVar[str]
    #: How a checkpoint that learnt this way writes.
    decoding_class: ClassVar[type[Decoding]]
    #: Whether only completion tokens are predicted. Then the trainer knows where labels begin without a search.
    labels_follow_prompt: ClassVar[bool] = True
    #: What its layouts hold that tokenizers lack: `finetune` adds these tokens, and the model's embeddings grow.
    special_tokens: ClassVar[tuple[str, ...]] = ()
    #: Whether the heads also read the states of the prompt. Then the last layer must compute those, too.
    heads_read_whole_row: ClassVar[bool] = False

    tokenizer: InitVar[PreTrainedTokenizerBase]

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        self.decoding = self.decoding_class(tokenizer)
        self.pad_token_id: int = self.decoding.pad_token_id
        added = tokenizer.get_added_vocab() if self.special_tokens else {}
        for token in self.special_tokens:
            if token not in added:
                raise ValueError(
                    f"{self.name} needs the special token {token}, which the tokenizer lacks: "
                    f"tokenizer.add_tokens({list(self.special_tokens)}, special_tokens=True) adds it, and "
                    "model.resize_token_embeddings(len(tokenizer)) its embedding"
                )
        self.special_token_ids: list[int] = [added[token] for token in self.special_tokens]

    def check(self, model: nn.Module) -> None:
        """Raise `ValueError` with the reason for a model that cannot be trained this way.

        By default for one that cannot write by the decoding.
        """
        self.decoding.check(model)

    def added_positions(self, num_tokens: int) -> int:
        """Say how many positions of the model a row may take beyond its own tokens; by default none.

        Args:
            num_tokens (`int`): of the completion.
        """
        return 0

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Lay out a batch to learn from, by default as the decoding scores it.

        Args:
            rows (`Rows`): `B` of them, of `int64` as `Rows.take` gives them.
            generator (`torch.Generator`, *optional*): where a stochastic objective draws from; by default torch's own.

        Returns:
            `input_ids`, `attention_mask` and `labels`, each `(B, max(P + T))`; see [`Rows.lay_out`]. An objective may
            add `position_ids`, or give a mask `(B, 1, S, S)`, and what its own `run_heads` and `loss` read.
        """
        return self.decoding.view(rows)

    def heads(self, model: nn.Module) -> nn.Module | None:
        """Make what is trained beside the model and left out of its checkpoint; by default nothing.

        Args:
            model (`nn.Module`): the causal LM, for its sizes.
        """
        return None

    def names_in_checkpoint(self, heads: nn.Module, model: nn.Module) -> dict[str, str]:
        """Say what the weights of heads are called that are a part of the model's checkpoint after all.

        By default nothing. For heads that transformers itself loads, and that its loader of the model leaves alone.

        Args:
            heads (`nn.Module`), model (`nn.Module`): what `heads` made, and for which model.

        Returns:
            For each weight in the `state_dict` of the heads its name in the checkpoint.
        """
        return {}

    def run_heads(self, heads: nn.Module, states: torch.Tensor, batch: Batch, model: nn.Module) -> object:
        """Run the heads inside the model's forward, where DDP and FSDP see their parameters.

        Args:
            heads (`nn.Module`): what `heads` made.
            states (`torch.Tensor` `(B, K, H)`): what the output embedding sees: `states[:, k]` predicts
                `outputs.labels[:, k]`. If the heads read the whole row, `(B, S - 1, H)`, which ends with these `K`.
            batch (`dict`): what `encode` returned, with the `K` labels of the outputs.
            model (`nn.Module`): the causal LM, for its embeddings, which may be used here and learn from it.

        Returns:
            Tensors, alone or in a list or `dict`: `outputs.heads` of the loss. By default `heads(states)`.
        """
        return heads(states)

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of a batch in named parts, each summed over labels, in nats.

        The trainer divides each by the number of labels of an optimizer step, adds them up, and logs each that is not
        alone as `loss_{name}`.

        Args:
            outputs (`Outputs`): of the model and the heads, on the positions that predict.
            batch (`dict`): what `encode` returned.
        """
        return {"next_token": summed_cross_entropy(outputs.logits, outputs.labels)}


def summed_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum the cross-entropy over all labels but -100, in nats.

    Args:
        logits (`torch.Tensor` `(B, K, V)`), labels (`torch.Tensor` `(B, K)`): what is predicted, and what is right.
    """
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
