"""A model and datasets to numbers."""

from collections.abc import Mapping

from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.graph_groups import graph_hashes
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import Decoding, find_decoding
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.evaluation.nodes import node_of_each_token
from hf_nextfail.metrics import correct_nodes, hard_token_accuracy, token_accuracy
from hf_nextfail.metrics.standard_error import Estimate, summarise
from hf_nextfail.tasks import Task

#: The training rows that `train_*` numbers are taken on: the first ones, the same for every run on the dataset.
NUM_TRAIN_SAMPLE = 10_000


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    decoding: Decoding | str | None,
    tokenizer: PreTrainedTokenizerBase,
    task: Task | None = None,
    batch_size: int = 256,
    per_node: bool = True,
    description: str | None = None,
    shared: bool = False,
) -> dict[str, Estimate | None]:
    """Measure how well a model completes prompts.

    Greedy free-running output is exactly right if and only if every most likely token given the *true* previous ones
    is right, so `accuracy` costs one pass and no decoding. Only the rows that are not exactly right are decoded, to
    learn where.

    Args:
        model (`nn.Module`): a causal LM, evaluated in the precision of its forward (a model that accelerate prepared
            for bf16 runs under autocast, the same model saved and loaded in that of its weights).
        dataset (`Dataset`): has `prompt` and `completion`; with `edges`, standard errors are taken over graphs.
        decoding (`Decoding` or `str`, *optional*): how the model writes; by default what its generation config
            says, and `"autoregressive"` for models that are not ours.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        task (`Task`, *optional*): says which node is the hard one; without it the `hard_token` numbers are left out.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        per_node (`bool`, *optional*, defaults to `True`): also compute the numbers per node, which need decoding.
        description (`str`, *optional*): show a progress bar under this name.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among the processes that accelerate knows.
            Each has the whole model, and each must call this; all get the same numbers.

    Returns:
        `dict` from names to `Estimate`s:

        - `loss`: cross-entropy per completion, in nats per token.
        - `accuracy`: the whole completion, free-running (end token included where there is one).
        - `token_accuracy`: per node, free-running.
        - `hard_token_accuracy`: the node next to the start, free-running.
        - `forced_token_accuracy`, `forced_hard_token_accuracy`: the same with the true previous tokens shown; `None`
          for a decoding that shows none. (`accuracy` under forcing is `accuracy`, as said above.)

    Raises:
        ValueError: if the dataset is empty, a stream, or has an empty row, or its paths differ in length and numbers
            per node are wanted, or there is no such decoding.
    """
    rows = Rows.of(dataset, tokenizer)
    groups = graph_hashes(dataset)
    decoding = find_decoding(decoding, model, tokenizer)
    inference = Inference(model, decoding, tokenizer, batch_size, description, shared)
    scores = inference.score(rows)
    correct_tokens = scores.correct.numpy()
    results: dict[str, Estimate | None] = {
        "loss": summarise((-scores.log_probs.sum(dim=1) / rows.lengths[:, 1]).numpy(), groups),
        "accuracy": summarise(inference.exact_match(rows, scores).double().numpy(), groups),
    }
    if per_node:
        references = [text.split(",") for text in dataset["completion"]]
        if len(set(map(len, references))) > 1:
            raise ValueError("numbers per node need completions of one number of nodes; pass per_node=False")
        written = inference.write_paths(rows, scores, references)
        results["token_accuracy"] = summarise(token_accuracy(written, references), groups)
        forced = None
        if decoding.shows_true_tokens:
            node_of_token = node_of_each_token(tokenizer, dataset["completion"], correct_tokens.shape[1])
            forced = correct_nodes(correct_tokens, node_of_token)
        results["forced_token_accuracy"] = None if forced is None else summarise(forced, groups)
        if task is not None:
            hard = hard_token_accuracy(written, references, task.hard_node)
            results["hard_token_accuracy"] = summarise(hard, groups)
            forced_hard = None if forced is None else summarise(forced[:, task.hard_node], groups)
            results["forced_hard_token_accuracy"] = forced_hard
    return results


def evaluate_all(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    decoding: Decoding,
    task: Task | None,
    datasets: Mapping[str, Dataset],
    batch_size: int,
    progress: bool,
    shared: bool = False,
) -> dict[str, Estimate | None]:
    """Evaluate a model on several datasets: the numbers of a run.

    Args:
        task (`Task`, *optional*): without one there are no numbers per node.
        datasets (mapping): what the names of the results begin with, such as `train_` -> rows.
        progress (`bool`): show a progress bar.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, as `evaluate` does.

    Returns:
        `dict` from names to `Estimate`s; see [`hf_nextfail.evaluate`].
    """
    results: dict[str, Estimate | None] = {}
    for prefix, dataset in datasets.items():
        description = f"Evaluating {prefix.replace('_', ' ')}rows" if progress else None
        per_node = task is not None
        measured = evaluate(model, dataset, decoding, tokenizer, task, batch_size, per_node, description, shared)
        results |= {prefix + name: result for name, result in measured.items()}
    return results
