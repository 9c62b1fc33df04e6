"""Standings as matrices: how often each contestant solves each task."""

import statistics
from collections.abc import Sequence

from hf_nextfail.reporting.contestants import Contestant
from hf_nextfail.reporting.leaderboard import Leaderboard, Standing
from hf_nextfail.reporting.protocols import Protocol
from hf_nextfail.tasks import TASKS
from hf_nextfail.tasks.creative import CreativeTask

ABOUT_MATRICES = (
    "Seeds that solve the task, of those that were run; first stands who solves most, over all columns. "
    "Empty: not run."
)


class Matrix:
    """How often each contestant solves each task: of one protocol and model, in the order of the protocol.

    Args:
        protocol (`Protocol`), model (`str`): which.
        standings (sequence of `Standing`): of these.
    """

    def __init__(self, protocol: Protocol, model: str, standings: Sequence[Standing]):
        self.protocol, self.model = protocol, model
        self.cells = {(one.contestant, one.task, one.config): one for one in standings}
        seen = {(one.task, one.config): one.title for one in standings}
        asked = [setting[:2] for setting in protocol.settings if setting[2] == model]
        self.tasks = {key: seen[key] for key in asked if key in seen}
        creative = [key for key in asked if issubclass(TASKS[key[0]], CreativeTask)]
        unseen = [key for key in asked if key not in seen and key not in creative]
        self.notes = [
            f"{what}: {', '.join(protocol.graphs[key] for key in keys)}."
            for what, keys in (("No runs yet of", unseen), ("Creative tasks, which have no rank", creative))
            if keys
        ]
        known = [contestant for _, contestant in protocol.contestants()]
        rows = dict.fromkeys([*(one.contestant for one in standings), *known])
        self.contestants = sorted(rows, key=self.order)

    def order(self, contestant: Contestant) -> tuple[int, float, float]:
        """Sort by the seeds that solve a task, then their steps, then accuracy; who has not run comes last."""
        own = [one for (other, *_), one in self.cells.items() if other == contestant]
        steps = [step for one in own for step in one.solved.steps]
        means = [statistics.fmean(one.accuracies) for one in own]
        return (
            -sum(one.solved.runs for one in own),
            statistics.median(steps) if steps else 0,
            -statistics.fmean(means) if means else 1,
        )

    def row(self, contestant: Contestant) -> list[Standing | None]:
        """Return the cells of a contestant, `None` where nobody has run one."""
        return [self.cells.get((contestant, *key)) for key in self.tasks]

    @property
    def title(self) -> str:
        """Name it."""
        return f"{self.protocol.name}, {self.model}"


def matrices_of(board: Leaderboard) -> list[Matrix]:
    """Lay out what was run, by protocol and model."""
    matrices = []
    for protocol in board.protocols:
        for model in protocol.models:
            own = [one for one in board.standings if (one.protocol, one.model) == (protocol.name, model)]
            if own:
                matrices.append(Matrix(protocol, model, own))
    return matrices
