"""What holds for every creative task: coherent, the same, new."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_rows import rows_of, texts_of
from problem_strategies import examples

from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.tasks import SPLITS, TASKS, CreativeTask, split_of
from hf_nextfail.tasks.creative import LETTERS
from hf_nextfail.tasks.hashing import hash_numbers

CREATIVE = [name for name, kind in TASKS.items() if issubclass(kind, CreativeTask)]
CASES = [
    pytest.param(TASKS[name].from_config_name(config), id=f"{name}-{config}")
    for name in CREATIVE
    for config in TASKS[name].grid
]
DEFAULTS = [pytest.param(TASKS[name](), id=name) for name in CREATIVE]


@pytest.mark.parametrize("task", CASES)
def test_prompts_say_nothing_and_completions_are_coherent(task):
    for row in rows_of(task, 300):
        assert row["prompt"] == "="
        assert task.score(row["completion"], row) == 1.0
        assert task.score(row["completion"] + ",0", row) == 0.0
        assert task.score(row["completion"].rpartition(",")[0], row) == 0.0


@pytest.mark.parametrize("task", CASES)
def test_split_keys_are_of_what_canonical_returns(task):
    columns = task.sample(np.random.default_rng(0), 500)
    canonical = [task.canonical(text) for text in task.to_text(columns)["completion"].tolist()]
    assert task.canonical_numbers(columns).tolist() == list(map(list, canonical))
    np.testing.assert_array_equal(task.split_key(columns), hash_numbers(np.array(canonical)))


@pytest.mark.parametrize("task", DEFAULTS)
def test_what_is_the_same_is_in_one_split_and_no_test_row_was_trained_on(task):
    known = {split: {task.canonical(row["completion"]) for row in rows_of(task, 2_000, split)} for split in SPLITS}
    assert sum(map(len, known.values())) == len(set.union(*known.values()))
    for split, forms in known.items():
        assert set(split_of(hash_numbers(np.array(sorted(forms)))).tolist()) == {split}


@pytest.mark.parametrize("task", DEFAULTS)
def test_most_rows_are_different_and_some_coherent_ones_stay_unseen(task):
    trained = {task.canonical(row["completion"]) for row in rows_of(task, 10_000)}
    others = {task.canonical(text) for text in texts_of(task, 2_000)}
    assert len(trained) > 3_000
    assert len(others - trained) > 0.2 * len(others)  # those of the other splits at least


@pytest.mark.parametrize("task", DEFAULTS)
def test_seeds_are_random_words_in_front_that_change_nothing_else(task):
    seeded = type(task).from_config_name(f"{task.config_name}_s4")
    assert seeded == replace(task, seed_length=4)
    assert seeded.title == f"{task.title}, seeds of 4 letters"
    assert seeded.words == [*task.words, *LETTERS]
    plain = task.sample(np.random.default_rng(0), 500)
    columns = seeded.sample(np.random.default_rng(0), 500)
    assert columns.keys() - plain.keys() == {"seed"}
    for name, values in plain.items():
        np.testing.assert_array_equal(columns[name], values)
    np.testing.assert_array_equal(seeded.split_key(columns), task.split_key(plain))
    text = seeded.to_text(columns)
    assert text["completion"].tolist() == task.to_text(plain)["completion"].tolist()
    prompts = text["prompt"].tolist()
    assert prompts == [",".join(LETTERS[letter] for letter in seed) + "=" for seed in columns["seed"].tolist()]
    assert len(set(prompts)) > 490
    assert all(np.bincount(column, minlength=26).min() > 0 for column in columns["seed"].T)
    tokenizer = task_tokenizer(seeded)
    ids = tokenizer(prompts)["input_ids"]
    assert {len(row) for row in ids} == {5}
    assert tokenizer.batch_decode(ids) == prompts


@pytest.mark.parametrize("task", DEFAULTS)
def test_other_lengths_of_seeds_are_refused_in_one_line(task):
    for name in ("{}_s0", "{}_s04", "{}_s", "{}_s65", "s4_{}", "{}_s4_s4", "{}_s-1", "{}_rev_s4"):
        with pytest.raises(ValueError) as failure:
            type(task).from_config_name(name.format(task.config_name))
        assert "\n" not in str(failure.value)
    with pytest.raises(ValueError, match=f"is written '{task.config_name}'"):
        type(task).from_config_name(f"{task.config_name}_s0")
    with pytest.raises(ValueError, match=r"use \w+<\w+>[\w<>]+\[_s<seed_length>\](\[_rev\])?, such as"):
        type(task).from_config_name("")


@pytest.mark.parametrize("task", DEFAULTS)
@examples(max_examples=60)
@given(st.one_of(st.text(), st.text("0123456789,| ", max_size=60), st.none(), st.binary(), st.integers()))
def test_any_prediction_at_all_is_coherent_or_not(task, prediction):
    assert task.score(prediction, {}) in (0.0, 1.0)
    assert task.score("9" * 5_000, {}) == task.score("9" * 5_000 + ",1,2", {}) == 0.0


@pytest.mark.parametrize("task", DEFAULTS)
@pytest.mark.parametrize("name", ["", "x", "n1", "p5_c2501_g0", "n200_d60_g-1", "l9_n8", "l9_n015", "l2_n9"])
def test_other_names_are_refused_in_one_line(task, name):
    with pytest.raises(ValueError) as failure:
        type(task).from_config_name(name)
    assert "\n" not in str(failure.value)
