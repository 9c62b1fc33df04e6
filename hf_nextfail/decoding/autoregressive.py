"""Token by token."""

from typing import ClassVar

import torch
from torch import nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from hf_nextfail.data.rows import Batch, Rows
from hf_nextfail.decoding.base import Decoding
from hf_nextfail.decoding.parallel_generate import perturbed


class Perturbing(LogitsProcessor):
    """Draw tokens by one's own generator, which `generate` does not take: see [`perturbed`]."""

    def __init__(self, temperature: float, generator: torch.Generator | None):
        self.temperature = temperature
        self.generator = generator

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add noise to the scores of the next token, `(B, V)`."""
        return perturbed(scores, self.temperature, self.generator)


class AutoregressiveDecoding(Decoding):
    """Write token by token, each from the prompt and the tokens written before it.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> AutoregressiveDecoding(numeral_tokenizer(num_nodes=10)).view(rows)["input_ids"].tolist()
    [[7, 8, 9, 1, 2]]

    ```
    """

    name: ClassVar[str] = "autoregressive"
    shows_true_tokens: ClassVar[bool] = True
    one_pass_exact: ClassVar[bool] = True

    def view(self, rows: Rows) -> Batch:
        """Show the true completion. See [`Decoding.view`]."""
        return rows.lay_out(rows.completion_ids, self.pad_token_id)

    @torch.no_grad()
    def write(
        self,
        model: nn.Module,
        rows: Rows,
        num_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Write with the model's own cache. See [`Decoding.write`]."""
        drawing = LogitsProcessorList([Perturbing(temperature, generator)] if temperature else [])
        completions = rows.prompt_ids.new_full((len(rows), num_tokens), self.pad_token_id)
        settings = model.generation_config
        model.generation_config = GenerationConfig()  # a checkpoint's own may sample, penalise or suppress tokens
        try:
            # Prompts of one length need no padding, so that models which ignore the mask are decoded exactly, too.
            for length in rows.lengths[:, 0].unique().tolist():
                chosen = (rows.lengths[:, 0] == length).nonzero().squeeze(1)
                prompts = rows.prompt_ids[chosen, :length]
                written = model.generate(
                    prompts,
                    attention_mask=torch.ones_like(prompts),
                    max_new_tokens=num_tokens,
                    do_sample=False,  # what is drawn is the likeliest after the noise
                    logits_processor=drawing,
                    pad_token_id=self.pad_token_id,
                    eos_token_id=self.eos_token_id,
                )[:, length:]
                completions[chosen, : written.shape[1]] = written
        finally:
            model.generation_config = settings
        return completions
