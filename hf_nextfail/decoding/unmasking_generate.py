"""Decode a masked diffusion model by unmasking.

This file stands in the package hf_nextfail and, as it is, in every checkpoint that decodes so, together with
parallel_generate.py. They need torch alone.
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from .parallel_generate import ended, first_given, generate_by, logits_behind, perturbed, seen_by_all


@torch.no_grad()
def unmask(
    model: nn.Module,
    prompt_ids: torch.Tensor,
    prompt_lengths: torch.Tensor,
    num_tokens: int,
    dummy_token_id: int,
    pad_token_id: int,
    eos_token_id: int | list[int] | None = None,
    num_steps: int | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Write completions from prompts followed by masks, in each step those tokens that the model is surest of.

    ```
    first step    p_1 ... p_P   $    $   ...  $
    a later one   p_1 ... p_P   $   r_2  ...  $         what is kept stays; the rest is predicted again
    written        .  ... r_1  r_2  r_3  ...  .         each token one position before its own
    ```

    After step `s` of `N`, `T * s // N` tokens are kept. Every position sees all others, behind it, too.

    Args:
        model (`nn.Module`): a causal LM in evaluation mode, whose attention takes a mask `(B, 1, S, S)`.
        prompt_ids (`torch.Tensor` `(B, P)`): right-padded prompts.
        prompt_lengths (`torch.Tensor` `(B,)`): their true lengths, at least 1.
        num_tokens (`int`, >= 1): how many tokens to write, `T`.
        dummy_token_id (`int`), pad_token_id (`int`): of the tokenizer; the dummy token is the mask.
        eos_token_id (`int` or list of them, *optional*): what ends a completion.
        num_steps (`int`, >= 1, *optional*): `N`; by default, and at most, as many as tokens.
        temperature (`float`, >= 0), generator (`torch.Generator`, *optional*): draw tokens, see `perturbed`; how sure
            the model is of one that was drawn is the probability that it gives it.

    Returns:
        `torch.Tensor` `(B, T)` of ids, the padding id after an end token.
    """
    num_steps = min(num_steps or num_tokens, num_tokens)
    written = prompt_ids.new_full((len(prompt_ids), num_tokens), dummy_token_id)
    kept = torch.zeros_like(written, dtype=torch.bool)
    for step in range(1, num_steps + 1):
        logits = logits_behind(model, prompt_ids, prompt_lengths, written, pad_token_id, seen_by_all)[:, :-1]
        probabilities = logits.float().softmax(dim=-1)
        confidence, predicted = probabilities.max(dim=-1)  # (B, T)
        if temperature:
            predicted = perturbed(logits, temperature, generator).argmax(dim=-1)
            confidence = probabilities.gather(2, predicted[..., None])[..., 0]
        # Kept tokens rank first, since 2 is above any probability; among equals, the first in the row.
        order = confidence.masked_fill(kept, 2.0).argsort(dim=1, descending=True, stable=True)
        chosen = torch.zeros_like(kept).scatter(1, order[:, : num_tokens * step // num_steps], True) & ~kept
        written = torch.where(chosen, predicted, written)
        kept = kept | chosen
    return ended(written, pad_token_id, eos_token_id)


def generate(
    inputs: torch.Tensor | None = None, *, model: nn.Module, num_steps: int | None = None, **options: Any
) -> torch.Tensor:
    """Decode by unmasking: what `model.generate` is once the checkpoint was loaded with `trust_remote_code`.

    Args:
        inputs (`torch.Tensor` `(B, P)`): prompts, padded on either side; the same as `input_ids`.
        model (`nn.Module`): a causal LM that was trained by masked diffusion.
        num_steps (`int`, >= 1, *optional*): by default as many as the checkpoint says, or one for each token.
        options: as of `generate_by`.

    Returns:
        `torch.Tensor` `(B, P + T)` of ids: the prompts as they came, and what was written.

    Raises:
        ValueError: as `generate_by`, and for less than one step.
    """
    configs = (options.get("generation_config"), model.generation_config)
    num_steps = first_given(num_steps, *(getattr(config, "num_steps", None) for config in configs))
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, or left out for one step a token, got {num_steps}")
    decode = partial(unmask, num_steps=num_steps)
    return generate_by(decode, "unmasking keeps the likeliest tokens", inputs, model=model, **options)


def generate_by_unmasking(
    model: nn.Module,
    input_ids: torch.Tensor,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    num_steps: int | None = None,
    **model_kwargs: Any,
) -> torch.Tensor:
    """Decode by unmasking without trusting code of the checkpoint.

    The same as the checkpoint's own `generate`, in the form that transformers takes as an argument.

    Args:
        model (`nn.Module`) ... model_kwargs: what `model.generate` hands over.

    Returns:
        `torch.Tensor` `(B, P + T)` of ids: the prompts as they came, and what was written.

    Example:

    ```python
    import hf_nextfail
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    inputs = tokenizer(["17,13|13,11|17,7|7,8/17,11="], return_tensors="pt")
    model.generate(**inputs, custom_generate=hf_nextfail.generate_by_unmasking)
    ```
    """
    return generate(
        input_ids,
        model=model,
        num_steps=num_steps,
        attention_mask=model_kwargs.get("attention_mask"),
        generation_config=generation_config,
        stopping_criteria=stopping_criteria,
        logits_processor=logits_processor or None,  # a list, empty for greedy decoding
    )
