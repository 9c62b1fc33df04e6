"""A Trainer that can be killed at any moment, and stops when nothing more can be learnt."""

import logging
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy, rotate_checkpoints

from hf_nextfail.errors import TrainingError
from hf_nextfail.training.checkpoints import PARTIAL, last_whole_checkpoint, seal, writing

logger = logging.getLogger(__name__)

TRAINER_STATE = "trainer_state.json"


class ResumableTrainer(Trainer, ABC):
    """Train as `transformers.Trainer` does, by the same options, and end as an uninterrupted run when resumed.

    Checkpoints are written under another name and renamed when they are whole. A run that goes on from its last one
    repeats no evaluation, and takes no step after it was finished. A loss or a weight that is not finite ends the
    training before that is saved.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._first_bad_step = torch.full((), torch.inf, device=self.args.device)

    @abstractmethod
    def choices(self) -> dict[str, Any]:
        """Return what a resumed run must choose alike to end the same: device, precision, ..."""

    @abstractmethod
    def is_finished(self) -> bool:
        """Say whether the training, as `state` has it, needs no further step."""

    def _evaluate(self, trial: Any, ignore_keys_for_eval: list[str] | None, skip_scheduler: bool = False) -> Any:
        if skip_scheduler and self.state.global_step > 0:  # `eval_on_start`, but this is not the start
            return None
        return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        self._first_bad_step.fill_(torch.inf)
        return super()._init_training_state(*args, **kwargs)

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        self._check_loss()
        self._check_weights()
        return super()._finalize_training(*args, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.is_finished():  # of a run that was killed after its last checkpoint
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Make a step, and remember on the device whether its loss was finite."""
        loss = super().training_step(*args, **kwargs)
        step = torch.where(loss.isfinite(), torch.inf, self.state.global_step + 1)
        self._first_bad_step = torch.minimum(self._first_bad_step, step)
        return loss

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> Any:
        # A look at a number on a GPU waits for it, so only where something is looked at anyway.
        control = self.control
        if self.args.device.type == "cpu" or control.should_log or control.should_evaluate or control.should_save:
            self._check_loss()
        return super()._maybe_log_save_evaluate(*args, **kwargs)

    def _check_loss(self) -> None:
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
        # The parts are those of the stock method, which writes them where a checkpoint will be looked for.
        self._check_weights()
        self.store_flos()
        run_folder = Path(self._get_output_dir(trial=trial))
        checkpoint = run_folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        partial = run_folder / f"{PARTIAL}{checkpoint.name}"
        what, way_out = f"the checkpoint of step {self.state.global_step}", f"{self._what_is_left()}; make room"
        try:
            with writing(what, way_out):
                self._write_checkpoint(partial, run_folder)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                with writing(what, way_out):
                    seal(partial, checkpoint, self.choices())
        except TrainingError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(checkpoint))
        if self.args.should_save:  # only now that there is a new one
            best = self.state.best_model_checkpoint
            rotate_checkpoints(
                output_dir=str(run_folder),
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=best,
                use_mtime=True,
            )

    def _write_checkpoint(self, partial: Path, run_folder: Path) -> None:
        self.save_model(str(partial), _internal_call=True)
        keeps_best = self.args.save_strategy in (SaveStrategy.STEPS, SaveStrategy.EPOCH, SaveStrategy.BEST)
        if keeps_best and self.state.best_global_step:
            best = run_folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
            if self.state.best_global_step == self.state.global_step or best.is_dir():
                self.state.best_model_checkpoint = str(best)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(partial))
            self._save_scaler(str(partial))
            self._save_rng_state(str(partial))
        if self.args.should_save:
            for callback in [*self.callback_handler.callbacks, self.control]:
                if isinstance(callback, ExportableState):
                    self._export(type(callback).__name__, callback.state())
            self.state.save_to_json(str(partial / TRAINER_STATE))

    def _export(self, name: str, state: dict[str, Any]) -> None:
        if isinstance(self.state.stateful_callbacks.get(name), list):
            self.state.stateful_callbacks[name].append(state)
        else:
            self.state.stateful_callbacks[name] = state
