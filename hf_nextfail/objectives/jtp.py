"""Next-token prediction, and a block that reads later tokens off the hidden state, given the true ones between."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.horizon import steps_ahead
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class JtpObjective(TeacherForcedObjective):
    """Predict the next token, and from the same hidden state the tokens behind it (joint multi-token prediction).

    The later tokens are predicted from true ones, too, but the prompt is seen through one hidden state alone. So this
    state has to hold what is needed for the whole path, where the Clever Hans cheat looks it up in the prompt.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    fetched      .  ...  .   h_1 r_1 -> r_2    h_1 r_1 r_2 -> r_3   ...     and so from each h_t, d tokens
    ```

    With `h_t` the state that predicts `r_t`, and `E` the input embedding:

        L = mean over t of -log p(r_t | h_t)
            + lambda mean over t, i of -log p(r_(t+i) | Fetch(h_t, E(r_t), ..., E(r_(t+i-1))))

    The pairs of positions `t` and `t + i`, `i <= d`, lie in one completion: each pair of a row weighs its labels
    divided by its pairs. The paper describes Fetch as one light module of self-attention; its equations could not be
    found. Ours is one Transformer block of the usual shape, causal and without position embeddings, over `h_t` and the
    embeddings, then a layer norm and the model's own output embedding; what a family does to logits behind that, such
    as scaling, is left out. So it reads the tokens before the last one as a set, without their order. It runs on
    `d + 1` tokens for each position, so long completions want a horizon.

    *Adds parameters*: one Transformer block, which is left out of the checkpoint.

    *Needs*: a padding token, and embeddings of tokens as wide as the hidden states.

    *Decodes*: token by token, with the model alone.

    *Relations*: `mtp` predicts each later token by itself, not from those between, so its heads cannot say which go
    together. `nextlat` asks for the later states, too. `ds_mtp` reads the whole row at each depth, and not one
    state.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        weight (`float`, above 0, *optional*, defaults to 1.0): lambda.
        horizon (`int`, >= 1, *optional*): the tokens `d` behind the next one that are predicted; by default all of the
            completion.

    Raises:
        ValueError: if an option is out of range.

    Reference: Ahn, Lamb and Langford, "Efficient Joint Prediction of Multiple Future Tokens" (arXiv 2503.21801);
        Teoh et al. (arXiv 2511.05963), Eq. 7.

    Example:

    ```python
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.models import build_model
    >>> tokenizer = numeral_tokenizer(num_nodes=10)
    >>> model = build_model(tokenizer, model_type="gpt2", config_overrides={"n_layer": 1, "n_head": 1, "n_embd": 8})
    >>> sum(weight.numel() for weight in JtpObjective(tokenizer).heads(model).parameters())
    888

    ```
    """

    name: ClassVar[str] = "jtp"

    weight: float = 1.0
    horizon: int | None = None

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight must be above 0, got {self.weight}")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def check(self, model: nn.Module) -> None:
        """Refuse a model whose embeddings and hidden states are of two widths."""
        embedded, state = (e().weight.shape[1] for e in (model.get_input_embeddings, model.get_output_embeddings))
        if embedded != state:
            raise ValueError(
                f"the objective jtp puts embeddings beside hidden states, and those of {model.config.model_type} have "
                f"the widths {embedded} and {state}: take a model in which both are the same"
            )

    def heads(self, model: nn.Module) -> nn.Module:
        """Make the block that fetches later tokens."""
        return Fetch(model)

    def run_heads(self, heads: "Fetch", states: torch.Tensor, batch: Batch, model: nn.Module) -> torch.Tensor:
        """Fetch the later tokens of all positions; returns their cross-entropy, summed over pairs of positions."""
        labels = batch["labels"]
        furthest = max(1, labels.shape[1] - 1)
        num_steps = furthest if self.horizon is None else min(self.horizon, furthest)
        begins, ends, weights = steps_ahead(labels, (labels != IGNORED).sum(dim=1, keepdim=True), num_steps)
        tokens = labels.clamp(min=0)
        fetched = heads(states, model.get_input_embeddings()(tokens), num_steps, begins, ends - begins)
        logits = model.get_output_embeddings()(fetched).float()
        missed = F.cross_entropy(logits.flatten(0, 1), tokens[:, ends].flatten(), reduction="none")
        return (weights.flatten() * missed).sum()

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token and of those behind it."""
        return super().loss(outputs, batch) | {"later_tokens": self.weight * outputs.heads}


class Fetch(nn.Module):
    """Read later tokens off one hidden state and the tokens between.

    Args:
        model (`nn.Module`): the causal LM, for its width.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        width = model.get_output_embeddings().weight.shape[1]
        self.block = nn.TransformerEncoderLayer(
            *(width, math.gcd(4, width), 4 * width), dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)
        self.plain_attention = False

    def set_attn_implementation(self, name: str) -> None:
        """Choose how attention is computed, by the names that transformers has: `eager` is plain."""
        self.plain_attention = name == "eager"

    def forward(
        self, states: torch.Tensor, embedded: torch.Tensor, num_steps: int, begins: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """Return what predicts the tokens that lie so many steps behind those predicted at `begins`: `(B, N, H)`."""
        states = states[:, : max(1, states.shape[1] - 1)]  # from the last one nothing is fetched
        size, num_states, width = states.shape
        # Behind the last token stand zeros, which only pairs that do not exist would see.
        between = F.pad(embedded, (0, 0, 0, num_steps - 1)).unfold(1, num_steps, 1).transpose(2, 3)
        sequences = torch.cat([states[:, :, None], between[:, :num_states]], dim=2).flatten(0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(num_steps + 1, device=states.device)
        with sdpa_kernel(SDPBackend.MATH) if self.plain_attention else nullcontext():
            fetched = self.block(sequences, src_mask=mask, is_causal=True)
        return self.norm(fetched.view(size, num_states, num_steps + 1, width)[:, begins, steps])
