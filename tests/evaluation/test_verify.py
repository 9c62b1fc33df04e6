"""The verifier of a task, which may be anybody's."""

from dataclasses import dataclass

import pytest
from datasets import load_dataset
from own_code.pairs import Pairs
from own_code.sums import Sums

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.word_tokenizer import task_tokenizer, word_tokenizer
from hf_nextfail.evaluation.verify import check_task, measured, verified
from hf_nextfail.tasks import TASKS, StarGraph

ROW = {"prompt": "100+200=", "completion": "300", "first": 100, "second": 200}


def rows_of(dataset, config=None):
    return load_dataset(dataset, config, split="test", num_train=0, num_validation=0, num_test=20)


@pytest.mark.parametrize("kind", [Sums, Pairs])
def test_a_task_of_ones_own_passes(kind):
    name = kind.__module__.rpartition(".")[2]
    check_task(kind(), rows_of(f"own_code.{name}:{kind.__name__}"), task_tokenizer(kind()))


@pytest.mark.parametrize("name", TASKS)
def test_our_tasks_pass(name):
    check_task(TASKS[name](), rows_of(f"nextfail/{name}"), task_tokenizer(TASKS[name]()))


def score_with(answer):
    @dataclass(frozen=True)
    class Scored(Sums):
        def score(self, prediction, row):
            return answer(prediction, row)

    return Scored()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda prediction, row: int(prediction) == 300, r"score\('', row\) of the row '100\+200=' raises ValueError"),
        (lambda prediction, row: None, "must return a number from 0 to 1, got None"),
        (lambda prediction, row: 2, "must return a number from 0 to 1, got 2"),
        (lambda prediction, row: float("nan"), "must return a number from 0 to 1, got nan"),
        (lambda prediction, row: "right", "must return a number from 0 to 1, got 'right'"),
        (lambda prediction, row: row["no such column"], "raises KeyError: 'no such column'"),
    ],
)
def test_a_verifier_that_fails_is_one_line(answer, reason):
    with pytest.raises(ValueError, match=reason) as failure:
        verified(score_with(answer), "", ROW)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            lambda prediction, row: {"digits": len(prediction) // 0},
            r"measures\('300', row\) of .* raises ZeroDivision",
        ),
        (lambda prediction, row: 3, "must be numbers by their names, got 3"),
        (lambda prediction, row: {"digits": "three"}, "must be numbers by their names"),
        (lambda prediction, row: {"token_accuracy": 1}, "must not be called token_accuracy, as another result is"),
        (lambda prediction, row: {prediction: 1}, r"the same names for all texts, got \[''\] for '' and"),
    ],
)
def test_measures_that_are_none_are_one_line(answer, reason):
    @dataclass(frozen=True)
    class Measured(Sums):
        def measures(self, prediction, row):
            return answer(prediction, row)

    with pytest.raises(ValueError, match=reason) as failure:
        measured(Measured(), "300", ROW)
        check_task(Measured(), rows_of("own_code.sums:Sums"), task_tokenizer(Sums()))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("answer", [True, 1, 0.25, 0])
def test_a_score_is_a_number(answer):
    assert verified(score_with(lambda prediction, row: answer), "300", ROW) == float(answer)


@dataclass(frozen=True)
class HardPart(Sums):
    """Have a hard part and no parts."""

    @property
    def hard_part(self):
        return 1


@pytest.mark.parametrize(
    ("task", "tokenizer", "reason"),
    [
        (score_with(lambda *_: 0), task_tokenizer(Sums()), "the verifier of sums refuses the completion of a row"),
        (
            score_with(lambda prediction, row: float(int(prediction or 0) == row["first"] + row["second"])),
            task_tokenizer(Sums()),
            r"raises ValueError: invalid literal",
        ),
        (Sums(), word_tokenizer(["+", "=", *map(str, range(2000))], ",", ends=True), None),
        (Sums(), word_tokenizer([*"0123456789", "+", "="], "-", ends=True), "cannot express"),
        (HardPart(), task_tokenizer(Sums()), "the hard part of sums is 1"),
    ],
)
def test_a_task_is_checked_before_anything_is_trained(task, tokenizer, reason):
    rows = rows_of("own_code.sums:Sums")
    if reason is None:
        check_task(task, rows, tokenizer)
        return
    with pytest.raises(ValueError, match=reason) as failure:
        check_task(task, rows, tokenizer)
    assert "\n" not in str(failure.value)


def test_a_tokenizer_that_does_not_give_answers_back_is_refused():
    rows, tokenizer = rows_of("nextfail/star_graph", "d2_l3_n20"), numeral_tokenizer(20)
    tokenizer.backend_tokenizer.decoder = word_tokenizer("0123456789", "", ends=False).backend_tokenizer.decoder
    with pytest.raises(ValueError, match=r"the tokenizer does not give .* of star_graph back, but"):
        check_task(StarGraph(2, 3, 20), rows, tokenizer)


def test_a_unique_answer_is_right_if_and_only_if_it_is_the_completion():
    # Exact match in one pass stands for the verifier: a unique answer is right if it is the completion, and only then.
    for name in [name for name, kind in TASKS.items() if kind.answers_are_unique]:
        kind, rows = TASKS[name], rows_of(f"nextfail/{name}")
        for row, other in zip(rows, rows.select([1, 0, *range(2, 20)]), strict=True):
            assert kind().score(row["completion"], row) == 1
            assert kind().score(other["completion"], row) == float(other["completion"] == row["completion"])
