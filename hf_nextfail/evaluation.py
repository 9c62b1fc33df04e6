"""A model and a dataset to numbers."""

from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather
from datasets import Dataset
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import tqdm

from hf_nextfail.metrics import hard_token_accuracy, mean_and_standard_error, token_accuracy
from hf_nextfail.objectives import Objective
from hf_nextfail.objectives.base import IGNORED, completion_logits, completion_tokens
from hf_nextfail.tasks import Task
from hf_nextfail.tasks.base import hash_edges
from hf_nextfail.tokenization import COMPLETION_IDS, PROMPT_IDS, node_of_each_token, padded_ids, tokenize_dataset

#: One number: `value` and `standard_error` (lists when there is one per position), `n` rows, `num_graphs` different.
Result = dict[str, Any]


def graph_hashes(dataset: Dataset) -> np.ndarray | None:
    """Hash the graph of each row, or return `None` when there are no `edges`, or not as many in every row."""
    if "edges" not in dataset.column_names:
        return None
    edges = dataset.select_columns("edges").with_format("arrow")[:].column(0).combine_chunks()
    if len(edges.value_lengths().unique()) != 1:
        return None
    return hash_edges(edges.flatten().flatten().to_numpy().reshape(len(dataset), -1, 2))


def correct_nodes(correct_tokens: np.ndarray, node_of_token: np.ndarray) -> np.ndarray:
    """Call a node right when all of its tokens are: `(n, T)` tokens to `(n, L)` nodes."""
    correct = np.ones((len(correct_tokens), int(node_of_token.max(initial=-1)) + 1))
    row, position = np.nonzero((node_of_token >= 0) & ~correct_tokens)
    correct[row, node_of_token[row, position]] = 0
    return correct


@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    objective: Objective,
    tokenizer: PreTrainedTokenizerBase,
    task: Task | None = None,
    batch_size: int = 256,
    per_node: bool = True,
    description: str | None = None,
    shared: bool = False,
) -> dict[str, Result | None]:
    """Measure how well a model completes prompts.

    Greedy free-running output is exactly right if and only if every most likely token given the *true* previous ones
    is right, so `accuracy` costs one pass and no decoding. Only the rows that are not exactly right are decoded, to
    learn where.

    Args:
        model (`nn.Module`): a causal LM, evaluated in the precision of its forward (a model that accelerate prepared
            for bf16 runs under autocast, the same model saved and loaded in that of its weights).
        dataset (`Dataset`): has `prompt` and `completion`; with `edges`, standard errors are taken over graphs.
        objective (`Objective`): how the model was trained, and therefore how it decodes.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        task (`Task`, *optional*): says which node is the hard one; without it the `hard_token` numbers are left out.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        per_node (`bool`, *optional*, defaults to `True`): also compute the numbers per node, which need decoding.
        description (`str`, *optional*): show a progress bar under this name.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among the processes that accelerate knows.
            Each has the whole model, and each must call this; all get the same numbers.

    Returns:
        `dict` from names to `Result`s:

        - `loss`: cross-entropy per completion, in nats per token.
        - `accuracy`: the whole completion, free-running (end token included where there is one).
        - `token_accuracy`: per node, free-running.
        - `hard_token_accuracy`: the node next to the start, free-running.
        - `forced_token_accuracy`, `forced_hard_token_accuracy`: the same with the true previous tokens shown; `None`
          for an objective without teacher forcing. (`accuracy` under forcing is `accuracy`, as said above.)

    Raises:
        ValueError: if the dataset is empty, a stream, or has an empty row, or its paths differ in length and numbers
            per node are wanted.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(
            "evaluation needs a map-style dataset: of a stream, Dataset.from_list(list(stream.take(1000)))"
        )
    if len(dataset) == 0:
        raise ValueError("cannot evaluate on an empty dataset")
    dataset = tokenize_dataset(dataset, tokenizer)
    prompt_ids, prompt_lengths = map(torch.from_numpy, padded_ids(dataset, PROMPT_IDS, objective.pad_token_id))
    completion_ids, completion_lengths = map(
        torch.from_numpy, padded_ids(dataset, COMPLETION_IDS, objective.pad_token_id)
    )
    lengths = torch.stack([prompt_lengths, completion_lengths], dim=1)
    if not lengths.all():
        raise ValueError("a row has an empty prompt or completion: there is nothing to predict, or to predict from")
    device = next(model.parameters()).device
    groups = graph_hashes(dataset)
    num_graphs = len(dataset) if groups is None else len(np.unique(groups))

    def batches(indices: torch.Tensor, what: str):
        pieces = indices.split(batch_size) if len(indices) else ()
        return tqdm(pieces, desc=f"{description}: {what}", leave=False) if description else pieces

    def own(indices: torch.Tensor) -> torch.Tensor:
        if not shared:
            return indices
        state = PartialState()
        share = -(-len(indices) // state.num_processes)  # the same on all, so that the last rows may come twice
        return indices[
            torch.arange(share * state.process_index, share * (state.process_index + 1)).clamp(max=len(indices) - 1)
        ]

    def everyones(pieces: list[torch.Tensor], count: int) -> torch.Tensor:
        rows = torch.cat(pieces)
        return (gather(rows)[:count] if shared else rows).cpu()

    def result(values: np.ndarray) -> Result:
        mean, error = mean_and_standard_error(values, groups)
        return {"value": mean.tolist(), "standard_error": error.tolist(), "n": len(values), "num_graphs": num_graphs}

    was_training = model.training
    model.eval()
    losses, predicted = [], []
    for rows in batches(own(torch.arange(len(dataset))), "scoring"):
        row_lengths = lengths[rows]
        width = row_lengths.max(dim=0).values
        batch = objective.encode(
            prompt_ids[rows, : width[0]].to(device),
            completion_ids[rows, : width[1]].to(device),
            row_lengths.to(device),
        )
        logits, labels, first = completion_logits(model, batch)
        loss = cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")  # (B, K)
        losses.append(loss.sum(dim=1) / (labels != IGNORED).sum(dim=1))
        tokens = completion_tokens(logits, first, row_lengths.to(device))
        predicted.append(nn.functional.pad(tokens, (0, completion_ids.shape[1] - tokens.shape[1])))
    inside = torch.arange(completion_ids.shape[1]) < completion_lengths[:, None]
    correct_tokens = (everyones(predicted, len(dataset)) == completion_ids) | ~inside  # (n, T)
    exact = correct_tokens.all(dim=1)

    results: dict[str, Result | None] = {
        "loss": result(everyones(losses, len(dataset)).double().numpy()),
        "accuracy": result(exact.double().numpy()),
    }
    if per_node:
        references = [text.split(",") for text in dataset["completion"]]
        if len(set(map(len, references))) > 1:
            raise ValueError("numbers per node need completions of one number of nodes; pass per_node=False")
        written, wrong = list(references), (~exact).nonzero().squeeze(1)
        decoded = [
            objective.decode(
                model, prompt_ids[rows].to(device), prompt_lengths[rows].to(device), completion_ids.shape[1]
            )
            for rows in batches(own(wrong), "decoding")
        ]
        if decoded:
            texts = tokenizer.batch_decode(everyones(decoded, len(wrong)), skip_special_tokens=True)
            for row, text in zip(wrong.tolist(), texts, strict=True):
                written[row] = [node.strip() for node in text.split(",")]
        results["token_accuracy"] = result(token_accuracy(written, references))
        forced = None
        if objective.teacher_forced:
            node_of_token = node_of_each_token(tokenizer, dataset["completion"], completion_ids.shape[1])
            forced = correct_nodes(correct_tokens.numpy(), node_of_token)
        results["forced_token_accuracy"] = None if forced is None else result(forced)
        if task is not None:
            results["hard_token_accuracy"] = result(hard_token_accuracy(written, references, task.hard_node))
            results["forced_hard_token_accuracy"] = None if forced is None else result(forced[:, task.hard_node])
    model.train(was_training)
    return results
