"""A checkpoint, ours or not, to the record that stands in `results.json`, without training."""

import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.own_dataset import ALL_ROWS, load_own_rows
from hf_nextfail.data.paper_file import describe_test_file, load_test_file
from hf_nextfail.data.problem_keys import report_repeats, texts_digest
from hf_nextfail.data.registration import NAMESPACE, task_class
from hf_nextfail.data.room import who_is_to_blame
from hf_nextfail.data.tokenization import load_tokenizer, longest_row, tokenize_dataset
from hf_nextfail.decoding import DECODINGS, AutoregressiveDecoding, Decoding, find_decoding, says_decoding
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.evaluation.creativity import Sampling
from hf_nextfail.evaluation.diagnose import NUM_DIAGNOSED, diagnose
from hf_nextfail.evaluation.evaluate import NUM_TRAIN_SAMPLE, evaluate_all
from hf_nextfail.evaluation.parts import check_fast, has_parts
from hf_nextfail.models.checks import check_layout, check_model_source, check_positions
from hf_nextfail.models.lora import load_checkpoint
from hf_nextfail.objectives import Objective, objective_class
from hf_nextfail.own_code import sources_of
from hf_nextfail.reporting.provenance import weights_digest
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.trained_on import rows_trained_on, trained_on, what_to_measure_on
from hf_nextfail.tasks import SPLITS, StarGraph, Task

logger = logging.getLogger(__name__)


def load_rows(
    dataset_name: str,
    dataset_config: str | None,
    split: str | None,
    num_rows: int | None,
    seed: int,
    training: dict[str, Any] | None,
) -> tuple[Dataset, Task | None, str]:
    """Load one split, ours or the user's; returns it, its task if it is generated, and its name.

    Args:
        training (`dict`, *optional*): what the model was trained on, if that is this dataset: of its training rows,
            no more are measured than it was trained on.
        (others): as of `load_subject`.
    """
    kind = task_class(dataset_name)
    there_are = training["num_train"] if training is not None and split == "train" else None
    if kind is None:
        rows, split = load_own_rows(dataset_name, dataset_config, split, training is not None)
        return rows.select(range(min(n for n in (num_rows, there_are, len(rows)) if n is not None))), None, split
    split = split or "test"
    check_choice("split", split, SPLITS)
    if training is not None and seed != training.get("dataset_seed"):
        there_are = None
    default = NUM_TRAIN_SAMPLE if split == "train" else getattr(TaskConfig, f"num_{split}")
    wanted = default if num_rows is None else num_rows
    sizes = {f"num_{other}": 0 for other in SPLITS} | {f"num_{split}": min(wanted, there_are or wanted)}
    config = TaskConfig.resolve(kind, dataset_config, seed=seed, **sizes)
    return load_dataset(dataset_name, config.name, split=split, seed=seed, **sizes), config.task, split


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise `UsageError` unless a value is one of those known."""
    if value not in known:
        raise UsageError(f"{name} must be {' or '.join(known)}, got {value!r}{did_you_mean(value, known)}")


@dataclass(frozen=True)
class Subject:
    """A checkpoint to measure, with the rows to measure it on.

    Args:
        model, tokenizer, decoding, task: the checkpoint, how it writes, what is asked; no task for your own data.
        datasets (`dict`): tokenized rows, by the prefix of their results: `""` and `"test_file_"`.
        run (`dict`): what their record says under `run`.
        test_file (`dict`, *optional*): what it says of the file.
        trained (`TaskConfig`, *optional*): the rows of the task that it was trained on; `None` where nobody knows.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    decoding: Decoding
    task: Task | None
    datasets: dict[str, Dataset]
    run: dict[str, Any]
    test_file: dict[str, Any] | None
    trained: TaskConfig | None


def load_subject(
    name_or_path: str,
    dataset_name: str | None = None,
    dataset_config: str | None = None,
    split: str | None = None,
    num_rows: int | None = None,
    dataset_seed: int | None = None,
    test_file: str | None = None,
    decoding: str | None = None,
    objective: str | None = None,
    task: str | None = None,
    trust_remote_code: bool = False,
) -> Subject:
    """Load any checkpoint, ours or not, and rows to measure it on.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        dataset_name (`str`, *optional*): ours, or your own data with `prompt` and `completion`; by default what a
            checkpoint of ours was trained on.
        dataset_config (`str`, *optional*): such as `d2_l5_n50`; by default the same.
        split (`str`, *optional*): of the dataset; by default `"test"`, or every row (`"all"`) of your own data where
            these have one split and the checkpoint was not trained on them.
        num_rows (`int`, >= 1, *optional*): the first so many, of the split and of test_file; by default 20,000 of
            test, 5,000 of validation and 10,000 of train, or all of your own and of test_file; of the rows that a
            checkpoint of ours was trained on, never more.
        dataset_seed (`int`, >= 0, *optional*): of rows that are generated; by default the one that a checkpoint of
            ours was trained with, else 0.
        test_file (`str`, *optional*): a file in the paper's format, to be measured as well.
        decoding (`str`, *optional*): how the model writes, a name in `DECODINGS`; by default as it was trained, and
            token by token for checkpoints that are not ours.
        objective (`str`, *optional*): how it was trained, a name in `OBJECTIVES` or a reference to one of your own,
            which is imported: it knows how the model writes.
        task (`str`, *optional*): a reference to a task of your own, in the place of `dataset_name`.
        trust_remote_code (`bool`, *optional*, defaults to `False`): run code that comes with the checkpoint.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_choice("split", split or "test", (*SPLITS, ALL_ROWS))
    check_choice("decoding", decoding or "autoregressive", DECODINGS)
    if num_rows is not None and num_rows < 1:
        raise UsageError(f"num_rows must be at least 1, got {num_rows}")
    try:
        check_model_source(name_or_path, None, {})
        check_layout(name_or_path)
        tokenizer = load_tokenizer(name_or_path, trust_remote_code)
        model = load_checkpoint(tokenizer, name_or_path, trust_remote_code=trust_remote_code).eval()
        training = trained_on(name_or_path)
        dataset_name, dataset_config, dataset_seed, own = what_to_measure_on(
            name_or_path, training, task, dataset_name, dataset_config, dataset_seed
        )
        rows, of_task, split = load_rows(
            dataset_name, dataset_config, split, num_rows, dataset_seed, training if own else None
        )
        if of_task is not None:
            report_repeats(rows, of_task, split)
        datasets = {"": rows}
        if test_file is not None and not isinstance(of_task, StarGraph):
            raise ValueError(f"test_file goes with {NAMESPACE}/{StarGraph.name}, not with {dataset_name}")
        if test_file is not None:
            datasets["test_file_"] = load_test_file(test_file, of_task, num_rows)
        if of_task is not None and has_parts(of_task, rows["completion"][:]):
            check_fast(tokenizer)
        datasets = {prefix: tokenize_dataset(rows, tokenizer) for prefix, rows in datasets.items()}
        check_positions(model, max(map(longest_row, datasets.values())))
        kind = None if objective is None else objective_class(objective)
        how = decoding_by(kind, decoding) or assumed_decoding(name_or_path, model, training)
        how = find_decoding(how, model, tokenizer)
    except (ValueError, OSError) as error:
        raise UsageError(who_is_to_blame(name_or_path, error)) from error
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    run = {
        "name": name_or_path,
        "dataset_name": dataset_name,
        "dataset_config": dataset_config if of_task is None else of_task.config_name,
        "split": split,
        "rows_sha256": texts_digest(rows),
        "model": name_or_path,
        "weights_sha256": weights_digest(Path(name_or_path)) if Path(name_or_path).is_dir() else None,
        "dataset_seed": dataset_seed,
        "objective": training.get("objective") or getattr(model.generation_config, "objective", None),
        **({} if kind is None else {"objective": kind.name}),
        "sources": sources_of(objective=kind, task=None if of_task is None else type(of_task)),
        "decoding": how.name,
        "num_parameters": model.num_parameters(),
        "precision": "fp32",
        "device": str(model.device),
        "num_threads": torch.get_num_threads(),
    }
    trained = rows_trained_on(training, dataset_name, None if of_task is None else type(of_task))
    in_words = describe_test_file(test_file, datasets.get("test_file_"), trained)
    return Subject(model, tokenizer, how, of_task, datasets, run, in_words, trained)


def decoding_by(objective: type[Objective] | None, decoding: str | None) -> str | type[Decoding] | None:
    """Choose how a checkpoint writes: as it was trained, or as is asked for.

    Raises:
        ValueError: if the two contradict each other.
    """
    if objective is None:
        return decoding
    if decoding not in (None, objective.decoding_class.name):
        raise ValueError(
            f"the objective {objective.name} decodes {objective.decoding_class.name}, not {decoding}: leave one out"
        )
    return objective.decoding_class


def assumed_decoding(name_or_path: str, model: nn.Module, training: dict[str, Any]) -> str | None:
    """Choose how a checkpoint writes that does not say so itself, and tell the user; `None` for one that says so.

    Whoever saves a model by other means than ours, or copies its weights, may leave out what says it.
    """
    if says_decoding(model):
        return None
    name = training.get("decoding") or AutoregressiveDecoding.name
    reason = "as the run that it came with" if training.get("decoding") else "as checkpoints that are not ours do"
    logger.warning(
        "The generation config of %s does not say how it decodes: %s is assumed, %s; --decoding or --objective says "
        "otherwise.",
        *(name_or_path, name, reason),
    )
    return name


def evaluation_timings(began: float) -> dict[str, float]:
    """Return the `timings` of a record without training."""
    return {"evaluation_seconds": round(time.perf_counter() - began, 1)}


def check_batch_size(batch_size: int) -> None:
    """Raise `UsageError` for a batch of no rows."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def evaluate_checkpoint(
    name_or_path: str,
    batch_size: int = 256,
    progress: bool = True,
    num_samples: int | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    **options: Any,
) -> Record:
    """Measure any checkpoint, ours or not, without training it.

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        num_samples, temperature, seed: of a creative task, how outputs are drawn; see [`Sampling`].
        options: the other arguments of [`load_subject`].

    Returns:
        `Record`: what stands in `results.json`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_batch_size(batch_size)
    subject = load_subject(name_or_path, **options)
    task, what = subject.task, (subject.model, subject.tokenizer, subject.decoding, subject.task, subject.datasets)
    began = time.perf_counter()
    try:
        sampling = Sampling.of(task, num_samples, temperature, seed)
        results = evaluate_all(*what, batch_size, progress, sampling=sampling, trained=subject.trained)
    except ValueError as error:
        raise UsageError(f"{subject.run['dataset_name']}: {error}") from error
    run = subject.run | {"sampling": sampling and asdict(sampling)}
    return Record.build(task, run, results, test_file=subject.test_file, timings=evaluation_timings(began))


def diagnose_checkpoint(
    name_or_path: str,
    num_rows: int = NUM_DIAGNOSED,
    test_file: str | None = None,
    batch_size: int = 256,
    progress: bool = True,
    **options: Any,
) -> Record:
    """Diagnose any checkpoint, ours or not: see [`hf_nextfail.diagnose`].

    Args:
        name_or_path (`str`): a causal LM on the Hub, or a folder.
        num_rows (`int`, >= 1, *optional*, defaults to 2,000): the first so many rows.
        test_file (`str`, *optional*): diagnose on a file in the paper's format instead of a split.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
        options: the other arguments of [`load_subject`].

    Returns:
        `Record`: what stands in `results.json`.

    Raises:
        UsageError: in one line, if the checkpoint or the dataset does not exist, or they do not fit each other.
    """
    check_batch_size(batch_size)
    subject = load_subject(name_or_path, num_rows=num_rows, test_file=test_file, **options)
    rows = subject.datasets["" if test_file is None else "test_file_"]
    description = "Diagnosing rows" if progress else None
    began = time.perf_counter()
    try:
        diagnosis = diagnose(
            subject.model,
            subject.tokenizer,
            rows,
            subject.decoding,
            batch_size,
            description,
            task_name=StarGraph.name if subject.task is None else subject.task.name,
        )
    except ValueError as error:
        raise UsageError(f"{subject.run['dataset_name']}: {error}") from error
    numbers = ("accuracy", "token_accuracy", "forced_token_accuracy", "hard_token_accuracy")
    run = subject.run | {"rows_sha256": texts_digest(rows.select(range(min(num_rows, len(rows)))))}
    if test_file is not None:
        run["split"] = Path(test_file).name
    results = {name: diagnosis["numbers"][name] for name in numbers if name in diagnosis["numbers"]}
    return Record.build(subject.task, run, results, diagnosis=diagnosis, timings=evaluation_timings(began))
