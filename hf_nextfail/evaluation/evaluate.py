"""A model and datasets to numbers."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.problem_keys import problem_keys
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import in_plain_python
from hf_nextfail.decoding import Decoding, find_decoding
from hf_nextfail.evaluation.creativity import Sampling, measure_creativity
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.evaluation.parts import first_hard_places, has_parts, part_of_each_token, part_texts
from hf_nextfail.evaluation.verify import measured, verified
from hf_nextfail.metrics import correct_nodes, token_accuracy
from hf_nextfail.metrics.standard_error import Estimate, summarise
from hf_nextfail.models.checks import check_fits
from hf_nextfail.tasks import Task

logger = logging.getLogger(__name__)

#: The training rows that `train_*` numbers are taken on: the first ones, the same for every run on the dataset, and no
#: more than there are test rows.
NUM_TRAIN_SAMPLE = 10_000


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    decoding: Decoding | str | None,
    tokenizer: PreTrainedTokenizerBase,
    task: Task | None = None,
    batch_size: int = 256,
    per_part: bool = True,
    description: str | None = None,
    shared: bool = False,
) -> dict[str, Estimate | None]:
    """Measure how well a model completes prompts.

    Greedy free-running output is exactly right if and only if every most likely token given the *true* previous ones
    is right, so `accuracy` costs one pass and no decoding. Only the rows that are not exactly right are decoded, to
    learn where; or, where a prompt has many right answers, to ask the verifier of the task. Of a decoding
    in several steps, such as `unmasking`, one pass does not tell the output: every row is decoded.

    Args:
        model (`nn.Module`): a causal LM, evaluated in the precision of its forward (a model that accelerate prepared
            for bf16 runs under autocast, the same model saved and loaded in that of its weights).
        dataset (`Dataset`): has `prompt` and `completion`. Standard errors are taken over the problems of the task, or
            over the graphs of `edges`.
        decoding (`Decoding` or `str`, *optional*): how the model writes; by default what its generation config
            says, and `"autoregressive"` for models that are not ours.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        task (`Task`, *optional*): what the rows are of: says what is right, what the parts of an answer are, and which
            is the hard one. Without it, right is the completion itself, and there are no numbers per part.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        per_part (`bool`, *optional*, defaults to `True`): also compute the numbers per part, such as nodes, and the
            measures of the task, which need decoding.
        description (`str`, *optional*): log that it begins, and show a progress bar, under this name.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among the processes that accelerate knows.
            Each has the whole model, and each must call this; all get the same numbers.

    Returns:
        `dict` from names to `Estimate`s:

        - `loss`: cross-entropy per completion, in nats per token, of what one pass says of it: for a decoding that
          shows no true token, given the prompt alone; `None` for one of which no pass says anything, `inserting`.
        - `accuracy`: the whole answer, free-running (end token included where there is one).
        - `token_accuracy`: per part, such as a node, free-running; it and those below for tasks with parts. `None`
          where answers have several lengths: a place then means something else in each.
        - `hard_token_accuracy`: the first part that needs planning, free-running, over the rows that have one; of the
          star graph the node next to the start.
        - `forced_token_accuracy`, `forced_hard_token_accuracy`: the same with the true previous tokens shown; `None`
          for a decoding that shows none. (`accuracy` under forcing is `accuracy`, as said above.)
        - the `measures` of the task, such as `valid_equations` of `countdown`.

    Raises:
        ValueError: if the dataset is empty, a stream, has an empty row, one that the model has no positions or
            embeddings for, or one that goes on behind its end token; there is no such decoding; or the verifier of
            the task fails.
    """
    rows = RowStore.of(dataset, tokenizer)
    dataset = in_plain_python(dataset)
    if task is not None and "completion" not in dataset.column_names:
        raise ValueError(f"the dataset has no column completion, whose texts are what {task.name} scores")
    groups = problem_keys(dataset, task)
    decoding = find_decoding(decoding, model, tokenizer)
    check_fits(model, rows.longest, max(rows.largest_id, getattr(decoding, "dummy_token_id", 0)))
    inference = Inference(model, decoding, tokenizer, batch_size, description, shared)
    if description is not None:
        logger.info("%s: %s.", description, f"{len(rows):,}")
    scores = inference.score(rows)
    completions, written = None if task is None else dataset["completion"][:], None
    if task is None or (task.answers_are_unique and decoding.one_pass_exact):
        right = inference.exact_match(rows, scores).double().numpy()
    else:
        written = inference.write_texts(rows, scores, completions)
        right = np.array([verified(task, text, row) for text, row in zip(written, dataset, strict=True)])
    results: dict[str, Estimate | None] = {
        "loss": None,
        "accuracy": summarise(right, groups),
    }
    if scores is not None:
        results["loss"] = summarise((-scores.log_probs.sum(dim=1) / rows.lengths[:, 1]).numpy(), groups)
    if task is not None and per_part and has_parts(task, completions):
        written = written or inference.write_texts(rows, scores, completions)
        answers, references = ([part_texts(task, text) for text in texts] for texts in (written, completions))
        forced = None
        if decoding.shows_true_tokens:
            part_of_token = part_of_each_token(tokenizer, completions, scores.correct.shape[1], task)
            forced = correct_nodes(scores.correct.numpy(), part_of_token)
        results |= of_parts(answers, references, forced, first_hard_places(task, dataset), groups)
    if task is not None and per_part and measured(task, completions[0], dataset[0]):
        written = written or inference.write_texts(rows, scores, completions)
        results |= of_measures(task, written, dataset, groups)
    return results


def of_measures(
    task: Task, written: Sequence[str], dataset: Dataset, groups: np.ndarray | None
) -> dict[str, Estimate]:
    """Average what a task counts of each text beside its score."""
    counted = [measured(task, text, row) for text, row in zip(written, dataset, strict=True)]
    return {name: summarise(np.array([numbers[name] for numbers in counted]), groups) for name in counted[0]}


def of_parts(
    answers: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    forced: np.ndarray | None,
    hard: np.ndarray,
    groups: np.ndarray | None,
) -> dict[str, Estimate | None]:
    """Measure each part of the answers, if all have as many, and the hard one of those that have one.

    Args:
        answers, references (sequences of lists of `str`): the parts that were written, and the right ones.
        forced (`np.ndarray` `(n, L)`, *optional*): whether each is right after the true ones; `None` if none is shown.
        hard (`np.ndarray` `(n,)`): the index of the hard one; -1 where a row has none.
        groups (`np.ndarray` `(n,)`, *optional*): equal entries mark rows about one problem.
    """
    kinds = {"": token_accuracy(answers, references), "forced_": forced}
    results: dict[str, Estimate | None] = {}
    lengths = np.array(list(map(len, references)))
    fixed_length = len(set(lengths)) == 1
    for prefix, right in kinds.items():
        measured = right is not None and fixed_length
        results[f"{prefix}token_accuracy"] = summarise(right, groups) if measured else None
    rows = np.flatnonzero((hard >= 0) & (hard < lengths))
    for prefix, right in kinds.items() if len(rows) else ():
        of_rows = groups if groups is None else groups[rows]
        measured = None if right is None else summarise(right[rows, hard[rows]], of_rows)
        results[f"{prefix}hard_token_accuracy"] = measured
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
    sampling: Sampling | None = None,
    trained: TaskConfig | None = None,
) -> dict[str, Estimate | None]:
    """Evaluate a model on several datasets: the numbers of a run.

    Args:
        task (`Task`, *optional*): what the rows are of, as in `evaluate`.
        datasets (mapping): what the names of the results begin with, such as `train_` -> rows.
        progress (`bool`): show a progress bar.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, as `evaluate` does.
        sampling (`Sampling`, *optional*): of a creative task, how outputs are drawn; `None` for others.
        trained (`TaskConfig`, *optional*): of a creative task, the rows that the model was trained on.

    Returns:
        `dict` from names to `Estimate`s; see [`hf_nextfail.evaluate`] and [`measure_creativity`].
    """
    results: dict[str, Estimate | None] = {}
    for prefix, dataset in datasets.items():
        description = f"Evaluating {prefix.replace('_', ' ')}rows" if progress else None
        numbers = evaluate(model, dataset, decoding, tokenizer, task, batch_size, True, description, shared)
        results |= {prefix + name: result for name, result in numbers.items()}
    if sampling is not None:
        description = "Drawing outputs" if progress else None
        subject = (model, datasets[""], decoding, tokenizer, task)
        results |= measure_creativity(*subject, trained, sampling, batch_size, description, shared)
    return results
