import numpy as np
import pytest

from hf_nextfail.metrics import hard_token_accuracy, path_accuracy, token_accuracy

REFERENCE = [3, 1, 2]
# Predictions for REFERENCE, with what is right about each: the whole path, and each of its three nodes.
PREDICTIONS = [
    ([3, 1, 2], 1.0, [1.0, 1.0, 1.0]),
    ([3, 5, 2], 0.0, [1.0, 0.0, 1.0]),
    ([2, 1, 3], 0.0, [0.0, 1.0, 0.0]),
    ([3, 1], 0.0, [1.0, 1.0, 0.0]),
    ([3, 1, 2, 2], 0.0, [1.0, 1.0, 1.0]),
    ([1, 2], 0.0, [0.0, 0.0, 0.0]),
    ([], 0.0, [0.0, 0.0, 0.0]),
]
PREDICTED = [prediction for prediction, _, _ in PREDICTIONS]
REFERENCES = [REFERENCE] * len(PREDICTIONS)


def test_path_accuracy_needs_every_node_in_order_and_nothing_else():
    right = path_accuracy(PREDICTED, REFERENCES)
    assert right.dtype == np.float64
    assert right.tolist() == [whole for _, whole, _ in PREDICTIONS]


def test_token_accuracy_counts_what_was_not_written_as_wrong():
    right = token_accuracy(PREDICTED, REFERENCES)
    assert right.dtype == np.float64
    assert right.tolist() == [nodes for _, _, nodes in PREDICTIONS]


@pytest.mark.parametrize("position", range(3))
def test_hard_token_accuracy_is_one_column_of_token_accuracy(position):
    right = hard_token_accuracy(PREDICTED, REFERENCES, position)
    assert right.tolist() == [nodes[position] for _, _, nodes in PREDICTIONS]


def test_each_row_is_compared_with_its_own_reference():
    predictions, references = [[3, 1, 2], [3, 1, 2], [7, 8, 9]], [[3, 1, 2], [7, 8, 9], [7, 8, 9]]
    assert path_accuracy(predictions, references).tolist() == [1.0, 0.0, 1.0]
    assert token_accuracy(predictions, references).mean(axis=1).tolist() == [1.0, 0.0, 1.0]
    assert hard_token_accuracy(predictions, references, position=1).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("convert", [list, tuple, np.array, lambda path: [str(node) for node in path]])
def test_paths_may_be_any_sequence(convert):
    predictions, references = (
        [convert(path) for path in paths] for paths in ([[3, 1, 2], [3, 5, 2]], [[3, 1, 2]] * 2)
    )
    assert path_accuracy(predictions, references).tolist() == [1.0, 0.0]
    assert token_accuracy(predictions, references).tolist() == [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]


def test_no_rows_give_no_numbers():
    assert path_accuracy([], []).shape == (0,)
    assert len(token_accuracy([], [])) == 0
    assert hard_token_accuracy([], [], 1).shape == (0,)


@pytest.mark.parametrize(
    "metric",
    [path_accuracy, token_accuracy, lambda predictions, references: hard_token_accuracy(predictions, references, 1)],
)
@pytest.mark.parametrize("num_predictions", [0, 1, 3])
def test_as_many_predictions_as_references_are_needed(metric, num_predictions):
    with pytest.raises(ValueError, match="zip"):
        metric([REFERENCE] * num_predictions, [REFERENCE] * 2)
