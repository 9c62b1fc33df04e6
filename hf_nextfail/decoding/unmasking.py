"""From masks to tokens, the surest first."""

from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_nextfail.data.rows import IGNORED, Batch, Rows
from hf_nextfail.decoding import parallel_generate, unmasking_generate
from hf_nextfail.decoding.parallel import ParallelDecoding


class UnmaskingDecoding(ParallelDecoding):
    """Write from dummy tokens as masks: predict all, keep the surest tokens, and predict the rest again.

    Every position sees all others, so the causal mask is replaced. A token is still predicted one position before its
    own, as in the causal LM that the model was, whose head keeps its meaning (as in Dream, arXiv 2508.15487).

    ```
    input_ids   p_1 ... p_P   $  ...  $   .     one padding token more, which is cut off: $ in the last place is seen
    labels       .  ...  .   r_1 ... r_T  .        (. is -100)
    ```

    What is scored is the first step, on as many masks as the row has tokens. Later steps see what the model wrote, and
    no pass says what that is: accuracy is that of decoding.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): has a dummy token: `numeral_tokenizer` and `load_tokenizer` see to it.
        num_steps (`int`, >= 1, *optional*): by default, and at most, as many as tokens; 1 is one parallel pass.

    Raises:
        ValueError: if the tokenizer has no dummy or no padding token, or `num_steps` is below 1.

    Reference: Chang et al., "MaskGIT" (arXiv 2202.04200), section 3.2; Nie et al., "Large Language Diffusion Models"
        (arXiv 2502.09992), low-confidence remasking.

    Example:

    ```python
    >>> import torch
    >>> from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
    >>> from hf_nextfail.data.rows import Rows
    >>> rows = Rows(torch.tensor([[7, 8, 9]]), torch.tensor([[1, 2]]), torch.tensor([[3, 2]]))
    >>> UnmaskingDecoding(numeral_tokenizer(num_nodes=10)).view(rows)["input_ids"].tolist()
    [[7, 8, 9, 13, 13, 14]]

    ```
    """

    name: ClassVar[str] = "unmasking"
    travels: ClassVar[tuple[Path, ...]] = (Path(unmasking_generate.__file__), Path(parallel_generate.__file__))
    generates: ClassVar[str | None] = "generate_by_unmasking"
    in_words: ClassVar[str] = "From dummy tokens, the surest first"
    one_pass_exact: ClassVar[bool] = False

    def __init__(self, tokenizer: PreTrainedTokenizerBase, num_steps: int | None = None):
        super().__init__(tokenizer)
        if num_steps is not None and num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, or null for one step a token, got {num_steps}")
        self.num_steps = num_steps

    @classmethod
    def of_checkpoint(cls, tokenizer: PreTrainedTokenizerBase, config: GenerationConfig) -> "UnmaskingDecoding":
        """Decode in as many steps as the checkpoint says. See [`Decoding.of_checkpoint`]."""
        return cls(tokenizer, getattr(config, "num_steps", None))

    def check(self, model: nn.Module) -> None:
        """Refuse a model whose attention takes no mask of its own. See [`Decoding.check`]."""
        check_mask_is_heeded(model, self.name)

    def lay_out(self, rows: Rows, shown: torch.Tensor) -> Batch:
        """Lay out what is shown of completions, `(B, T)`, seen by all positions."""
        batch = rows.lay_out(shown, self.pad_token_id)
        inside = F.pad(batch["attention_mask"].bool(), (0, 1))
        return {
            "input_ids": F.pad(batch["input_ids"], (0, 1), value=self.pad_token_id),
            "attention_mask": parallel_generate.seen_by_all(inside),
            "labels": F.pad(batch["labels"], (0, 1), value=IGNORED),
        }

    def view(self, rows: Rows) -> Batch:
        """Show masks. See [`Decoding.view`]."""
        return self.lay_out(rows, torch.full_like(rows.completion_ids, self.dummy_token_id))

    def write(
        self,
        model: nn.Module,
        rows: Rows,
        num_tokens: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Write in steps, of tokens that are drawn those first that are surest. See [`Decoding.write`]."""
        special = (self.dummy_token_id, self.pad_token_id, self.eos_token_id)
        return unmasking_generate.unmask(
            model, rows.prompt_ids, rows.lengths[:, 0], num_tokens, *special, self.num_steps, temperature, generator
        )

    def generation_config(self, max_new_tokens: int | None) -> GenerationConfig:
        """Say how a checkpoint decodes, and in how many steps. See [`Decoding.generation_config`]."""
        config = super().generation_config(max_new_tokens)
        config.num_steps = self.num_steps
        return config


def check_mask_is_heeded(model: nn.Module, decoding: str) -> None:
    """Raise `ValueError` unless tokens see the later ones that a mask `(B, 1, S, S)` shows, and no others.

    Whether one token depends on another is asked of the model itself: where it does not, the gradient is exactly 0.

    Args:
        model (`nn.Module`): a causal LM; one without a `config` is taken as it is.
        decoding (`str`): what needs it, for the message.
    """
    if getattr(model, "config", None) is None:
        return
    modes, embedded, hooks, reason = [(module, module.training) for module in model.modules()], [], [], ""

    def keep(module: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> None:
        embedded.append(output if output.requires_grad else output.requires_grad_())

    model.eval()  # dropout would draw from the generator of the training
    try:
        hooks.append(model.get_input_embeddings().register_forward_hook(keep))
        with torch.enable_grad():
            ids = torch.arange(4, device=next(model.parameters()).device)[None]
            logits = model(input_ids=ids, attention_mask=parallel_generate.seen_by_all(ids < 3)).logits[0]
            first, all_three = (
                torch.autograd.grad(part.square().sum(), embedded[0], retain_graph=True)[0][0].abs().amax(dim=1)
                for part in (logits[0], logits[:3])
            )
        heeded = bool(first[2] > 0) and not bool(all_three[3] > 0)
    except Exception as error:  # families differ in how they fail
        heeded, reason = False, f" ({type(error).__name__}: {' '.join(str(error).split())})"
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    if not heeded:
        raise ValueError(
            f"the decoding {decoding} lets every token see the later ones, and {type(model).__name__} takes no "
            f"attention mask that says so{reason}: take a transformer such as gpt2, llama or qwen2"
        )
