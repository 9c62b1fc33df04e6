"""Exact match of paths, for `evaluate.load("nextfail/path_accuracy")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
How many paths are right as a whole, and node by node. A path is a text of labels joined by commas, such as "17,13,11",
or a list of labels.
"""

_INPUTS = """
Args:
    predictions (list of str, or list of list of int): what a model wrote, of any length.
    references (list of str, or list of list of int): the right paths, all of one number of nodes.
Returns:
    path_accuracy (float): the share of paths that are right as a whole.
    path_accuracy_standard_error (float): of that share, over rows.
    token_accuracy (list of float): the share of paths that are right at each node.
Examples:
    >>> metric = evaluate.load("nextfail/path_accuracy")
    >>> metric.compute(predictions=["3,1,2", "3,5,2"], references=["3,1,2", "3,1,2"])
    {'path_accuracy': 0.5, 'path_accuracy_standard_error': 0.35355339059327373, 'token_accuracy': [1.0, 0.5, 1.0]}
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


def right_nodes(predictions, references):
    """Say for each row and node whether it is right, as a matrix; a node that was not written is wrong."""
    right = np.zeros((len(references), len(references[0])))
    for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        for position, (written, node) in enumerate(zip(prediction, reference, strict=False)):
            right[row, position] = written == node
    return right


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class PathAccuracy(evaluate.Metric):
    """Exact match of paths."""

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
        # `evaluate.combine` hands every metric the same: prompts and reverse are for the others.
        predictions, references = list(map(nodes_of, predictions)), list(map(nodes_of, references))
        if any(len(reference) != len(references[0]) for reference in references):
            raise ValueError("path_accuracy needs references of one number of nodes")
        whole = [written == right for written, right in zip(predictions, references, strict=True)]
        mean, error = mean_and_standard_error(whole)
        return {
            "path_accuracy": mean,
            "path_accuracy_standard_error": error,
            "token_accuracy": right_nodes(predictions, references).mean(axis=0).tolist(),
        }
