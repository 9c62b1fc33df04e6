"""What happens at the evaluations of a training."""

import logging
from typing import Any

from datasets import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_utils import SaveStrategy

from hf_nextfail.data.tokenization import end_token_id
from hf_nextfail.decoding import Decoding
from hf_nextfail.diagnoses import NoDiagnosis
from hf_nextfail.evaluation.diagnose import diagnose, read_diagnosis
from hf_nextfail.evaluation.parts import check_fast
from hf_nextfail.tasks import StarGraph
from hf_nextfail.training.collator import CompletionCollator

logger = logging.getLogger(__name__)

TRACKER_CALLBACKS = tuple(INTEGRATION_TO_CALLBACK.values())


class StopAtAccuracy(TrainerCallback):
    """Stop training as soon as the accuracy of an evaluation reaches a threshold.

    Args:
        threshold (`float`): above 0 and at most 1.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ):
        """Look at the metrics of an evaluation."""
        if metrics.get("eval_accuracy", 0.0) >= self.threshold:
            control.should_training_stop = True
            control.should_save = args.save_strategy != SaveStrategy.NO  # as at any other end


class TellEpoch(TrainerCallback):
    """Tell the collator for which epoch it makes batches.

    Args:
        collator (`CompletionCollator`): of the trainer.
    """

    def __init__(self, collator: CompletionCollator):
        self.collator = collator

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Tell it before the first batch is made; a run may be resumed in the middle of an epoch."""
        self.collator.epoch = int(state.epoch or 0)


class EndWithheld(TrainerCallback):
    """Withhold the end token of a tokenizer until the first step of a training, if completions do not end.

    Before that step the stock Trainer would name it in the configs of the model, which would then stop at it.

    Args:
        tokenizer (`PreTrainedTokenizerBase`, *optional*): of the trainer; nothing is withheld without one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None):
        self.tokenizer = tokenizer
        self.eos_token = None if tokenizer is None or end_token_id(tokenizer) is not None else tokenizer.eos_token

    def __enter__(self):
        if self.eos_token is not None:
            self.tokenizer.eos_token = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Give it back, for checkpoints to have it."""
        if self.eos_token is not None:
            self.tokenizer.eos_token = self.eos_token

    def __exit__(self, *error: Any):
        self.on_train_begin(None, None, None)


class DiagnosticsCallback(TrainerCallback):
    """Diagnose the model at every evaluation, so that the order in which things are learnt can be drawn.

    The values go to the trainer's `state.log_history`, under `"diagnosis"` in the entry of their step, and as scalars
    to the trackers of `report_to`: `eval_clever_hans_accuracy`, `eval_token_accuracy_1`, `eval_error_wrong_arm`, ...

    Args:
        trainer (`Trainer`): ours or a stock one; add the callback to it by `trainer.add_callback`.
        dataset (`Dataset`): the star graphs to diagnose; see [`hf_nextfail.diagnose`].
        decoding (`Decoding` or `str`, *optional*): as in `diagnose`.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, where each has the whole
            model.
        task_name (`str`, *optional*, defaults to `"star_graph"`): what the rows are of, as in `diagnose`.

    Raises:
        ValueError: if such rows have no diagnosis, or the tokenizer is a slow one.
    """

    def __init__(
        self,
        trainer: Trainer,
        dataset: Dataset,
        decoding: Decoding | str | None = None,
        shared: bool = False,
        task_name: str = StarGraph.name,
    ):
        read_diagnosis(dataset, task_name)
        check_fast(trainer.processing_class)
        self.trainer = trainer
        self.dataset = dataset
        self.decoding = decoding
        self.shared = shared
        self.task_name = task_name

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Diagnose, unless that was done at this step: several datasets make several evaluations."""
        if any("diagnosis" in entry and entry["step"] == state.global_step for entry in state.log_history[-50:]):
            return
        trainer = self.trainer
        try:
            diagnosis = diagnose(
                trainer.model,
                trainer.processing_class,
                self.dataset,
                self.decoding,
                batch_size=args.eval_batch_size,
                shared=self.shared,
                task_name=self.task_name,
            )
        except NoDiagnosis as error:  # a training does not end for it
            logger.info("Training is not diagnosed: %s.", error)
            return
        values = {name: result["value"] for name, result in diagnosis["numbers"].items() if result is not None}
        errors = {kind: result["value"] for kind, result in diagnosis["errors"].items()}
        state.log_history.append({"step": state.global_step, "diagnosis": values | {"errors": errors}})
        scalars = {f"eval_error_{kind.replace(' ', '_')}": share for kind, share in errors.items()}
        for name, value in values.items():
            if isinstance(value, list):
                scalars |= {f"eval_{name}_{node}": accuracy for node, accuracy in enumerate(value)}
            elif name != "accuracy":  # that of the whole split is there already
                scalars[f"eval_{name}"] = value
        # Not through `trainer.log`: on the console, a page of numbers at every evaluation would hide the others.
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, TRACKER_CALLBACKS):
                callback.on_log(args, state, control, logs=dict(scalars), model=trainer.model)
