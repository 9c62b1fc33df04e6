"""Records to standings: what counts, what is left out and why, and who is ahead."""

import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version

from hf_nextfail.reporting.checks import CHECKS, LeftOut, Submission, check_weights
from hf_nextfail.reporting.contestants import Contestant, options_of_objective
from hf_nextfail.reporting.protocols import NoPlace, Place, Protocol, our_protocols, places_of
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import Solved, value_of
from hf_nextfail.tasks import TASKS


@dataclass(frozen=True)
class Standing:
    """A cell of the table: one contestant on one task with one model under one protocol.

    Args:
        protocol, task, config, model (`str`), contestant (`Contestant`): which cell.
        family (`str`): of the model.
        title (`str`): the task in words.
        counted (list of `Submission`): one a seed, in the order of the protocol's seeds.
        others (list of `Submission`): of the same seeds, and not counted.
        verified (list of `int`): the seeds of which another run gave the same weights and numbers.
        missing (list of `int`): the seeds of the protocol that nobody has run.
        command (`str`, *optional*): runs the cell again; `None` where only its records can be.
    """

    protocol: str
    task: str
    config: str
    model: str
    contestant: Contestant
    family: str
    title: str
    counted: list[Submission]
    others: list[Submission]
    verified: list[int]
    missing: list[int]
    command: str | None

    @property
    def records(self) -> list[Record]:
        """The records that count."""
        return [submission.record for submission in self.counted]

    @property
    def solved(self) -> Solved:
        """The headline."""
        return Solved.of(self.records)

    @property
    def accuracies(self) -> list[float]:
        """The test accuracy of each seed, ascending."""
        return sorted(value_of(record, "accuracy") for record in self.records)

    @property
    def order(self) -> tuple[float, float, float]:
        """What ranks a cell: the lower bound of its interval, then few steps to solve, then mean accuracy."""
        steps = self.solved.median_steps
        return (-self.solved.interval[0], float("inf") if steps is None else steps, -statistics.fmean(self.accuracies))

    @property
    def question(self) -> tuple[str, str, str, str]:
        """What the contestants of one ranking share."""
        return self.protocol, self.task, self.config, self.model


@dataclass(frozen=True)
class Leaderboard:
    """Standings, the best of each ranking first, and what was left out.

    Args:
        standings (list of `Standing`): by protocol, task and model in the order of the protocols.
        left_out (list of pairs): where a record is, and why it does not count.
        protocols (tuple of `Protocol`): those that records were compared with.
    """

    standings: list[Standing]
    left_out: list[tuple[str, str]]
    protocols: tuple[Protocol, ...]

    def rank(self, standing: Standing) -> int:
        """Return the place of a cell among those of its task, model and protocol; equal ones share it."""
        rivals = [other for other in self.standings if other.question == standing.question]
        return 1 + sum(other.order < standing.order for other in rivals)


def newest_first(submissions: Sequence[Submission]) -> list[Submission]:
    """Order records of one cell and seed: a newer version of the package first, else the one handed in last.

    A record does not say when it was made, so the order in which they are handed in decides.
    """

    def version(pair: tuple[int, Submission]) -> tuple[bool, Version, int]:
        number, submission = pair
        try:
            return True, Version(submission.record.versions["hf_nextfail"]), number
        except InvalidVersion:  # it is older than all that are
            return False, Version("0"), number

    return [submission for _, submission in sorted(enumerate(submissions), key=version, reverse=True)]


def same_outcome(first: Record, second: Record) -> bool:
    """Say whether two runs gave the same weights, bit for bit, and the same numbers."""
    weights = first.run["weights_sha256"]
    return weights is not None and weights == second.run["weights_sha256"] and first.results == second.results


def command_of_cell(protocol: Protocol, place: Place, records: Sequence[Record]) -> str | None:
    """Write the command that runs a cell; `None` where paths are reversed, and by no training of the protocol."""
    contestant = place.contestant
    named = next((name for name, training in protocol.contestants() if training == contestant), None)
    if named is None and contestant.reverse:
        return None
    threads = {record.run["num_threads"] for record in records if record.run["device"] == "cpu"} - {None}
    prefix = f"OMP_NUM_THREADS={threads.pop()} " if len(threads) == 1 else ""
    brought = "" if named else options_of_objective(contestant)
    only = f"{named or '*'}-{protocol.graphs[place.task, place.config]}-{place.model}-*"
    return f"{prefix}nextfail reproduce {shlex.quote(protocol.grid)}{brought} --only '{only}'"


@dataclass
class Gathered:
    """The records of one cell while they are gathered, by seed."""

    by_seed: dict[int, list[Submission]] = field(default_factory=dict)

    def standing(self, place: Place, protocol: Protocol) -> Standing:
        """Decide which records count."""
        seeds = protocol.seeds[place.task, place.config, place.model]
        ordered = {seed: newest_first(self.by_seed[seed]) for seed in seeds if seed in self.by_seed}
        counted = [submissions[0] for submissions in ordered.values()]
        others = [submission for submissions in ordered.values() for submission in submissions[1:]]
        verified = [
            seed
            for seed, (first, *rest) in ordered.items()
            if any(same_outcome(first.record, other.record) for other in rest)
        ]
        records = [submission.record for submission in counted]
        return Standing(
            *(place.protocol, place.task, place.config, place.model, place.contestant),
            family=protocol.models[place.model],
            title=TASKS[place.task].from_config_name(place.config).title,  # a record could call it otherwise
            counted=counted,
            others=others,
            verified=verified,
            missing=[seed for seed in seeds if seed not in ordered],
            command=command_of_cell(protocol, place, records),
        )


def leaderboard_of(submissions: Iterable[Submission], protocols: Sequence[Protocol] | None = None) -> Leaderboard:
    """Check records, and rank what they show.

    Args:
        submissions (iterable of `Submission`): in the order in which they are handed in.
        protocols (sequence of `Protocol`, *optional*): by default ours.

    Returns:
        `Leaderboard`.
    """
    protocols = tuple(our_protocols() if protocols is None else protocols)
    placed, left_out = [], []
    for submission in submissions:
        try:
            places = places_of(submission.record, protocols)
            for check in CHECKS:
                check(submission.record)
        except (NoPlace, LeftOut) as reason:
            left_out.append((submission.source, str(reason)))
            continue
        placed.append((submission, places))
    reasons = check_weights(placed)
    left_out += [(placed[number][0].source, reason) for number, reason in reasons.items()]
    placed = [pair for number, pair in enumerate(placed) if number not in reasons]
    cells: dict[tuple, tuple[Place, Gathered]] = {}
    for submission, place in ((submission, place) for submission, places in placed for place in places):
        key = (place.protocol, place.task, place.config, place.model, place.contestant)
        _, gathered = cells.setdefault(key, (place, Gathered()))
        gathered.by_seed.setdefault(place.seed, []).append(submission)
    by_name = {protocol.name: protocol for protocol in protocols}
    standings = [gathered.standing(place, by_name[place.protocol]) for place, gathered in cells.values()]
    asked = [(protocol.name, *setting) for protocol in protocols for setting in protocol.settings]
    standings.sort(key=lambda standing: (asked.index(standing.question), standing.order, standing.contestant.title))
    return Leaderboard(standings, left_out, protocols)
