"""What tasks share whose answers can be written from their end: `reverse`, the same answer in the other order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_nextfail.tasks.base import REVERSED, Task


@dataclass(frozen=True, kw_only=True)
class ReversibleTask(Task):
    """Ask for something that can be written from its beginning or from its end, such as a path.

    A reversed configuration has the same prompts, columns and splits, and other completions. Whether these still need
    a plan is a matter of the task: a path needs none where a single edge leads to each of its nodes.

    Args:
        reverse (`bool`, *optional*, defaults to `False`): write completions from the end, paths from the goal to the
            start; `_rev` at the end of configuration names.
    """

    reverse: bool = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if cls.codes:
            cls.codes = {**cls.codes, "reverse": REVERSED}

    def turned(self, nodes: Sequence[Any] | np.ndarray) -> Sequence[Any] | np.ndarray:
        """Bring the nodes of an answer, or of rows of answers, `(rows, L)`, into the order of writing, or back."""
        if not self.reverse:
            return nodes
        return nodes[:, ::-1] if isinstance(nodes, np.ndarray) else nodes[::-1]
