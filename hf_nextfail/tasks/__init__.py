"""WHAT is asked: one file a task, one line in `TASKS`."""

from hf_nextfail.tasks.base import SPLITS, Task, split_of
from hf_nextfail.tasks.crossing_star import CrossingStar
from hf_nextfail.tasks.graphs import GraphTask
from hf_nextfail.tasks.in_weights_star import InWeightsStar
from hf_nextfail.tasks.minimal_planning import MinimalPlanning
from hf_nextfail.tasks.paths import PathTask
from hf_nextfail.tasks.star_graph import StarGraph
from hf_nextfail.tasks.tree_star import TreeStar

TASKS: dict[str, type[Task]] = {
    "star_graph": StarGraph,
    "tree_star": TreeStar,
    "crossing_star": CrossingStar,
    "minimal_planning": MinimalPlanning,
    "in_weights_star": InWeightsStar,
}

__all__ = [
    "SPLITS",
    "TASKS",
    "CrossingStar",
    "GraphTask",
    "InWeightsStar",
    "MinimalPlanning",
    "PathTask",
    "StarGraph",
    "Task",
    "TreeStar",
    "split_of",
]
