"""A model and a dataset to numbers."""

from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.graph_groups import graph_hashes
from hf_nextfail.data.rows import Rows
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.evaluation.nodes import correct_nodes, node_of_each_token
from hf_nextfail.metrics import hard_token_accuracy, token_accuracy
from hf_nextfail.metrics.standard_error import Result, summarise
from hf_nextfail.objectives import Objective
from hf_nextfail.tasks import Task


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
    rows = Rows.of(dataset, tokenizer)
    groups = graph_hashes(dataset)
    inference = Inference(model, objective, tokenizer, batch_size, description, shared)
    scores = inference.score(rows)
    correct_tokens = scores.correct.numpy()
    results: dict[str, Result | None] = {
        "loss": summarise((-scores.log_probs.sum(dim=1) / rows.lengths[:, 1]).numpy(), groups),
        "accuracy": summarise(correct_tokens.all(axis=1).astype(float), groups),
    }
    if per_node:
        references = [text.split(",") for text in dataset["completion"]]
        if len(set(map(len, references))) > 1:
            raise ValueError("numbers per node need completions of one number of nodes; pass per_node=False")
        written = inference.write_paths(rows, scores, references)
        results["token_accuracy"] = summarise(token_accuracy(written, references), groups)
        forced = None
        if objective.teacher_forced:
            node_of_token = node_of_each_token(tokenizer, dataset["completion"], correct_tokens.shape[1])
            forced = correct_nodes(correct_tokens, node_of_token)
        results["forced_token_accuracy"] = None if forced is None else summarise(forced, groups)
        if task is not None:
            hard = hard_token_accuracy(written, references, task.hard_node)
            results["hard_token_accuracy"] = summarise(hard, groups)
            forced_hard = None if forced is None else summarise(forced[:, task.hard_node], groups)
            results["forced_hard_token_accuracy"] = forced_hard
    return results
