"""What each objective costs, and the least arithmetic that it must cost; trainings in processes of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from contestants import Gate, facts_of, first_batch, our_trainer
from measuring import Parent
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerCallback

from hf_nextfail.objectives import OBJECTIVES, Objective


@dataclass(frozen=True)
class Sizes:
    """Count the multiply-adds of the matrix products that one row needs in the forward pass of GPT-2.

    A product of the backward pass costs what it costs in the forward pass, and each has two: ratios stay as they are.

    Args:
        layers (`int`), width (`int`), vocabulary (`int`): of the model.
        prompt (`int`), completion (`int`): the tokens of the row, `P` and `T`.
    """

    layers: int
    width: int
    vocabulary: int
    prompt: int
    completion: int

    def block(self, sees: Sequence[int], read: int) -> float:
        """Count one transformer block: 2 matrices make keys and values, 10 do the rest where the result is read.

        Args:
            sees (sequence of `int`): to how many positions each position attends; those that are read come last.
            read (`int`): how many results are read.
        """
        rest = sum(10 * self.width**2 + 2 * self.width * seen for seen in sees[len(sees) - read :])
        return 2 * self.width**2 * len(sees) + rest

    def trunk(self, sees: Sequence[int], read: int) -> float:
        """Count all blocks, and the output embedding where it is `read`: the last block does nothing elsewhere."""
        below = (self.layers - 1) * self.block(sees, len(sees))
        return below + self.block(sees, read) + self.unembed(read)

    def unembed(self, read: int) -> float:
        """Count the output embedding, or another matrix of its size."""
        return read * self.width * self.vocabulary

    @property
    def inputs(self) -> int:
        """The tokens that plain rows show: the last one predicts nothing."""
        return self.prompt + self.completion - 1

    @property
    def plain(self) -> float:
        """What `teacher_forced` needs."""
        return self.trunk(range(1, self.inputs + 1), self.completion)

    @property
    def whole(self) -> float:
        """The same where heads read the last states of prompts, too."""
        sees = range(1, self.inputs + 1)
        return self.plain + self.block(sees, self.inputs) - self.block(sees, self.completion)


def plain(objective: Objective, sizes: Sizes) -> float:
    """Show and read what `teacher_forced` does."""
    return sizes.plain


def hybrid(objective: Objective, sizes: Sizes) -> float:
    """Show the prompt once, and behind it `T - 1` true tokens and `T - 1` dummies that do not see those."""
    behind = range(sizes.prompt + 1, sizes.inputs + 1)
    return sizes.trunk([*range(1, sizes.prompt + 1), *behind, *behind], 2 * sizes.completion - 1)


def trelawney(objective: Any, sizes: Sizes) -> float:
    """Show a span and two tokens more in some rows, each as long as it is; `<T>` is not predicted."""
    last = sizes.completion

    def longer(size: int) -> float:
        return sizes.trunk(range(1, sizes.inputs + size + 3), last + size + 1)

    by_first = [fmean(map(longer, range(1, last - first + 1))) for first in range(last)]  # of the span
    by_written = [fmean(by_first[written + 1 :]) for written in range(last - 1)]  # before it
    return (1 - objective.probability) * sizes.plain + objective.probability * fmean(by_written)


def mtp(objective: Any, sizes: Sizes) -> float:
    """Run a block a head on the states of the whole row; head `i` predicts `T - i` tokens."""
    sees, read = range(1, sizes.inputs + 1), [sizes.completion - i for i in range(1, objective.num_heads + 1)]
    blocks = sum(sizes.block(sees[: len(sees) - i], kept) for i, kept in enumerate(read, 1))
    return sizes.whole + blocks + sizes.unembed(sum(read))


def ds_mtp(objective: Any, sizes: Sizes) -> float:
    """Run a matrix of two widths and a block a module on the whole row; nothing reads the last one on prompts."""
    total = sizes.whole
    for module in range(1, objective.depth + 1):
        sees = range(1, sizes.inputs - module + 1)
        predicted = sizes.completion - module
        total += 2 * sizes.width**2 * len(sees) + sizes.unembed(predicted)
        total += sizes.block(sees, predicted if module == objective.depth else len(sees))
    return total


def second_head(objective: Objective, sizes: Sizes) -> float:
    """Apply a second matrix of the size of the output embedding."""
    return sizes.plain + sizes.unembed(sizes.completion)


def jtp(objective: Any, sizes: Sizes) -> float:
    """Fetch each later token by a block of its own; keys, values and queries of a token are the same in all."""
    last = sizes.completion
    furthest = last - 1 if objective.horizon is None else min(objective.horizon, last - 1)
    pairs = [step for begin in range(1, last) for step in range(1, min(furthest, last - begin) + 1)]
    shared = (2 + 3) * sizes.width**2 * (last - 1)
    fetched = sum(9 * sizes.width**2 + 2 * sizes.width * (step + 1) for step in pairs)
    return sizes.plain + shared + fetched + sizes.unembed(len(pairs))


def nextlat(objective: Any, sizes: Sizes) -> float:
    """Apply an MLP of four square matrices and the output embedding to each step of each state."""
    last = sizes.completion
    steps = max(1, last - 2) if objective.horizon is None else min(objective.horizon, last - 1)
    pairs = sum(last - step for step in range(1, steps + 1))
    return sizes.plain + pairs * 4 * sizes.width**2 + sizes.unembed(pairs)


def mutor(objective: Any, sizes: Sizes) -> float:
    """Show a register for each target that a row has: `T - d + 1` of them."""
    rows = []
    for offset in range(2, min(objective.d_max, sizes.completion) + 1):
        registers = range(sizes.prompt + 1, sizes.inputs - offset + 3)
        rows.append(sizes.trunk([*range(1, sizes.inputs + 1), *registers], sizes.completion + len(registers)))
    return fmean(rows)


def bst(objective: Objective, sizes: Sizes) -> float:
    """Read `T` tokens from the end by a second encoder, and join pairs by three matrices of twice the width."""
    last = sizes.completion
    pairs = last * (last + 1) // 2
    backward = sizes.layers * sizes.block(range(1, last + 1), last)
    return sizes.plain + backward + pairs * 3 * (2 * sizes.width) ** 2 + sizes.unembed(2 * pairs - last)


def masked_diffusion(objective: Objective, sizes: Sizes) -> float:
    """Show all tokens to all, and read those that are masked: any number, which is half of them."""
    sees = [sizes.prompt + sizes.completion] * (sizes.prompt + sizes.completion)
    return fmean(sizes.trunk(sees, masked) for masked in range(sizes.completion + 1))


def insertion(objective: Objective, sizes: Sizes) -> float:
    """Show the tokens that are left, any number, to all, and read every gap between them."""
    shown = range(sizes.prompt, sizes.prompt + sizes.completion + 1)
    return fmean(sizes.trunk([tokens] * tokens, tokens - sizes.prompt + 1) for tokens in shown)


#: Name of an objective -> what a row of it needs at the least.
NEEDED: dict[str, Callable[[Any, Sizes], float]] = {
    "teacher_forced": plain,
    "teacherless": plain,
    "hybrid": hybrid,
    "target_masking": plain,
    "trelawney": trelawney,
    "mtp": mtp,
    "ds_mtp": ds_mtp,
    "top": second_head,
    "fsp": second_head,
    "jtp": jtp,
    "nextlat": nextlat,
    "mutor": mutor,
    "bst": bst,
    "masked_diffusion": masked_diffusion,
    "insertion": insertion,
}


class CountFirst(TrainerCallback):
    """Count the multiply-adds of the matrix products of the first step.

    Args:
        facts (`dict`): where the number goes.
    """

    def __init__(self, facts: dict[str, Any]):
        self.facts = facts
        self.counter = FlopCounterMode(display=False)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin."""
        if state.global_step == 0:
            self.counter.__enter__()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End."""
        if state.global_step == 1:
            self.counter.__exit__(None, None, None)
            self.facts["done"] = self.counter.get_total_flops() / 2


def names(parent: Parent) -> None:
    """Answer what there is to measure."""
    parent.answer(list(OBJECTIVES))


def train(parent: Parent, name: str, recipe: str, options: dict[str, Any], folder: str) -> None:
    """Train with an objective as a recipe says; the first answer tells what arithmetic it needs and does."""
    trainer = our_trainer(recipe, options | {"objective": name}, folder)
    facts = facts_of(trainer.model, first_batch(trainer), trainer.args)
    row, config = trainer.train_dataset[0], trainer.model.config
    sizes = Sizes(
        config.num_hidden_layers,
        config.hidden_size,
        config.vocab_size,
        len(row["prompt_ids"]),
        len(row["completion_ids"]),
    )
    forward_and_backward = 3 * facts["rows"]
    facts["needed"] = NEEDED[name](trainer.objective, sizes) * forward_and_backward
    facts["num_parameters"] += 0 if trainer.heads is None else trainer.heads.num_parameters
    trainer.add_callback(CountFirst(facts))
    trainer.add_callback(Gate(parent, facts))
    trainer.train()
