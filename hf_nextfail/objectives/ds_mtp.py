"""Next-token prediction, and a chain of modules that predict the tokens after it from the true ones between."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hf_nextfail.data.rows import Batch
from hf_nextfail.models.causal_block import CausalBlock
from hf_nextfail.models.family_modules import FamilyModules, check_family_modules, num_family_modules
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.mtp import cross_entropy_ahead
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective


@dataclass
class DsMtpObjective(TeacherForcedObjective):
    """Predict the next token, and with a chain of modules the tokens after it, as DeepSeek-V3 does.

    Module `k` starts from the states of module `k - 1`, and reads the true token that module `k - 1` predicts.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T            (. is -100)
    module 1     .  ...  .   r_2 ... r_T  .         from h_1, r_1 ... h_(T-1), r_(T-1)
    module 2     .  ...  .   r_3 ... r_T  .  .      from module 1, r_2 ... module 1, r_(T-1)
    ```

    With `h_t^0 = h_t` the state that predicts `r_t`, `E` the model's input embedding and `U` its output embedding:

        h'_t^k = M_k [RMSNorm(h_t^(k-1)) ; RMSNorm(E(r_(t+k-1)))],    h^k = TRM_k(h'^k),    p_k = softmax U h_t^k
        L = L_main + lambda / D sum_{k = 1..D} L_k,                   L_k = - mean_t log p_k(r_(t+k))

    `lambda` is `weight`, and `D` is `depth`. `TRM_k` is our [`CausalBlock`], the same on every family. It runs over
    the whole row and ends with a norm, behind which the next module reads, as in transformers' own `MtpModel`. What a
    family does to logits behind `U`, such as scaling, the modules leave out. Each row weighs the terms of `L_k` by
    `T / (T - k)`: so `L_k` is their mean where all rows are as long, however batches are divided.

    Where transformers can load and use multi-token modules of a family, and the configuration says by `num_mtp_layers`
    how many, `D` must be that number, and `TRM_k` is the family's own decoder layer, as `MtpModel` makes it.

    *Adds parameters*: a block, a matrix and two norms a module, about 14 times the width squared, which are left out
    of the checkpoint. Modules of a family are a part of it, under the names that transformers looks for.

    *Needs*: a padding token.

    *Decodes*: token by token, with the model alone; with modules of a family also by `generate(use_mtp=True)`, one
    row at a time, which writes the same tokens in fewer passes. transformers 5.24 can do that with `ernie4_5_moe`, for
    instance, and with `mellum` if its `mtp_layer_types` are among its `layer_types`. It cannot with these, which get
    our blocks:

    - `deepseek_v3` and `glm4_moe`: it looks for modules in layer 61, or 46 and 92, as the released models have them,
      and then takes them for those behind the last layer: so only models of just as many layers can have one.
    - `sarvam_mla` and `sarvam_moe`: it does not say how their modules are called.
    - `bailing_hybrid`, `qwen3_next` and others with a recurrent state: it refuses to generate with drafts.
    - `inkling_text`: it would copy the embedding, which then would not learn from the modules.

    *Relations*: `mtp` shows its heads no token between, so that they cannot copy from it: on a star graph, module 1
    can follow the edge from the true `r_t` that it is shown, as the Clever Hans cheat does.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.
        depth (`int`, >= 1, *optional*, defaults to 2): how many modules, each of which looks one token further.
        weight (`float`, above 0, *optional*, defaults to 0.3): of the mean of their losses. The paper begins with 0.3
            and ends with 0.1.

    Raises:
        ValueError: if an option is out of range.

    Reference: DeepSeek-AI, "DeepSeek-V3 Technical Report" (arXiv 2412.19437), section 2.2.

    Example:

    ```python
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> DsMtpObjective(numeral_tokenizer(num_nodes=10), depth=0)
    Traceback (most recent call last):
    ValueError: depth must be at least 1, one module, got 0

    ```
    """

    name: ClassVar[str] = "ds_mtp"
    heads_read_whole_row: ClassVar[bool] = True

    depth: int = 2
    weight: float = 0.3

    def __post_init__(self, tokenizer):
        super().__post_init__(tokenizer)
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, one module, got {self.depth}")
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight must be above 0, got {self.weight}")

    def check(self, model: nn.Module) -> None:
        """Also raise `ValueError` if the family has modules of its own, and `depth` is another number."""
        super().check(model)
        check_family_modules(model, self.depth)

    def heads(self, model: nn.Module) -> nn.Module:
        """Make the modules, without the embeddings that they share with the model."""
        if num_family_modules(model):
            return FamilyModules(model)
        of_tokens, of_states = model.get_input_embeddings(), model.get_output_embeddings()
        widths = of_tokens.weight.shape[1], of_states.weight.shape[1]
        return nn.ModuleList(Module(*widths) for _ in range(self.depth))

    def names_in_checkpoint(self, heads: nn.Module, model: nn.Module) -> dict[str, str]:
        """Put modules of the family into the model's checkpoint, where transformers looks for them."""
        return heads.names_in_checkpoint(model) if isinstance(heads, FamilyModules) else {}

    def run_heads(self, heads: nn.Module, states: torch.Tensor, batch: Batch, model: nn.Module) -> list[torch.Tensor]:
        """Return the logits `(B, K, V)` of each module."""
        length, num_kept = states.shape[1], batch["labels"].shape[1]
        # What a state sees last stands at its own position, and module k is shown the token k behind it.
        ids = F.pad(batch["input_ids"], (0, self.depth), value=self.pad_token_id)
        if isinstance(heads, FamilyModules):
            return heads(states, ids, num_kept)
        tokens = model.get_input_embeddings()(ids)
        logits = []
        for k, module in enumerate(heads, 1):
            states = module(states, tokens[:, k : k + length], num_kept if k == self.depth else length)
            logits.append(model.get_output_embeddings()(states[:, -num_kept:]))
        return logits

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the next token and of each module."""
        share = self.weight / self.depth
        ahead = {
            f"ahead_{k}": share * cross_entropy_ahead(logits, outputs.labels, k)
            for k, logits in enumerate(outputs.heads, 1)
        }
        return super().loss(outputs, batch) | ahead


class Module(nn.Module):
    """Take states one token further.

    Args:
        token_width (`int`), width (`int`): of the input embedding and of the states.
    """

    def __init__(self, token_width: int, width: int):
        super().__init__()
        self.state_norm = nn.RMSNorm(width)
        self.token_norm = nn.RMSNorm(token_width)
        self.projection = nn.Linear(width + token_width, width, bias=False)
        self.block = CausalBlock(width)

    def forward(self, states: torch.Tensor, tokens: torch.Tensor, num_kept: int) -> torch.Tensor:
        """Return the states `(B, num_kept, H)` that have seen `tokens` `(B, S, E)`, too."""
        both = torch.cat([self.state_norm(states), self.token_norm(tokens)], dim=2)
        # Under autocast a product is of half precision, and what blocks add to must not be.
        return self.block(self.projection(both).to(states.dtype), num_kept)
