"""What a model that was never trained on a task makes of it, asked in plain English."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.utils.logging import tqdm

from hf_nextfail.data.problem_keys import problem_keys
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.rows import Ragged
from hf_nextfail.data.tokenization import encode_prompts, encode_texts, end_token_id
from hf_nextfail.decoding import AutoregressiveDecoding
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.evaluation.verify import verified
from hf_nextfail.metrics.standard_error import Estimate, summarise
from hf_nextfail.models.checks import check_fits
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph_instruct import first_steps

#: What stands behind an example and before the next one, where there is no chat template.
BETWEEN_SHOTS = "\n\n"


@dataclass(frozen=True)
class Prompting:
    """Say how a model is asked.

    Args:
        shots (sequence of rows): answered problems that every prompt begins with; the same ones for all rows.
        chat (`bool`): speak in messages, by the chat template of the tokenizer.
        max_new_tokens (`int`, >= 1): how much it may write: reasoning takes more than an answer.
    """

    shots: Sequence[dict[str, Any]]
    chat: bool
    max_new_tokens: int

    def text(self, row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> str:
        """Write all that stands before the answer to a row."""
        if not self.chat:
            return (
                "".join(f"{shot['prompt']}{shot['completion']}{BETWEEN_SHOTS}" for shot in self.shots) + row["prompt"]
            )
        messages = [message for shot in self.shots for message in shot["messages"]] + row["messages"][:1]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def encode(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into ids; a chat template has written the begin token already."""
        return encode_texts(tokenizer, texts) if self.chat else encode_prompts(tokenizer, texts)

    def answer(self, written: str) -> str:
        """Leave out what stands behind an answer: after examples, a model goes on with problems of its own."""
        return written.partition(BETWEEN_SHOTS)[0] if self.shots and not self.chat else written


def choice_rows(
    prompting: Prompting, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]
) -> tuple[list[list[int]], list[list[int]]]:
    """Lay out the first steps of a row: the ids that all have in common, and those of each step, the right one first.

    The whole text of each is divided into tokens, as a model would meet it. Behind a path of two nodes, whose first
    step is the last, there stands what ends an answer, so that 1 is told from 12.
    """
    begin, steps = first_steps(row)
    text = prompting.text(row, tokenizer) + begin
    last = not steps[0].endswith(">")
    behind = BETWEEN_SHOTS[0] if last and prompting.shots and not prompting.chat else ""
    ids = prompting.encode(tokenizer, [text + step + behind for step in steps])
    if last and not behind and (end := end_token_id(tokenizer)) is not None:
        ids = [[*each, end] for each in ids]
    (asked,) = prompting.encode(tokenizer, [text])
    common = len(list(takewhile(lambda tokens: len(set(tokens)) == 1, zip(asked, *ids, strict=False))))
    common = min(common, *(len(each) - 1 for each in ids))
    return [each[:common] for each in ids], [each[common:] for each in ids]


@contextmanager
def padded_left(model: nn.Module, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int):
    """Let a model write greedily until one of its own end tokens, and put its settings back."""
    settings = model.generation_config
    ends = settings.eos_token_id
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    ends = sorted({*ends, *filter(lambda end: end is not None, [end_token_id(tokenizer)])})
    model.generation_config = GenerationConfig()  # a checkpoint's own may sample, penalise or suppress tokens
    try:
        yield {
            "max_new_tokens": max_new_tokens,
            "do_sample": False,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": ends or None,
        }
    finally:
        model.generation_config = settings


@torch.no_grad()
def write(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Ragged,
    max_new_tokens: int,
    batch_size: int,
    description: str | None = None,
) -> list[str]:
    """Let a model write behind each prompt, greedily, until it ends by itself: prompts of like lengths together.

    Args:
        model (`nn.Module`), tokenizer (`PreTrainedTokenizerBase`): a causal LM in evaluation mode.
        prompts (`Ragged`): the ids, padded on the left within a batch.
        max_new_tokens (`int`, >= 1): how much it may write.
        batch_size (`int`, >= 1): rows of one pass.
        description (`str`, *optional*): show a progress bar under this name.
    """
    device = next(model.parameters()).device
    order = prompts.lengths.argsort(stable=True)
    written = [""] * len(order)
    batches = order.split(batch_size)
    with padded_left(model, tokenizer, max_new_tokens) as settings:
        for indices in tqdm(batches, desc=description, leave=False) if description else batches:
            ids, lengths = prompts.take(indices), prompts.lengths[indices, None]
            place = torch.arange(ids.shape[1]) - (ids.shape[1] - lengths)  # below 0 where there is padding
            ids = ids.gather(1, place.clamp(min=0)).masked_fill(place < 0, prompts.pad_token_id).to(device)
            new = model.generate(ids, attention_mask=(place >= 0).long().to(device), **settings)[:, ids.shape[1] :]
            for row, text in zip(indices.tolist(), tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
                written[row] = text
    return written


def evaluate_prompted(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: StarGraph,
    dataset: Dataset,
    prompting: Prompting,
    batch_size: int = 32,
    description: str | None = None,
) -> dict[str, Estimate | None]:
    """Ask a model problems in plain English.

    Args:
        model (`nn.Module`), tokenizer (`PreTrainedTokenizerBase`): any causal LM.
        task (`StarGraph`): of the rows, with `style="instruct"`.
        dataset (`Dataset`): its rows.
        prompting (`Prompting`): how they are asked.
        batch_size (`int`, >= 1, *optional*, defaults to 32): rows of one pass.
        description (`str`, *optional*): show progress bars under this name.

    Returns:
        `dict` from names to `Estimate`s:

        - `accuracy`: the path that can be read in what it writes, greedily, is the right one.
        - `answer_rate`: what it writes names one path, right or wrong.
        - `choice_accuracy`: of the first steps, one into each arm, the right one is the most likely behind the prompt
          and the first node: the hard token without any reasoning, and without any format to get wrong. Where several
          are equally likely, each counts its share.
        - `choice_mass`: the probability of all these steps together: whether it knows what the candidates are.

        The last two are `None` on reversed paths, whose first step is no choice.

    Raises:
        ValueError: if a chat template is asked for and the tokenizer has none, or a row has more tokens than the model
            has positions.
    """
    if prompting.chat and tokenizer.chat_template is None:
        raise ValueError("the tokenizer has no chat template, which chat needs: leave chat out")
    rows, groups = list(dataset), problem_keys(dataset, task)
    asked = prompting.encode(tokenizer, [prompting.text(row, tokenizer) for row in rows])
    prompts = Ragged.of_lists(asked, tokenizer.pad_token_id)
    check_fits(model, prompts.longest + prompting.max_new_tokens, int(prompts.ids.max()))
    was_training = model.training
    model.eval()
    about = description and f"{description}: "
    texts = write(model, tokenizer, prompts, prompting.max_new_tokens, batch_size, about and f"{about}answers")
    answers = [prompting.answer(text) for text in texts]
    right = np.array([verified(task, text, row) for text, row in zip(answers, rows, strict=True)])
    read = np.array([task.canonical(text) is not None for text in answers], dtype=np.float64)
    results: dict[str, Estimate | None] = {
        "accuracy": summarise(right, groups),
        "answer_rate": summarise(read, groups),
        "choice_accuracy": None,
        "choice_mass": None,
    }
    if not task.reverse:
        laid_out = [choice_rows(prompting, tokenizer, row) for row in rows]
        columns = ([ids for each in laid_out for ids in each[part]] for part in (0, 1))
        store = RowStore(*(Ragged.of_lists(ids, tokenizer.pad_token_id) for ids in columns))
        inference = Inference(model, AutoregressiveDecoding(tokenizer), tokenizer, batch_size, description, False)
        likely = inference.score(store, "first steps").log_probs.sum(dim=1).view(len(rows), task.degree).numpy()
        best = likely == likely.max(axis=1, keepdims=True)
        results["choice_accuracy"] = summarise(best[:, 0] / best.sum(axis=1), groups)
        results["choice_mass"] = summarise(np.exp(likely).sum(axis=1), groups)
    model.train(was_training)
    return results
