"""Problems in plain English for models that were never trained on them: one record, or one for each path length."""

import csv
import dataclasses
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hf_nextfail.data.problem_keys import texts_digest
from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.data.tokenization import COMPLETION_IDS, longest_of, tokenize_dataset
from hf_nextfail.errors import UsageError, make_output_folder
from hf_nextfail.evaluation.prompting import Prompting, evaluate_prompted
from hf_nextfail.files import write_whole
from hf_nextfail.reporting.pictures import PICTURE_FORMATS, plot_depth
from hf_nextfail.reporting.provenance import versions
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import in_time
from hf_nextfail.runs.measure_checkpoint import (
    Subject,
    check_batch_size,
    evaluation_timings,
    load_rows,
    load_subject,
)
from hf_nextfail.tasks import StarGraph

#: The rows that are asked unless somebody says otherwise: writing takes long, and so many give ± 0.016 at most.
NUM_ASKED = 1_000
DATASET = f"{NAMESPACE}/{StarGraph.name}"
#: The columns of the table of `measure_depth`, behind what was asked.
NUMBERS = ("accuracy", "answer_rate", "choice_accuracy", "choice_mass")


def instruct_task(dataset_name: str | None, dataset_config: str | None) -> StarGraph:
    """Return the star graph of a configuration name, in plain English.

    Raises:
        UsageError: for another dataset, or no such configuration.
    """
    if dataset_name not in (None, DATASET):
        raise UsageError(f"style instruct goes with {DATASET}, not with {dataset_name}: leave dataset_name out")
    try:
        return StarGraph.from_config_name(dataset_config or StarGraph.grid[0], style="instruct")
    except ValueError as error:
        raise UsageError(str(error)) from error


def load_asked(name_or_path: str, task: StarGraph, **options: Any) -> Subject:
    """Load a checkpoint and problems in plain English: see `load_subject`, whose options these are."""
    return load_subject(name_or_path, DATASET, task.config_name, decoding="autoregressive", **options)


def on_task(subject: Subject, task: StarGraph, num_rows: int) -> Subject:
    """Return the same checkpoint with the problems of another configuration.

    Raises:
        UsageError: if this has none in the split.
    """
    try:
        rows, _, _ = load_rows(
            DATASET, task.config_name, subject.run["split"], num_rows, subject.run["dataset_seed"], None
        )
        tokenized = tokenize_dataset(rows, subject.tokenizer)
    except ValueError as error:
        raise UsageError(str(error)) from error
    run = subject.run | {"dataset_config": task.config_name, "rows_sha256": texts_digest(rows)}
    return dataclasses.replace(subject, task=task, datasets={"": tokenized}, run=run)


def prompting_of(subject: Subject, num_shots: int, chat: bool, max_new_tokens: int | None) -> Prompting:
    """Say how a checkpoint is asked: its examples are the first training rows of the same seed.

    Args:
        num_shots (`int`, >= 0), chat (`bool`): see [`Prompting`].
        max_new_tokens (`int`, >= 1, *optional*): by default twice the longest right answer and 32: enough for a
            sentence around it.

    Raises:
        UsageError: if a number is out of range, or there are no training rows.
    """
    if num_shots < 0:
        raise UsageError(f"num_shots must be at least 0, got {num_shots}")
    if max_new_tokens is not None and max_new_tokens < 1:
        raise UsageError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if max_new_tokens is None:
        max_new_tokens = 2 * longest_of(subject.datasets[""], COMPLETION_IDS) + 32
    shots = []
    if num_shots:
        name, seed = subject.task.config_name, subject.run["dataset_seed"]
        try:
            rows, _, _ = load_rows(DATASET, name, "train", num_shots, seed, None)
        except ValueError as error:
            raise UsageError(str(error)) from error
        shots = list(rows)
    return Prompting(shots, chat, max_new_tokens)


def as_recorded(prompting: Prompting) -> dict[str, Any]:
    """Return what a record says of how a model was asked."""
    return {
        "num_shots": len(prompting.shots),
        "chat": prompting.chat,
        "max_new_tokens": prompting.max_new_tokens,
    }


def ask(subject: Subject, prompting: Prompting, batch_size: int, progress: bool) -> Record:
    """Ask a checkpoint and make the record of it.

    Raises:
        UsageError: in one line, if the checkpoint cannot be asked this way.
    """
    began = time.perf_counter()
    description = "Asking" if progress else None
    try:
        results = evaluate_prompted(
            subject.model,
            subject.tokenizer,
            subject.task,
            subject.datasets[""],
            prompting,
            batch_size,
            description,
        )
    except ValueError as error:
        raise UsageError(f"{subject.run['model']}: {error}") from error
    run = subject.run | {"prompting": as_recorded(prompting)}
    return Record.build(subject.task, run, results, timings=evaluation_timings(began))


def ask_checkpoint(
    name_or_path: str,
    num_shots: int = 0,
    chat: bool = False,
    max_new_tokens: int | None = None,
    num_rows: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    **options: Any,
) -> Record:
    """Measure any causal LM on problems in plain English, zero-shot or few-shot: see `evaluate_prompted`.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        num_shots, chat, max_new_tokens: see `prompting_of`.
        num_rows (`int`, >= 1, *optional*, defaults to 1,000): the first so many of the split.
        batch_size (`int`, >= 1, *optional*, defaults to 32): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show progress bars.
        dataset_name (`str`, *optional*), dataset_config (`str`, *optional*): of the star graph, in either style; by
            default `d2_l5_n50`.
        options: the other arguments of `load_subject`.

    Raises:
        UsageError: in one line, if the checkpoint does not exist, or cannot be asked this way.
    """
    check_batch_size(batch_size)
    task = instruct_task(dataset_name, dataset_config)
    subject = load_asked(name_or_path, task, num_rows=NUM_ASKED if num_rows is None else num_rows, **options)
    return ask(subject, prompting_of(subject, num_shots, chat, max_new_tokens), batch_size, progress)


def measure_depth(
    name_or_path: str,
    output_dir: Path,
    path_lengths: Sequence[int],
    degree: int,
    num_nodes: int,
    num_rows: int,
    num_shots: int = 0,
    chat: bool = False,
    max_new_tokens: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
    say: Callable[[str], None] = print,
    **options: Any,
) -> tuple[list[Record], Path]:
    """Measure a causal LM on longer and longer paths; a length that was measured in the same way is kept.

    Args:
        output_dir (`Path`): a folder for each model is made there, with a picture, a table and the records.
        path_lengths (sequence of `int`): the nodes of a path.
        degree, num_nodes, num_rows (`int`): the arms, the labels, and the first so many rows of the split.
        say (callable): told after each length how far it is.
        (others): as of `ask_checkpoint`.

    Returns:
        The records, by path length, and the folder.

    Raises:
        UsageError: in one line, if the checkpoint does not exist, or cannot be asked this way.
    """
    check_batch_size(batch_size)
    lengths = sorted(set(path_lengths))
    tasks = [instruct_task(None, f"d{degree}_l{length}_n{num_nodes}") for length in lengths]
    subject = load_asked(name_or_path, tasks[0], num_rows=num_rows, **options)
    folder = output_dir / name_or_path.strip("/").replace("/", "--")
    records, began, done = [], time.perf_counter(), 0
    for task in tasks:
        asked = on_task(subject, task, num_rows)
        prompting = prompting_of(asked, num_shots, chat, max_new_tokens)
        path = folder / f"{task.config_name}-{num_rows}_rows-{num_shots}_shots{'-chat' if chat else ''}/results.json"
        record, note = measured_before(path, asked, prompting), "measured before"
        if record is None:
            record = ask(asked, prompting, batch_size, progress)
            make_output_folder(path.parent)
            record.write(path)
            done += task.path_length**2  # a longer prompt takes longer, and so does a longer answer
            left = sum(other.path_length**2 for other in tasks if other.path_length > task.path_length)
            note = f"about {in_time((time.perf_counter() - began) * left / done)} left" if left else "done"
        records.append(record)
        say(f"{task.title}: {in_short(record)}; {note}")
    write_depth(records, folder)
    return records, folder


def measured_before(path: Path, subject: Subject, prompting: Prompting) -> Record | None:
    """Read the record of the same checkpoint, the same rows and the same way to ask; `None` if there is none."""
    if not path.is_file():
        return None
    try:
        record = Record.read(path)
    except UsageError:  # half a file, or another's: it is measured again
        return None
    same = ("model", "weights_sha256", "rows_sha256", "num_parameters", "device")
    run = subject.run | {"prompting": as_recorded(prompting)}
    task, now = StarGraph.name, versions(subject.task)
    unchanged = all(record.run[name] == run[name] for name in (*same, "prompting"))
    return record if unchanged and all(record.versions.get(n) == now[n] for n in (task, "metrics")) else None


def in_short(record: Record) -> str:
    """Write the two numbers of a record that matter here."""
    named = {"accuracy": "whole answers right", "choice_accuracy": "first step right"}
    numbers = {text: record.estimate(name) for name, text in named.items()}
    return ", ".join(f"{text} {number['value']:.3f}" for text, number in numbers.items() if number is not None)


def write_depth(records: Sequence[Record], folder: Path) -> None:
    """Write the picture and the table of some path lengths."""
    for suffix in PICTURE_FORMATS:
        plot_depth(records, folder / f"depth.{suffix}")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    errors = [f"{name}_standard_error" for name in NUMBERS]
    table.writerow(["path_length", "degree", "num_nodes", "num_rows", "chance", *NUMBERS, *errors])
    for record in records:
        task = StarGraph.from_config_name(record.run["dataset_config"])
        numbers = [record.estimate(name) for name in NUMBERS]
        values = [["" if n is None else n[key] for n in numbers] for key in ("value", "standard_error")]
        asked = [task.path_length, task.degree, task.num_nodes, record.results["accuracy"]["n"]]
        table.writerow([*asked, record.chance["choice_accuracy"], *values[0], *values[1]])
    write_whole(folder / "depth.csv", text.getvalue())
