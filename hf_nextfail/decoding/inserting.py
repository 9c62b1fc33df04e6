"""One token after the other, each wherever it fits best."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from hf_nextfail.data.rows import Batch, Rows
from hf_nextfail.decoding import inserting_generate, parallel_generate
from hf_nextfail.decoding.parallel import ParallelDecoding
from hf_nextfail.decoding.unmasking import check_mask_is_heeded


class InsertingDecoding(ParallelDecoding):
    """Write from nothing: insert the likeliest token in the gap where it is likeliest, until the row is complete.

    Every position sees all others, so the causal mask is replaced. A gap is read at the token before it, the first one
    at the last token of the prompt. That a row is complete is said by the dummy token, in the first gap: once it has
    more than half of the probability, as the paper's stop head must have, also where tokens are drawn. Nothing is
    inserted after `num_tokens`.

    A completion can be written in many orders, so one pass cannot say how likely it or a token of it is. Only what is
    written is measured.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): has a dummy token: `numeral_tokenizer` and `load_tokenizer` see to it.

    Raises:
        ValueError: if the tokenizer has no dummy or no padding token.

    Reference: Patel et al., "Insertion Language Models" (arXiv 2505.05755).
    """

    name: ClassVar[str] = "inserting"
    travels: ClassVar[tuple[Path, ...]] = (Path(inserting_generate.__file__), Path(parallel_generate.__file__))
    generates: ClassVar[str | None] = "generate_by_inserting"
    in_words: ClassVar[str] = "From nothing, one token after the other, each wherever it is likeliest"
    one_pass_exact: ClassVar[bool] = False
    scores_tokens: ClassVar[bool] = False

    def check(self, model: nn.Module) -> None:
        """Refuse a model whose attention takes no mask of its own. See [`Decoding.check`]."""
        check_mask_is_heeded(model, self.name)

    def view(self, rows: Rows) -> Batch:
        """Refuse: there is nothing to score. See [`Decoding.scores_tokens`]."""
        raise TypeError(f"one pass of a model that writes by {self.name} does not say how likely each token is")

    def write(
        self,
        model: nn.Module,
        rows: Rows,
        num_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Insert token by token; a token is drawn together with its gap. See [`Decoding.write`]."""
        special = (self.dummy_token_id, self.pad_token_id, self.eos_token_id)
        return inserting_generate.insert(
            model, rows.prompt_ids, rows.lengths[:, 0], num_tokens, *special, temperature, generator
        )
