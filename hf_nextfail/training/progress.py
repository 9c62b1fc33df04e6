"""What a training shows of itself while it runs."""

import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from hf_nextfail.reporting.tables import in_time

LOSS, EVALUATED = "loss", "eval_"


def losses_in_words(logs: dict[str, float]) -> str:
    """Write the loss of a log, and in brackets what it is the sum of: `loss 0.245 (bag 0.056, next token 0.189)`."""
    parts = [
        f"{name.removeprefix('loss_').replace('_', ' ')} {logs[name]:.3g}" for name in sorted(logs) if "_" in name
    ]
    return f"loss {logs[LOSS]:.3g}" + (f" ({', '.join(parts)})" if parts else "")


def evaluation_in_words(metrics: dict[str, float]) -> str:
    """Write what an evaluation gave: `validation loss 0.193, accuracy 0.527 ± 0.016`; of several datasets, of each."""
    written = []
    for name, value in metrics.items():
        words = name.removeprefix(EVALUATED).replace("_", " ")
        if name.endswith("_accuracy"):
            written.append(f"{words} {value:.3f} ± {metrics[f'{name}_standard_error']:.3f}")
        elif name.endswith("_loss"):
            written.append(f"validation {words} {value:.3g}")
    return ", ".join(written)


class TrainingProgress(TrainerCallback):
    """Print one line of numbers an evaluation, with the time that is left, and draw a bar in between.

    Where nothing is evaluated, there is a line every `logging_steps`. Trackers get every number; see `report_to`.

    Args:
        draws_bar (`bool`): whether there is a terminal to draw a bar on.
    """

    def __init__(self, draws_bar: bool):
        self.draws_bar = draws_bar
        self.bar: tqdm | None = None
        self.losses: dict[str, float] = {}
        self.began: float | None = None  # none: no training is on
        self.first_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Note when it begins, and with which step."""
        self.began, self.first_step = time.perf_counter(), state.global_step
        if self.draws_bar and state.is_world_process_zero:
            options = {"desc": "Training", "unit": "step", "dynamic_ncols": True, "leave": False}
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, **options)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ):
        """Keep the losses until the next line, or write it."""
        if logs is None or LOSS not in logs:
            return
        self.losses = {name: value for name, value in logs.items() if name == LOSS or name.startswith("loss_")}
        if args.eval_strategy == IntervalStrategy.NO:
            self.write_line(args, state, "")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ):
        """Write a line, if it was on the way of a training."""
        if self.began is not None:
            self.write_line(args, state, evaluation_in_words(metrics))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        """Take the bar away."""
        self.began = None
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def write_line(self, args: TrainingArguments, state: TrainerState, evaluated: str) -> None:
        """Write the numbers of a step, on the first process."""
        if not state.is_world_process_zero:
            return
        numbers = [losses_in_words(self.losses)] if self.losses else []
        numbers += [evaluated] if evaluated else []
        self.losses = {}
        line = (
            f"step {state.global_step:,} of {state.max_steps:,}: {'; '.join(numbers)} ({self.time_left(args, state)})"
        )
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line)

    def time_left(self, args: TrainingArguments, state: TrainerState) -> str:
        """Say how long it has taken, and how long it takes on if all steps cost the same."""
        seconds, steps = time.perf_counter() - self.began, state.global_step - self.first_step
        steps_left = state.max_steps - state.global_step
        if steps == 0 or steps_left == 0:
            return in_time(seconds)
        may_stop = getattr(args, "stop_at_accuracy", None) is not None
        return f"{in_time(seconds)}, {'at most ' if may_stop else ''}{in_time(seconds / steps * steps_left)} left"
