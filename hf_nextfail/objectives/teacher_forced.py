"""Next-token prediction given the true previous tokens."""

from typing import ClassVar

import torch
from torch import nn
from transformers import GenerationConfig

from hf_nextfail.objectives.base import Objective


class TeacherForcedObjective(Objective):
    """Predict each completion token from the prompt and the *true* tokens before it: how language models are trained.

    On a star graph every token after the hard one can be read off the true token before it (the Clever Hans cheat),
    which leaves the hard token without the supervision that would teach planning.

    ```
    input_ids   p_1 ... p_P  r_1 ... r_T
    labels       .  ...  .   r_1 ... r_T        (. is -100)
    ```

    Decodes token by token.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): where the ids of special tokens come from.

    Reference: Bachmann and Nagarajan (arXiv 2403.06963); Williams and Zipser, "A Learning Algorithm for Continually
        Running Fully Recurrent Neural Networks", 1989.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.tokenization import numeral_tokenizer
    >>> objective = TeacherForcedObjective(numeral_tokenizer(num_nodes=10))
    >>> batch = objective.encode(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), lengths=torch.tensor([[3, 2]]))
    >>> batch["input_ids"].tolist(), batch["labels"].tolist()
    ([[7, 8, 9, 1, 2]], [[-100, -100, -100, 1, 2]])

    ```
    """

    name: ClassVar[str] = "teacher_forced"
    teacher_forced: ClassVar[bool] = True

    def shown_completion(self, completion_ids: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the true completion."""
        return completion_ids

    @torch.no_grad()
    def decode(
        self, model: nn.Module, prompt_ids: torch.Tensor, prompt_lengths: torch.Tensor, completion_length: int
    ) -> torch.Tensor:
        """Write token by token, greedily, with the model's own cache. See [`Objective.decode`]."""
        completions = prompt_ids.new_full((len(prompt_ids), completion_length), self.pad_token_id)
        settings = model.generation_config
        model.generation_config = GenerationConfig()  # a checkpoint's own may sample, penalise or suppress tokens
        try:
            # Prompts of one length need no padding, so that models which ignore the mask are decoded exactly, too.
            for length in prompt_lengths.unique().tolist():
                rows = (prompt_lengths == length).nonzero().squeeze(1)
                prompts = prompt_ids[rows, :length]
                written = model.generate(
                    prompts,
                    attention_mask=torch.ones_like(prompts),
                    max_new_tokens=completion_length,
                    do_sample=False,
                    pad_token_id=self.pad_token_id,
                    eos_token_id=self.eos_token_id,
                )[:, length:]
                completions[rows, : written.shape[1]] = written
        finally:
            model.generation_config = settings
        return completions
