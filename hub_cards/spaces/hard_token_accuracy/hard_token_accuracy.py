"""Accuracy on the one node that needs planning, for `evaluate.load("nextfail/hard_token_accuracy")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
How many paths through star graphs are right at the node next to the start, the one that needs planning. A path is a
text of labels joined by commas, such as "17,13,11", or a list of labels.
"""

_INPUTS = """
Args:
    predictions (list of str, or list of list of int): what a model wrote, of any length.
    references (list of str, or list of list of int): the right paths, each of at least 2 nodes.
    reverse (bool, optional, defaults to False): whether paths are written from the goal to the start.
Returns:
    hard_token_accuracy (float): the share of paths whose node next to the start is right. On star graphs of d arms
        guessing gives 1/d; reversed paths leave nothing to guess.
    hard_token_accuracy_standard_error (float): of that share, over rows.
Examples:
    >>> metric = evaluate.load("nextfail/hard_token_accuracy")
    >>> metric.compute(predictions=["3,1,2", "3,5,2"], references=["3,1,2", "3,1,2"])
    {'hard_token_accuracy': 0.5, 'hard_token_accuracy_standard_error': 0.35355339059327373}
"""

_CITATION = """
@inproceedings{bachmann2024pitfalls,
  title={The Pitfalls of Next-Token Prediction},
  author={Gregor Bachmann and Vaishnavh Nagarajan},
  booktitle={International Conference on Machine Learning},
  year={2024}
}
"""


def nodes_of(path):
    """Split a path into its labels, as texts."""
    return [label.strip() for label in path.split(",")] if isinstance(path, str) else [str(label) for label in path]


def mean_and_standard_error(values):
    """Average over rows, and say how far that may be off."""
    values = np.array(values, dtype=np.float64)
    return float(values.mean()), float(np.sqrt(((values - values.mean()) ** 2).sum()) / len(values))


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class HardTokenAccuracy(evaluate.Metric):
    """Accuracy on the node next to the start."""

    def _info(self):
        texts = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        numbers = {name: datasets.Sequence(datasets.Value("int64")) for name in texts}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[datasets.Features(texts), datasets.Features(numbers)],
            reference_urls=["https://arxiv.org/abs/2403.06963"],
        )

    def _compute(self, predictions, references, prompts=None, reverse=False):
        # `evaluate.combine` hands every metric the same: prompts are for another.
        right = []
        for prediction, reference in zip(map(nodes_of, predictions), map(nodes_of, references), strict=True):
            if len(reference) < 2:
                raise ValueError(f"hard_token_accuracy needs references of at least 2 nodes, got {reference}")
            place = len(reference) - 2 if reverse else 1
            right.append(prediction[place : place + 1] == [reference[place]])
        mean, error = mean_and_standard_error(right)
        return {"hard_token_accuracy": mean, "hard_token_accuracy_standard_error": error}
