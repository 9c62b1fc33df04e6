"""WHAT is asked: one file a task, one line in `TASKS`."""

from hf_nextfail.tasks.base import SPLITS, Task, split_of
from hf_nextfail.tasks.graphs import GraphTask
from hf_nextfail.tasks.star_graph import StarGraph

TASKS: dict[str, type[Task]] = {
    "star_graph": StarGraph,
}

__all__ = ["SPLITS", "TASKS", "GraphTask", "StarGraph", "Task", "split_of"]
