"""All tokens in one pass."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_nextfail.data.rows import Batch, Rows
from hf_nextfail.data.tokenization import dummy_token_id
from hf_nextfail.decoding import parallel_generate
from hf_nextfail.decoding.base import Decoding


class ParallelDecoding(Decoding):
    """Write all tokens at once, from the prompt and dummy tokens in the place of the true ones.

    ```
    input_ids   p_1 ... p_P   $  ...  $
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    Args:
        tokenizer (`PreTrainedTokenizerBase`): has a dummy token: `numeral_tokenizer` and `load_tokenizer` see to it.

    Raises:
        ValueError: if the tokenizer has no dummy or no padding token.

    Reference: Bachmann and Nagarajan (arXiv 2403.06963), after Monea, Joulin and Grave, "PaSS: Parallel Speculative
        Sampling" (arXiv 2311.13581).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> ParallelDecoding(numeral_tokenizer(num_nodes=10)).view(rows)["input_ids"].tolist()
    [[7, 8, 9, 13, 13]]

    ```
    """

    name: ClassVar[str] = "parallel"
    travels: ClassVar[tuple[Path, ...]] = (Path(parallel_generate.__file__),)
    generates: ClassVar[str | None] = "generate_teacherless"
    in_words: ClassVar[str] = "In one parallel pass"
    shows_true_tokens: ClassVar[bool] = False
    one_pass_exact: ClassVar[bool] = True

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__init__(tokenizer)
        self.dummy_token_id = dummy_token_id(tokenizer)

    def view(self, rows: Rows) -> Batch:
        """Show dummies. See [`Decoding.view`]."""
        return rows.lay_out(torch.full_like(rows.completion_ids, self.dummy_token_id), self.pad_token_id)

    def write(
        self,
        model: nn.Module,
        rows: Rows,
        num_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Write in one pass; what is drawn for a token does not depend on the others. See [`Decoding.write`]."""
        special = (self.dummy_token_id, self.pad_token_id, self.eos_token_id)
        return parallel_generate.decode_in_parallel(
            model, rows.prompt_ids, rows.lengths[:, 0], num_tokens, *special, temperature, generator
        )

    def generation_config(self, max_new_tokens: int | None) -> GenerationConfig:
        """Say how a checkpoint decodes. See [`Decoding.generation_config`]."""
        config = super().generation_config(max_new_tokens)
        config.dummy_token_id = self.dummy_token_id
        return config
