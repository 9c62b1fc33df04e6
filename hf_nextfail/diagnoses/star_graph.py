"""Why a model fails on star graphs: which token it cannot decipher, and what it does instead of planning."""

import itertools
from typing import Any

import numpy as np
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.graph_groups import graph_hashes
from hf_nextfail.data.rows import Rows
from hf_nextfail.diagnoses.star_graph_verdict import verdict
from hf_nextfail.evaluation.inference import Inference, Scores
from hf_nextfail.evaluation.nodes import correct_nodes, node_of_each_token
from hf_nextfail.metrics import KINDS, path_kind, token_accuracy, valid_path
from hf_nextfail.metrics.standard_error import summarise
from hf_nextfail.objectives import OBJECTIVES, Objective
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph import arms_of

#: The rows that are diagnosed unless somebody says otherwise: the first ones.
NUM_DIAGNOSED = 2_000

NUM_EXAMPLES = 3  # of each kind of error
NUM_BINS = 10  # of a calibration curve
COUNTERFACTUAL = ("counterfactual_accuracy", "counterfactual_end_accuracy")
AFTER_FIRST_STEP = ("accuracy_given_first_step", "clever_hans_accuracy", *COUNTERFACTUAL)
COLUMNS = ("prompt", "completion", "edges", "path", "start", "goal")


def read_graphs(dataset: Dataset) -> tuple[StarGraph, list[list[list[str]]]]:
    """Read the graphs of a dataset, and what task they are of.

    Returns:
        The task, and for each row all arms as texts in the direction in which its paths are written, the right one
        first.

    Raises:
        ValueError: if a column is missing, or rows are no star graphs of one shape and direction.
    """
    if missing := [name for name in COLUMNS if name not in dataset.column_names]:
        raise ValueError(f"a diagnosis needs the edges of star graphs; the dataset has no column {missing[0]}")
    graphs, shapes, largest = [], set(), 0
    for row in dataset.select_columns(COLUMNS):
        arms = sorted(arms_of(row["edges"], row["start"]), key=lambda arm: arm[-1] != row["goal"])
        written = [int(node) for node in row["completion"].split(",")]
        if arms[0] != row["path"] or written not in (arms[0], arms[0][::-1]):
            raise ValueError(f"the path of {row['prompt']!r} is {arms[0]}, but the row says {row['completion']!r}")
        reverse = written != arms[0]
        shapes.add((len(arms), len(arms[0]), reverse))
        largest = max(largest, *itertools.chain(*arms))
        graphs.append([list(map(str, arm[::-1] if reverse else arm)) for arm in arms])
    if len(shapes) > 1:
        first, second, *_ = (f"G({d},{n})" + " reversed" * reverse for d, n, reverse in sorted(shapes))
        raise ValueError(f"a diagnosis needs graphs of one shape and direction, got {first} and {second}")
    degree, path_length, reverse = shapes.pop()
    return StarGraph(degree=degree, path_length=path_length, num_nodes=largest + 1, reverse=reverse), graphs


class Arms:
    """Scores of every arm of every graph, entered at a place of the true path.

    Args:
        inference (`Inference`): the model.
        rows (`Rows`): the true paths.
        graphs: of `read_graphs`.
        place (`int`): the first node of a completion that is of the other arm; those before it are of the true path.
    """

    def __init__(self, inference: Inference, rows: Rows, graphs: list[list[list[str]]], place: int, what: str):
        self.scores: list[Scores] = []
        self.nodes: list[np.ndarray] = []
        for number in range(1, len(graphs[0])):
            texts = [",".join(arms[0][:place] + arms[number][place:]) for arms in graphs]
            other = rows.with_completions(texts, inference.tokenizer)
            self.scores.append(inference.score(other, f"{what} {number}"))
            self.nodes.append(node_of_each_token(inference.tokenizer, texts, other.completion_ids.shape[1]))

    def mean_right(self, first: int, last: int) -> np.ndarray:
        """Say for each row in how many of its arms the nodes from `first` to `last` are all right: `(n,)`."""
        right = [right_nodes(*arm, first, last) for arm in zip(self.scores, self.nodes, strict=True)]
        return np.mean(right, axis=0) if right else np.zeros(0)


def probability_of_node(scores: Scores, node_of_token: np.ndarray, node: int) -> np.ndarray:
    """Multiply the probabilities of a node's tokens: `(n,)`.

    Where the separator is no token of its own but the beginning of the next one, 1 counts what 12 has as well.
    """
    return np.exp(np.where(node_of_token == node, scores.log_probs.numpy(), 0).sum(axis=1))


def right_nodes(scores: Scores, node_of_token: np.ndarray, first: int, last: int) -> np.ndarray:
    """Say for each row whether the nodes from `first` to `last` are all right: `(n,)` of 1.0 or 0.0."""
    elsewhere = (node_of_token < first) | (node_of_token > last)
    return (scores.correct.numpy() | elsewhere).all(axis=1).astype(np.float64)


def product_of_means(values: np.ndarray) -> np.ndarray:
    """Give each row its share in the product of column means: averaged they are it, with its standard error.

    The product is linearised at the means (the delta method).

    Args:
        values (`np.ndarray` `(n, L)`): one row a graph.

    Returns:
        `np.ndarray` of `float64`, shape `(n,)`.
    """
    means = values.mean(axis=0)
    others = np.array([np.delete(means, i).prod() for i in range(len(means))])
    return means.prod() + (values - means) @ others


def absent_numbers(task: StarGraph, objective: Objective) -> dict[str, str]:
    """Say which numbers do not exist for a task and a training, and why."""
    absent = {}
    in_prompt = "not identifiable: the one later node stands in the prompt"
    if task.path_length == 3:
        absent |= {"clever_hans_accuracy": in_prompt, "counterfactual_accuracy": in_prompt}
    if task.reverse:
        absent["counterfactual_end_accuracy"] = "all arms lead to the start, which stands in the prompt"
    if task.path_length == 2:
        absent |= dict.fromkeys(AFTER_FIRST_STEP, "paths of 2 nodes end with the first step")
    if task.degree == 1:
        absent |= dict.fromkeys(COUNTERFACTUAL, "there is no wrong arm")
    if not objective.teacher_forced:
        for name in ("forced_token_accuracy", "independent_errors_accuracy", *AFTER_FIRST_STEP):
            absent[name] = f"a {objective.name} model is not shown the true previous nodes"
    return absent


def calibration(confidence: np.ndarray, right: np.ndarray, groups: np.ndarray | None) -> list[dict[str, Any]]:
    """Compare confidence with accuracy in bins of equal width: `from`, `to`, and `Result`s of both, no empty bins."""
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "from": number / NUM_BINS,
            "to": (number + 1) / NUM_BINS,
            "confidence": summarise(confidence[inside], groups if groups is None else groups[inside]),
            "accuracy": summarise(right[inside], groups if groups is None else groups[inside]),
        }
        for number in range(NUM_BINS)
        if (inside := bins == number).any()
    ]


def diagnose(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    objective: Objective | str | None = None,
    batch_size: int = 256,
    description: str | None = None,
    shared: bool = False,
) -> dict[str, Any]:
    """Find out why a model fails on star graphs, or that it does not.

    Every arm of every graph is shown to the model, the true one and the wrong ones, so the cost is about `degree`
    passes over the rows (twice as many on reversed paths), and the decoding of those that are not right.

    Args:
        model (`nn.Module`): a causal LM, run in the precision of its forward.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        dataset (`Dataset`): star graphs of one shape, with the columns of `load_dataset("nextfail/star_graph")` or of
            `load_paper_file`; reversed paths are recognised.
        objective (`Objective` or `str`, *optional*): how the model was trained; by default what its generation config
            says, and `"teacher_forced"` for models that are not ours.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        description (`str`, *optional*): show progress bars under this name.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, as `evaluate` does.

    Returns:
        `dict`, ready for JSON:

        - `task`: `degree`, `path_length`, `reverse`, `hard_node`, and `objective`.
        - `numbers`: name -> `{value, standard_error, n, num_graphs}` (lists where there is one a node), or `None`
          where the number does not exist. What they mean, and what to expect of them: `hf_nextfail.diagnoses.star_graph_numbers`.
        - `absent`: name -> why a number does not exist.
        - `calibration`: of the hard token; bins of `from`, `to`, `confidence` and `accuracy`.
        - `errors`: kind of path (see `hf_nextfail.metrics.path_kind`) -> its share of the rows, as a number.
        - `examples`: kind -> the first rows of it: `prompt`, `completion`, `written`.
        - `drawing`: one row with its `edges`, `path`, `start`, `goal`, the nodes `written`, and `probabilities` of the
          start's neighbours at the hard token; the first row that is wrong, if there is one.
        - `verdict`: all this in a few words.

    Raises:
        ValueError: if the dataset is empty, or holds no star graphs of one shape, or there is no such
            objective, or the tokenizer is a slow one.

    Example:

    ```python
    from datasets import load_dataset
    from hf_nextfail import diagnose, load_tokenizer
    from transformers import AutoModelForCausalLM

    name = "runs/star_graph/teacher_forced/smoke"
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20", split="test").select(range(1000))
    diagnosis = diagnose(AutoModelForCausalLM.from_pretrained(name), load_tokenizer(name), rows)
    print(diagnosis["verdict"])
    ```
    """
    if objective is None:
        objective = getattr(model.generation_config, "objective", "teacher_forced")
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise ValueError(f"objective must be {' or '.join(OBJECTIVES)}, got {objective!r}")
        objective = OBJECTIVES[objective](tokenizer)
    rows = Rows.of(dataset, tokenizer)
    task, graphs = read_graphs(dataset)
    groups = graph_hashes(dataset)
    inference = Inference(model, objective, tokenizer, batch_size, description, shared)

    scores = inference.score(rows)
    nodes = node_of_each_token(tokenizer, dataset["completion"], rows.completion_ids.shape[1])
    references = [arms[0] for arms in graphs]
    written = inference.write_paths(rows, scores, references)
    forced = correct_nodes(scores.correct.numpy(), nodes)
    tokens = token_accuracy(written, references)
    kinds = np.array([path_kind(path, arms, arms[0]) for path, arms in zip(written, graphs, strict=True)])

    neighbours = Arms(inference, rows, graphs, task.hard_node, "wrong arm")
    entered = neighbours
    if objective.teacher_forced and task.hard_node != 1:
        entered = Arms(inference, rows, graphs, 1, "entering wrong arm")
    candidates = np.stack(  # (n, degree), the right one first
        [
            probability_of_node(one, its_nodes, task.hard_node)
            for one, its_nodes in zip([scores, *neighbours.scores], [nodes, *neighbours.nodes], strict=True)
        ],
        axis=1,
    )
    confidence = candidates.max(axis=1)
    likeliest = candidates == confidence[:, None]
    right = likeliest[:, 0] / likeliest.sum(axis=1)  # among equals it is a draw

    end = task.path_length - 1
    given = right_nodes(scores, nodes, 2, end)
    values: dict[str, np.ndarray] = {
        "accuracy": scores.correct.all(dim=1).double().numpy(),
        "hard_token_accuracy": tokens[:, task.hard_node],
        "token_accuracy": tokens,
        "forced_token_accuracy": forced,
        "independent_errors_accuracy": product_of_means(forced),
        "accuracy_given_first_step": given,
        "clever_hans_accuracy": given,
        "counterfactual_accuracy": entered.mean_right(2, end - 1),
        "counterfactual_end_accuracy": entered.mean_right(end, end),
        "hard_token_mass": candidates.sum(axis=1),
        "hard_token_confidence": confidence,
        "hard_token_overconfidence": confidence - right,
        "valid_path_rate": valid_path(kinds),
    }
    absent = absent_numbers(task, objective)
    numbers = {name: None if name in absent else summarise(number, groups) for name, number in values.items()}
    shown = next((row for row, kind in enumerate(kinds) if kind != KINDS[0]), 0)
    diagnosis = {
        "task": {
            "degree": task.degree,
            "path_length": task.path_length,
            "reverse": task.reverse,
            "hard_node": task.hard_node,
            "objective": objective.name,
        },
        "numbers": numbers,
        "absent": absent,
        "calibration": calibration(confidence, right, groups),
        "errors": {kind: summarise((kinds == kind).astype(np.float64), groups) for kind in KINDS},
        "examples": {
            kind: [
                {name: dataset[row][name] for name in ("prompt", "completion")} | {"written": ",".join(written[row])}
                for row in np.nonzero(kinds == kind)[0][:NUM_EXAMPLES].tolist()
            ]
            for kind in KINDS[1:]
            if (kinds == kind).any()
        },
        "drawing": {name: dataset[shown][name] for name in COLUMNS[2:]}
        | {
            "written": written[shown],
            "probabilities": {
                arm[task.hard_node]: probability
                for arm, probability in zip(graphs[shown], candidates[shown].tolist(), strict=True)
            },
        },
    }
    return diagnosis | {"verdict": verdict(diagnosis)}
