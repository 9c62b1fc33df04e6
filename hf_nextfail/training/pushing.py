"""A Trainer whose pushes are whole, hold no pickles, and do not fail silently."""

import logging
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo
from transformers import Trainer
from transformers.trainer_utils import HubStrategy
from transformers.utils.hub import PushInProgress

from hf_nextfail.hub.cards import model_card
from hf_nextfail.hub.publish import MODEL_STALE, model_files
from hf_nextfail.hub.push import check_access, hub_errors, one_line, push_files
from hf_nextfail.reporting.record import Record

logger = logging.getLogger(__name__)

STAGE_PREFIX = "_push-"
#: Seconds after which a line says that the end still waits for a push.
WORD_EVERY = 60


def link_or_copy(source: str, target: str) -> str:
    """Give a file a second name, or where the file system cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


class HubTrainer(Trainer, ABC):
    """Push as `transformers.Trainer` does, by the same options; what is pushed and how failures show differ.

    Each push is one commit, made of what may be read by others: no pickles (`training_args.bin`, the states of
    optimizers), no names of local folders; the card is ours. A push in the background that fails is logged at once and
    stays in `failed_pushes`, where the stock Trainer says nothing.

    Attributes:
        failed_pushes (list of `str`): one line for each push that failed while training went on.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.failed_pushes: list[str] = []
        self._pusher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="push")
        super().__init__(*args, **kwargs)

    @abstractmethod
    def record(self) -> Record:
        """Return the record of the run, as far as it is known."""

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Create the repository to push to, unless it exists.

        Raises:
            HubError: if the token at hand may not; nothing is created.
            ValueError: if `hub_strategy` asks for whole checkpoints, which hold pickled states.
        """
        if not self.is_world_process_zero():
            return
        if self.args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            raise ValueError(
                "hub_strategy must be end or every_save: whole checkpoints hold pickles, which stay on this machine"
            )
        folder = Path(self.args.output_dir).absolute()
        for leftover in folder.glob(f"{STAGE_PREFIX}*"):  # of a run that was killed during a push
            shutil.rmtree(leftover)
        token = token or self.args.hub_token
        with hub_errors(check_access(self.args.hub_model_id or folder.name, token)):
            super().init_hf_repo(token, private)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write our card as `README.md` into the run's folder; the arguments of the stock method change nothing."""
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            repo_id = self.hub_model_id or self.args.hub_model_id or folder.absolute().name
            card = model_card(self.record(), repo_id, [path.name for path in folder.iterdir()])
            (folder / "README.md").write_text(card, encoding="utf-8")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        saved: bool = False,
        **kwargs: Any,
    ) -> CommitInfo | Future | None:
        """Save the model, unless it is `saved`, and push the run's folder.

        The other arguments are those of `transformers.Trainer.push_to_hub`.

        Returns:
            The commit, or its `Future` if not `blocking`; `None` on processes other than the first.

        Raises:
            HubError: if the Hub refuses or cannot be reached.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        if not saved:
            self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card()
        self._finish_current_push()
        push = self._pusher.submit(
            push_files,
            self.hub_model_id,
            "model",
            model_files(self.args.output_dir, self.hub_model_id),
            commit_message,
            MODEL_STALE,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
        )
        if not blocking:
            return push
        self._wait_for([push])
        return push.result()

    def _finish_current_push(self) -> None:
        # Called by the stock Trainer at the end of training, too, which would wait without a word.
        if getattr(self, "push_in_progress", None) is not None:
            self._wait_for(self.push_in_progress.jobs)

    def _wait_for(self, pushes: Sequence[Future]) -> None:
        while wait(pushes, timeout=WORD_EVERY).not_done:
            logger.info(
                "Waiting for a push to %s; it is given up when the Hub is silent for long enough.", self.hub_model_id
            )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        # The stock Trainer pickles its arguments, and would the token among them.
        token, self.args.hub_token = self.args.hub_token, None
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.args.hub_token = token

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        # Called by the stock Trainer after each save.
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        busy = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if busy and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        # The checkpoint may be deleted, by save_total_limit, before it is sent.
        stage = tempfile.TemporaryDirectory(prefix=STAGE_PREFIX, dir=self.args.output_dir)
        shutil.copytree(checkpoint_folder, stage.name, copy_function=link_or_copy, dirs_exist_ok=True)
        message = f"Training in progress, step {self.state.global_step}"
        # The token is taken here, since `_save` hides it from what it writes.
        job = self._pusher.submit(self._push_stage, stage, message, self.args.hub_token)
        job.add_done_callback(self._note_failure)
        if busy:
            self.push_in_progress.jobs.append(job)
        else:
            self.push_in_progress = PushInProgress([job])

    def _push_stage(self, stage: tempfile.TemporaryDirectory, message: str, token: str | None) -> None:
        with stage as folder:
            push_files(
                self.hub_model_id,
                "model",
                model_files(folder, self.hub_model_id),
                message,
                MODEL_STALE,
                token=token,
                revision=self.args.hub_revision,
            )

    def _note_failure(self, job: Future) -> None:
        if error := job.exception():
            self.failed_pushes.append(one_line(error))
            logger.error("A push failed while training goes on: %s", one_line(error))
