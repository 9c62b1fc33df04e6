"""Decode a teacherless model in one parallel pass.

This file stands in the package hf_nextfail and, as it is, in every teacherless checkpoint. It needs torch alone.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def accepted(model: nn.Module, **options: Any) -> dict[str, Any]:
    """Return those options that the forward of a model takes; families differ."""
    if hasattr(model, "get_base_model"):  # a PEFT wrapper, whose own signature hides the model's
        model = model.get_base_model()
    return {name: value for name, value in options.items() if name in inspect.signature(model.forward).parameters}


@torch.no_grad()
def decode_in_parallel(
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
    """Write completions from prompts followed by dummy tokens, all tokens at once.

    ```
    input_ids   p_1 ... p_P   $   ...  $         one dummy fewer than tokens
    written      .  ... r_1  r_2  ... r_T
    ```

    Rows are padded on the right, which is exact for every family, also those that ignore the attention mask.

    Args:
        model (`nn.Module`): a causal LM in evaluation mode.
        prompt_ids (`torch.Tensor` `(B, P)`): right-padded prompts.
        prompt_lengths (`torch.Tensor` `(B,)`): their true lengths, at least 1.
        num_tokens (`int`, >= 1): how many tokens to write, `T`.
        dummy_token_id (`int`), pad_token_id (`int`): of the tokenizer.
        eos_token_id (`int` or list of them, *optional*): what ends a completion.
        temperature (`float`, >= 0), generator (`torch.Generator`, *optional*): draw tokens; see `perturbed`.

    Returns:
        `torch.Tensor` `(B, T)` of ids, the padding id after an end token.
    """
    shown = prompt_ids.new_full((len(prompt_ids), num_tokens - 1), dummy_token_id)
    logits = logits_behind(model, prompt_ids, prompt_lengths, shown, pad_token_id, torch.Tensor.long)
    return ended(perturbed(logits, temperature, generator).argmax(dim=-1), pad_token_id, eos_token_id)


def perturbed(logits: torch.Tensor, temperature: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Add noise by which the likeliest is a draw from `softmax(logits / temperature)`: the Gumbel-max trick."""
    if not temperature:
        return logits
    waits = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator)
    return logits.float() - temperature * waits.clamp_min(torch.finfo(torch.float32).tiny).log()


def logits_behind(
    model: nn.Module,
    prompt_ids: torch.Tensor,
    prompt_lengths: torch.Tensor,
    shown: torch.Tensor,
    pad_token_id: int,
    mask: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Run a model on prompts, tokens behind them and padding on the right, where tokens behind prompts are predicted.

    Args:
        shown (`torch.Tensor` `(B, K)`): the tokens behind the prompts.
        mask (callable): makes the attention mask of which positions hold tokens, `(B, S)`.
        (others): as of `decode_in_parallel`.

    Returns:
        `torch.Tensor` `(B, K + 1, V)`: from the last token of a prompt on, what comes behind each token.
    """
    ends, num_shown = prompt_lengths[:, None], shown.shape[1]  # (B, 1)
    width = int(prompt_lengths.max()) + num_shown
    position = torch.arange(width, device=prompt_ids.device)  # (S,)
    inside = position < ends + num_shown  # (B, S)
    input_ids = nn.functional.pad(prompt_ids, (0, max(0, width - prompt_ids.shape[1])))[:, :width]
    input_ids = input_ids.masked_fill(position >= ends, pad_token_id)
    behind = ends + torch.arange(num_shown, device=prompt_ids.device)  # (B, K)
    input_ids = input_ids.scatter(1, behind, shown)

    num_kept = width - int(prompt_lengths.min()) + 1
    options = accepted(model, logits_to_keep=num_kept, use_cache=False)
    logits = model(input_ids=input_ids, attention_mask=mask(inside), **options).logits[:, -num_kept:]
    predicting = ends - 1 + torch.arange(num_shown + 1, device=prompt_ids.device) - (width - num_kept)  # (B, K + 1)
    return logits.gather(1, predicting[..., None].expand(-1, -1, logits.shape[2]))


def seen_by_all(inside: torch.Tensor) -> torch.Tensor:
    """Make the attention mask under which every position sees all tokens, earlier and later ones, and no padding.

    Args:
        inside (`torch.Tensor` `(B, S)` of `bool`): which positions hold tokens.

    Returns:
        `torch.Tensor` `(B, 1, S, S)` of `float32`, to be added to the scores: what every family and kind of attention
        takes that takes a mask of its own. No row of it hides everything, so that no softmax is of nothing.
    """
    hidden = torch.zeros(inside.shape, device=inside.device).masked_fill(~inside, torch.finfo(torch.float32).min)
    return hidden[:, None, None].expand(-1, -1, inside.shape[1], -1)


def ended(written: torch.Tensor, pad_token_id: int, eos_token_id: int | list[int] | None) -> torch.Tensor:
    """Put the padding id behind the first end token of each row."""
    if eos_token_id is None:
        return written
    ends = torch.isin(written, torch.tensor(eos_token_id, device=written.device)).long()
    return written.masked_fill(ends.cumsum(dim=1) > ends, pad_token_id)


def cut(
    written: torch.Tensor, prompts: torch.Tensor, stopping_criteria: Sequence[Callable], pad_token_id: int
) -> torch.Tensor:
    """Cut what was written where a criterion would have ended it token by token.

    Args:
        written (`torch.Tensor` `(B, T)`), prompts (`torch.Tensor` `(B, P)`): ids.
        stopping_criteria (sequence of callables): each takes ids and scores, of which there are none, and returns
            whether all rows, or which of them, end with the last token.
        pad_token_id (`int`): stands behind the end.

    Returns:
        `torch.Tensor` `(B, T)` of ids.
    """
    ids = torch.cat([prompts, written], dim=1)
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    for end in range(prompts.shape[1] + 1, ids.shape[1] + 1):
        ids[done, end - 1] = pad_token_id
        for criterion in stopping_criteria:
            done = done | criterion(ids[:, :end], None)
    return ids[:, prompts.shape[1] :]


# What tokenizers, pipelines and `generate` itself pass along, and that changes nothing.
HARMLESS = ("synced_gpus", "token_type_ids", "tokenizer", "use_cache")
# What a generation config may ask for, and greedy decoding of all tokens at once cannot do.
IMPOSSIBLE = (
    "bad_words_ids",
    "do_sample",
    "forced_eos_token_id",
    "max_time",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "return_dict_in_generate",
    "stop_strings",
    "suppress_tokens",
)


def refuse(options: dict[str, Any], what: str) -> None:
    """Raise `ValueError` naming the options that ask for something else than greedy decoding, which is `what`."""

    def asks_for_something(value: Any) -> bool:
        # One beam, one sequence or a penalty of 1 do not.
        return value is True or not (value is None or (isinstance(value, int | float) and value in (0, 1)))

    if asked := sorted(name for name in options.keys() - set(HARMLESS) if asks_for_something(options[name])):
        raise ValueError(
            f"{what} and cannot do {', '.join(asked)}; "
            "it takes input_ids, attention_mask, max_new_tokens or max_length, pad_token_id, eos_token_id and "
            "stopping_criteria"
        )


def first_given(*values: Any) -> Any:
    """Return the first value that is not `None`, if any."""
    return next((value for value in values if value is not None), None)


def generate(inputs: torch.Tensor | None = None, *, model: nn.Module, **options: Any) -> torch.Tensor:
    """Decode in one parallel pass: what `model.generate` is once the checkpoint was loaded with `trust_remote_code`.

    Args:
        inputs (`torch.Tensor` `(B, P)`): prompts, padded on either side; the same as `input_ids`.
        model (`nn.Module`): a causal LM that was trained without a teacher.
        options: as of `generate_by`.

    Returns:
        `torch.Tensor` `(B, P + T)` of ids: the prompts as they came, and what was written.

    Raises:
        ValueError: as `generate_by`.
    """
    return generate_by(decode_in_parallel, "teacherless decoding is one greedy pass", inputs, model=model, **options)


def generate_by(
    decode: Callable[..., torch.Tensor],
    what: str,
    inputs: torch.Tensor | None,
    *,
    model: nn.Module,
    input_ids: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    generation_config: Any = None,
    max_new_tokens: int | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    stopping_criteria: Sequence[Callable] | None = None,
    **options: Any,
) -> torch.Tensor:
    """Decode as `model.generate` is asked to, by `decode`.

    Args:
        decode (callable): takes what `decode_in_parallel` takes, and returns the same.
        what (`str`): what it does, as the beginning of a message.
        inputs (`torch.Tensor` `(B, P)`, *optional*): prompts, padded on either side; the same as `input_ids`.
        model (`nn.Module`): a causal LM that was trained to be decoded so.
        attention_mask (`torch.Tensor` `(B, P)`, *optional*): 0 on padding; by default the padding id is padding.
        generation_config (`GenerationConfig`, *optional*): by default the checkpoint's.
        max_new_tokens (`int`, *optional*): how many tokens to write; by default as many as in training.
        max_length (`int`, *optional*): `P + T`, heeded where nothing else says how many, as in transformers.
        pad_token_id (`int`, *optional*): by default the checkpoint's.
        eos_token_id (`int` or list of them, *optional*): by default the checkpoint's.
        stopping_criteria (sequence of callables, *optional*): completions end where they say so.
        options: what else `model.generate` takes, as long as it changes nothing.

    Returns:
        `torch.Tensor` `(B, P + T)` of ids: the prompts as they came, and what was written.

    Raises:
        ValueError: if the number of tokens or the dummy token is not known, or an option asks for something else.
    """
    prompts = inputs if input_ids is None else input_ids
    if prompts is None:
        raise ValueError("generate needs input_ids, the prompts")
    own = model.generation_config
    config = first_given(generation_config, own)
    refuse({name: getattr(config, name, None) for name in IMPOSSIBLE} | options, what)
    dummy = first_given(getattr(config, "dummy_token_id", None), getattr(own, "dummy_token_id", None))
    if dummy is None:
        raise ValueError(
            "the generation config has no dummy_token_id: the checkpoint was not trained to be decoded so, or it is "
            "an adapter, of which PEFT does not load it: "
            "model.generation_config = GenerationConfig.from_pretrained(ADAPTER)"
        )
    num_tokens = first_given(max_new_tokens, config.max_new_tokens, own.max_new_tokens)
    length = first_given(max_length, config.max_length)
    if num_tokens is None and length is not None:
        num_tokens = length - prompts.shape[1]
    if num_tokens is None or num_tokens < 1:
        raise ValueError("say how many tokens to write: max_new_tokens=..., the length of a completion")

    pad = first_given(pad_token_id, config.pad_token_id, own.pad_token_id)
    eos = first_given(eos_token_id, config.eos_token_id, own.eos_token_id)
    if attention_mask is None:
        attention_mask = torch.ones_like(prompts) if pad in (None, eos) else prompts != pad
    attention_mask = (attention_mask != 0).long()
    if not attention_mask.any(dim=1).all():
        raise ValueError("a prompt is empty: a row of the attention mask is all 0")
    # Prompts first, whichever side they were padded on; a stable sort keeps the order of their tokens.
    order = (1 - attention_mask).argsort(dim=1, stable=True)
    filler = first_given(pad, dummy)
    written = decode(
        model,
        prompts.gather(1, order),
        attention_mask.sum(dim=1),
        num_tokens,
        dummy_token_id=dummy,
        pad_token_id=filler,
        eos_token_id=eos,
    )
    return torch.cat([prompts, cut(written, prompts, stopping_criteria or (), filler)], dim=1)


def generate_teacherless(
    model: nn.Module,
    input_ids: torch.Tensor,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    **model_kwargs: Any,
) -> torch.Tensor:
    """Decode in one parallel pass without trusting code of the checkpoint.

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
    model.generate(**inputs, custom_generate=hf_nextfail.generate_teacherless)
    ```
    """
    return generate(
        input_ids,
        model=model,
        # Its own parameter it cannot be: transformers would pass it twice.
        attention_mask=model_kwargs.get("attention_mask"),
        generation_config=generation_config,
        stopping_criteria=stopping_criteria,
        logits_processor=logits_processor or None,  # a list, empty for greedy decoding
    )
