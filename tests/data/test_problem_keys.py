import pytest
from datasets import Dataset, load_dataset

from hf_nextfail.data.problem_keys import generated_digest, mostly_repeats, texts_digest
from hf_nextfail.tasks import TASKS

ROWS = {"prompt": ["1=", "2="], "completion": ["3", "4"]}


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": ["2=", "1="], "completion": ["4", "3"]},  # in another order
        {"prompt": ["1=", "2="], "completion": ["4", "3"]},
        {"prompt": ["1=2", "="], "completion": ["3", "4"]},  # the same letters in a row
        {"prompt": ["3", "4"], "completion": ["1=", "2="]},
        {"prompt": ["1="], "completion": ["3"]},
    ],
)
def test_other_rows_have_another_digest(other):
    assert texts_digest(Dataset.from_dict(other)) != texts_digest(Dataset.from_dict(ROWS))


def test_the_digest_is_of_the_texts_alone():
    rows = Dataset.from_dict(ROWS | {"note": [1, 2]})
    assert texts_digest(rows.select([1, 0]).select([1, 0])) == texts_digest(Dataset.from_dict(ROWS))


@pytest.mark.parametrize("name", ["star_graph/d2_l3_n20_rev", "star_graph/d2_l3_n20_instruct", "countdown/n3"])
def test_the_digest_of_generated_rows_is_that_of_the_dataset(name):
    task, config = name.split("/")
    options = {"num_train": 0, "num_validation": 0, "num_test": 10_050, "seed": 3}  # of two shards
    rows = load_dataset(f"nextfail/{task}", config, split="test", **options)
    task = TASKS[task].from_config_name(config)
    assert generated_digest(task, "test", 10_050, 3) == texts_digest(rows)
    assert generated_digest(task, "test", 10_049, 3) != generated_digest(task, "test", 10_050, 3)


@pytest.mark.parametrize(("num_rows", "num_problems", "repeats"), [(10, 4, True), (10, 5, False), (1, 1, False)])
def test_rows_repeat_where_fewer_than_half_are_different(num_rows, num_problems, repeats):
    assert mostly_repeats(num_rows, num_problems) == repeats
