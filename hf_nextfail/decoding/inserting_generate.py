"""Decode an insertion language model by inserting.

This file stands in the package hf_nextfail and, as it is, in every checkpoint that decodes so, together with
parallel_generate.py. They need torch alone.
"""

from typing import Any

import torch
from torch import nn

from .parallel_generate import ended, generate_by, logits_behind, perturbed, seen_by_all


@torch.no_grad()
def insert(
    model: nn.Module,
    prompt_ids: torch.Tensor,
    prompt_lengths: torch.Tensor,
    num_tokens: int,
    dummy_token_id: int,
    pad_token_id: int,
    eos_token_id: int | list[int] | None = None,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Write completions from prompts alone, in each step the one token, in the one gap, that is likeliest.

    ```
    first step    p_1 ... p_P
    a later one   p_1 ... p_P  r_2  r_4         what is inserted stays, and moves on when something is inserted before
    predicted      .  ...  g_0 g_1  g_2         each gap where the token before it stands
    ```

    A row is complete once the dummy token of the first gap has more than half of the probability. Every position sees
    all others, behind it, too.

    Args:
        model (`nn.Module`): a causal LM in evaluation mode, whose attention takes a mask `(B, 1, S, S)`.
        prompt_ids (`torch.Tensor` `(B, P)`): right-padded prompts.
        prompt_lengths (`torch.Tensor` `(B,)`): their true lengths, at least 1.
        num_tokens (`int`, >= 1): how many tokens to write at most, `T`.
        dummy_token_id (`int`), pad_token_id (`int`): of the tokenizer; the dummy token is what says "complete".
        eos_token_id (`int` or list of them, *optional*): what ends a completion.
        temperature (`float`, >= 0), generator (`torch.Generator`, *optional*): draw a token and its gap, see
            `perturbed`. Whether a row is complete is not drawn.

    Returns:
        `torch.Tensor` `(B, T)` of ids, the padding id behind what is complete and after an end token.
    """
    written = prompt_ids.new_full((len(prompt_ids), num_tokens), pad_token_id)
    goes_on = torch.ones_like(prompt_lengths, dtype=torch.bool)
    for count in range(num_tokens):  # of tokens in each row that goes on
        shown = written[:, :count]
        logits = logits_behind(model, prompt_ids, prompt_lengths, shown, pad_token_id, seen_by_all).float()
        complete = logits[:, 0, dummy_token_id]
        scores = logits.index_fill(2, torch.tensor(dummy_token_id, device=logits.device), -torch.inf).flatten(1)
        goes_on = goes_on & (complete <= scores.logsumexp(dim=1))
        if not goes_on.any():
            break
        likeliest = perturbed(scores, temperature, generator).argmax(
            dim=1, keepdim=True
        )  # (B, 1), of all tokens in all gaps
        gap, token = likeliest // logits.shape[2], likeliest % logits.shape[2]
        place = torch.arange(count + 1, device=written.device)
        longer = torch.where(place == gap, token, written.gather(1, place - (place > gap).long()))
        written[:, : count + 1] = torch.where(goes_on[:, None], longer, written[:, : count + 1])
    return ended(written, pad_token_id, eos_token_id)


def generate(inputs: torch.Tensor | None = None, *, model: nn.Module, **options: Any) -> torch.Tensor:
    """Decode by inserting: what `model.generate` is once the checkpoint was loaded with `trust_remote_code`.

    Args:
        inputs (`torch.Tensor` `(B, P)`): prompts, padded on either side; the same as `input_ids`.
        model (`nn.Module`): a causal LM that was trained to insert.
        options: as of `generate_by`.

    Returns:
        `torch.Tensor` `(B, P + T)` of ids: the prompts as they came, and what was written.

    Raises:
        ValueError: as `generate_by`.
    """
    return generate_by(insert, "inserting takes the likeliest token in each step", inputs, model=model, **options)


def generate_by_inserting(
    model: nn.Module,
    input_ids: torch.Tensor,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    **model_kwargs: Any,
) -> torch.Tensor:
    """Decode by inserting without trusting code of the checkpoint.

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
    model.generate(**inputs, custom_generate=hf_nextfail.generate_by_inserting)
    ```
    """
    return generate(
        input_ids,
        model=model,
        attention_mask=model_kwargs.get("attention_mask"),
        generation_config=generation_config,
        stopping_criteria=stopping_criteria,
        logits_processor=logits_processor or None,  # a list, empty for greedy decoding
    )
