"""Next tokens, and with registers between them tokens further on."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.data.tokenization import dummy_token_id
from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.models.masks import added_to_scores, follows_masks
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.base import Objective, summed_cross_entropy


@dataclass
class MutorObjective(Objective):
    """Predict the next token, and with a register before each completion token one that is `d` tokens further on.

    Registers ask for tokens that cannot be read off the token before them, so that the states before the hard token
    learn to plan. They only ask: ordinary tokens do not see them, and predict what they would without them.

    ```
    input_ids        p_1 ... p_P   $   r_1   $   r_2   $   r_3  ...      ($ is the register, here with d = 2)
    position_ids      0  ... P-1   P    P   P+1  P+1  P+2  P+2  ...
    labels            .  ...  .   r_1   .   r_2   .   r_3   .   ...      (. is -100)
    register_labels   .  ...  .    .   r_2   .   r_3   .   r_4  ...
    ```

    With one `d` in `2 .. d_max` drawn for each row, of `T` completion tokens,

        L = (1 - a) L_ntp + a L_reg
        L_reg = mean over t = 0 .. T - d of  - log p(r_{t+d} | p, r_1 .. r_t, the register behind r_t)

    The position of a register is that of the token before its target. It sees itself and the ordinary tokens before
    it. `d = 1` is left out: such a register would learn the Clever Hans cheat. Offsets count tokens, not labels: where
    a label takes several, multiply `d_max`, or no register reaches further than the next label.

    The two parts of the loss are `next_token` and `register`. The trainer divides both by the number of completion
    tokens, so the terms of a row's registers are weighted by `T / (T - d + 1)`. For rows of one length, the part is
    then the mean over rows of their own means, however batches are cut. A row draws its `d` up to its own `T`.

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token, which is the register (the
    paper's is a token of its own).

    *Needs*: a padding and a dummy token; a model that hides tokens by a mask `(B, 1, S, S)` and takes `position_ids`,
    which families without attention cannot, nor those whose positions come from the order of tokens alone.

    *Decodes*: token by token, without registers.

    *Relations*: like `mtp` it predicts tokens further ahead, but with registers in the input instead of heads. The
    model stays as it is; rows grow by one register a completion token.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.
        d_max (`int`, >= 2, *optional*, defaults to 4): the largest offset; the paper has 4 for paths of 5 nodes, and 6
            for 10.
        weight (`float`, above 0 and below 1, *optional*, defaults to 0.5): of the registers, `a`; the paper has 0.5
            for paths of 5 nodes, and 0.3 for 10.

    Raises:
        ValueError: if an option is out of its range, or the tokenizer has no dummy token.

    Reference: Gerontopoulos, Gidaris and Komodakis, "Multi-Token Prediction Needs Registers" (arXiv 2505.10518),
        appendix A.3.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> batch = MutorObjective(numeral_tokenizer(num_nodes=10), d_max=2).encode(rows)
    >>> batch["input_ids"].tolist(), batch["register_labels"].tolist()
    ([[7, 8, 9, 13, 1, 13, 2]], [[-100, -100, -100, -100, 2, -100, -100]])

    ```
    """

    name: ClassVar[str] = "mutor"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding

    d_max: int = 4
    weight: float = 0.5

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__post_init__(tokenizer)
        if self.d_max < 2:
            raise ValueError(f"d_max of mutor must be at least 2, got {self.d_max}")
        if not 0 < self.weight < 1:
            raise ValueError(f"weight of mutor must be above 0 and below 1, got {self.weight}")
        self.dummy_token_id = dummy_token_id(tokenizer)

    def check(self, model: nn.Module) -> None:
        """Refuse a model whose ordinary tokens see registers, or have other positions because of them."""
        if not follows_masks(model):
            raise ValueError(
                f"mutor hides registers by an attention mask and gives them positions of later tokens, and "
                f"{model.config.model_type} does not heed both: it has layers without attention, or counts positions "
                "itself; train gpt2, llama or another family whose layers are all attention, with position_ids"
            )

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Lay out a register before each completion token, and draw how far those of a row look ahead."""
        device, num_tokens = rows.lengths.device, rows.completion_ids.shape[1]
        prompt_lengths, lengths = rows.lengths.split(1, dim=1)  # (B, 1)
        drawn = torch.rand(len(rows), 1, generator=generator).to(device)
        offsets = 2 + (drawn * (lengths.clamp(max=self.d_max) - 1)).long()

        source = torch.arange(num_tokens, device=device) + offsets - 1  # (B, T), of the target in the completion
        targets = rows.completion_ids.gather(1, source.clamp(max=num_tokens - 1))
        targets = targets.masked_fill(source >= lengths, IGNORED)
        nothing = torch.full_like(targets, IGNORED)
        registers = torch.full_like(targets, self.dummy_token_id)

        def among(before: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
            return torch.stack([before, tokens], dim=2).flatten(1)  # (B, 2 T)

        doubled = rows.lengths * torch.tensor([1, 2], device=device)
        shown = among(registers, rows.completion_ids)
        # What a token before a register predicts stands at the register, and what the register predicts behind it.
        batch = Rows(rows.prompt_ids, among(rows.completion_ids, nothing), doubled).lay_out(shown, self.pad_token_id)
        further = Rows(rows.prompt_ids, among(nothing, targets), doubled).lay_out(shown, self.pad_token_id)

        position = torch.arange(batch["input_ids"].shape[1], device=device)  # (S,)
        behind = position - prompt_lengths  # (B, S)
        is_register = (behind >= 0) & (behind % 2 == 0)
        last = prompt_lengths + lengths - 1
        moved = prompt_lengths + behind // 2 + is_register * (offsets - 2)
        seen = (position <= position[:, None]) & (~is_register[:, None] | (position == position[:, None]))
        return batch | {
            "attention_mask": added_to_scores(seen[:, None]),
            "position_ids": torch.where(behind < 0, position, moved).minimum(last),
            "register_labels": further["labels"],
        }

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Add what registers predict. See [`Objective.loss`]."""
        labels = batch["register_labels"][:, outputs.first :]
        losses = cross_entropy(outputs.logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        tokens, terms = ((some != IGNORED).sum(dim=1) for some in (outputs.labels, labels))
        registers = (losses.sum(dim=1) * tokens / terms.clamp(min=1)).sum()
        next_token = summed_cross_entropy(outputs.logits, outputs.labels)
        return {"next_token": (1 - self.weight) * next_token, "register": self.weight * registers}
