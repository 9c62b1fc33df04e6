"""A Trainer that can be killed at any moment, and stops when nothing more can be learnt."""

import logging
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput, rotate_checkpoints

from hf_nextfail.errors import TrainingError
from hf_nextfail.training.checkpoints import last_whole_checkpoint, seal, writing

logger = logging.getLogger(__name__)

TRAINER_STATE = "trainer_state.json"


class FiniteLoss(TrainerCallback):
    """End a training whose loss was not finite, before anything of it is logged or saved.

    Args:
        trainer (`ResumableTrainer`): of the training.
    """

    def __init__(self, trainer: "ResumableTrainer"):
        self.trainer = trainer

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Look at the loss, on a GPU only where something is looked at anyway."""
        if args.device.type == "cpu" or control.should_log or control.should_evaluate or control.should_save:
            self.trainer.check_loss()

    on_epoch_end = on_step_end


class ResumableTrainer(Trainer, ABC):
    """Train as `transformers.Trainer` does, by the same options, and end as an uninterrupted run when resumed.

    A checkpoint is sealed when all of it is written, and a run goes on from sealed ones only. It then repeats no
    evaluation, and takes no step after it was finished. A loss or a weight that is not finite ends the training before
    that is saved.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # Of the checkpoint that is gone on from.
        self._state_before: TrainerState | None = None
        self._first_bad_step = torch.full((), torch.inf, device=self.args.device)
        self.add_callback(FiniteLoss(self))

    @abstractmethod
    def choices(self) -> dict[str, Any]:
        """Return what a resumed run must choose alike to end the same: device, precision, ..."""

    @abstractmethod
    def is_finished(self, state: TrainerState, max_steps: int) -> bool:
        """Say whether a training that is to make so many steps needs no further one in this state."""

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, or go on from a checkpoint. As the stock method, whose arguments these are."""
        if resume_from_checkpoint is True:
            whole = last_whole_checkpoint(Path(self.args.output_dir))
            resume_from_checkpoint = True if whole is None else str(whole)  # the stock method says no
        self._state_before = None
        if isinstance(resume_from_checkpoint, str) and (Path(resume_from_checkpoint) / TRAINER_STATE).is_file():
            self._state_before = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / TRAINER_STATE))
        self._first_bad_step.fill_(torch.inf)
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        self.check_loss()
        self._check_weights()
        return output

    def set_initial_training_values(self, *args: Any, **kwargs: Any) -> tuple[int, ...]:
        """Count epochs and steps as the stock method does; no epoch is left of a run that was killed after its end."""
        num_train_epochs, *others, max_steps = super().set_initial_training_values(*args, **kwargs)
        if self._state_before is not None and self.is_finished(self._state_before, max_steps):
            num_train_epochs = 0
        return (num_train_epochs, *others, max_steps)

    def _evaluate(self, trial: Any, ignore_keys_for_eval: list[str] | None, skip_scheduler: bool = False) -> Any:
        if skip_scheduler and self.state.global_step > 0:  # `eval_on_start`, but this is not the start
            return None
        return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Make a step, and remember on the device whether its loss was finite."""
        loss = super().training_step(*args, **kwargs)
        step = torch.where(loss.isfinite(), torch.inf, self.state.global_step + 1)
        self._first_bad_step = torch.minimum(self._first_bad_step, step)
        return loss

    def check_loss(self) -> None:
        """Raise `TrainingError` if a loss was not finite; a GPU is waited for."""
        step = self._first_bad_step.item()
        if step != torch.inf:
            raise TrainingError(f"the loss of step {step:.0f} is not a finite number. {self._way_out()}")

    def _check_weights(self) -> None:
        for name, weight in self.model.named_parameters():
            if not getattr(weight, "to_local", weight.detach)().isfinite().all():
                raise TrainingError(
                    f"after step {self.state.global_step}, {name} has numbers that are not finite. {self._way_out()}"
                )

    def _way_out(self) -> str:
        return f"{self._what_is_left()}; a lower learning_rate, more warmup_steps or precision fp32 may help"

    def _what_is_left(self) -> str:
        left = last_whole_checkpoint(Path(self.args.output_dir))
        return "No checkpoint was written before it" if left is None else f"The last checkpoint is {left}"

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # The stock method removes older checkpoints before anybody knows that the new one is whole.
        self._check_weights()
        run_folder = Path(self._get_output_dir(trial=trial))
        checkpoint = run_folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        what, way_out = f"the checkpoint of step {self.state.global_step}", f"{self._what_is_left()}; make room"
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with writing(what, way_out):
                if self.args.should_save:
                    shutil.rmtree(checkpoint, ignore_errors=True)  # that a killed run began, or an older run left
                self.accelerator.wait_for_everyone()
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    seal(checkpoint, self.choices())
        except TrainingError:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            best = self.state.best_model_checkpoint
            rotate_checkpoints(
                output_dir=str(run_folder), save_total_limit=limit, best_model_checkpoint=best, use_mtime=True
            )
