"""The rows of a task as harnesses ask them."""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.registration import task_class
from hf_nextfail.tasks import PathTask, StarGraph, Task
from hf_nextfail.tasks.paths import written_nodes
from hf_nextfail.tasks.star_graph_instruct import first_steps as first_steps_in_english

#: Training rows that are there for examples.
NUM_EXAMPLES = 100


def load_task(dataset_name: str, dataset_config: str | None = None) -> Task:
    """Return the task of `nextfail/<task>`, or one of your own, `FILE.py:Class`; raises `ValueError` for any other."""
    kind = task_class(dataset_name)
    if kind is None:
        raise ValueError(f"{dataset_name} has no verifier: use nextfail/<task>, or FILE.py:Class")
    return TaskConfig.resolve(kind, dataset_config, num_validation=0, num_test=0).task


def load_rows(dataset_name: str, dataset_config: str | None, num_test: int, dataset_seed: int) -> DatasetDict:
    """Generate test rows, and a few training rows to show as examples."""
    sizes = {"num_train": NUM_EXAMPLES, "num_validation": 0, "num_test": num_test, "seed": dataset_seed}
    return load_dataset(dataset_name, dataset_config, **sizes)


def check_choices(task: Task) -> None:
    """Raise `ValueError` unless rows of a task have a step to choose."""
    if not isinstance(task, PathTask) or (task.reverse and task.chance["hard_token_accuracy"] is None):
        raise ValueError(f"{task.config_name} of {task.name} has no first steps to choose among")


def first_steps(task: Task, row: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return a right answer up to the first node that needs planning, and its ways to go on, the right one first.

    Each way is one node, or edge, with the sign behind it, unless the answer ends there.

    Raises:
        ValueError: if the task asks for no path, or the row needs no plan, as on a reversed path of a star graph.

    Example:

    ```python
    >>> task = StarGraph(degree=2, path_length=3, num_nodes=20)
    >>> first_steps(task, task.parse("17,13|13,11|17,7|7,8/17,11=17,13,11"))
    ('17,', ['13,', '7,'])

    ```
    """
    check_choices(task)
    if isinstance(task, StarGraph) and task.style == "instruct":
        return first_steps_in_english(row)
    (hard,) = task.hard_places({name: [row[name]] for name in ("prompt", "completion", "edges", "path")})
    if not hard:
        raise ValueError(f"the answer to {row['prompt']!r} needs no plan")
    part, path, after = min(hard), task.turned(written_nodes(row["path"])), task.ways_on(row["edges"])
    parts = task.parts(row["completion"])
    place = part + len(path) - len(parts)  # where parts are edges, one node comes before all
    behind = task.between_parts if part + 1 < len(parts) else ""
    ways = [path[place], *(node for node in after[path[place - 1]] if node != path[place])]
    texts = [task.write_path(task.turned([*path[:place], node])) for node in ways]
    begin = parts[part][0]
    return row["completion"][:begin], [text[begin:] + behind for text in texts]


def with_first_steps(task: Task, rows: Dataset) -> Dataset:
    """Add to rows how the right answer begins, the ways to go on in the order of their texts, and which one is right.

    The columns are `begin`, `steps` and `right_step`. Rows that need no plan are left out.
    """

    def columns(row: dict[str, Any]) -> dict[str, Any]:
        begin, steps = first_steps(task, row)
        return {"begin": begin, "steps": sorted(steps), "right_step": sorted(steps).index(steps[0])}

    check_choices(task)
    # A goal next to the start stands in the prompt, and a reversed path may begin where arms cross.
    rows = rows.filter(lambda row: any(task.hard_places({name: [value] for name, value in row.items()})))
    return rows.map(columns)
