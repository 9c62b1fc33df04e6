"""Next-token prediction, and a small network that predicts the next hidden state from this one and the next token."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hf_nextfail.data.rows import IGNORED, Batch
from hf_nextfail.models.frozen import frozen
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.horizon import steps_ahead
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class NextlatObjective(TeacherForcedObjective):
    """Predict the next token, and from the hidden state alone the hidden states to come (next-latent prediction).

    A state from which the later states can be rolled out, given the tokens between, is a belief about the whole rest:
    it has found the path before the first step is written, where the Clever Hans cheat says nothing.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    states       .  ...  .   h_1 ... h_T        (h_t predicts r_t)
    rolled out   .  ...  .   h_1 -r_1-> ^h_2 -r_2-> ^h_3 ...     and so from each h_t, d steps
    ```

    `E` is the input embedding, `p(. | h)` the softmax of the output embedding, `sg` stops gradients:

        ^h_t = h_t,    ^h_(t+i) = ^h_(t+i-1) + MLP(LayerNorm [^h_(t+i-1) ; E(r_(t+i-1))])
        L_h  = mean over t, i of SmoothL1(sg h_(t+i), ^h_(t+i))
        L_KL = mean over t, i of KL(p(. | sg h_(t+i)) || p(. | ^h_(t+i)))
        L    = L_NTP + lambda_h L_h + lambda_KL L_KL

    Stopping the gradients is essential: states that could move towards their predictions would become all alike. The
    output embedding learns nothing from the KL divergence either. Means are over the pairs of positions `t` and
    `t + i` that lie in one completion: each pair of a row weighs its labels divided by its pairs. The paper also ties
    the states of the prompt together; ours are those of the completion. Where a family scales or caps its logits
    (Cohere, Granite, Gemma 2), `p` is the softmax before that, on both sides.

    *Adds parameters*: one MLP of three layers, which is left out of the checkpoint.

    *Needs*: a padding token.

    *Decodes*: token by token, with the model alone.

    *Relations*: `jtp` asks the state for the later tokens, given those between, and not for the later states. `bst`
    makes a belief state with a second encoder, at about twice the cost.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        state_weight (`float`, >= 0, *optional*, defaults to 1.0): lambda_h.
        kl_weight (`float`, >= 0, *optional*, defaults to 1.0): lambda_KL.
        horizon (`int`, >= 1, *optional*): the steps `d` that are rolled out; by default two less than the row's
            completion has tokens, and at least one. With one token a node, as `numeral_tokenizer` has it, that is the
            paper's `path_length - 2` on star graphs.

    Raises:
        ValueError: if an option is out of range, or both weights are 0.

    Reference: Teoh et al., "Next-Latent Prediction Transformers Learn Compact World Models" (arXiv 2511.05963),
        Algorithm 1 and Table 5.

    Example:

    ```python
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.models import build_model
    >>> tokenizer = numeral_tokenizer(num_nodes=10)
    >>> model = build_model(tokenizer, model_type="gpt2", config_overrides={"n_layer": 1, "n_head": 1, "n_embd": 8})
    >>> sum(weight.numel() for weight in NextlatObjective(tokenizer, horizon=3).heads(model).parameters())
    312

    ```
    """

    name: ClassVar[str] = "nextlat"

    state_weight: float = 1.0
    kl_weight: float = 1.0
    horizon: int | None = None

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        for option in ("state_weight", "kl_weight"):
            if not 0 <= getattr(self, option) < math.inf:
                raise ValueError(f"{option} must be at least 0, got {getattr(self, option)}")
        if self.state_weight == self.kl_weight == 0:
            raise ValueError("state_weight or kl_weight must be above 0: with both 0 this is teacher_forced")
        if self.horizon is not None and self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def heads(self, model: nn.Module) -> nn.Module:
        """Make the network that steps from state to state."""
        return LatentDynamics(model)

    def run_heads(
        self, heads: "LatentDynamics", states: torch.Tensor, batch: Batch, model: nn.Module
    ) -> dict[str, torch.Tensor]:
        """Roll the states out, and compare them with the true ones; returns both sums over pairs of positions."""
        labels, unembed = batch["labels"], model.get_output_embeddings()
        widest = labels.shape[1] - 2 if self.horizon is None else min(self.horizon, labels.shape[1] - 1)
        num_steps = max(1, widest)
        num_labels = (labels != IGNORED).sum(dim=1, keepdim=True)
        limit = (num_labels - 2).clamp(min=1) if self.horizon is None else num_labels.clamp(max=self.horizon)
        _, ends, weights = steps_ahead(labels, limit, num_steps)
        rolled, truth = heads(states, model.get_input_embeddings()(labels.clamp(min=0)), num_steps), states.detach()
        distance = F.smooth_l1_loss(rolled, truth[:, ends], reduction="none").mean(dim=2)
        with torch.no_grad():
            expected = unembed(truth).float().log_softmax(dim=2)[:, ends]
        # Under autocast logits are of half precision, and a divergence of such is mostly rounding.
        said = frozen(unembed, rolled).float().log_softmax(dim=2)
        divergence = F.kl_div(said, expected, reduction="none", log_target=True).sum(dim=2)
        return {"next_state": (weights * distance).sum(), "kl": (weights * divergence).sum()}

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token, of the states, and of what they predict."""
        weighted = {"next_state": self.state_weight, "kl": self.kl_weight}
        return super().loss(outputs, batch) | {name: w * outputs.heads[name] for name, w in weighted.items()}


class LatentDynamics(nn.Module):
    """Step from the state that predicts a token to the one behind it, given the token.

    Args:
        model (`nn.Module`): the causal LM, for its widths.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        width = model.get_output_embeddings().weight.shape[1]
        both = width + model.get_input_embeddings().weight.shape[1]
        self.step = nn.Sequential(
            *(nn.LayerNorm(both), nn.Linear(both, width), nn.GELU()),
            *(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)),
        )
        # At first every state is predicted to stay as it is.
        nn.init.zeros_(self.step[-1].weight)
        nn.init.zeros_(self.step[-1].bias)

    def forward(self, states: torch.Tensor, embedded: torch.Tensor, num_steps: int) -> torch.Tensor:
        """Roll out all states at once, given the embeddings of the tokens that they predict.

        Returns:
            `torch.Tensor` `(B, N, H)`: the states of one step, then those of two, and so on.
        """
        rolled = [states]
        for step in range(1, num_steps + 1):
            last = rolled[-1][:, :-1]
            rolled.append(last + self.step(torch.cat([last, embedded[:, step - 1 : -1]], dim=2)))
        return torch.cat(rolled[1:], dim=1)
