"""The crossing-star path task: arms cross at a place inside the path, where the right one must be chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

import numpy as np

from hf_nextfail.tasks.base import REVERSED, Columns, keep_integer
from hf_nextfail.tasks.papers import INSERTION_LANGUAGE_MODELS, Paper
from hf_nextfail.tasks.paths import PathTask, sample_crossing_arms
from hf_nextfail.tasks.text import MAX_LABEL

#: The three configurations of the source, and what they are in codes.
NAMED = {"easy": "d3_l5_to5_p4_n20", "medium": "d3_l3_to6_p2_n20", "hard": "d5_l6_to12_p5_n56"}


@dataclass(frozen=True)
class CrossingStar(PathTask):
    """Ask for the path along one of several arms that cross at a centre, somewhere on each of them.

    The start is the upstream end of an arm and the goal its other end. Up to the centre, the path follows single
    edges; there `degree` edges go on, and only the goal says which is the right one. So the node that needs planning
    stands inside the path, at a place that varies from row to row, `hard_place`, and paths have several lengths.
    Reversed, a path must still be guessed at the centre wherever several arms lead there: only the start says which is
    the right one. In `easy` none does, since the centre is the start.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 3): the number of arms.
        min_length (`int`, >= 2, *optional*, defaults to 3): the least nodes of an arm, both ends and the centre among
            them.
        max_length (`int`, >= `min_length`, *optional*, defaults to 6): the most. Each length is as likely.
        min_plan (`int`, 1 to `min_length - 1`, *optional*, defaults to 2): the least nodes of an arm behind the
            centre, which stands at each of the first `length - min_plan` places of an arm with equal chance.
        num_nodes (`int`, *optional*, defaults to 20): the labels to draw from, at least the nodes of the largest
            graph, `1 + degree * (max_length - 1)`.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Patel et al., "Insertion Language Models", 2025 (arXiv 2505.05755), which has `easy` (a star graph),
    `medium` and `hard`. That start and goal are on one arm, the `min_plan` of `medium`, and the text, that of
    `star_graph`, are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = CrossingStar(degree=2, min_length=3, max_length=4, min_plan=1)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist(), columns["hard_place"].tolist()
    (['17,15|6,0|0,17|1,6|6,3|3,2/1,2='], ['1,6,3,2'], [2])

    ```
    """

    name: ClassVar[str] = "crossing_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = INSERTION_LANGUAGE_MODELS
    codes: ClassVar[Mapping[str, str]] = {
        "degree": "d",
        "min_length": "l",
        "max_length": "to",
        "min_plan": "p",
        "num_nodes": "n",
    }
    grid: ClassVar[tuple[str, ...]] = ("medium", "easy", "hard")

    degree: int = 3
    min_length: int = 3
    max_length: int = 6
    min_plan: int = 2
    num_nodes: int = 20

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 2)
        keep_integer(self, "min_length", 2)
        keep_integer(self, "max_length", self.min_length, why=f" for min_length={self.min_length}")
        keep_integer(self, "min_plan", 1, self.min_length - 1, f" for min_length={self.min_length}")
        size = 1 + self.degree * (self.max_length - 1)
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for graphs of up to {size} nodes")

    @property
    def config_name(self) -> str:
        """`easy`, `medium`, `hard`, or `d{degree}_l{min_length}_to{max_length}_p{min_plan}_n{num_nodes}`."""
        in_codes, ending, _ = super().config_name.partition(f"_{REVERSED}")
        return next((name for name, codes in NAMED.items() if codes == in_codes), in_codes) + ending

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> Self:
        """Read a configuration name; raise `ValueError` for any other text, or when an override contradicts it."""
        name = config_name.removesuffix(f"_{REVERSED}")
        return super().from_config_name(NAMED.get(name, name) + config_name[len(name) :], **overrides)

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        lengths = f"{self.min_length} to " * (self.min_length < self.max_length) + f"{self.max_length} nodes"
        behind = f"at least {self.min_plan} behind the centre"
        return f"{self.degree} arms of {lengths} that cross, {behind}, {self.num_nodes} labels"

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing at the centre, and so of all.

        Reversed, it is the mean over rows of 1/arms, of the arms that lead to the centre: that of the goal, unless it
        begins there, and each other one with the probability that it begins before.
        """
        if not self.reverse:
            return {"hard_token_accuracy": 1 / self.degree, "accuracy": 1 / self.degree}
        lengths = range(self.min_length, self.max_length + 1)
        at_start = fmean(1 / (length - self.min_plan) for length in lengths)  # that an arm begins at the centre
        if at_start == 1:
            return {"hard_token_accuracy": None}
        # The mean of 1/(1 + K) over a binomial K, the number of other arms, with and without K = 0.
        alone = at_start ** (self.degree - 1)
        guessed = (1 - at_start**self.degree) / (self.degree * (1 - at_start))
        return {
            "hard_token_accuracy": (guessed - alone) / (1 - alone),
            "accuracy": at_start + (1 - at_start) * guessed,
        }

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, degree * (max_length - 1), 2)` in random order and `path`
            `(count, max_length)`, both filled up with -1; `start`, `goal` and `hard_place` `(count,)`, the index in
            `path` of the node behind the centre.
        """
        lengths = rng.integers(self.min_length, self.max_length + 1, size=(count, self.degree))
        places = rng.integers(lengths - self.min_plan)
        # Arms are exchangeable, so the path may as well be along the first.
        edges, path = sample_crossing_arms(rng, self.num_nodes, places, lengths, self.max_length)
        return self.columns_of(edges, path) | {"hard_place": (places[:, 0] + 1).astype(np.int32)}
