"""Heads that are trained with a causal LM, and never become part of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils.operations import convert_to_fp32
from safetensors.torch import load_file, save_file
from torch import nn

from hf_nextfail.data.rows import Batch

#: What the heads are called among the modules of a model that is being trained.
HEADS = "objective_heads"
#: Where they stand in a checkpoint, for resuming. No loader of transformers looks there.
HEADS_FILE = "objective.safetensors"


class Answer(NamedTuple):
    """What a model returns while its heads are asked: a tuple, in which DDP and FSDP find all tensors.

    Args:
        output: of the causal LM.
        heads: of the heads.
    """

    output: Any
    heads: Any


class WithHeads:
    """Train heads inside the forward of a causal LM, so that DDP and FSDP see their parameters.

    The model stays the object that it is: the heads are one of its modules while they are `attached`, and run by a
    hook on its forward, on the states that its output embedding sees: the last ones, or those of the whole row, of
    which the hook hands on the last. A wrapper around the model would have to be a
    causal LM itself for `generate`, for PEFT, for the way FSDP wraps, and for resuming, where transformers loads the
    names of a plain model with `strict=False` and would miss all of them without a word.

    What was tried, with transformers 5.24, accelerate 1.15, peft 0.21 and torch 2.13 on CPUs. `test_with_heads.py`,
    `test_objective_trainer.py` and `test_distributed.py` try it again.

    - DDP, two processes: both parts of the loss are those of one process to 1e-6, also with `find_unused_parameters`.
    - FSDP2, two processes (accelerate shards on CPUs only if it takes them for GPUs): the weights of the heads are
      sharded, too; losses and saved heads are those of one process to 1e-5; a resumed run is equal bit for bit.
    - PEFT inside: adapters and heads learn, the base does not; an adapter's checkpoint is one without heads.
    - `save_pretrained` writes what is attached into `model.safetensors`, which a loader then reports as unexpected: so
      the trainer saves with the heads `taken_off`, or leaves them out of the state that FSDP gathered.
    - Resuming (`_load_from_checkpoint`) and `load_best_model_at_end` find the names of a plain model; a hook keeps the
      heads out of what they call missing, and the trainer calls `load`.
    - Activation checkpointing: the same gradients; the heads are outside of what is computed twice.
    - `generate` and evaluation: the hooks do nothing unless the heads are `asked`.
    - bf16 by autocast: accelerate switches inside the model's own forward, and hooks run outside of it; the state of
      the switch is kept where the states are.
    - Not tried: DeepSpeed, `torch.compile`, GPUs.

    Args:
        model (`nn.Module`): a causal LM, with adapters or not, on its device.
        heads (`nn.Module`): what is trained beside it; moved to the same device.
        run (callable): takes `heads`, the states, the batch and the model, and returns tensors, alone or in a list or
            `dict`.
        read_whole_row (`bool`, *optional*, defaults to `False`): whether the states are those of all positions, and
            not only of the `K` that predict.

    Raises:
        ValueError: if the model has no output embedding.
    """

    def __init__(
        self,
        model: nn.Module,
        heads: nn.Module,
        run: Callable[[nn.Module, torch.Tensor, Batch, nn.Module], Any],
        read_whole_row: bool = False,
    ):
        self.model = model
        self.embedding = model.get_output_embeddings()
        if self.embedding is None:
            raise ValueError(f"heads need the states before the output embedding, and {type(model).__name__} has none")
        self.heads = heads.to(next(model.parameters()).device)
        self.run = run
        self.read_whole_row = read_whole_row
        self._batch: Batch | None = None
        self._num_kept = 0
        self._states: torch.Tensor | None = None
        self._autocast: AbstractContextManager[Any] = nullcontext()

    @property
    def num_parameters(self) -> int:
        """How many numbers the heads hold."""
        return sum(parameter.numel() for parameter in self.heads.parameters())

    @property
    def are_attached(self) -> bool:
        """Whether the heads are a module of the model."""
        return HEADS in self.model._modules

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Make the heads a module of the model, to be trained, and take them off again."""
        self.model.add_module(HEADS, self.heads)
        hooks = [
            self.embedding.register_forward_pre_hook(self._keep),
            self.model.register_forward_hook(self._answer),
            self.model.register_load_state_dict_post_hook(self._expect),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            del self.model._modules[HEADS]

    @contextmanager
    def taken_off(self) -> Iterator[None]:
        """Let the model be the plain one for a moment, to be saved."""
        del self.model._modules[HEADS]
        try:
            yield
        finally:
            self.model.add_module(HEADS, self.heads)

    @contextmanager
    def asked(self, batch: Batch, num_kept: int) -> Iterator[None]:
        """Let the forward of the model, possibly wrapped, return an [`Answer`] for the last `num_kept` positions.

        For heads that read the whole row, the output embedding must be given all positions.
        """
        self._batch, self._num_kept = batch, num_kept
        try:
            yield
        finally:
            self._batch = self._states = None

    def _keep(self, embedding: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._batch is None:
            return None
        last = args[0][:, -self._num_kept :]
        self._states = args[0] if self.read_whole_row else last
        # accelerate switches to half precision inside the model's own forward, and the heads run outside of it.
        device = last.device.type
        enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        if not enabled and last.dtype in (torch.bfloat16, torch.float16):  # a model of half precision, heads of full
            enabled, dtype = True, last.dtype
        self._autocast = torch.autocast(device, dtype, enabled=enabled)
        return last, *args[1:]

    def _answer(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> Answer | None:
        if self._batch is None:
            return None
        batch, self._batch = self._batch, None  # the heads may use the output embedding, too
        with self._autocast:
            heads = self.run(self.heads, self._states, batch, model)
        return Answer(output, convert_to_fp32(heads))

    @staticmethod
    def _expect(model: nn.Module, incompatible: Any) -> None:
        # A checkpoint's model has no heads: `load` reads them.
        missing = incompatible.missing_keys
        missing[:] = [key for key in missing if not key.startswith(f"{HEADS}.")]

    def save(self, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write the heads into a checkpoint.

        Args:
            folder (`Path`): the checkpoint.
            state (mapping, *optional*): of the whole model, where it is sharded; by default the heads' own.
        """
        own = self.heads.state_dict() if state is None else of_heads(state)
        # Copies, since safetensors refuses parameters that share memory.
        copies = {name: value.detach().cpu().clone().contiguous() for name, value in own.items()}
        save_file(copies, folder / HEADS_FILE)

    def load(self, checkpoint: Path) -> None:
        """Read the heads of a checkpoint.

        Raises:
            ValueError: in one line, if the checkpoint has none, or those of another objective.
        """
        path = checkpoint / HEADS_FILE
        if not path.is_file():
            raise ValueError(f"{checkpoint} has no {HEADS_FILE}: it was trained with an objective without heads")
        try:
            self.heads.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ValueError(f"{path} holds the heads of another objective: {' '.join(str(error).split())}") from error


def of_heads(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the heads' part of a model's state, under the names that the heads have for it."""
    return {name.removeprefix(f"{HEADS}."): value for name, value in state.items() if name.startswith(f"{HEADS}.")}


def of_model(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a model's state without its heads."""
    return {name: value for name, value in state.items() if not name.startswith(f"{HEADS}.")}
