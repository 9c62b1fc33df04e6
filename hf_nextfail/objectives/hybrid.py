"""Teacher forcing and teacherless training of the same rows."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.data.tokenization import dummy_token_id
from hf_nextfail.decoding import AutoregressiveDecoding, Decoding
from hf_nextfail.models.checks import num_positions
from hf_nextfail.models.masks import added_to_scores, follows_masks
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives.base import Objective, summed_cross_entropy

#: Of a batch: what is predicted from dummies.
TEACHERLESS = "teacherless_labels"


@dataclass
class HybridObjective(Objective):
    """Predict the completion of each row twice: from the true tokens before, and from dummy tokens in their place.

    The teacherless half has to find the path before its first step, and the model that it teaches writes token by
    token.

    ```
    input_ids     p_1 ... p_P  r_1 ... r_T   $   $  ...  $
    labels         .  ...  .   r_1 ... r_T   .   .  ...  .       (. is -100)
    teacherless    .  ...  .   r_1  .   .    .  r_2 ... r_T
    ```

    The prompt is computed once: dummies see it and the dummies before them, not the true tokens, and have the
    positions that the true tokens have. A model that cannot follow such a mask (Mamba), or has too few positions, gets
    two rows instead. The loss is the same.

    `L = (1 - w) L_teacher-forced + w L_teacherless`, each a mean over the tokens of completions. Both are logged, with
    their weights.

    *Adds parameters*: none; a pretrained model gets one embedding, of the dummy token.

    *Needs*: a padding and a dummy token.

    *Decodes*: token by token.

    *Relations*: between `teacher_forced` (w = 0) and `teacherless` (w = 1), which decodes in one pass. It is better
    than the first where the first token needs planning, and than the second where tokens are easy given those before.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): with a dummy token, as `numeral_tokenizer` and `load_tokenizer` give it.
        weight (`float`, above 0 and below 1, *optional*, defaults to 0.5): `w`, of the teacherless half.

    Raises:
        ValueError: if the tokenizer has no dummy token, or the weight is out of its range.

    Reference: Nagarajan et al., "Roll the dice & look before you leap" (arXiv 2504.15266), Eq. 2 and 3. They write
        rows of both kinds into the data.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> batch = HybridObjective(numeral_tokenizer(num_nodes=10), weight=0.3).encode(rows)
    >>> batch["input_ids"].tolist(), batch["position_ids"].tolist()
    ([[7, 8, 9, 1, 2, 13, 13]], [[0, 1, 2, 3, 4, 3, 4]])

    ```
    """

    name: ClassVar[str] = "hybrid"
    decoding_class: ClassVar[type[Decoding]] = AutoregressiveDecoding

    weight: float = 0.5

    def __post_init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__post_init__(tokenizer)
        if not 0 < self.weight < 1:
            raise ValueError(f"weight must be above 0 and below 1, got {self.weight}")
        self.dummy_token_id = dummy_token_id(tokenizer)
        # The tokens of the longest row, both halves together, that the model can take.
        self._room: float = math.inf

    def check(self, model: nn.Module) -> None:
        """See whether the model can take both halves in one row."""
        self._room = (num_positions(model) or math.inf) if follows_masks(model) else 0

    def encode(self, rows: Rows, generator: torch.Generator | None = None) -> Batch:
        """Lay out both halves, in one row or in two."""
        fits = (rows.lengths[:, 0] + 2 * rows.lengths[:, 1]).max() <= self._room
        return self._in_one_row(rows) if fits else self._in_two_rows(rows)

    def _in_one_row(self, rows: Rows) -> Batch:
        prompt_lengths, lengths = rows.lengths[:, :1], rows.lengths[:, 1:]  # (B, 1)
        place = torch.arange(2 * rows.completion_ids.shape[1], device=lengths.device)  # (2 T,) behind the prompt
        true = place < lengths  # (B, 2 T)
        source = torch.where(true, place, place - lengths).clamp(0, rows.completion_ids.shape[1] - 1)
        tokens = rows.completion_ids.gather(1, source)
        # The last token of the prompt predicts the first one of both halves.
        in_parts = (true, (place == 0) | (place > lengths))
        both = torch.stack([rows.lengths[:, 0], 2 * rows.lengths[:, 1]], dim=1)
        shown = tokens.masked_fill(~true, self.dummy_token_id)
        batch, other = (
            Rows(rows.prompt_ids, tokens.masked_fill(~part, IGNORED), both).lay_out(shown, self.pad_token_id)
            for part in in_parts
        )
        position = torch.arange(batch["input_ids"].shape[1], device=lengths.device)  # (S,)
        is_true = (position >= prompt_lengths) & (position < prompt_lengths + lengths)  # (B, S)
        is_dummy = position >= prompt_lengths + lengths
        seen = (position <= position[:, None]) & ~(is_dummy[:, :, None] & is_true[:, None, :])  # (B, S, S)
        return batch | {
            TEACHERLESS: other["labels"],
            "attention_mask": added_to_scores(seen[:, None]),
            "position_ids": position - lengths * is_dummy,
        }

    def _in_two_rows(self, rows: Rows) -> Batch:
        dummies = torch.full_like(rows.completion_ids, self.dummy_token_id)
        halves = [rows.lay_out(shown, self.pad_token_id) for shown in (rows.completion_ids, dummies)]
        batch = {name: torch.cat([half[name] for half in halves]) for name in ("input_ids", "attention_mask")}
        labels = halves[0]["labels"]
        nothing = torch.full_like(labels, IGNORED)
        return batch | {"labels": torch.cat([labels, nothing]), TEACHERLESS: torch.cat([nothing, labels])}

    def loss(self, outputs: Outputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the losses of both halves, with their weights."""
        teacher_forced = summed_cross_entropy(outputs.logits, outputs.labels)
        teacherless = summed_cross_entropy(outputs.logits, batch[TEACHERLESS][:, outputs.first :])
        return {"teacher_forced": (1 - self.weight) * teacher_forced, "teacherless": self.weight * teacherless}
