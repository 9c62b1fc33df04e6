"""Train what recipes say, evaluate it, and show the contrast: what `recipes/finetune.py` runs."""

import dataclasses
import logging
import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, set_seed

from hf_nextfail.data.paper_file import describe_test_file, load_test_file
from hf_nextfail.data.problem_keys import report_repeats, texts_digest
from hf_nextfail.data.room import who_is_to_blame
from hf_nextfail.data.tokenization import load_tokenizer, longest_row, tokenize_dataset
from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.diagnoses import NoDiagnosis
from hf_nextfail.errors import HubError, TrainingError, UsageError, alone_in
from hf_nextfail.evaluation.diagnose import NUM_DIAGNOSED, diagnose
from hf_nextfail.evaluation.evaluate import NUM_TRAIN_SAMPLE, evaluate_all
from hf_nextfail.evaluation.parts import check_fast, has_parts
from hf_nextfail.evaluation.verify import check_task
from hf_nextfail.files import write_whole
from hf_nextfail.models import build_model
from hf_nextfail.models.checks import check_layout, check_positions
from hf_nextfail.models.fast_path import FAST_PATHS, use_fast_path
from hf_nextfail.models.lora import add_lora, load_checkpoint
from hf_nextfail.objectives import objective_class
from hf_nextfail.reporting.pictures import draw_pictures
from hf_nextfail.reporting.provenance import weights_digest
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.options import ModelArguments
from hf_nextfail.runs.recipes import Run
from hf_nextfail.runs.resume import INTERRUPTED, check_recipe, finished_record, resume_point
from hf_nextfail.training.checkpoints import read_seal, writing
from hf_nextfail.training.checks import refusals
from hf_nextfail.training.hardware import keep_freed_memory
from hf_nextfail.training.trackers import report_end, tracked_numbers
from hf_nextfail.training.trainer import NextFailTrainer

logger = logging.getLogger(__name__)

WAY_OUT = "Make room"  # where something could not be written


def make_model(options: ModelArguments, tokenizer: PreTrainedTokenizerBase, added: list[str]) -> torch.nn.Module:
    """Load or build the model that is trained, with adapters if asked to; tokens that were `added` are new to it."""
    if options.model_name_or_path is None:
        return build_model(
            tokenizer,
            model_type=options.model_type,
            config_overrides=options.overrides,
            attn_implementation=options.attn_implementation,
        )
    model = load_checkpoint(
        tokenizer, options.model_name_or_path, options.attn_implementation, options.trust_remote_code
    )
    if options.use_peft:
        if isinstance(model, PeftModel):
            raise ValueError(f"{options.model_name_or_path} is an adapter already: leave use_peft out to train it on")
        settings = (options.lora_r, options.lora_alpha, options.lora_dropout, options.lora_target_modules)
        model = add_lora(model, tokenizer, *settings, added)
    return model


def prepare(run: Run, chosen: dict[str, Any] | None = None) -> tuple[NextFailTrainer, dict[str, Dataset]]:
    """Build all that a run needs; whatever is wrong with its input shows here, before any training.

    Args:
        run (`Run`): from `parse_runs`.
        chosen (`dict`, *optional*): what was chosen for the run before, of which the same is chosen as far as it can.

    Returns:
        The trainer, and the tokenized datasets to evaluate at the end by the prefix of their results.
    """
    keep_freed_memory()
    if chosen is not None:
        run.training.use_precision(chosen["precision"])
    task = run.data.generated
    # Of a stream of training rows, only the first are needed all at once.
    first = {"num_train": min(NUM_TRAIN_SAMPLE, run.data.config.num_train)} if run.data.streaming else {}
    with run.training.main_process_first():
        splits = run.data.load(**first)
    train = splits["train"]
    if run.model.model_name_or_path is not None:
        check_layout(run.model.model_name_or_path)
    source = run.model.model_name_or_path or run.model.tokenizer_name_or_path
    tokenizer = load_tokenizer(source, run.model.trust_remote_code) if source else task_tokenizer(task)
    added = list(objective_class(run.training.objective).special_tokens)
    tokenizer.add_tokens(added, special_tokens=True)
    if task is not None:
        if has_parts(task, splits["test"]["completion"][:]):
            check_fast(tokenizer)
        check_task(task, splits["test"], tokenizer)
        report_repeats(splits["test"], task, "test")
    set_seed(run.training.seed)
    model = make_model(run.model, tokenizer, added)
    fitted = train.select(range(min(NUM_TRAIN_SAMPLE, len(train), len(splits["test"]))))
    evaluated = {"": splits["test"], "train_": fitted}
    if run.data.test_file is not None:
        evaluated["test_file_"] = load_test_file(run.data.test_file, task)
    if run.data.streaming:
        train = run.data.load(streaming=True)["train"]
    with run.training.main_process_first():
        evaluated = {prefix: tokenize_dataset(dataset, tokenizer) for prefix, dataset in evaluated.items()}
        validation, train = (tokenize_dataset(dataset, tokenizer) for dataset in (splits["validation"], train))
    known = [*evaluated.values(), validation, *([] if run.data.streaming else [train])]
    longest = max(map(longest_row, known))
    check_positions(model, longest)
    with refusals("the training cannot begin"):
        trainer = NextFailTrainer(
            model, run.training, train_dataset=train, eval_dataset=validation, processing_class=tokenizer, task=task
        )
    allowed = set(run.model.fast_path if chosen is None else chosen.get("fast_path", ()))
    if run.model.attn_implementation is not None:
        allowed.discard("attention")
    if run.training.torch_compile:
        allowed -= {
            "last_mlp",
            "gelu_table",
        }  # hooks with a memory are not compiled, and a kernel is faster than a table
    if trainer.precision != "bf16":
        allowed.discard("gelu_table")
    trainer.fast_path = use_fast_path(model, longest, allowed, trainer.heads and trainer.heads.heads)
    ways = [FAST_PATHS[name][1] for name in trainer.fast_path]
    logger.info("%s on %s: %s.", trainer.precision, trainer.args.device, "; ".join(ways) or "as transformers does it")
    for name, value in ({} if chosen is None or run.training.process_index else chosen).items():
        if trainer.choices().get(name) != value:
            logger.warning(
                "This run began with %s %s, and goes on with %s: it will not end as it would have, bit for bit.",
                *(name, value, trainer.choices().get(name)),
            )
    return trainer, evaluated


def execute(run: Run, chosen: dict[str, Any] | None = None) -> tuple[Record, list[str]]:
    """Train, evaluate, save and, if asked to, push one run.

    Args:
        run (`Run`): from `parse_runs`.
        chosen (`dict`, *optional*): what was chosen for it before (see `NextFailTrainer.choices`), to choose the same;
            of a checkpoint that it goes on from, it is known.

    Returns:
        The record of the run's `results.json`, and a line for each push that failed.

    Raises:
        UsageError: if the input turns out to be bad, before any training.
        HubError: if `--push_to_hub` is given and the token may not push, before any training.
        TrainingError: if the training fails.
    """
    going_on = str(run.training.resume_from_checkpoint).lower() == "true"
    try:
        record = finished_record(run) if going_on else None
        if record is not None:
            logger.info("%s is finished; its results are read from %s.", run.name, run.folder / "results.json")
            if run.training.push_to_hub:
                logger.warning(
                    "It is not pushed again: nextfail push-model %s --repo USER/NAME", shlex.quote(str(run.folder))
                )
            return record, []
        checkpoint = resume_point(run)
        if checkpoint is not None:
            check_recipe(run, checkpoint)
            logger.info("%s goes on from %s.", run.name, checkpoint)
            chosen = read_seal(checkpoint)["choices"]
        elif going_on:
            logger.info("%s has no whole checkpoint, and starts afresh.", run.name)
        trainer, evaluated = prepare(run, chosen)
    except (ValueError, OSError) as error:
        raise UsageError(who_is_to_blame(run.name, error)) from error
    # Bad input has left nothing behind up to here, not even a folder.
    with alone_in(run.folder) if trainer.is_world_process_zero() else nullcontext():
        if resume_point(run) != checkpoint:
            raise UsageError(f"another command has trained in {run.folder} meanwhile: run this one again")
        return carry_out(run, trainer, evaluated, checkpoint)


def carry_out(
    run: Run, trainer: NextFailTrainer, evaluated: dict[str, Dataset], checkpoint: Path | None
) -> tuple[Record, list[str]]:
    """Train, evaluate, save and push what is prepared.

    Args:
        run (`Run`), trainer (`NextFailTrainer`), evaluated (`dict`): what `prepare` took and returned.
        checkpoint (`Path`, *optional*): what to go on from.

    Returns:
        As [`execute`].
    """
    if trainer.is_world_process_zero():
        with writing(f"the recipe of {run.name}", WAY_OUT):
            write_whole(run.folder / "recipe.yaml", yaml.safe_dump(run.recipe, sort_keys=False))
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    train_seconds = time.perf_counter() - began
    with writing(f"the model of {run.name}", WAY_OUT):
        if trainer.is_world_process_zero():
            (run.folder / "results.json").unlink(missing_ok=True)  # of an earlier run, whose model is overwritten now
        trainer.save_model(_internal_call=True)  # without the push that follows a user's own call
    record = measure_run(run, trainer, evaluated, train_seconds)
    write_record(run, trainer, record)  # before anything that may fail, whoever's code that is
    record = with_diagnosis(run, trainer, evaluated[""], record)
    write_record(run, trainer, record)
    if trainer.is_world_process_zero():
        show(run, trainer, record)
    if run.training.push_to_hub:
        try:
            trainer.push_to_hub(saved=True)
        except HubError as error:
            again = f"nextfail push-model {shlex.quote(str(run.folder))} --repo {trainer.hub_model_id}"
            trainer.failed_pushes.append(f"{error} (here: {again})")
    return record, trainer.failed_pushes


def write_record(run: Run, trainer: NextFailTrainer, record: Record) -> None:
    """Write the results.json of a run, on the first process."""
    if trainer.is_world_process_zero():
        with writing(f"the results of {run.name}", WAY_OUT):
            record.write(run.folder / "results.json")


def show(run: Run, trainer: NextFailTrainer, record: Record) -> None:
    """Draw the pictures of a run and tell the trackers; a run is finished whether that works or not."""
    try:
        report_end(trainer, tracked_numbers(record), draw_pictures([record], run.folder))
    except Exception as error:  # a full disk, a tracker that cannot be reached, ...
        logger.warning(
            "The results of %s are written, but its pictures, or what trackers are told, are not: %s: %s. Pictures: "
            "nextfail report %s",
            *(run.name, type(error).__name__, " ".join(str(error).split()), shlex.quote(str(run.folder))),
        )


def measured_model(trainer: NextFailTrainer) -> torch.nn.Module:
    """Return the model with the arithmetic of its saved weights: for bf16, accelerate wraps its forward."""
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)


def measure_run(run: Run, trainer: NextFailTrainer, evaluated: dict[str, Dataset], train_seconds: float) -> Record:
    """Evaluate a model that was trained and saved.

    Args:
        run (`Run`), trainer (`NextFailTrainer`), evaluated (`dict`): what `prepare` took and returned.
        train_seconds (`float`): how long this command trained.

    Raises:
        TrainingError: if the verifier of the task fails.
    """
    task, args, began = run.data.generated, run.training, time.perf_counter()
    tokenizer, decoding, shared = trainer.processing_class, trainer.objective.decoding, trainer.has_whole_model
    progress = not args.disable_tqdm and trainer.is_world_process_zero()
    sampling = run.data.sampling(args.seed)
    subject = (measured_model(trainer), tokenizer, decoding, task, evaluated, args.eval_batch_size)
    try:
        results = evaluate_all(*subject, progress, shared, sampling, run.data.config)
    except ValueError as error:
        raise TrainingError(f"{run.name} is trained and saved, but not measured: {error}") from error
    training = trainer.describe()
    share_here = 1 - trainer._initial_global_step / max(1, training["steps"])  # the rest is of an earlier command
    return Record.build(
        task,
        {
            "name": run.name,
            "started_from": run.started_from,
            "dataset_name": run.data.dataset_name,
            "dataset_config": run.data.dataset_config,
            "dataset_seed": run.data.dataset_seed,
            "rows_sha256": texts_digest(evaluated[""]),
            "model": run.model.model_name_or_path or run.model.model_type,
            "weights_sha256": weights_digest(run.folder),
            "sampling": sampling and dataclasses.asdict(sampling),
            "diagnosis_absent": INTERRUPTED,
            **training,
        },
        results,
        test_file=describe_test_file(run.data.test_file, evaluated.get("test_file_"), run.data.config),
        history=trainer.history(),
        recipe=run.recipe,
        timings={
            "train_seconds": round(train_seconds, 1),
            "examples_per_second": round(training["examples"] * share_here / train_seconds, 1),
            "evaluation_seconds": round(time.perf_counter() - began, 1),
        },
    )


def with_diagnosis(run: Run, trainer: NextFailTrainer, rows: Dataset, record: Record) -> Record:
    """Diagnose a model that was measured, and add that to its record, or why there is no diagnosis."""
    task, args, began = run.data.generated, run.training, time.perf_counter()
    diagnosis, absent = None, None
    if task is None:
        absent = "the rows are of no task that is known here"
    elif not args.num_diagnosed:
        absent = "num_diagnosed is 0"
    else:
        try:
            diagnosis = diagnose(
                measured_model(trainer),
                trainer.processing_class,
                rows.select(range(min(NUM_DIAGNOSED, len(rows)))),
                trainer.objective.decoding,
                args.eval_batch_size,
                "Diagnosing rows" if not args.disable_tqdm and trainer.is_world_process_zero() else None,
                trainer.has_whole_model,
                task_name=task.name,
            )
        except NoDiagnosis as error:
            absent = str(error)
    seconds = record.timings["evaluation_seconds"] + time.perf_counter() - began
    timings = record.timings | {"evaluation_seconds": round(seconds, 1)}
    return dataclasses.replace(
        record, run=record.run | {"diagnosis_absent": absent}, diagnosis=diagnosis, timings=timings
    )
