"""What harnesses ask: the first steps of a row, of every task that has any, and rows that know their task."""

import pytest
from known_rows import rows_of

from hf_nextfail.harnesses.lm_eval import load_choices, load_problems, score
from hf_nextfail.harnesses.rows import first_steps, load_task
from hf_nextfail.tasks import TASKS, PathTask


@pytest.mark.parametrize("name", [name for name, kind in TASKS.items() if issubclass(kind, PathTask)])
def test_first_steps_lead_along_the_edges_that_leave_one_node(name):
    task = TASKS[name]()
    for row in rows_of(task, 20):
        begin, steps = first_steps(task, row)
        assert row["completion"].startswith(begin + steps[0])
        assert len(set(steps)) == len(steps) > 1
        (hard,) = task.hard_places({key: [value] for key, value in row.items()})
        assert len(steps) == round(1 / hard[min(hard)])
        rest = row["completion"][len(begin + steps[0]) :]
        assert [task.score(begin + step + rest, row) for step in steps] == [1.0, *[0.0] * (len(steps) - 1)]


@pytest.mark.parametrize("config", ["d2_l2_n9", "d3_l2_n20_instruct"])
def test_a_step_that_ends_the_answer_has_nothing_behind(config):
    task = load_task("nextfail/star_graph", config)
    for row in rows_of(task, 5):
        begin, steps = first_steps(task, row)
        assert begin + steps[0] == row["completion"]


@pytest.mark.parametrize(
    ("name", "config"), [("countdown", "n4"), ("star_graph", "d2_l3_n20_rev"), ("crossing_star", "easy_rev")]
)
def test_other_tasks_have_no_first_steps(name, config):
    task = load_task(f"nextfail/{name}", config)
    with pytest.raises(ValueError, match=f"{config} of {name} has no first steps"):
        first_steps(task, next(iter(rows_of(task, 1))))
    with pytest.raises(ValueError, match=f"{config} of {name} has no first steps"):
        load_choices(dataset_name=f"nextfail/{name}", dataset_config=config, num_test=5)


def test_rows_of_lm_eval_know_their_task():
    problems = load_problems("nextfail/countdown", num_test=2, version=1.0, pretrained="x")
    assert {split: len(rows) for split, rows in problems.items()} == {"train": 100, "test": 2}
    (row, other) = problems["test"]
    assert score(row, [row["completion"]]) == {"accuracy": 1.0}
    assert score(row, [other["completion"]]) == {"accuracy": 0.0}
    choices = load_choices(dataset_config="d3_l4_n20_any", num_test=30)["test"]
    assert 0 < len(choices) < 30  # goals next to the start need no choice
    for row in choices:
        right = row["begin"] + row["steps"][row["right_step"]]
        assert row["completion"].startswith(right.rstrip(","))
        assert row["steps"] == sorted(row["steps"])


def test_a_dataset_without_a_verifier_is_one_line():
    with pytest.raises(ValueError, match=r"^squad has no verifier: use nextfail/<task>"):
        load_task("squad")


@pytest.mark.parametrize(("name", "config"), [("crossing_star", "medium_rev"), ("minimal_planning", "l7_n14_rev")])
def test_first_steps_back_lead_to_one_node_and_rows_without_a_choice_are_left_out(name, config):
    task, found = load_task(f"nextfail/{name}", config), 0
    for row in rows_of(task, 60):
        (hard,) = task.hard_places({key: [value] for key, value in row.items()})
        if not hard:
            with pytest.raises(ValueError, match="needs no plan"):
                first_steps(task, row)
            continue
        begin, steps = first_steps(task, row)
        assert row["completion"].startswith(begin + steps[0])
        assert len(set(steps)) == len(steps) == round(1 / hard[min(hard)])
        found += 1
    choices = load_choices(dataset_name=f"nextfail/{name}", dataset_config=config, num_test=60)["test"]
    assert 0 < found < 60 and 0 < len(choices) < 60
