import ast

import numpy as np
import pytest

from hf_nextfail.metrics import hard_token_accuracy, mean_and_standard_error, path_accuracy, token_accuracy
from hf_nextfail.shipped import shipped_folder

FOLDER = shipped_folder("hub_cards") / "spaces" / "path_accuracy"


@pytest.fixture(scope="module")
def metric():
    evaluate = pytest.importorskip("evaluate")  # takes seconds
    return evaluate.load(str(FOLDER))


def random_paths(rows=200, length=4, num_nodes=5):
    """Paths, and what a model may have written: often right, sometimes too long, too short or empty."""
    draw = np.random.default_rng(0)
    references = draw.integers(num_nodes, size=(rows, length)).tolist()
    predictions = [
        [node if draw.random() < 0.8 else int(draw.integers(num_nodes)) for node in path] for path in references
    ]
    for row, change in enumerate(draw.integers(6, size=rows)):
        if change == 0:
            predictions[row] = predictions[row][: draw.integers(length)]
        elif change == 1:
            predictions[row].append(0)
    return predictions, references


PREDICTIONS, REFERENCES = random_paths()


def as_texts(paths):
    return [",".join(map(str, path)) for path in paths]


def expected(hard_node=1):
    whole, error = mean_and_standard_error(path_accuracy(PREDICTIONS, REFERENCES))
    position = hard_node % len(REFERENCES[0])
    return {
        "path_accuracy": pytest.approx(float(whole)),
        "path_accuracy_standard_error": pytest.approx(float(error)),
        "hard_token_accuracy": pytest.approx(hard_token_accuracy(PREDICTIONS, REFERENCES, position).mean()),
        "token_accuracy": pytest.approx(token_accuracy(PREDICTIONS, REFERENCES).mean(axis=0).tolist()),
    }


@pytest.mark.parametrize("form", [as_texts, list])
@pytest.mark.parametrize("hard_node", [0, 1, 3, -1, -2])
def test_it_computes_what_the_package_does(metric, form, hard_node):
    computed = metric.compute(predictions=form(PREDICTIONS), references=form(REFERENCES), hard_node=hard_node)
    assert computed == expected(hard_node)
    assert len({round(float(value), 3) for value in [computed["path_accuracy"], *computed["token_accuracy"]]}) > 2


def test_the_hard_node_is_the_second_unless_said_otherwise(metric):
    assert metric.compute(predictions=PREDICTIONS, references=REFERENCES) == expected(hard_node=1)
    assert expected(1)["hard_token_accuracy"] != expected(-2)["hard_token_accuracy"].expected


@pytest.mark.parametrize("form", [as_texts, list])
def test_it_can_be_given_batches(metric, form):
    for rows in (slice(0, 70), slice(70, 199)):
        metric.add_batch(predictions=form(PREDICTIONS[rows]), references=form(REFERENCES[rows]))
    (prediction,), (reference,) = form(PREDICTIONS[199:]), form(REFERENCES[199:])
    metric.add(prediction=prediction, reference=reference)
    assert metric.compute(hard_node=-2) == expected(hard_node=-2)


def test_spaces_around_labels_and_arrays_are_taken(metric):
    assert metric.compute(predictions=["3, 1 ,2"], references=["3,1,2"])["path_accuracy"] == 1
    array = np.array(REFERENCES)
    assert metric.compute(predictions=array, references=array)["path_accuracy"] == 1


def test_labels_are_compared_as_texts(metric):
    computed = metric.compute(predictions=["1,12", "01,2"], references=["1,12", "1,2"])
    assert computed["path_accuracy"] == 0.5
    assert computed["token_accuracy"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("predictions", "references", "options", "message"),
    [
        (["3", "4"], ["3,1", "4"], {}, "references of one number of nodes"),
        (["3,4"], ["3,4"], {"hard_node": 2}, "hard_node must be from -2 to 1, got 2"),
        (["3,4"], ["3,4"], {"hard_node": -3}, "hard_node must be from -2 to 1, got -3"),
        (["3"], ["3"], {}, "hard_node must be from -1 to 0, got 1"),
        (["3"], ["3", "4"], {}, r"number of predictions \(1\) and references \(2\)"),
    ],
)
def test_bad_input_is_named_and_does_no_harm(metric, predictions, references, options, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references, **options)
    assert metric.compute(predictions=["3,1"], references=["3,1"])["path_accuracy"] == 1


def test_it_says_what_it_is(metric):
    assert metric.name == "path_accuracy"
    assert "right as a whole" in metric.description
    assert "hard_node" in metric.inputs_description
    assert "bachmann2024pitfalls" in metric.citation


def test_it_needs_nothing_that_evaluate_does_not():
    tree = ast.parse((FOLDER / "path_accuracy.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(isinstance(node, ast.Import) for node in imported)
    assert {alias.name for node in imported for alias in node.names} == {"datasets", "evaluate", "numpy"}
