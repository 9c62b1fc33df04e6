"""What the playground shows: one graph, and what a checkpoint makes of it, as HTML."""

import base64
import functools
import html
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset, disable_progress_bars
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_nextfail import StarGraph, diagnose, load_tokenizer
from hf_nextfail.evaluation.leading import NUM_SHOWN, lead_astray
from hf_nextfail.models.lora import load_checkpoint
from hf_nextfail.reporting.meanings import KIND_MEANINGS
from hf_nextfail.reporting.pictures import plot_graph
from hf_nextfail.reporting.pictures.base import in_words
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.sample import load_sample
from hf_nextfail.tasks.star_graph_text import parse_prompt

CHECKPOINTS = Path(__file__).parent / "checkpoints"
disable_progress_bars()


class Checkpoint(NamedTuple):
    """A checkpoint, and the configuration that it was trained on."""

    task: StarGraph
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def choices() -> dict[str, dict[str, Path]]:
    """Find the checkpoints: the graphs that they were trained on -> the name of each -> its folder."""
    found: dict[str, dict[str, Path]] = {}
    paths = sorted(CHECKPOINTS.glob("*/*/results.json"), reverse=True)  # deeper graphs first
    for path in sorted(paths, key=lambda path: path.parent.name != "teacher_forced"):  # and what the others cure
        title = Record.read(path).run["title"]
        found.setdefault(title, {})[in_words(path.parent.name)] = path.parent
    return found


@functools.cache
def load(folder: Path) -> Checkpoint:
    """Load a checkpoint, once."""
    tokenizer = load_tokenizer(str(folder))
    task = StarGraph.from_config_name(Record.read(folder / "results.json").run["dataset_config"])
    return Checkpoint(task, load_checkpoint(tokenizer, str(folder)).eval(), tokenizer)


def sample(folder: Path) -> str:
    """Draw a graph of the test split that a checkpoint was measured on."""
    task = replace(load(folder).task, reverse=False)
    return load_sample(task.config_name, "test", random.randrange(10_000)).row["prompt"]


def read_row(prompt: str, task: StarGraph) -> tuple[StarGraph, dict[str, Any]]:
    """Read a graph of any shape in the labels of a task; raises `ValueError` with the reason if it is none."""
    problem = parse_prompt(prompt)
    task = replace(task, degree=problem.degree, path_length=problem.path_length)
    return task, task.parse(prompt + task.write_path(problem.path[::-1] if task.reverse else problem.path))


def answer(prompt: str, folder: Path) -> str:
    """Show what a checkpoint makes of a graph; of what is no graph, the reason."""
    trained, model, tokenizer = load(folder)
    try:
        task, row = read_row(prompt.strip(), trained)
        rows = Dataset.from_list([row])
        diagnosis = diagnose(model, tokenizer, rows)
    except ValueError as error:
        return paragraph(str(error), ' role="alert"')
    drawing = diagnosis["drawing"] | {"reverse": task.reverse}
    right = task.score(task.between_parts.join(drawing["written"]), row)
    kind = next(kind for kind, share in diagnosis["errors"].items() if share["value"])
    parts = [f"<h3>{'Right' if right else 'Wrong'}</h3>"]
    if shape(task) != shape(trained):
        parts.append(paragraph(f"This is {shape(task)}; the checkpoint was trained on {shape(trained)} alone."))
    parts += [
        paragraph(f"It writes {', '.join(drawing['written'])}: {KIND_MEANINGS[kind]}."),
        picture(drawing),
        "<h3>At the hard token</h3>",
        table(drawing["probabilities"], str(row["path"][-2 if task.reverse else 1])),
        "<h3>Led into a wrong arm</h3>",
    ]
    try:
        led = lead_astray(model, tokenizer, rows)[0]
    except ValueError as error:
        return "".join([*parts, paragraph(f"It cannot be led: {error}.")])
    for number, (arm, path, kind) in enumerate(led):
        shown, written = ", ".join(arm[:NUM_SHOWN]), ", ".join(path[NUM_SHOWN:])
        parts.append(paragraph(f"Shown {shown}, it goes on with {written}: {KIND_MEANINGS[kind]}."))
        if number == 0:  # of many arms, pictures of all would be pages
            parts.append(picture(drawing | {"written": path, "probabilities": {}}))
    return "".join(parts) if led else "".join([*parts, paragraph("This graph has one arm.")])


def shape(task: StarGraph) -> str:
    """Name the graphs of a task, of any labels."""
    return f"G({task.degree},{task.path_length})"


def paragraph(text: str, attributes: str = "") -> str:
    """Write a text, whatever stands in it, as a paragraph."""
    return f"<p{attributes}>{html.escape(text)}</p>"


def picture(drawing: Mapping[str, Any]) -> str:
    """Draw a graph as an image that says what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        plot_graph(dict(drawing), path := Path(folder) / "graph.svg")
        source = base64.b64encode(path.read_bytes()).decode()
    words = f"The graph. Right path: {listed(drawing['path'])}. Written: {listed(drawing['written'])}."
    return f'<img alt="{html.escape(words)}" src="data:image/svg+xml;base64,{source}">'


def listed(nodes: Sequence[Any]) -> str:
    """Write nodes with commas between them."""
    return ", ".join(map(str, nodes))


def table(probabilities: Mapping[str, float], right: str) -> str:
    """Write the probability of each node that one may choose."""
    if not probabilities:
        return paragraph("One pass of this model does not say how likely a node is.")
    rows = "".join(
        f"<tr><td>{node}{' (right)' if node == right else ''}</td><td>{value:.3f}</td></tr>"
        for node, value in probabilities.items()
    )
    return f"<table><thead><tr><th>node</th><th>probability</th></tr></thead><tbody>{rows}</tbody></table>"
