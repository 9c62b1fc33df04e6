"""How many paths are arms of their graph, for `evaluate.load("nextfail/valid_path_rate")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
How many paths through star graphs are an arm of their graph, the right one or not, and what is wrong with the others.
A path is a text of labels joined by commas, such as "17,13,11", or a list of labels.
"""

_INPUTS = """
Args:
    predictions (list of str, or list of list of int): what a model wrote, of any length.
    references (list of str, or list of list of int): the right paths.
    prompts (list of str): the graphs, such as "17,13|13,11|17,7|7,8/17,11=".
    reverse (bool, optional, defaults to False): whether paths are written from the goal to the start.
Returns:
    valid_path_rate (float): the share of paths that are an arm of their graph from end to end.
    valid_path_rate_standard_error (float): of that share, over rows.
    path_kinds (dict from str to float): the share of each kind of path: "right arm", "wrong arm", "wrong arm
        to the goal" (with the goal as its end), "jump" (other different nodes of the graph, but no edge leads from one
        to the next), "repeated node", "not a node" (of this graph) and "wrong length".
Examples:
    >>> metric = evaluate.load("nextfail/valid_path_rate")
    >>> metric.compute(predictions=["3,1,2", "3,5,2"], references=["3,1,2", "3,1,2"], prompts=["3,1|3,5|1,2|5,4/3,2="] * 2)
    {'valid_path_rate': 0.5, 'valid_path_rate_standard_error': 0.35355339059327373,
     'path_kinds': {'right arm': 0.5, 'wrong arm': 0.0, 'wrong arm to the goal': 0.5, 'jump': 0.0, 'repeated node': 0.0,
                    'not a node': 0.0, 'wrong length': 0.0}}
"""  # noqa: E501

_CITATION = """
@inproceedings{bachmann2024pitfalls,
  title={The Pitfalls of Next-Token Prediction},
  author={Gregor Bachmann and Vaishnavh Nagarajan},
  booktitle={International Conference on Machine Learning},
  year={2024}
}
"""

KINDS = ("right arm", "wrong arm", "wrong arm to the goal", "jump", "repeated node", "not a node", "wrong length")


def nodes_of(path):
    """Split a path into its labels, as texts."""
    return [label.strip() for label in path.split(",")] if isinstance(path, str) else [str(label) for label in path]


def mean_and_standard_error(values):
    """Average over rows, and say how far that may be off."""
    values = np.array(values, dtype=np.float64)
    return float(values.mean()), float(np.sqrt(((values - values.mean()) ** 2).sum()) / len(values))


def read_arms(prompt):
    """Read the arms of a star graph from its start, and the goal."""
    problem = prompt.strip().removesuffix("=")
    try:
        edges, query = problem.split("/")
        start, goal = nodes_of(query)
        pairs = [(source, target) for source, target in map(nodes_of, edges.split("|"))]
    except ValueError:
        raise ValueError(f"the prompt {prompt!r} is not of the form 'a,b|c,d|.../start,goal='") from None
    once = len({target for _, target in pairs} - {start}) == len(pairs)  # then no walk comes back to where it was
    after = {source: target for source, target in pairs if source != start}
    arms = [[start, target] for source, target in pairs if source == start]
    for arm in arms:
        while once and arm[-1] in after:
            arm.append(after[arm[-1]])
    if not once or sum(len(arm) - 1 for arm in arms) != len(pairs):
        raise ValueError(f"the edges of the prompt {prompt!r} are not the arms of one star graph")
    return arms, goal


def kind_of(prediction, arms, reference):
    """Name what a written path is, one of `KINDS`."""
    if len(prediction) != len(reference):
        return "wrong length"
    if not {node for arm in arms for node in arm}.issuperset(prediction):
        return "not a node"
    if len(set(prediction)) < len(prediction):
        return "repeated node"
    if prediction == reference:
        return "right arm"
    if prediction in arms:
        return "wrong arm"
    to_goal = any(prediction in ([*arm[:-1], reference[-1]], [reference[0], *arm[1:]]) for arm in arms)
    return "wrong arm to the goal" if to_goal else "jump"


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ValidPathRate(evaluate.Metric):
    """Share of paths that are an arm of their graph."""

    def _info(self):
        prompts = {"prompts": datasets.Value("string")}
        texts = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        numbers = {name: datasets.Sequence(datasets.Value("int64")) for name in texts}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[datasets.Features(texts | prompts), datasets.Features(numbers | prompts)],
            reference_urls=["https://arxiv.org/abs/2403.06963"],
        )

    def _compute(self, predictions, references, prompts, reverse=False):
        kinds = []
        rows = zip(map(nodes_of, predictions), map(nodes_of, references), prompts, strict=True)
        for prediction, reference, prompt in rows:
            arms, goal = read_arms(prompt)
            right = next((arm for arm in arms if arm[-1] == goal), None)
            # With references of the other direction every path would count as an invalid one.
            if reference != (right[::-1] if reverse and right else right):
                hint = f"; it is with reverse={not reverse}" if right in (reference, reference[::-1]) else ""
                raise ValueError(f"the reference {','.join(reference)} is not the right path for {prompt!r}{hint}")
            kinds.append(kind_of(prediction, [arm[::-1] for arm in arms] if reverse else arms, reference))
        mean, error = mean_and_standard_error([kind in KINDS[:2] for kind in kinds])
        return {
            "valid_path_rate": mean,
            "valid_path_rate_standard_error": error,
            "path_kinds": {kind: kinds.count(kind) / len(kinds) for kind in KINDS},
        }
