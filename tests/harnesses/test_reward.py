"""Rewards, as TRL asks for them: of every task, of texts and of messages."""

from types import SimpleNamespace

import pytest
from known_rows import rows_of

import hf_nextfail
from hf_nextfail.tasks import TASKS, StarGraph


def as_trl_asks(task, rows, completions, **columns):
    """TRL hands over all columns but `completion`, and things of its own."""
    names = [name for name in rows[0] if name not in ("prompt", "completion")]
    columns = {name: [row[name] for row in rows] for name in names} | columns
    own = {"completion_ids": [[1]] * len(rows), "trainer_state": SimpleNamespace(), "log_extra": print}
    return hf_nextfail.reward(task)(prompts=[row["prompt"] for row in rows], completions=completions, **columns, **own)


def said(role, text):
    return [{"role": "system", "content": "think"}, {"role": role, "content": text}]


@pytest.mark.parametrize("name", TASKS)
def test_right_completions_of_every_task_are_rewarded(name):
    task = TASKS[name]()
    rows = [dict(row) for row in rows_of(task, 4)]
    right = [row["completion"] for row in rows]
    wrong = [text[::-1] + ",." for text in right]
    assert as_trl_asks(task, rows, [*right[:2], *wrong[2:]]) == [1.0, 1.0, 0.0, 0.0]
    prompts = [said("user", row["prompt"]) for row in rows]
    answers = [said("assistant", text) for text in (wrong[0], *right[1:])]
    of_columns = [{**row, "prompt": prompt} for row, prompt in zip(rows, prompts, strict=True)]
    assert as_trl_asks(task, of_columns, answers) == [0.0, 1.0, 1.0, 1.0]
    texts_alone = [{"prompt": row["prompt"]} for row in of_columns]
    assert as_trl_asks(task, texts_alone, answers, solution=right) == [0.0, 1.0, 1.0, 1.0]
    assert hf_nextfail.reward(task).__name__ == f"{name}_reward"


def test_rows_in_english_are_rewarded_as_messages():
    task = StarGraph(degree=2, path_length=3, num_nodes=20, style="instruct")
    rows = [dict(row) for row in rows_of(task, 2)]
    turns = [{**row, "prompt": row["messages"][:1]} for row in rows]
    answers = [[{"role": "assistant", "content": text}] for text in (f"It is {rows[0]['completion']}.", None)]
    assert as_trl_asks(task, turns, answers) == [1.0, 0.0]


def test_rows_without_what_the_verifier_looks_at_are_one_line():
    with pytest.raises(ValueError, match=r"lack the column 'path', .* star_graph .* column 'solution'$"):
        hf_nextfail.reward(StarGraph())(prompts=["1,2/1,2="], completions=["1,2"])
    with pytest.raises(ValueError, match="the path runs from the goal"):
        hf_nextfail.reward(StarGraph())(prompts=["1,2/1,2="], completions=["1,2"], solution=["2,1"])
