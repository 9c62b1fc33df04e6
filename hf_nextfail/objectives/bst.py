"""The next token of what was written, and the token before what is left to write."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy, silu
from transformers import AutoModelForCausalLM

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.decoding.parallel_generate import accepted
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.base import Objective


def pairs_of(num_tokens: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all `t` and `j` with `t + j < T`: `t` tokens are written, and the last `j` are known."""
    some = torch.arange(num_tokens, device=device)
    return torch.where(some[:, None] + some < num_tokens)


def second_encoder(model: nn.Module) -> nn.Module:
    """Build the encoder of a causal LM once more, begun at random, to be given embeddings."""
    lm = AutoModelForCausalLM.from_config(
        copy.deepcopy(model.config),
        attn_implementation=model.config._attn_implementation,
        dtype=next(model.parameters()).dtype,
    )
    lm.base_model.set_input_embeddings(None)
    return lm.base_model


class BackwardEncoder(nn.Module):
    """A second encoder, which reads what is left to write from its end, and the text head that joins both.

    Args:
        model (`nn.Module`): the causal LM, the forward encoder, of whose configuration it is.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.encoder = second_encoder(model)
        width = model.get_output_embeddings().weight.shape[1]
        # What stands behind the last token: the first that this encoder reads.
        self.end = nn.Parameter(torch.randn(model.get_input_embeddings().weight.shape[1]) * 0.02)
        self.norm = nn.LayerNorm(2 * width)
        self.gate, self.up, self.down = (nn.Linear(2 * width, 2 * width) for _ in range(3))

    def forward(self, states: torch.Tensor, from_end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Join prefixes and suffixes.

        Args:
            states (`torch.Tensor` `(B, T, H)`): of the forward encoder, `f_0 .. f_{T-1}`.
            from_end (`torch.Tensor` `(B, T - 1, E)`): the embeddings of `r_T .. r_2`, padded on the right.

        Returns:
            What predicts the next token `(B, N - T, H)`, of the pairs of `pairs_of` with `j > 0`, and the token before
            the suffix `(B, N, H)`, of all pairs.
        """
        end = self.end.to(from_end.dtype).expand(len(states), 1, -1)
        read = torch.cat([end, from_end], dim=1)
        options = accepted(self.encoder, use_cache=False)
        suffixes = self.encoder(inputs_embeds=read, **options).last_hidden_state  # (B, T, H)
        t, j = pairs_of(states.shape[1], states.device)
        both = torch.cat([states[:, t], suffixes[:, j]], dim=2)  # (B, N, 2 H)
        normed = self.norm(both)
        both = both + self.down(silu(self.gate(normed)) * self.up(normed))
        following, before = both.chunk(2, dim=2)
        return following[:, j > 0], before


@dataclass
class BstObjective(Objective):
    """Predict the next token of each prefix and the token before each suffix, from the two together.

    Belief State Transformer. A prefix must tell, for any end, how to go on towards it, so that its state has to hold
    all that may come: the goal can be planned back from.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T            the forward encoder, F
    labels       .  ...  .   r_1 ... r_T            (. is -100)
    backward    end  r_T  r_{T-1}  ...  r_2         the backward encoder, B
    ```

    With `f_t = F(p, r_1 .. r_t)`, `b_s = B(end, r_T .. r_s)`, the end standing at `T + 1`, and the text head of one
    residual SwiGLU on both,

        z = [f_t ; b_{t+k}],  [z^next ; z^prev] = z + SwiGLU(LayerNorm z)
        L = mean over 0 <= t < t + k <= T + 1, k >= 2 of
            - 1/2 (log p(r_{t+1} | z^next) + log p(r_{t+k-1} | z^prev))

    A row has `T (T + 1) / 2` pairs; every prefix holds the whole prompt. With an empty suffix,
    where `t + k = T + 1`, ours predicts the next token from `z^next = f_t`. The paper sends `f_t` and the constant
    `b_{T+1}` through the text head, which is a function of `f_t` that the forward encoder can compute itself. So our
    checkpoint is a plain LM. The end is a vector of its own where the paper has an end token, and the SwiGLU is `2 H`
    wide (we did not find theirs).

    What a family does to logits behind the output embedding, such as scaling, the pairs with a suffix leave out.

    The two parts of the loss are `next_token` and `previous_token`. The trainer divides both by the number of
    completion tokens, so that pairs are weighted by `T / (T (T + 1) / 2)`: for rows of one length a part is half the
    mean over pairs, however batches are cut.

    *Adds parameters*: in training, the backward encoder, of the model's configuration and begun at random, and the
    text head; both use the model's embeddings.

    *Needs*: a padding token; a family whose encoder takes embeddings. Time and memory grow with `T^2`.

    *Decodes*: token by token, with an empty suffix: as the plain LM that the checkpoint is.

    *Relations*: pairs with an empty suffix are teacher forcing. Pairs with `t = 0`, read from the end, are what
    reversed training learns from. It is better than both where either end alone does not say how to go on.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Reference: Hu et al., "The Belief State Transformer" (arXiv 2410.23506).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> batch = BstObjective(numeral_tokenizer(num_nodes=10)).encode(rows)
    >>> batch["labels"].tolist(), batch["reversed_ids"].tolist()
    ([[-100, -100, -100, 1, 2]], [[2, 1]])

    ```
    """

    name: ClassVar[str] = "bst"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding

    def check(self, model: nn.Module) -> None:
        """Refuse a family whose encoder cannot be built twice with one embedding."""
        try:
            with torch.device("meta"):
                second_encoder(model)
        except (AttributeError, NotImplementedError) as error:
            raise ValueError(
                f"bst needs a second encoder with the embeddings of the first, and {model.config.model_type} cannot "
                f"have one: {' '.join(str(error).split())}; train gpt2, llama, mamba or another family"
            ) from error

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Lay out rows as they are scored, and beside them completions from either end."""
        lengths, places = rows.lengths, torch.arange(rows.completion_ids.shape[1], device=rows.lengths.device)
        from_end = (lengths[:, 1:] - 1 - places).clamp(min=0)  # (B, T)
        return super().encode(rows, generator) | {
            "completion_ids": rows.completion_ids,
            "reversed_ids": rows.completion_ids.gather(1, from_end),
            "lengths": lengths,
        }

    def heads(self, model: nn.Module) -> nn.Module:
        """Make the backward encoder and the text head."""
        return BackwardEncoder(model)

    def run_heads(
        self, heads: nn.Module, states: torch.Tensor, batch: Batch, model: nn.Module
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run them on the states that predict completion tokens. See [`Objective.run_heads`]."""
        first = batch["input_ids"].shape[1] - states.shape[1]
        places = torch.arange(batch["completion_ids"].shape[1], device=states.device)
        predicting = (batch["lengths"][:, :1] - first + places).clamp(max=states.shape[1] - 1)  # (B, T)
        states = states.gather(1, predicting[..., None].expand(-1, -1, states.shape[2]))
        following, before = heads(states, model.get_input_embeddings()(batch["reversed_ids"][:, :-1]))
        unembed = model.get_output_embeddings()
        return unembed(following), unembed(before)

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Sum over the tokens of pairs. See [`Objective.loss`]."""
        lengths = batch["lengths"][:, 1:]
        t, j = pairs_of(batch["completion_ids"].shape[1], lengths.device)
        outside = t + j >= lengths  # (B, N)
        following = batch["completion_ids"][:, t].masked_fill(outside, IGNORED)[:, j > 0]
        before = batch["reversed_ids"][:, j].masked_fill(outside, IGNORED)

        def of_rows(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
            return losses.sum(dim=1) / (lengths[:, 0] + 1)

        next_token = of_rows(outputs.logits, outputs.labels) + of_rows(outputs.heads[0], following)
        return {"next_token": next_token.sum(), "previous_token": of_rows(outputs.heads[1], before).sum()}
