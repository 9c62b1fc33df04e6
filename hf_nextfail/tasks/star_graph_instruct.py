"""Star graphs in plain English, for models that were never trained on them, and whatever path such a model writes."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_nextfail.tasks.base import Columns
from hf_nextfail.tasks.paths import padding_first
from hf_nextfail.tasks.text import TextColumn, expand, format_labels

ARROW = " -> "
#: What a prompt says between its edges, by the direction of the answer.
BEFORE_EDGES = "A directed graph has these edges:\n"
QUESTIONS = {
    False: (
        "\nFind the path from node ",
        " to node ",
        ". Answer with the nodes of the path in order and nothing else, in the form ",
    ),
    True: (
        "\nFind the path that leads to node ",
        " from node ",
        ". Answer with its nodes backwards, from the last one to the first, and nothing else, in the form ",
    ),
}
BETWEEN_ENDS = " -> ... -> "
BEHIND = ".\n"
#: Signs that stand for these texts until labels are written, which takes one character behind each.
SIGNS = "\x01\x02\x03\x04\x05\x06\x07"

WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
NODE_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
#: What may stand between two nodes of one path, beside signs.
JOINING = re.compile(r"\\[a-z]*arrow|\\to\b|\b(?:and|then|nodes?)\b", re.IGNORECASE)
#: What makes a number a negative one: a sign that does not stand between two words.
SIGNED = re.compile(r"(?:\A|[^\w])[-\u2212]\Z")
#: Where one statement ends: a sentence, a colon, an equals sign that is no arrow, an ellipsis, a fence, a blank line.
ENDS = re.compile(r"[.!?](?=\s|\Z)|:|(?<!=)=(?![=>])|\.\.|…|`{3,}|~{3,}|#|\n\s*\n")


def write_prompts(columns: Columns, reverse: bool) -> TextColumn:
    """Ask for the paths of rows in plain English.

    Args:
        columns (`Columns`): `edges`, `start` and `goal`.
        reverse (`bool`): ask for the path from the goal to the start.

    Returns:
        `TextColumn` of `rows` texts, each of which ends with a line break.
    """
    edges = padding_first(columns["edges"])
    ends = [columns["goal"], columns["start"]] if reverse else [columns["start"], columns["goal"]]
    labels = np.concatenate([edges.reshape(len(edges), -1), np.stack(ends * 2, axis=1)], axis=1)
    arrow, comma, find, to, answer, between, behind = SIGNS
    signs = (arrow + comma) * (edges.shape[1] - 1) + arrow + find + to + answer + between + behind
    texts = (ARROW, ", ", *QUESTIONS[reverse], BETWEEN_ENDS, BEHIND)
    return expand(format_labels(labels, signs), dict(zip(SIGNS, texts, strict=True)), before=BEFORE_EDGES)


def write_paths(path: np.ndarray) -> TextColumn:
    """Write rows of labels, `(rows, L)` and filled up with -1, with an arrow between two."""
    signs = SIGNS[0] * (path.shape[1] - 1) + "\0"
    return expand(format_labels(padding_first(path), signs), {SIGNS[0]: ARROW})


def in_symbols(text: str, reverse: bool) -> str:
    """Write prompt and completion of a problem in English as `a,b|c,d|.../start,goal=node,...,node`.

    Raises:
        ValueError: if the text has not the form of such a problem.
    """
    find, to, answer = QUESTIONS[reverse]
    parts = (BEFORE_EDGES, r"(?P<edges>[0-9 ,>-]+)", find, "(?P<first>[0-9]+)", to, "(?P<last>[0-9]+)", answer)
    parts += ("(?P=first)", BETWEEN_ENDS, "(?P=last)", BEHIND, "(?P<path>[0-9 >-]+)")
    form = "".join(part if part.startswith("(") else re.escape(part) for part in parts)
    match = re.fullmatch(form, text)
    if match is None:
        raise ValueError(f"not of the form {BEFORE_EDGES.strip()!r} with edges, question and path behind it")
    edges = "|".join(edge.replace(ARROW, ",") for edge in match["edges"].split(", "))
    ends = (match["last"], match["first"]) if reverse else (match["first"], match["last"])
    return f"{edges}/{','.join(ends)}={match['path'].replace(ARROW, ',')}"


def first_steps(row: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return how the answer to a problem begins, and its ways to go on: into the right arm first, then into others.

    Args:
        row (mapping): with `completion`, which runs from the start, and `edges`.

    Example:

    ```python
    >>> first_steps({"completion": "17 -> 13 -> 11", "edges": [[17, 7], [13, 11], [17, 13], [7, 8]]})
    ('17 ->', [' 13 ->', ' 7 ->'])

    ```
    """
    start, right, *later = row["completion"].split(ARROW)
    others = [str(target) for source, target in row["edges"] if str(source) == start and str(target) != right]
    return f"{start} ->", [f" {node}{' ->' if later else ''}" for node in (right, *others)]


@dataclass(frozen=True)
class Statement:
    """What one statement of a text says: its labels in order, those that stand together, and whether it has words.

    Args:
        runs (sequences of `(node, span)`): labels that follow each other with nothing but signs, `and`, `then` or
            `node` between two; a number that is no label is the node `None`.
        words (`bool`): whether other words stand in it.
    """

    runs: Sequence[Sequence[tuple[int | None, tuple[int, int]]]]
    words: bool

    @property
    def path(self) -> Sequence[tuple[int | None, tuple[int, int]]] | None:
        """The last run of several nodes, or of labels alone; `None` if the statement names no path.

        A statement that names other nodes beside it has a path that is right of no graph: `(None, span)` stands in it.
        """
        paths = [run for run in self.runs if len(run) > 1 or not self.words]
        if not paths:
            return None
        last = paths[-1]
        nodes = {node for node, _ in last}
        others = [(None, span) for run in self.runs for node, span in run if node not in nodes]
        return [*last, *others]


def statements(text: str) -> list[Statement]:
    """Divide a text into statements."""
    bounds = [0, *itertools.chain(*(end.span() for end in ENDS.finditer(text))), len(text)]
    found = []
    for begin, end in zip(bounds[::2], bounds[1::2], strict=True):
        runs, words, joined = [], False, None  # joined: where what stands before a label begins, if it may join
        for word in WORD.finditer(text, begin, end):
            if not any(character.isdecimal() for character in word.group()):
                continue
            signed = SIGNED.search(text[max(0, word.start() - 2) : word.start()])
            label = int(word.group()) if NODE_NUMBER.fullmatch(word.group()) and not signed else None
            between = JOINING.sub(" ", text[begin if joined is None else joined : word.start()])
            strange = WORD.search(between) is not None
            words |= strange
            if joined is None or strange:
                runs.append([])
            runs[-1].append((label, word.span()))
            joined = word.end()
        words |= WORD.search(JOINING.sub(" ", text[begin if joined is None else joined : end])) is not None
        found.append(Statement(runs, words))
    return found


def read_path(text: str) -> list[tuple[int | None, tuple[int, int]]]:
    """Find the path that a text in plain English ends with: the one reader of such answers.

    People write paths in many ways: `17 -> 13 -> 11`, `[17, 13, 11]`, `17 13 11`, `17, 13 and 11`, in a sentence, a
    code fence, or behind their reasoning. The text is divided into statements, and the last statement that names a
    path decides: its last two or more labels in a row, or labels without any word beside them. Where it names other
    nodes too, as in `17, 13, 11 or 8`, it names no one path, and a node of it is `None`.

    Args:
        text (`str`): whatever was written.

    Returns:
        The nodes, each with where it stands in the text; empty if there is no path.

    Example:

    ```python
    >>> [node for node, _ in read_path("7 leads to 8, a dead end. So the path is **17 -> 13 -> 11**.")]
    [17, 13, 11]
    >>> [node for node, _ in read_path("17, 13, 11 or 8")]
    [17, 13, 11, None]
    >>> read_path("From 17 to 11? I do not know.")
    []

    ```
    """
    paths = [path for statement in statements(text) if (path := statement.path) is not None and path]
    return list(paths[-1]) if paths else []
