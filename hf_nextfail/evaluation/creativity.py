"""A model that is asked for something coherent, again and again, to how creative it is."""

import logging
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.trained_rows import MOST_ROWS, which_were_trained_on
from hf_nextfail.decoding import Decoding
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.metrics import creativity
from hf_nextfail.metrics.standard_error import Estimate
from hf_nextfail.tasks import CreativeTask, Task
from hf_nextfail.tasks.base import keep_integer
from hf_nextfail.tasks.hashing import hash_numbers

logger = logging.getLogger(__name__)

#: How many outputs are asked for, and how they are drawn, unless somebody says otherwise.
NUM_SAMPLES, TEMPERATURE = 1_024, 1.0


@dataclass(frozen=True)
class Sampling:
    """Say how outputs are drawn of which creativity is measured: from all tokens, without top-k or top-p.

    Args:
        num_samples (`int`, >= 1, *optional*, defaults to 1,024): how many.
        temperature (`float`, >= 0, *optional*, defaults to 1.0): what logits are divided by; 0 is greedy.
        seed (`int`, >= 0, *optional*, defaults to 0): of the draws.

    Raises:
        ValueError: naming the field, its value and the allowed range.
    """

    num_samples: int = NUM_SAMPLES
    temperature: float = TEMPERATURE
    seed: int = 0

    def __post_init__(self):
        keep_integer(self, "num_samples", 1)
        keep_integer(self, "seed", 0)
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")

    @classmethod
    def of(
        cls, task: Task | None, num_samples: int | None, temperature: float | None, seed: int | None
    ) -> "Sampling | None":
        """Take what a user asked for, and the defaults for the rest; `None` for a task that is not creative.

        Raises:
            ValueError: as the class, or if something is asked for of a task that is not creative.
        """
        asked = {"num_samples": num_samples, "temperature": temperature, "seed": seed}
        asked = {name: value for name, value in asked.items() if value is not None}
        if isinstance(task, CreativeTask):
            return cls(**asked)
        if asked:
            what = "data of your own" if task is None else task.name
            raise ValueError(f"{next(iter(asked))} goes with creative tasks, where outputs are drawn, not with {what}")
        return None


def measure_creativity(
    model: nn.Module,
    dataset: Dataset,
    decoding: Decoding,
    tokenizer: PreTrainedTokenizerBase,
    task: CreativeTask,
    trained: TaskConfig | None,
    sampling: Sampling,
    batch_size: int = 256,
    description: str | None = None,
    shared: bool = False,
) -> dict[str, Estimate | None]:
    """Draw outputs and count the different ones that are coherent and new: see [`hf_nextfail.metrics.creativity`].

    The same seed draws the same outputs, as long as rows, batch size and number of processes are the same.

    Args:
        dataset (`Dataset`): rows whose prompts are given one after the other, from the first again if there are fewer
            than outputs; their completions say how many tokens an output has at most.
        task (`CreativeTask`): says what is coherent, and what is the same.
        trained (`TaskConfig`, *optional*): the rows that the model was trained on; `None` where nobody knows.
        sampling (`Sampling`): how many outputs, and how they are drawn.
        (others): as of [`hf_nextfail.evaluate`].

    Returns:
        `dict` from the names in `hf_nextfail.metrics.CREATIVITY` to estimates; `None` where nobody knows.
    """
    inference = Inference(model, decoding, tokenizer, batch_size, description, shared)
    which = torch.arange(sampling.num_samples) % len(dataset)
    process = PartialState().process_index if shared else 0
    seed = int(np.random.SeedSequence([sampling.seed, process]).generate_state(1)[0])
    generator = torch.Generator(inference.device).manual_seed(seed)
    ids = inference.write(RowStore.of(dataset, tokenizer), which, sampling.temperature, generator)
    forms = [task.canonical(text) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return creativity(forms, forms_trained_on(forms, trained))


def forms_trained_on(forms: Sequence[Hashable | None], trained: TaskConfig | None) -> set[Hashable] | None:
    """Return those forms that stand in training rows, which are made again; `None` where nobody knows."""
    if trained is None or trained.num_train > MOST_ROWS:
        logger.warning(
            "What is new is not known: %s.",
            "nobody knows what the model was trained on"
            if trained is None
            else f"{trained.num_train:,} training rows are too many to make again",
        )
        return None
    different = sorted({form for form in forms if form is not None})
    if not different:
        return set()
    seen = which_were_trained_on(hash_numbers(np.array(different)), trained)
    return {form for form, was_seen in zip(different, seen.tolist(), strict=True) if was_seen}
