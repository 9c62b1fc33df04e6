"""Star graphs as text: from the line of a problem to its graph, with the reason for whatever is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_nextfail.tasks.text import MAX_LABEL

LABEL = r"(?:0|[1-9][0-9]*)"
PROBLEM = re.compile(
    rf"(?P<edges>{LABEL},{LABEL}(?:\|{LABEL},{LABEL})*)/(?P<start>{LABEL}),(?P<goal>{LABEL})=(?P<path>{LABEL}(?:,{LABEL})+)"
)


def arms_of(edges: Sequence[Sequence[int]], start: int) -> list[list[int]]:
    """Follow the edges of a star graph from its start.

    Args:
        edges (sequence of `(source, target)`): in any order.
        start (`int`): the node that the arms share.

    Returns:
        `list` of arms, each a list of nodes that begins with the start, in the order of their first edges.

    Raises:
        ValueError: with the reason, if these are not the edges of a star graph.

    Example:

    ```python
    >>> arms_of([(17, 13), (13, 11), (17, 7), (7, 8)], start=17)
    [[17, 13, 11], [17, 7, 8]]

    ```
    """
    after: dict[int, int] = {}
    for source, target in edges:
        if source != start and source in after:
            raise ValueError(f"node {source} has two outgoing edges, and only the start {start} may have several")
        if source != start:
            after[source] = target
    targets = {target for _, target in edges}
    if len(targets) < len(edges) or start in targets:
        raise ValueError("two edges lead to one node, or an edge leads to the start")
    arms = []
    for source, target in edges:
        if source == start:
            arms.append([start, target])
            while arms[-1][-1] in after:
                arms[-1].append(after[arms[-1][-1]])
    if sum(len(arm) - 1 for arm in arms) != len(edges):
        raise ValueError(f"some edges are not connected to the start {start}")
    if len({len(arm) for arm in arms}) > 1:
        raise ValueError(f"the arms have different lengths: {sorted(len(arm) for arm in arms)} nodes")
    return arms


@dataclass(frozen=True)
class Problem:
    """A problem that was read, with its answer.

    Args:
        edges (`np.ndarray` of `int32`, shape `(E, 2)`): in the order of the text.
        path (`list[int]`): from the start to the goal.
        path_length (`int`): the nodes of an arm.
        reverse (`bool`): whether the text writes the path from the goal to the start.
    """

    edges: np.ndarray
    path: list[int]
    path_length: int
    reverse: bool

    @property
    def degree(self) -> int:
        """The number of arms."""
        return len(self.edges) // (self.path_length - 1)

    @property
    def way(self) -> str:
        """From where to where the text writes the path."""
        return "goal to the start" if self.reverse else "start to the goal"


def reason_of_form(text: str) -> str:
    """Say what is strange about a text that has not the form of a problem; nothing if only its order is."""
    if not text:
        return ": it is empty"
    if strange := re.search(r"[^0-9,|/=]", text):
        return f": character {strange.start() + 1} is {strange.group()!a}"
    if padded := re.search(r"\b0[0-9]{1,6}", text):
        return f": the label {padded.group()} begins with 0"
    return ""


def parse_problem(text: str, goals: str = "end") -> Problem:
    """Read a problem and its completion as text and make sure that they are a star graph and the path through it.

    Args:
        text (`str`): `a,b|c,d|.../start,goal=start,...,goal`, the edges in any order, or the same with the path from
            the goal to the start.
        goals (`str`, *optional*, defaults to `"end"`): where the goal may stand: at the `"end"` of an arm, or `"any"`
            where behind the start.

    Raises:
        ValueError: with the reason, when the text is not of that form, its edges are not arms of one length around
            the start, or the path does not run along them.

    Example:

    ```python
    >>> problem = parse_problem("3,1|3,5|1,2|5,4/3,2=3,1,2")
    >>> problem.path, problem.reverse
    ([3, 1, 2], False)
    >>> problem = parse_problem("3,1|3,5|1,2|5,4/3,2=2,1,3")
    >>> problem.path, problem.reverse
    ([3, 1, 2], True)
    >>> parse_problem("3,1|3,5|1,2|5,4/3,2=3,5,2")
    Traceback (most recent call last):
    ...
    ValueError: the path 3,5,2 does not follow the edges; the path to the goal is 3,1,2

    ```
    """
    match = PROBLEM.fullmatch(text)
    if match is None:
        raise ValueError(f"not of the form 'a,b|c,d|.../start,goal=node,...,node'{reason_of_form(text)}")
    if longest := max((digits for digits in re.findall(LABEL, text) if len(digits) > 7), key=len, default=None):
        raise ValueError(f"the label {longest[:20]} is larger than {MAX_LABEL}")
    edges = np.array([edge.split(",") for edge in match["edges"].split("|")], dtype=np.int32)
    written = [int(node) for node in match["path"].split(",")]
    start, goal = int(match["start"]), int(match["goal"])

    arms = arms_of(edges.tolist(), start)
    ends = [arm[-1:] if goals == "end" else arm[1:] for arm in arms]
    path = next((arm[: arm.index(goal) + 1] for arm, nodes in zip(arms, ends, strict=True) if goal in nodes), None)
    if path is None:
        raise ValueError(f"the goal {goal} is not the end of an arm" if goals == "end" else f"no arm leads to {goal}")
    reverse = written[0] == goal
    right = path[::-1] if reverse else path
    if written != right:
        raise ValueError(
            f"the path {match['path']} does not follow the edges; the path {'from' if reverse else 'to'} the goal is "
            f"{','.join(map(str, right))}"
        )
    return Problem(edges, path, len(arms[0]), reverse)
