"""WHAT is asked: one file a task, one line in `TASKS`."""

from hf_nextfail.tasks.base import SPLITS, Task, split_of
from hf_nextfail.tasks.countdown import Countdown
from hf_nextfail.tasks.graphs import GraphTask
from hf_nextfail.tasks.star_graph import StarGraph
from hf_nextfail.tasks.word_problem import WordProblem

TASKS: dict[str, type[Task]] = {
    "star_graph": StarGraph,
    "countdown": Countdown,
    "word_problem": WordProblem,
}

__all__ = ["SPLITS", "TASKS", "Countdown", "GraphTask", "StarGraph", "Task", "WordProblem", "split_of"]
