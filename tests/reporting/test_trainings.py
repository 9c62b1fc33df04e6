import dataclasses
import itertools

import pytest
from made_records import old_record

from hf_nextfail.reporting.record import PLACES, Record
from hf_nextfail.reporting.trainings import names_of, over_seeds, range_of, training_rows, trainings_of


def record(objective="teacherless", seed=42, title=None, model=None, **options) -> Record:
    made = Record.from_dict(old_record(objective, seed))
    made.recipe.update(options)
    made.run.update({"title": title or made.run["title"], "model": model or made.run["model"]})
    return made


def test_seeds_are_taken_together_and_count_for_themselves():
    records = [record(seed=seed) for seed in (42, 1, 2)]
    records[1].results["accuracy"]["value"] = 0.5
    (training,) = trainings_of(records)
    assert (training.seeds, str(training.solved)) == ("1, 2, 42", "2 of 3")
    assert training.mean("accuracy").startswith("0.83")
    assert " ± 0.28" in training.mean("accuracy")
    assert training.mean("clever_hans_accuracy") == "-"


DIFFERENCES = {
    "objective": (record(), record("teacher_forced")),
    "reversed": (record("teacher_forced"), record("reversed")),
    "task": (record(), record(title="G(9,9)")),
    "model": (record(), record(model="mamba")),
    "rate": (record(), record(learning_rate=0.5)),
    "rows": (record(), record(num_train=7)),
    "steps": (record(), record(max_steps=7)),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_whatever_changes_a_training_makes_another_with_another_name(name):
    trainings = trainings_of(DIFFERENCES[name])
    assert [len(training.records) for training in trainings] == [1, 1]
    assert len(set(names_of(trainings))) == 2
    for first, second in itertools.combinations(DIFFERENCES.values(), 2):
        both = trainings_of([*first, *second])
        assert len(set(names_of(both))) == len(both)


@pytest.mark.parametrize("option", [*PLACES, "per_device_eval_batch_size", "eval_steps", "logging_steps"])
def test_what_does_not_change_a_training_makes_no_other(option):
    assert len(trainings_of([record(seed=42), record(seed=1, **{option: 7})])) == 1


def test_what_tells_trainings_apart_stands_in_their_names():
    trainings = trainings_of([record(learning_rate=0.5), record(learning_rate=0.25, seed=1), record("teacher_forced")])
    assert names_of(trainings) == [
        "teacherless, learning_rate 0.5",
        "teacherless, learning_rate 0.25",
        "teacher_forced",
    ]


def test_measurements_without_a_seed_are_never_averaged():
    measured = [dataclasses.replace(record(), recipe=None) for _ in range(2)]
    for one in measured:
        one.run.update({"seed": None, "steps": None})
    trainings = trainings_of(measured)
    assert names_of(trainings) == ["teacherless #1", "teacherless #2"]
    assert training_rows(trainings)[0][3] == "-"
    assert training_rows(trainings)[0][-1] == "-"


def test_a_file_of_ones_own_has_one_name_wherever_it_lies():
    names = set()
    for place in ("./", "/home/somebody/", ""):
        made = record()
        made.run["objective"] = f"{place}mine.py:Mine"
        names |= {(training.name, training.objective) for training in trainings_of([made])}
    assert names == {("mine.py:Mine", "mine.py:Mine")}


def test_trainings_stand_by_task():
    records = [record(title="b"), record(title="a"), record("teacher_forced", title="b")]
    assert [training.task for training in trainings_of(records)] == ["b", "b", "a"]


def test_a_run_that_has_stopped_keeps_its_last_numbers():
    assert over_seeds([]) == ([], [])
    assert over_seeds([[], [(5, [1.0, 0.0])]]) == ([5], [[1.0, 0.0]])
    steps, means = over_seeds([[(0, [0.0]), (10, [1.0])], [(0, [0.0]), (5, [0.5]), (20, [0.0])]])
    assert steps == [0, 5, 10, 20]
    assert means == [[0.0], [0.25], [0.75], [0.5]]


@pytest.mark.parametrize(("counts", "text"), [([3], "3"), ([5000, 3, 7], "3 to 5,000"), ([None], "-"), ([2, 2], "2")])
def test_counts_are_written_as_a_range(counts, text):
    assert range_of(counts) == text
