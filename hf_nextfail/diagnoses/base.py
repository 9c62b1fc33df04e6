"""What every diagnosis shares: probes in, numbers out. No model, no tokens, no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hf_nextfail.tasks import Task


class Definition(NamedTuple):
    """One number of a diagnosis.

    Args:
        meaning (`str`): what is counted, over which rows.
        chance (`str`): what a model gets that has learnt nothing of what the number asks, with d arms of l nodes and S
            nodes in a graph.
        plans (`str`): what it is if the model finds the path before it writes the first step.
        cheats (`str`): what it is under the Clever Hans cheat: following edges, and guessing the first.
        snowballs (`str`): what it is if the model plans, but errs now and then at each step.
    """

    meaning: str
    chance: str
    plans: str
    cheats: str
    snowballs: str


class Answer(NamedTuple):
    """What a model says of one completion of each row, the true one or that of a probe.

    Args:
        correct (`np.ndarray` `(n, T)` of `bool`): whether each token is the most likely one; true past
            the end of a row.
        log_probs (`np.ndarray` `(n, T)`): the logarithmic probability of each token in nats; 0 past the end.
        part_of_token (`np.ndarray` `(n, T)` of `int`): the node that each token belongs to; -1 past the end.
    """

    correct: np.ndarray
    log_probs: np.ndarray
    part_of_token: np.ndarray


class NoDiagnosis(ValueError):
    """A task, or these rows of it, cannot be diagnosed: one line says why."""


class Diagnosis(ABC):
    """Find out why a model fails on the rows of a task, or that it does not.

    It reads rows, names the completions that it wants scored (the probes), and turns the answers into numbers.
    `hf_nextfail.diagnose` runs the model in between. Adding one takes a file in this folder and a line in `DIAGNOSES`.

    Args:
        columns (mapping from `str` to sequences): the columns of a dataset, `n` rows.

    Raises:
        ValueError: if a column is missing, or the rows do not fit.
    """

    #: What the rows are of.
    task: Task
    #: The columns that it reads.
    columns: ClassVar[tuple[str, ...]]
    #: The numbers that it gives, in the order of tables.
    definitions: ClassVar[Mapping[str, Definition]]

    @abstractmethod
    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        """Read the rows."""

    @property
    @abstractmethod
    def references(self) -> list[list[str]]:
        """The right nodes of each completion, as texts."""

    @abstractmethod
    def probes(self, shows_true_tokens: bool) -> dict[str, list[str]]:
        """Name the completions to score beside the true ones.

        Args:
            shows_true_tokens (`bool`): whether the decoding shows a model the tokens before the one it predicts.

        Returns:
            `dict` from the name of a probe to a completion for each row.
        """

    @abstractmethod
    def conclude(
        self,
        truth: Answer | None,
        probes: Mapping[str, Answer],
        written: Sequence[Sequence[str]],
        groups: np.ndarray | None,
        decoding: str,
        shows_true_tokens: bool,
        one_pass_exact: bool,
    ) -> dict[str, Any]:
        """Turn answers into numbers and a verdict.

        Args:
            truth (`Answer`, *optional*): on the true completions; `None` if the decoding scores no tokens.
            probes (mapping from `str` to `Answer`): on what `probes` named; nothing if there is no `truth`.
            written (sequence of lists of `str`): the nodes that the model writes for each row.
            groups (`np.ndarray` `(n,)`, *optional*): equal entries mark rows about the same graph.
            decoding (`str`): the name of the decoding.
            shows_true_tokens (`bool`): as given to `probes`.
            one_pass_exact (`bool`): whether what is written is right if and only if each token of `truth` is. If not,
                `written` says what is right, and `truth` what the model thinks before it has written anything.

        Returns:
            `dict`, ready for JSON; see [`hf_nextfail.diagnose`].
        """
