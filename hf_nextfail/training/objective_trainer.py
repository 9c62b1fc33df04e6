"""A Trainer that learns by an objective, and trains its heads."""

import functools
import operator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_utils import TrainOutput

from hf_nextfail.data.rows import IGNORED
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.lora import set_generation_config
from hf_nextfail.models.with_heads import WithHeads, of_heads, of_model
from hf_nextfail.objectives import Objective
from hf_nextfail.training.callbacks import EndWithheld, TellEpoch
from hf_nextfail.training.checkpoints import add_decoding
from hf_nextfail.training.collator import CompletionCollator


class ObjectiveTrainer(Trainer):
    """Train as `transformers.Trainer` does, by the same options, with the loss and the heads of an objective.

    Every part of the loss is logged. What is saved is the plain model, which says how it decodes; the heads stand
    beside it in checkpoints only, to go on from.

    Args:
        model (`PreTrainedModel`): any causal LM that the objective allows.
        args (`TrainingArguments`): the stock options.
        objective (`Objective`): how completions are learnt.
        max_new_tokens (`int`, *optional*): the tokens of a completion, if they are known, for checkpoints to say so.
        kwargs: everything else that `transformers.Trainer` takes.

    Raises:
        ValueError: if the objective refuses the model, or has heads and the model is made anew for each training.
    """

    # `compute_loss` divides by the labels of all accumulated batches, so the Trainer must not divide again.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel | None,
        args: TrainingArguments,
        objective: Objective,
        max_new_tokens: int | None = None,
        **kwargs: Any,
    ):
        self.objective = objective
        self.max_new_tokens = max_new_tokens
        # Before this position stands no label of a training batch, if that is known and the loss is told.
        self._first_label: int | None = None
        # The loss in its named parts, summed since step `_parts_from`, the last one that was logged.
        self._parts: dict[str, torch.Tensor] = {}
        self._parts_from = 0
        # Whether the last checkpoint had weights by other names than the model has.
        self._missed = False
        if model is not None:
            self._begin_with(model)  # before the stock Trainer makes anything, such as a repository
        super().__init__(model, args, **kwargs)
        # Our loss takes the number of labels and shifts them, whatever the forward of the model does.
        self.model_accepts_loss_kwargs = True
        self._loss_shifts_labels = True
        heads = objective.heads(self.model)
        if heads is not None and self.model_init is not None:
            raise ValueError(f"the objective {objective.name} has heads, which belong to one model: give it as model")
        whole_row = objective.heads_read_whole_row
        self.heads = None if heads is None else WithHeads(self.model, heads, objective.run_heads, whole_row)
        # What is saved with the model, too: the names of weights of the heads, and those in the checkpoint.
        self._saved_heads = {} if heads is None else objective.names_in_checkpoint(heads, self.model)
        if isinstance(self.data_collator, CompletionCollator):
            self.add_callback(TellEpoch(self.data_collator))
        self._end_withheld = EndWithheld(self.processing_class)
        self.add_callback(self._end_withheld)

    def _begin_with(self, model: nn.Module) -> None:
        self.objective.check(model)
        # A checkpoint decodes as it was trained, not as the one that it began from.
        set_generation_config(model, self.objective.decoding.generation_config(self.max_new_tokens))

    def call_model_init(self, trial: Any = None) -> PreTrainedModel:
        """Make the model of a training by `model_init`. As the stock method, which calls this for each training."""
        model = super().call_model_init(trial)
        self._begin_with(model)
        return model

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, or go on from a checkpoint, with the heads of the objective. As the stock method."""
        if self.heads is not None and isinstance(resume_from_checkpoint, str):
            self.heads.load(Path(resume_from_checkpoint))
        self._parts = {}
        with nullcontext() if self.heads is None else self.heads.attached(), self._end_withheld:
            return super().train(resume_from_checkpoint, *args, **kwargs)

    @property
    def _attached_heads(self) -> WithHeads | None:
        return self.heads if self.heads is not None and self.heads.are_attached else None

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, with heads that are a part of its checkpoint. As the stock method."""
        # FSDP gathers the weights of heads only if they are attached.
        absent = self._saved_heads and not self.heads.are_attached
        with self.heads.attached() if absent else nullcontext():
            super().save_model(output_dir, _internal_call)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self._load_what_was_missed(self.state.best_model_checkpoint)
        if self._saved_heads:
            self.heads.load(Path(self.state.best_model_checkpoint))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self._load_what_was_missed(resume_from_checkpoint)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        names = {name for name, _ in self.model.named_parameters()}
        self._missed = not names.isdisjoint(load_result.missing_keys)
        if not self._missed:
            super()._issue_warnings_after_load(load_result)

    def _load_what_was_missed(self, checkpoint: str) -> None:
        # Mixtures save their experts by other names than they have. The stock methods warn, and go on without them.
        if self._missed:
            saved = type(self.model).from_pretrained(checkpoint, dtype=self.model.dtype)
            self.model.load_state_dict(saved.state_dict(), strict=False)
            self._missed = False

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        # The stock method would save the heads as a part of the model.
        folder, heads = Path(output_dir or self.args.output_dir), self._attached_heads
        with nullcontext() if heads is None else heads.taken_off():
            plain = state_dict and of_model(state_dict)
            if self._saved_heads:
                own = of_heads(state_dict) if state_dict else self.heads.heads.state_dict()
                named = {self._saved_heads[name]: weight for name, weight in own.items()}
                plain = (plain or self.model.state_dict()) | named
            super()._save(output_dir, plain)
        if self.args.should_save:
            if heads is not None:
                heads.save(folder, state_dict)
            add_decoding(folder, self.accelerator.unwrap_model(self.model), self.objective.decoding)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Return the objective's loss; with `return_outputs`, as `predict` asks, the stock loss and all logits."""
        if return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = completion_outputs(model, inputs, self._first_label, self._attached_heads)
        count = (outputs.labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        parts = {name: total / count for name, total in self.objective.loss(outputs, inputs).items()}
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # The labels were counted over all processes, and gradients are averaged over them. As in the stock method.
            factor = self.accelerator.num_processes // self.get_tp_size() if self.args.n_gpu <= 1 else self.args.n_gpu
            parts = {name: part * factor for name, part in parts.items()}
        self._keep_parts(parts)
        return functools.reduce(operator.add, parts.values())

    def _keep_parts(self, parts: dict[str, torch.Tensor]) -> None:
        if len(parts) == 1:  # which is the loss
            return
        if not self._parts:
            self._parts_from = self.state.global_step
        self._parts = {name: self._parts.get(name, 0) + part.detach() for name, part in parts.items()}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log as the stock method, and beside the `loss` of training its parts, if the objective has several."""
        if "loss" in logs and self._parts:
            steps = self.state.global_step - self._parts_from
            for name, total in self._parts.items():
                logs[f"loss_{name}"] = self.accelerator.gather(total).mean().item() / steps
            self._parts = {}
        super().log(logs, start_time)
