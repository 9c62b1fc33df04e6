"""Star graphs as text: from the line of a problem to its graph, with the reason for whatever is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_nextfail.tasks.text import MAX_LABEL

LABEL = r"(?:0|[1-9][0-9]*)"
UNANSWERED = re.compile(rf"(?P<edges>{LABEL},{LABEL}(?:\|{LABEL},{LABEL})*)/(?P<start>{LABEL}),(?P<goal>{LABEL})=")
PROBLEM = re.compile(rf"{UNANSWERED.pattern}(?P<path>{LABEL}(?:,{LABEL})+)")


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


def read_form(form: re.Pattern, text: str, in_words: str) -> re.Match:
    """Match a whole text; raises `ValueError` with the reason if it has not the form, or a label is too large."""
    match = form.fullmatch(text)
    if match is None:
        raise ValueError(f"not of the form {in_words!r}{reason_of_form(text)}")
    if longest := max((digits for digits in re.findall(LABEL, text) if len(digits) > 7), key=len, default=None):
        raise ValueError(f"the label {longest[:20]} is larger than {MAX_LABEL}")
    return match


def solve(match: re.Match, goals: str) -> Problem:
    """Find the path to the goal of a problem that was matched, from the start; raises as `parse_prompt` does."""
    edges = np.array([edge.split(",") for edge in match["edges"].split("|")], dtype=np.int32)
    start, goal = int(match["start"]), int(match["goal"])
    arms = arms_of(edges.tolist(), start)
    ends = [arm[-1:] if goals == "end" else arm[1:] for arm in arms]
    path = next((arm[: arm.index(goal) + 1] for arm, nodes in zip(arms, ends, strict=True) if goal in nodes), None)
    if path is None:
        raise ValueError(f"the goal {goal} is not the end of an arm" if goals == "end" else f"no arm leads to {goal}")
    return Problem(edges, path, len(arms[0]), False)


def parse_prompt(text: str, goals: str = "end") -> Problem:
    """Read a problem without its answer, and find the answer.

    Args:
        text (`str`): `a,b|c,d|.../start,goal=`, the edges in any order.
        goals (`str`, *optional*, defaults to `"end"`): as of `parse_problem`.

    Raises:
        ValueError: with the reason, when the text is not of that form, or its edges are not arms of one length around
            the start, or the goal does not stand where it may.

    Example:

    ```python
    >>> parse_prompt("3,1|3,5|1,2|5,4/3,2=").path
    [3, 1, 2]
    >>> parse_prompt("3,1|3,5|1,2|5,4/3,1=")
    Traceback (most recent call last):
    ...
    ValueError: the goal 1 is not the end of an arm

    ```
    """
    return solve(read_form(UNANSWERED, text, "a,b|c,d|.../start,goal="), goals)


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
    match = read_form(PROBLEM, text, "a,b|c,d|.../start,goal=node,...,node")
    problem = solve(match, goals)
    written = [int(node) for node in match["path"].split(",")]
    reverse = written[0] == problem.path[-1]
    right = problem.path[::-1] if reverse else problem.path
    if written != right:
        raise ValueError(
            f"the path {match['path']} does not follow the edges; the path {'from' if reverse else 'to'} the goal is "
            f"{','.join(map(str, right))}"
        )
    return replace(problem, reverse=reverse)
