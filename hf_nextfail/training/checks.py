"""What a trainer is given and what it will build, checked before anything is written or trained."""

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

from hf_nextfail.data.tokenization import COMPLETION_IDS, largest_id, longest_of, longest_row, shortest_text
from hf_nextfail.errors import HubError, UsageError, did_you_mean
from hf_nextfail.models.checks import check_fits
from hf_nextfail.objectives import Objective

#: What the Trainer itself gives to a schedule.
GIVEN_ANYWAY = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}


def check_eval_datasets(datasets: Mapping[str, Dataset]) -> None:
    """Raise `ValueError` unless every dataset to evaluate on can be evaluated: tokenized, map-style, with rows."""
    for name, rows in datasets.items():
        if not isinstance(rows, Dataset):
            raise ValueError(
                f"{name} must be a map-style Dataset, got a stream: Dataset.from_list(list(stream.take(1000)))"
            )


def check_rows(model: torch.nn.Module, datasets: Iterable[Dataset], objective: Objective) -> None:
    """Raise `ValueError` for rows that are empty, longer than the model has positions, or of ids it does not embed."""
    datasets = list(datasets)
    if datasets and not min(map(shortest_text, datasets)):
        raise ValueError("a row has an empty prompt or completion: there is nothing to predict, or to predict from")
    dummies = [getattr(one, "dummy_token_id", 0) for one in (objective, objective.decoding)]
    ids = [*map(largest_id, datasets), objective.pad_token_id, *objective.special_token_ids, *dummies]
    lengths = [longest_row(rows) + objective.added_positions(longest_of(rows, COMPLETION_IDS)) for rows in datasets]
    check_fits(model, max(lengths, default=0), max(ids))


def check_best_metric(args: TrainingArguments, datasets: Iterable[str], objective: Objective) -> None:
    """Raise `ValueError` for a `metric_for_best_model` that no evaluation of ours has.

    Args:
        args (`TrainingArguments`): what the trainer is asked for.
        datasets (iterable of `str`): what the names of the numbers begin with, such as `eval`.
        objective (`Objective`): whose decoding may score no tokens; then there is no loss.
    """
    metric, measured = args.metric_for_best_model, ("accuracy", "loss")[: 1 + objective.decoding.scores_tokens]
    known = [f"{name}_{number}" for name in datasets for number in measured]
    if metric is not None and f"eval_{metric.removeprefix('eval_')}" not in known:
        raise ValueError(
            f"metric_for_best_model must be {' or '.join(known)}, got {metric!r}{did_you_mean(metric, known)}"
        )


@contextmanager
def refusals(options: str) -> Iterator[None]:
    """Turn whatever is raised where options are used into a `ValueError` that names them."""
    try:
        yield
    except (UsageError, HubError):
        raise
    except Exception as error:  # each library has refusals of its own
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{options}: {kind}{' '.join(str(error).split())}") from error


def without_args(args: TrainingArguments) -> TrainingArguments:
    """Return the same options without `optim_args`."""
    plain = copy.copy(args)
    plain.optim_args = None
    return plain


def check_what_is_built(args: TrainingArguments, model: torch.nn.Module | None) -> None:
    """Build once, of a small weight, what the Trainer builds when training begins: optimizer, schedule, compiler.

    Args:
        args (`TrainingArguments`): what names them.
        model (`nn.Module`, *optional*): of the training.

    Raises:
        ValueError: naming the options that are refused, and why.
    """
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    with refusals(f"optim {args.optim.value}, optim_args {args.optim_args}"):
        kind, options = Trainer.get_optimizer_cls_and_kwargs(args, model)
        if args.optim_args and (kind, options) == Trainer.get_optimizer_cls_and_kwargs(without_args(args), model):
            raise ValueError("this optimizer does not look at them: leave optim_args out")
        if not {"model", "optimizer_dict", "params"} & options.keys():  # these need the whole model
            kind([weight], **options)
    parameters = inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[args.lr_scheduler_type]).parameters
    known = parameters.keys() - GIVEN_ANYWAY
    unknown = sorted((args.lr_scheduler_kwargs or {}).keys() - known)
    if unknown and "kwargs" not in parameters:  # which goes to PyTorch, whose refusal is heard below
        raise ValueError(
            f"lr_scheduler_kwargs: the schedule {args.lr_scheduler_type.value} has no {unknown[0]}"
            f"{did_you_mean(unknown[0], known)}; it has {', '.join(sorted(known)) or 'no options'}"
        )
    steps = max(args.max_steps, 100)
    with refusals(f"lr_scheduler_type {args.lr_scheduler_type.value}, lr_scheduler_kwargs {args.lr_scheduler_kwargs}"):
        get_scheduler(
            args.lr_scheduler_type,
            torch.optim.SGD([weight], lr=args.learning_rate),
            num_warmup_steps=args.get_warmup_steps(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )
    if args.torch_compile:
        with refusals(
            f"torch_compile_backend {args.torch_compile_backend}, torch_compile_mode {args.torch_compile_mode}"
        ):
            torch.compile(torch.nn.Identity(), backend=args.torch_compile_backend, mode=args.torch_compile_mode)
