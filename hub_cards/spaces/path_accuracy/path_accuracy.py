"""Exact match of paths, for `evaluate.load("nextfail/path_accuracy")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
How many paths are right as a whole, node by node, and at the node that needs planning. A path is a text of labels
joined by commas, such as "17,13,11", or a list of labels.
"""

_INPUTS = """
Args:
    predictions (list of str, or list of list of int): what a model wrote, of any length.
    references (list of str, or list of list of int): the right paths, all of one number of nodes.
    hard_node (int, optional, defaults to 1): where the node next to the start stands; from the end when below 0, so
        that reversed paths have -2.
Returns:
    path_accuracy (float): the share of paths that are right as a whole.
    path_accuracy_standard_error (float): of that share, over rows.
    hard_token_accuracy (float): the share of paths whose node at hard_node is right; guessing an arm gives 1/degree.
    token_accuracy (list of float): the same at each node.
Examples:
    >>> metric = evaluate.load("nextfail/path_accuracy")
    >>> metric.compute(predictions=["3,1,2", "3,5,2"], references=["3,1,2", "3,1,2"])
    {'path_accuracy': 0.5, 'path_accuracy_standard_error': 0.35355339059327373, 'hard_token_accuracy': 0.5,
     'token_accuracy': [1.0, 0.5, 1.0]}
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

    def _compute(self, predictions, references, hard_node=1):
        predictions, references = list(map(nodes_of, predictions)), list(map(nodes_of, references))
        length = len(references[0])
        if any(len(reference) != length for reference in references):
            raise ValueError("path_accuracy needs references of one number of nodes")
        if not -length <= hard_node < length:
            raise ValueError(f"hard_node must be from {-length} to {length - 1}, got {hard_node}")
        whole = np.array([p == r for p, r in zip(predictions, references, strict=True)], dtype=np.float64)
        right = right_nodes(predictions, references)
        return {
            "path_accuracy": float(whole.mean()),
            "path_accuracy_standard_error": float(np.sqrt(((whole - whole.mean()) ** 2).sum()) / len(whole)),
            "hard_token_accuracy": float(right[:, hard_node].mean()),
            "token_accuracy": right.mean(axis=0).tolist(),
        }
