import numpy as np
import pytest

from hf_nextfail.metrics import mean_and_standard_error

ACCURACIES = np.random.default_rng(0).integers(0, 2, size=40).astype(float)


def test_plain_error_by_hand():
    # Deviations 1/4, -3/4, 1/4, 1/4: squares 1/16 + 9/16 + 1/16 + 1/16 = 12/16.
    mean, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]))
    assert mean == 0.75
    assert error == pytest.approx(np.sqrt(12 / 16) / 4)


def test_plain_error_of_an_accuracy_is_that_of_a_proportion():
    mean, error = mean_and_standard_error(ACCURACIES)
    assert 0 < mean < 1
    assert error == pytest.approx(np.sqrt(mean * (1 - mean) / len(ACCURACIES)))


def test_clustered_error_by_hand():
    # Deviations 1/4, -3/4, 1/4, 1/4; the last two belong together: squares 1/16 + 9/16 + (2/4)**2 = 14/16.
    mean, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]), groups=np.array([7, 8, 9, 9]))
    assert mean == 0.75
    assert error == pytest.approx(np.sqrt(14 / 16) / 4)


def test_rows_of_a_group_that_disagree_cancel_out():
    _, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 0.0]), groups=np.array([1, 1, 2, 2]))
    assert error == 0


def test_groups_of_one_row_each_give_the_plain_error():
    groups = np.random.default_rng(1).permutation(len(ACCURACIES)) - 7
    assert mean_and_standard_error(ACCURACIES, groups) == pytest.approx(mean_and_standard_error(ACCURACIES))


def test_repeating_every_row_does_not_shrink_the_clustered_error():
    groups = np.arange(len(ACCURACIES))
    mean, error = mean_and_standard_error(ACCURACIES, groups)
    mean_of_copies, error_of_copies = mean_and_standard_error(np.tile(ACCURACIES, 3), np.tile(groups, 3))
    assert mean_of_copies == pytest.approx(mean)
    assert error_of_copies == pytest.approx(error)
    _, plain_error_of_copies = mean_and_standard_error(np.tile(ACCURACIES, 3))
    assert plain_error_of_copies == pytest.approx(error / np.sqrt(3))


def test_order_of_rows_and_names_of_groups_do_not_matter():
    groups = np.random.default_rng(2).integers(0, 9, size=len(ACCURACIES))
    order = np.random.default_rng(3).permutation(len(ACCURACIES))
    expected = mean_and_standard_error(ACCURACIES, groups)
    assert mean_and_standard_error(ACCURACIES[order], groups[order]) == pytest.approx(expected)
    names = np.array([f"graph {group}" for group in groups])
    assert mean_and_standard_error(ACCURACIES, names) == pytest.approx(expected)


@pytest.mark.parametrize("groups", [None, np.array([1, 1, 2, 3, 3])])
def test_columns_are_averaged_apart(groups):
    values = np.random.default_rng(4).random((5, 3))
    mean, error = mean_and_standard_error(values, groups)
    assert mean.shape == error.shape == (3,)
    for column in range(3):
        expected = mean_and_standard_error(values[:, column], groups)
        assert (mean[column], error[column]) == pytest.approx(expected)


@pytest.mark.parametrize(("shape", "expected"), [((0,), ()), ((0, 3), (3,))])
@pytest.mark.parametrize("groups", [None, np.array([])])
def test_no_rows_give_nan(shape, expected, groups):
    for number in mean_and_standard_error(np.zeros(shape), groups):
        assert number.shape == expected
        assert np.isnan(number).all()


def test_integers_and_booleans_are_averaged_as_numbers():
    expected = mean_and_standard_error(ACCURACIES)
    assert mean_and_standard_error(ACCURACIES.astype(bool)) == pytest.approx(expected)
    assert mean_and_standard_error(ACCURACIES.astype(int).tolist()) == pytest.approx(expected)


@pytest.mark.parametrize("num_groups", [1, 3])
def test_a_group_is_needed_for_every_row(num_groups):
    with pytest.raises((ValueError, IndexError)):
        mean_and_standard_error(np.ones(2), groups=np.arange(num_groups))
