"""Where the nodes of a graph are drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hf_nextfail.tasks.star_graph_text import arms_of

LONG = 7  # arms of so many nodes lie beside each other like the teeth of a comb: a star of them would be mostly paper


class Layout(NamedTuple):
    """Where the nodes of a graph are drawn.

    Args:
        places (`dict`): node -> its x and y, in units of an edge or so.
        sides (`dict`): node -> where its probability stands, x and y.
        left, right, bottom, top (`float`): what of the plane is shown.
        unit (`float`): inches.
        font_size (`float`): of the nodes.
    """

    places: dict[int, tuple[float, float]]
    sides: dict[int, tuple[float, float]]
    left: float
    right: float
    bottom: float
    top: float
    unit: float
    font_size: float


def as_comb(start: int, arms: list[list[int]], room: float) -> Layout:
    """Lay arms out from left to right, below each other."""
    middle = (len(arms) - 1) / 2
    spacing = 1 + 0.35 * room
    first = 1 + 0.3 * middle  # many arms need room to fan out
    places, sides = {start: (0.0, 0.0)}, {}
    for number, arm in enumerate(arms):
        y = (middle - number) * spacing
        places |= {node: (first + distance, y) for distance, node in enumerate(arm)}
        sides[arm[0]] = (first, y + 0.62)
    reach = middle * spacing + 0.5
    return Layout(places, sides, -0.5, first + len(arms[0]) - 0.5, -reach - 0.1 * room, reach + 0.35 * room, 0.42, 8)


def as_star(start: int, arms: list[list[int]], room: float) -> Layout:
    """Lay arms out around the start; one or two are a line."""
    size = 9 if len(arms) <= 10 else 6.5
    first = 1 + max(0, len(arms) - 8) / 8  # many arms need room around the start
    if room and len(arms) > 2:  # and so do probabilities on the first edges, where it is plain whose they are
        first = max(1.9, first + 0.6)
    places, sides = {start: (0.0, 0.0)}, {}
    for number, arm in enumerate(arms):
        angle = 2 * math.pi * number / len(arms)
        x, y = math.cos(angle), math.sin(angle)
        places |= {node: ((first + distance) * x, (first + distance) * y) for distance, node in enumerate(arm)}
        sides[arm[0]] = ((first - 0.8) * x, (first - 0.8) * y)
        if len(arms) <= 2:
            sides[arm[0]] = (first * x, 0.62)
    across, down = zip(*places.values(), strict=True)
    above, below = (0.8, 0.6) if room and len(arms) <= 2 else (0.5, 0.5)
    return Layout(places, sides, min(across) - 0.5, max(across) + 0.5, min(down) - below, max(down) + above, 0.5, size)


def lay_out(edges: Sequence[Sequence[int]], path: Sequence[int], room: float) -> Layout:
    """Lay out a graph: as a star, as a tree from left to right, or else as a ring.

    Args:
        edges (sequence of pairs): from each node to the next.
        path (sequence of `int`): its nodes come first where several could.
        room (`float`): 1 to leave some for numbers beside the nodes, 0 for none.
    """
    targets = {target for _, target in edges}
    sources = [source for source, _ in edges if source not in targets]
    if len(set(sources)) == 1:
        try:
            arms = [arm[1:] for arm in arms_of(edges, sources[0])]
        except ValueError:  # no star
            pass
        else:
            return (as_comb if len(arms[0]) >= LONG - 1 else as_star)(sources[0], arms, room)
    nodes = dict.fromkeys(node for edge in edges for node in edge)
    if len(nodes) == len(edges) + 1:
        return as_tree(edges, path, room)
    return as_ring(list(dict.fromkeys([*path, *nodes])))


def neighbours_of(edges: Sequence[Sequence[int]], path: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
    """List the neighbours of each node, those of the path first: +1 and where an edge leads, -1 and whence."""
    found: dict[int, list[tuple[int, int]]] = {}
    for source, target in sorted(edges, key=lambda edge: not {*edge} <= {*path}):
        found.setdefault(source, []).append((1, target))
        found.setdefault(target, []).append((-1, source))
    return found


def as_tree(edges: Sequence[Sequence[int]], path: Sequence[int], room: float) -> Layout:
    """Lay out a tree from the node with no edge to it, or the one where most edges meet: edges lead to the right."""
    around, targets = neighbours_of(edges, path), {target for _, target in edges}
    roots = [node for node in around if node not in targets]
    hub = roots[0] if len(roots) == 1 else max(around, key=lambda node: len(around[node]))
    levels, heights = {hub: 0}, {hub: 0.0}
    for side in (1, -1):
        of_side, tops, ends = {}, [], 0
        for first in [node for step, node in around[hub] if step == side]:
            found, count = heights_behind(around, first, hub, -ends)
            of_side |= found
            tops.append(found[first])
            ends += count
        heights |= {node: height - (tops[0] + tops[-1]) / 2 for node, height in of_side.items()}
    queue = [hub]
    for node in queue:
        found = {other: levels[node] + step for step, other in around[node] if other not in levels}
        levels |= found
        queue += found
    spacing = 1 + 0.35 * room
    across = columns_of(edges, levels, {node: height * spacing for node, height in heights.items()})
    places = {node: (across[level], heights[node] * spacing) for node, level in levels.items()}
    sides = {node: (x, y + 0.62) for node, (x, y) in places.items()}
    xs, ys = zip(*places.values(), strict=True)
    top, bottom = max(ys) + 0.5 + 0.35 * room, min(ys) - 0.5 - 0.1 * room
    return Layout(places, sides, min(xs) - 0.5, max(xs) + 0.5, bottom, top, 0.46, 8.5)


def heights_behind(
    around: Mapping[int, Sequence[tuple[int, int]]], node: int, before: int, top: float
) -> tuple[dict[int, float], int]:
    """Place a node in the middle of those behind it, whose ends lie below each other; returns how many these are."""
    heights: dict[int, float] = {}
    children, ends = [other for _, other in around[node] if other != before], 0
    for child in children:
        found, count = heights_behind(around, child, node, top - ends)
        heights |= found
        ends += count
    reach = [heights[child] for child in children] or [top]
    return heights | {node: (reach[0] + reach[-1]) / 2}, max(ends, 1)


def columns_of(
    edges: Sequence[Sequence[int]], levels: Mapping[int, int], heights: Mapping[int, float]
) -> dict[int, float]:
    """Say where each level lies: where edges fan out, farther from the one before."""
    across = {min(levels.values()): 0.0}
    for level in range(min(levels.values()), max(levels.values())):
        steep = max(abs(heights[b] - heights[a]) for a, b in edges if levels[a] == level)
        across[level + 1] = across[level] + 1 + 0.25 * max(steep - 0.5, 0)
    return across


def as_ring(nodes: Sequence[int]) -> Layout:
    """Lay out nodes in a circle, the first at the top."""
    radius = max(0.9, 1.15 / (2 * math.sin(math.pi / len(nodes))))
    turns = [math.pi / 2 - 2 * math.pi * number / len(nodes) for number in range(len(nodes))]
    pairs = zip(nodes, turns, strict=True)
    places = {node: (radius * math.cos(turn), radius * math.sin(turn)) for node, turn in pairs}
    reach = radius + 0.5
    return Layout(places, places, -reach, reach, -reach, reach, 0.5, 9)
