import pytest

from hf_nextfail.metrics import wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # The closed form at the ends: n / (n + z^2), and what is left of 1 from there.
    [(3, 3, 3 / (3 + 1.96**2), 1), (0, 3, 0, 1.96**2 / (3 + 1.96**2)), (0, 0, 0, 1), (50, 100, 0.40383, 0.59617)],
)
def test_the_interval_of_a_few_trials(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-5)


def test_a_failure_is_a_success_seen_from_the_other_side():
    for trials in range(6):
        for successes in range(trials + 1):
            low, high = wilson_interval(successes, trials)
            other_low, other_high = wilson_interval(trials - successes, trials)
            assert (low, high) == pytest.approx((1 - other_high, 1 - other_low))
            assert trials == 0 or low <= successes / trials <= high


@pytest.mark.parametrize(("successes", "trials"), [(2, 1), (-1, 3)])
def test_more_successes_than_trials_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes must be from 0 to trials"):
        wilson_interval(successes, trials)
