"""Masked tokens from those that are left, at all rates of masking."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import Decoding, UnmaskingDecoding
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.base import Objective

#: Of MGDM's weight of a token, `ALPHA * (1 - exp(-l)) ** GAMMA`: as in its experiments.
ALPHA, GAMMA = 0.25, 1.0


@dataclass
class MaskedDiffusionObjective(Objective):
    """Predict the masked tokens of a completion from the prompt and all tokens that are not masked, later ones, too.

    A row draws how much of it is masked, from nearly nothing to everything: the model learns each order of writing, so
    that one which needs no guess can be found. Every position sees all others. A token is predicted one position
    before its own, as in the causal LM that the model was, and as in Dream.

    ```
    input_ids   p_1 ... p_P  r_1   $   r_3  ...   $   .     the last position, of padding, is cut off
    labels       .  ...  .   r_1  r_2  r_3  ...  r_T  .        (. is -100)
    weights      0  ...  0    0    w    0   ...   w   0
    ```

    With `t ~ U{0..T_d - 1}` and each token masked with probability `(t + 1) / T_d`,

    ```
    elbo      L = E_t [ T_d / (t + 1) * sum_masked l_n ] / T          the bound of MDLM and LLaDA on -log p(r | p)
    mgdm      L = E_t [ (T_d - t) * mean_masked a (1 - exp(-l_n))^g l_n ],  a = 0.25, g = 1
    uniform   L = E_t [ sum_masked l_n ] / T                           all masked tokens alike (MLM-U)
    ```

    where `l_n = -log p(r_n | p, what is left of r)`, in nats. The mean of `mgdm` is that of a row, not of a batch, so
    that accumulated batches are one; `uniform` is divided by all tokens, masked or not, which scales it by about 1/2.

    The number of masks would tell the length of the answer. So a completion goes on behind its end, to a length drawn
    from its own to where the longest row of the batch ends: with more end tokens, which are predicted, too, as in
    LLaDA, or, if it has none, with masks from which nothing is learnt.

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token, which is the mask.

    *Needs*: a padding and a dummy token; attention that takes a mask of its own. Families without attention (Mamba),
    or whose attention knows the causal mask alone (GPT-Neo, BLOOM), are refused.

    *Decodes*: by unmasking, in `num_steps` steps.

    *Relations*: with everything masked and one step it is `teacherless` without the causal mask. It is better where
    some tokens are easy once others are known, in whatever order; it learns each token from about half of the rows.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.
        weighting (`str`, *optional*, defaults to `"elbo"`): `"elbo"`, `"mgdm"` or `"uniform"`.
        num_levels (`int`, >= 1, *optional*, defaults to 20): `T_d`, how many rates of masking there are.
        num_steps (`int`, >= 1, *optional*): of decoding, which the checkpoint says; by default, and at most, as many
            as tokens. 1 is one parallel pass.

    Raises:
        ValueError: if the tokenizer has no dummy token, or an option is out of range.

    Reference: Sahoo et al., "Simple and Effective Masked Diffusion Language Models" (arXiv 2406.07524); Nie et al.,
        "Large Language Diffusion Models" (arXiv 2502.09992); Ye et al., "Beyond Autoregression" (MGDM, arXiv
        2410.14157); Kitouni et al., "The Factorization Curse" (MLM-U, arXiv 2406.05183).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> objective = MaskedDiffusionObjective(numeral_tokenizer(num_nodes=10), num_levels=1)  # which masks everything
    >>> batch = objective.encode(rows)
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 13, 13, 14]], [[-100, -100, -100, 1, 2, -100]])

    ```
    """

    name: ClassVar[str] = "masked_diffusion"
    decoding_class: ClassVar[type[Decoding]] = UnmaskingDecoding

    weighting: Literal["elbo", "mgdm", "uniform"] = "elbo"
    num_levels: int = 20
    num_steps: int | None = None

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__post_init__(tokenizer)
        if self.weighting not in ("elbo", "mgdm", "uniform"):
            raise ValueError(f"weighting must be elbo, mgdm or uniform, got {self.weighting!r}")
        if self.num_levels < 1:
            raise ValueError(f"num_levels must be at least 1, got {self.num_levels}")
        self.decoding = UnmaskingDecoding(tokenizer, self.num_steps)

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Mask tokens, and say what each weighs. See [`Objective.encode`]."""
        rows = self.lengthened(rows, generator)
        learnt = rows.inside & (rows.completion_ids != IGNORED)  # (B, T)
        level = torch.randint(self.num_levels, (len(rows), 1), generator=generator)  # t
        rate = (level + 1) / self.num_levels
        masked = torch.rand(learnt.shape, generator=generator) < rate
        shown = rows.completion_ids.masked_fill(masked | ~learnt, self.decoding.dummy_token_id)
        batch = self.decoding.lay_out(rows, shown)
        masked = masked & learnt
        num_learnt, num_masked = (which.sum(dim=1, keepdim=True) for which in (learnt, masked))
        weight = {
            "elbo": 1 / rate,
            "mgdm": (self.num_levels - level) * num_learnt / num_masked.clamp(min=1),
            "uniform": torch.ones_like(rate),
        }[self.weighting]
        weights = torch.zeros(batch["labels"].shape)
        weights[batch["labels"] != IGNORED] = (masked * weight)[learnt]
        return batch | {"weights": weights}

    def lengthened(self, rows: Rows, generator: torch.Generator | None) -> Rows:
        """Let completions go on behind their ends, each to a length of its own, no row beyond the longest."""
        prompt, length = rows.lengths[:, :1], rows.lengths[:, 1:]  # (B, 1)
        room = torch.minimum(rows.completion_ids.shape[1] - length, rows.longest - prompt - length) + 1
        more = (torch.rand(length.shape, generator=generator) * room).long()
        last = rows.completion_ids.gather(1, length - 1)
        end = IGNORED if self.decoding.eos_token_id is None else self.decoding.eos_token_id
        behind = torch.where(last == end, last, IGNORED)
        completion_ids = torch.where(rows.inside, rows.completion_ids, behind)
        return Rows(rows.prompt_ids, completion_ids, torch.cat([prompt, length + more], dim=1))

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Weigh the cross-entropy of masked tokens. See [`Objective.loss`]."""
        logits = outputs.logits.transpose(1, 2)
        losses = F.cross_entropy(logits, outputs.labels, ignore_index=IGNORED, reduction="none")  # (B, K)
        if self.weighting == "mgdm":
            losses = ALPHA * (1 - torch.exp(-losses)) ** GAMMA * losses
        return {"masked": (batch["weights"][:, outputs.first :] * losses).sum()}
