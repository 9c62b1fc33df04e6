"""One Trainer for all objectives."""

import logging
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from datasets import Dataset, IterableDataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from hf_nextfail.data.room import fits_in_memory
from hf_nextfail.data.row_store import RowStore, with_lengths
from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS, longest_of, tokenize_dataset
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.objectives import Objective, build_objective
from hf_nextfail.own_code import sources_of
from hf_nextfail.reporting.record import Record
from hf_nextfail.tasks import StarGraph, Task
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.callbacks import DiagnosticsCallback, StopAtAccuracy
from hf_nextfail.training.checks import check_best_metric, check_eval_datasets, check_rows, check_what_is_built
from hf_nextfail.training.collator import CompletionCollator
from hf_nextfail.training.hardware import device_name
from hf_nextfail.training.objective_trainer import ObjectiveTrainer
from hf_nextfail.training.progress import TrainingProgress
from hf_nextfail.training.pushing import HubTrainer
from hf_nextfail.training.resumable import ResumableTrainer
from hf_nextfail.training.streams import EndlessStream

logger = logging.getLogger(__name__)

#: What rounding depends on, and whose code was run: a run ends the same, bit for bit, where all of this is the same.
CHOICES = ("precision", "fast_path", "device", "device_name", "num_threads", "num_processes", "sources")

#: Ways to draw rows that read no lengths out of the dataset.
PLAIN_SAMPLING = ("random", "sequential")

#: What a stock Trainer takes and ours would not heed, and what to do instead.
INSTEAD = {
    "compute_loss_func": "write an Objective with a loss of its own",
    "compute_metrics": "hf_nextfail.evaluate measures a model, and a callback can at every evaluation",
    "preprocess_logits_for_metrics": "hf_nextfail.evaluate measures a model, and a callback can at every evaluation",
}


class NextFailTrainer(ResumableTrainer, ObjectiveTrainer, HubTrainer):
    """Train a causal LM on prompts and completions with any objective.

    A `transformers.Trainer` that applies the head of the model to completion positions only, and evaluates `accuracy`
    in one pass where one pass tells it. Losses are equal to those of the stock Trainer with the same collator, for all
    families whose labels the model shifts.

    Args:
        model (`PreTrainedModel`): any causal LM.
        args (`TrainingArguments`): ours, which name the objective, or the stock ones.
        objective (`Objective`, *optional*): how completions are learnt; by default the one that `args` name.
        train_dataset (`Dataset` or `IterableDataset`, *optional*): has `prompt` and `completion`; tokenized here
            unless it has `prompt_ids` and `completion_ids`.
        eval_dataset (`Dataset`, or a `dict` of them, *optional*): likewise; `eval_accuracy` comes of it.
        processing_class (`PreTrainedTokenizerBase`): the tokenizer.
        task (`Task`, *optional*): what the rows are of, whose verifier scores them; by default an answer is right if
            it is the completion of its row.
        kwargs: everything else that `transformers.Trainer` takes, but for what stands in `INSTEAD`.

    Raises:
        ValueError: if no objective is given and `args` name none, the objective refuses the model, several datasets
            are to stop the training, or it is given what would have no effect.

    Example:

    ```python
    from datasets import load_dataset
    from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, TeacherlessObjective, load_tokenizer
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer("openai-community/gpt2")
    model = AutoModelForCausalLM.from_pretrained("openai-community/gpt2")
    model.resize_token_embeddings(len(tokenizer))  # for the dummy token
    dataset = load_dataset("nextfail/star_graph", "d2_l3_n50")
    trainer = NextFailTrainer(
        model,
        NextFailTrainingArguments(max_steps=1000, eval_strategy="steps", eval_steps=100, stop_at_accuracy=0.99),
        objective=TeacherlessObjective(tokenizer),
        train_dataset=dataset["train"],
        eval_dataset=dataset["validation"],
        processing_class=tokenizer,
    )
    trainer.train()
    ```
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        objective: Objective | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        task: Task | None = None,
        **kwargs: Any,
    ):
        if processing_class is None:
            raise ValueError("NextFailTrainer needs processing_class, the tokenizer")
        if args.label_smoothing_factor:
            raise ValueError(
                f"label_smoothing_factor must be 0, got {args.label_smoothing_factor}: the loss is the objective's"
            )
        for name, instead in INSTEAD.items():
            if kwargs.get(name) is not None:
                raise ValueError(f"NextFailTrainer takes no {name}: {instead}")
        if objective is None:
            if not isinstance(args, NextFailTrainingArguments):
                raise ValueError("pass an objective, or name one in NextFailTrainingArguments(objective=...)")
            objective = build_objective(args.objective, processing_class, args.objective_options)
        self.task = task
        #: What of `hf_nextfail.models.fast_path` the model uses, for the record.
        self.fast_path: list[str] = []

        if train_dataset is not None:
            train_dataset = ids_of(train_dataset, processing_class)
        if isinstance(train_dataset, Dataset) and args.train_sampling_strategy not in PLAIN_SAMPLING:
            train_dataset = with_lengths(train_dataset, args.length_column_name)
        if isinstance(train_dataset, IterableDataset):
            train_dataset = EndlessStream(train_dataset)
            args.accelerator_config.dispatch_batches = False
        evaluated = {}
        if isinstance(eval_dataset, dict):
            eval_dataset = {name: tokenize_dataset(rows, processing_class) for name, rows in eval_dataset.items()}
            evaluated = {f"eval_{name}": rows for name, rows in eval_dataset.items()}
        elif eval_dataset is not None:
            eval_dataset = tokenize_dataset(eval_dataset, processing_class)
            evaluated = {"eval": eval_dataset}
        check_eval_datasets(evaluated)
        check_best_metric(args, evaluated or ["eval"], objective)
        if getattr(args, "stop_at_accuracy", None) is not None and isinstance(eval_dataset, dict):
            raise ValueError("stop_at_accuracy watches one eval_dataset, not several")
        self._known_rows = [rows for rows in (train_dataset, *evaluated.values()) if isinstance(rows, Dataset)]
        if kwargs.get("optimizers", (None, None)) == (None, None):
            check_what_is_built(args, model)
        seed = args.seed if args.data_seed is None else args.data_seed
        kwargs.setdefault("data_collator", CompletionCollator(objective, seed))
        args.remove_unused_columns = False  # what the collator takes is chosen here
        super().__init__(
            model,
            args,
            objective=objective,
            max_new_tokens=longest_of(self._known_rows[0], COMPLETION_IDS) if self._known_rows else None,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        if self.pop_callback(PrinterCallback) or self.pop_callback(ProgressCallback):  # a notebook keeps its own
            self.add_callback(TrainingProgress(draws_bar=not args.disable_tqdm and sys.stderr.isatty()))
        if isinstance(args, NextFailTrainingArguments) and args.stop_at_accuracy is not None:
            self.add_callback(StopAtAccuracy(args.stop_at_accuracy))
        if isinstance(args, NextFailTrainingArguments) and isinstance(eval_dataset, Dataset):
            self._diagnose_on_the_way(eval_dataset, args.num_diagnosed)

    def _begin_with(self, model: nn.Module) -> None:
        check_rows(model, self._known_rows, self.objective)
        super()._begin_with(model)

    def _diagnose_on_the_way(self, rows: Dataset, num_rows: int) -> None:
        if num_rows == 0:
            return
        try:
            rows = rows.select(range(min(num_rows, len(rows))))
            name = StarGraph.name if self.task is None else self.task.name
            callback = DiagnosticsCallback(self, rows, self.objective.decoding, self.has_whole_model, name)
        except ValueError as error:  # another task
            logger.info("Training is not diagnosed: %s.", error)
        else:
            self.add_callback(callback)

    def is_finished(self, state: TrainerState, max_steps: int) -> bool:
        """Say whether all steps are made, or the accuracy to stop at was reached."""
        stop = getattr(self.args, "stop_at_accuracy", None)
        reached = stop is not None and any(point.get("eval_accuracy", 0) >= stop for point in state.log_history)
        return reached or state.global_step >= max_steps

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches of training, cut from tensors where ours is the collator."""
        rows = self.train_dataset
        # The other strategies read the lengths of rows out of the dataset.
        plain = self.args.train_sampling_strategy in PLAIN_SAMPLING and isinstance(rows, Dataset)
        ours = plain and isinstance(self.data_collator, CompletionCollator)
        if ours and fits_in_memory(RowStore.bytes_of(rows)):
            self.train_dataset = RowStore.of_ids(rows, self.objective.pad_token_id)
            if self.objective.labels_follow_prompt:
                self._first_label = self.train_dataset.shortest_prompt
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = rows

    def get_test_dataloader(self, test_dataset: Dataset) -> DataLoader:
        """Return the batches of `predict`, of texts or ids."""
        return super().get_test_dataloader(ids_of(test_dataset, self.processing_class))

    def evaluate(
        self,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Evaluate and log `{prefix}_loss`, `{prefix}_accuracy` and `{prefix}_accuracy_standard_error`.

        There is no loss where the decoding scores no tokens.

        See [`hf_nextfail.evaluate`] for the numbers per node.
        """
        eval_dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if eval_dataset is None:
            raise ValueError("evaluation needs an eval_dataset, given here or to the trainer")
        if isinstance(eval_dataset, dict):
            metrics = {}
            for name, dataset in eval_dataset.items():
                metrics |= self.evaluate(dataset, ignore_keys, f"{metric_key_prefix}_{name}")
            return metrics
        began = time.perf_counter()
        results = evaluate(
            self.model,
            eval_dataset,
            self.objective.decoding,
            self.processing_class,
            task=self.task,
            batch_size=self.args.eval_batch_size,
            per_part=False,
            shared=self.has_whole_model,
        )
        metrics = {} if results["loss"] is None else {f"{metric_key_prefix}_loss": results["loss"]["value"]}
        metrics |= {
            f"{metric_key_prefix}_accuracy": results["accuracy"]["value"],
            f"{metric_key_prefix}_accuracy_standard_error": results["accuracy"]["standard_error"],
            f"{metric_key_prefix}_runtime": round(time.perf_counter() - began, 4),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def precision(self) -> str:
        """`"bf16"`, `"fp16"` or `"fp32"`: what matrix products are computed in; weights are float32."""
        return "bf16" if self.args.bf16 else "fp16" if self.args.fp16 else "fp32"

    @property
    def has_whole_model(self) -> bool:
        """Whether each process can run the model on its own; where it is sharded, all must do so at once."""
        sharded = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
        return self.accelerator.distributed_type not in sharded and self.get_tp_size() == 1

    def describe(self) -> dict[str, Any]:
        """Say what was trained and how: what a `results.json` knows of the training under `run`."""
        args, state = self.args, self.state
        model = self.accelerator.unwrap_model(self.model)
        # A card that is pushed on the way is written while the heads are part of the model.
        attached = 0 if self._attached_heads is None else self._attached_heads.num_parameters
        return {
            "objective": self.objective.name,
            "objective_options": {field.name: getattr(self.objective, field.name) for field in fields(self.objective)},
            "decoding": self.objective.decoding.name,
            "num_parameters": model.num_parameters() - attached,
            "num_head_parameters": None if self.heads is None else self.heads.num_parameters,
            "num_trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad) - attached,
            "seed": args.seed,
            "steps": state.global_step,
            "epochs": state.epoch,
            "examples": state.global_step * args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            "stopped_at_accuracy": state.global_step < state.max_steps,
            **self.choices(),
        }

    def choices(self) -> dict[str, Any]:
        """Say on what, and in which ways, the training computes: the values of `CHOICES`."""
        args = self.args
        values = [self.precision, self.fast_path, str(args.device), device_name(args.device)]
        values += [torch.get_num_threads(), args.world_size]
        sources = sources_of(objective=type(self.objective), task=None if self.task is None else type(self.task))
        return dict(zip(CHOICES, [*values, sources], strict=True))

    def history(self) -> list[dict[str, Any]]:
        """Return the evaluations during training: `step`, `accuracy`, `loss`, and `diagnosis` if there was one."""
        history: dict[int, dict[str, Any]] = {}  # by step: an evaluation makes several entries
        for entry in self.state.log_history:
            if "eval_accuracy" in entry:
                numbers = {"accuracy": entry["eval_accuracy"], "loss": entry.get("eval_loss")}
            elif "diagnosis" in entry:
                numbers = {"diagnosis": entry["diagnosis"]}
            else:
                continue
            history[entry["step"]] = history.get(entry["step"], {"step": entry["step"]}) | numbers
        return list(history.values())

    def record(self) -> Record:
        """Return the record of the run's `results.json`; before there is one, what the trainer itself knows."""
        path = Path(self.args.output_dir) / "results.json"
        if path.is_file():
            return Record.read(path)
        config = self.accelerator.unwrap_model(self.model).config
        name = getattr(config, "_name_or_path", "") or config.model_type
        return Record.build(None, {"name": name, "model": name, **self.describe()}, {}, history=self.history())


def ids_of(dataset: Dataset | IterableDataset, tokenizer: PreTrainedTokenizerBase) -> Dataset | IterableDataset:
    """Return the columns of ids of a dataset, tokenized unless they are there."""
    return tokenize_dataset(dataset, tokenizer).select_columns([PROMPT_IDS, COMPLETION_IDS])
