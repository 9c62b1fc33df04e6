"""All completion tokens at once, from the prompt and dummies."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_nextfail.decoding import parallel as generate
from hf_nextfail.objectives.base import Objective


class TeacherlessObjective(Objective):
    """Predict all completion tokens at once, from the prompt and dummy tokens in the place of the true ones.

    With no true token to follow there is no Clever Hans cheat: the model has to find the path before it writes the
    first step. It learns on easier graphs only.

    ```
    input_ids   p_1 ... p_P   $  ...  $
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    Decodes in one parallel pass, not token by token.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): has a dummy token: `numeral_tokenizer` and `load_tokenizer` see to it.

    Raises:
        ValueError: if the tokenizer has no dummy token.

    Reference: Bachmann and Nagarajan (arXiv 2403.06963), after Monea, Joulin and Grave, "PaSS: Parallel Speculative
        Sampling" (arXiv 2311.13581).

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.tokenization import numeral_tokenizer
    >>> objective = TeacherlessObjective(numeral_tokenizer(num_nodes=10))
    >>> batch = objective.encode(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), lengths=torch.tensor([[3, 2]]))
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 13, 13]], [[-100, -100, -100, 1, 2]])

    ```
    """

    name: ClassVar[str] = "teacherless"
    teacher_forced: ClassVar[bool] = False
    custom_generate: ClassVar[Path | None] = Path(generate.__file__)

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        super().__init__(tokenizer)
        if getattr(tokenizer, "dummy_token", None) is None:
            raise ValueError(
                "the tokenizer has no dummy token: load it with hf_nextfail.load_tokenizer(name), which adds one"
            )
        self.dummy_token_id: int = tokenizer.dummy_token_id

    def shown_completion(self, completion_ids: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return dummies."""
        return torch.full_like(completion_ids, self.dummy_token_id)

    def generation_config(self, max_new_tokens: int | None) -> GenerationConfig:
        """Say how a checkpoint decodes. See [`Objective.generation_config`]."""
        config = super().generation_config(max_new_tokens)
        config.dummy_token_id = self.dummy_token_id
        return config

    def decode(
        self, model: nn.Module, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor, completion_length: int
    ) -> torch.Tensor:
        """Write all tokens in one parallel pass. See [`Objective.decode`]."""
        return generate.decode_in_parallel(
            model,
            prompt_ids,
            prompt_lengths,
            completion_length,
            self.dummy_token_id,
            self.pad_token_id,
            self.eos_token_id,
        )
