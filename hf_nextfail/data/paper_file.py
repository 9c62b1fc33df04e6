"""Read the text files that the paper's own script writes and releases."""

import codecs
import gzip
import logging
import re
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_nextfail.data.builder import TaskConfig, task_features
from hf_nextfail.data.problem_keys import graph_hashes, texts_digest
from hf_nextfail.data.trained_rows import MOST_ROWS, which_were_trained_on
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph_text import parse_problem

logger = logging.getLogger(__name__)

GZIP = b"\x1f\x8b"
#: What editors and shells put in front of text, and the encoding that it says.
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, compressed or not, without blanks at their ends or empty lines at its end.

    Raises:
        ValueError: naming the file, if it is damaged or empty.
        OSError: if it cannot be read.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a text file in the paper's format")
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: the file is compressed and damaged ({error}); copy it again") from None
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    text = content.decode(encoding, errors="replace").rstrip(" \t\r\n")
    if not text:
        raise ValueError(f"{path}: the file is empty")
    return [line.rstrip(" \t") for line in re.split(r"\r\n|\r|\n", text)]


def load_paper_file(path: str | PathLike, reverse: bool = False) -> Dataset:
    """Load a file of star-graph problems, one `a,b|c,d|.../start,goal=start,...,goal` a line, as our columns.

    A file may write all paths from the goal to the start, as the paper's script does with `reverse`. It may be
    compressed (gzip), begin with a byte order mark, end its lines in any way, and have blanks at the end of lines and
    empty lines at its own.

    Args:
        path (path): the file, for example `deg_2_path_5_nodes_50_test_20000.txt` of the paper's authors.
        reverse (`bool`, *optional*, defaults to `False`): write the completions from the goal to the start, whichever
            way the file does.

    Returns:
        `datasets.Dataset` with `prompt`, `completion`, `edges`, `path`, `start` and `goal`.

    Raises:
        ValueError: with file, line number and reason, at the first line that is not a star-graph problem with its
            right path, or that has another degree, path length or direction than the first line.
        OSError: if the file cannot be read.

    Reference: the file format of Bachmann and Nagarajan (arXiv 2403.06963).
    """
    rows: dict[str, list] = {name: [] for name in ("prompt", "completion", "edges", "path", "start", "goal")}
    first = None
    for number, line in enumerate(read_lines(Path(path)), start=1):
        try:
            problem = parse_problem(line)
            first = first or problem
            shapes = [(one.degree, len(one.path)) for one in (problem, first)]
            if shapes[0] != shapes[1]:
                raise ValueError("G({},{}) in a file of G({},{})".format(*shapes[0], *shapes[1]))
            if problem.reverse != first.reverse:
                raise ValueError(f"the path runs from the {problem.way}, in a file of paths from the {first.way}")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        nodes = problem.path[::-1] if reverse else problem.path
        values = (
            line[: line.index("=") + 1],
            ",".join(map(str, nodes)),
            problem.edges,
            problem.path,
            problem.path[0],
            problem.path[-1],
        )
        for name, value in zip(rows, values, strict=True):
            rows[name].append(value)
    rows["edges"] = np.stack(rows["edges"]).tolist()
    # The features do not depend on degree, length or the number of labels.
    return Dataset.from_dict(rows, features=task_features(StarGraph()))


def load_test_file(path: str, task: StarGraph, num_rows: int | None = None) -> Dataset:
    """Load a file in the paper's format beside the rows of a task; by default all of its rows, else the first.

    Raises:
        ValueError, OSError: if it cannot be read, or its graphs have another degree or path length.
    """
    rows = load_paper_file(path, reverse=task.reverse)
    length = len(rows[0]["path"])
    degree = len(rows[0]["edges"]) // (length - 1)
    if (degree, length) != (task.degree, task.path_length):
        raise ValueError(
            f"test_file {path} holds graphs G({degree},{length}), but is measured beside {task.title}: name the "
            f"dataset_config that it belongs to, such as {config_for(rows, degree, length, task)}"
        )
    return rows if num_rows is None else rows.select(range(min(num_rows, len(rows))))


def config_for(rows: Dataset, degree: int, length: int, task: StarGraph) -> str:
    """Name a configuration that the rows of a file belong to: one of the grid if one has enough labels.

    A file seldom has the largest label of its configuration, and a model may know more: those of its task.
    """
    labels = max(task.num_nodes, 1 + int(rows.with_format("numpy")["edges"][:].max()))
    grid = [StarGraph.from_config_name(name) for name in StarGraph.grid]
    known = [one.num_nodes for one in grid if (one.degree, one.path_length) == (degree, length)]
    num_nodes = min((number for number in known if number >= labels), default=labels)
    return StarGraph(degree, length, num_nodes, reverse=task.reverse).config_name


def describe_test_file(path: str | None, dataset: Dataset | None, trained: TaskConfig | None) -> dict[str, Any] | None:
    """Say which file was evaluated, and how many of its graphs the model was trained on.

    Args:
        path (`str`, *optional*): the file, if there is one.
        dataset (`Dataset`, *optional*): its rows.
        trained (`TaskConfig`, *optional*): the rows that the model was trained on; `None` where nobody knows.

    Returns:
        `dict` of the name of the file as `path` and of `seen_share`, `None` where nobody knows; or `None`.
    """
    if path is None:
        return None
    share = None
    if trained is not None and trained.num_train <= MOST_ROWS:
        seen = which_were_trained_on(np.unique(graph_hashes(dataset)), trained)
        share = float(seen.mean())
        logger.info("%s: %s of %s graphs were trained on", path, f"{seen.sum():,}", f"{len(seen):,}")
    return {"path": Path(path).name, "rows_sha256": texts_digest(dataset), "seen_share": share}
