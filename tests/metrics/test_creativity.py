import numpy as np
import pytest

from hf_nextfail.metrics import CREATIVITY, creativity

TRAINED = {(0, number) for number in range(50)}


def values(numbers):
    return {name: number and number["value"] for name, number in numbers.items()}


@pytest.mark.parametrize(
    ("forms", "creative", "coherent", "new", "different"),
    [
        ([(0, number) for number in range(40)], 0, 1, 0, None),  # an oracle that writes training rows
        ([(1, 1)] * 40, 1 / 40, 1, 1, 1 / 40),  # one that repeats a new output
        ([(1, number) for number in range(40)], 1, 1, 1, 1),
        ([None] * 40, 0, 0, None, None),
        ([None] * 10 + [(0, 1)] * 10 + [(1, 1)] * 10 + [(1, 2)] * 10, 2 / 40, 3 / 4, 2 / 3, 2 / 20),
        ([(1, 1)], 1, 1, 1, 1),
    ],
)
def test_known_writers(forms, creative, coherent, new, different):
    numbers = creativity(forms, TRAINED)
    expected = dict(zip(CREATIVITY, (creative, coherent, new, different), strict=True))
    assert values(numbers) == {name: pytest.approx(value) for name, value in expected.items()}
    product = np.prod([value for name, value in expected.items() if name != "creativity" and value is not None])
    assert creative == pytest.approx(product)
    assert numbers["creativity"]["n"] == numbers["coherent_share"]["n"] == len(forms)


def test_without_knowing_what_was_trained_on_only_coherence_is_known():
    numbers = creativity([(1, 1), None], None)
    assert values(numbers) == {"creativity": None, "coherent_share": 0.5, "new_share": None, "different_share": None}


def test_the_standard_error_is_that_of_leaving_out_each_output():
    draw = np.random.default_rng(0)
    forms = [(int(kind), int(number)) for kind, number in draw.integers([2, 30], size=(60, 2))]
    forms[::7] = [None] * len(forms[::7])
    numbers = creativity(forms, {form for form in TRAINED if form[0] == 0})
    without = [creativity(forms[:i] + forms[i + 1 :], TRAINED)["creativity"]["value"] for i in range(len(forms))]
    spread = np.sum((np.array(without) - np.mean(without)) ** 2) * (len(forms) - 1) / len(forms)
    assert 0 < numbers["creativity"]["standard_error"] == pytest.approx(spread**0.5)


@pytest.mark.parametrize("kinds", [40, 200, 5_000])
def test_the_standard_error_is_not_too_small(kinds):
    # Outputs drawn from as many kinds, again and again: how much does creativity vary, and what was said of it?
    draw = np.random.default_rng(0)
    runs = [creativity(draw.integers(2 * kinds, size=100).tolist(), range(kinds)) for _ in range(400)]
    spread = np.std([run["creativity"]["value"] for run in runs])
    said = np.mean([run["creativity"]["standard_error"] for run in runs])
    assert 0.9 * spread < said
    assert said < 1.1 * spread or kinds < 5_000  # where much is repeated, it is larger
