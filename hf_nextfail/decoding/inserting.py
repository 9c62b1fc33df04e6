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
    more than half of the probability, as the paper's stop head must have. Nothing is inserted after `num_tokens`.

    One token can be written in many orders, so no one pass says how likely a completion or a token of it is: there is
    nothing to score but what is written.

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
        raise TypeError(f"a model that writes by {self.name} says in no one pass how likely each token is")

    def write(self, model: nn.Module, rows: Rows, num_tokens: int) -> torch.Tensor:
        """Insert token by token. See [`Decoding.write`]."""
        special = (self.dummy_token_id, self.pad_token_id, self.eos_token_id)
        return inserting_generate.insert(model, rows.prompt_ids, rows.lengths[:, 0], num_tokens, *special)
