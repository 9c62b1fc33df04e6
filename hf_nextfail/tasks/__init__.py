"""WHAT is asked: one file a task, one line in `TASKS`."""

from hf_nextfail.tasks.base import SPLITS, Task, split_of
from hf_nextfail.tasks.circle_construction import CircleConstruction
from hf_nextfail.tasks.countdown import Countdown
from hf_nextfail.tasks.creative import CreativeTask
from hf_nextfail.tasks.crossing_star import CrossingStar
from hf_nextfail.tasks.graphs import GraphTask
from hf_nextfail.tasks.in_weights_star import InWeightsStar
from hf_nextfail.tasks.line_construction import LineConstruction
from hf_nextfail.tasks.minimal_planning import MinimalPlanning
from hf_nextfail.tasks.paths import PathTask
from hf_nextfail.tasks.reversal import ReversibleTask
from hf_nextfail.tasks.sibling_discovery import SiblingDiscovery
from hf_nextfail.tasks.star_graph import StarGraph
from hf_nextfail.tasks.tree_star import TreeStar
from hf_nextfail.tasks.triangle_discovery import TriangleDiscovery
from hf_nextfail.tasks.word_problem import WordProblem

TASKS: dict[str, type[Task]] = {
    "star_graph": StarGraph,
    "tree_star": TreeStar,
    "crossing_star": CrossingStar,
    "minimal_planning": MinimalPlanning,
    "in_weights_star": InWeightsStar,
    "countdown": Countdown,
    "word_problem": WordProblem,
    "sibling_discovery": SiblingDiscovery,
    "triangle_discovery": TriangleDiscovery,
    "circle_construction": CircleConstruction,
    "line_construction": LineConstruction,
}

__all__ = [
    "SPLITS",
    "TASKS",
    "CircleConstruction",
    "Countdown",
    "CreativeTask",
    "CrossingStar",
    "GraphTask",
    "InWeightsStar",
    "LineConstruction",
    "MinimalPlanning",
    "PathTask",
    "ReversibleTask",
    "SiblingDiscovery",
    "StarGraph",
    "Task",
    "TreeStar",
    "TriangleDiscovery",
    "WordProblem",
    "split_of",
]
