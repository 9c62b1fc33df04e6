"""Which records count, and one line for each that does not."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hf_nextfail.data.problem_keys import generated_digest
from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.reporting.defaults import with_defaults
from hf_nextfail.reporting.protocols import ACCUMULATED, ROWS, Place
from hf_nextfail.reporting.record import Record
from hf_nextfail.tasks import TASKS


@dataclass(frozen=True)
class Submission:
    """A record that somebody hands in.

    Args:
        record (`Record`): what of it is public.
        source (`str`): where it is, for people to read.
        rerun (`str`): the command that trains it again.
    """

    record: Record
    source: str
    rerun: str


class LeftOut(ValueError):
    """A record does not count; one line says why."""


def check_versions(record: Record) -> None:
    """Raise `LeftOut` unless a record is on today's rows, measured by today's metrics."""
    task, versions = record.run["task"], record.versions
    for name, today in ((task, TASKS[task].version), ("metrics", METRICS_VERSION)):
        if versions[name] != today:
            raise LeftOut(f"it is of {name} {versions[name]}, and this is {today}: run it again")


def budget_of(record: Record) -> int:
    """Count the steps that a recipe asks for, as transformers does where it asks for epochs."""
    asked = with_defaults(record.recipe)
    if asked["max_steps"] > 0:
        return int(asked["max_steps"])
    rows = asked[ROWS] * (record.run["num_processes"] or 1)
    batches = asked["num_train"] / rows
    batches = math.floor(batches) if asked["dataloader_drop_last"] else math.ceil(batches)
    return math.ceil(asked["num_train_epochs"] * max(1, math.ceil(batches / asked[ACCUMULATED])))


def check_budget(record: Record) -> None:
    """Raise `LeftOut` unless a run took its whole budget, and no more, or had solved the validation rows."""
    run, allowed = record.run, budget_of(record)
    steps, enough = run["steps"], record.recipe.get("stop_at_accuracy")
    if steps > allowed:
        raise LeftOut(f"it took {steps:,} steps, and may take {allowed:,}")
    reached = [point["accuracy"] for point in record.history[-1:]]
    if steps < allowed and not (run["stopped_at_accuracy"] and enough is not None and reached >= [enough]):
        raise LeftOut(f"it ended at step {steps:,} of {allowed:,} without having solved the validation rows")


def check_numbers(record: Record) -> None:
    """Raise `LeftOut` unless the accuracy can be one on the whole test split."""
    run, accuracy = record.run, record.results["accuracy"]
    if "creativity" in record.results:
        raise LeftOut("its task is creative, and one coherent output solves it: nextfail report shows its creativity")
    if run["split"] != "test":
        raise LeftOut(f"it was measured on {run['split']}, and must be on test")
    num_rows = with_defaults(record.recipe)["num_test"]
    if accuracy["n"] != num_rows:
        raise LeftOut(f"it was measured on {accuracy['n']:,} test rows, and must be on all {num_rows:,}")
    if not 0 <= accuracy["value"] <= 1:
        raise LeftOut(f"its accuracy must be from 0 to 1, got {accuracy['value']}")
    if run["weights_sha256"] is not None and not re.fullmatch("[0-9a-f]{64}", run["weights_sha256"]):
        raise LeftOut("its weights_sha256 is not a SHA-256")


def check_rows(record: Record) -> None:
    """Raise `LeftOut` unless the test rows are those that their task generates today, by the digest of their texts.

    Most records could be wrong about them, so the rows decide, not the other records.
    """
    run, asked = record.run, with_defaults(record.recipe)
    if run["rows_sha256"] is None:
        return
    task = TASKS[run["task"]].from_config_name(run["dataset_config"])
    today = generated_digest(task, "test", int(asked["num_test"]), asked["dataset_seed"])
    if run["rows_sha256"] != today:
        raise LeftOut(f"its test rows have the SHA-256 {run['rows_sha256'][:8]}, and those of today {today[:8]}")


#: What each record must pass by itself, the quickest first.
CHECKS = (check_versions, check_budget, check_numbers, check_rows)


def same_numbers(first: Record, second: Record) -> bool:
    """Say whether two records have the same results and took the same times, however their files are written."""
    return (first.results, first.timings) == (second.results, second.timings)


def check_weights(placed: Sequence[tuple[Submission, list[Place]]]) -> dict[int, str]:
    """Find copies of one record, and weights that stand in two cells or for two seeds; the first of each stays."""
    reasons: dict[int, str] = {}
    known: dict[tuple, list[Submission]] = {}
    of_weights: dict[str, tuple[list[Place], str]] = {}
    for number, (submission, places) in enumerate(placed):
        weights = submission.record.run["weights_sha256"]
        same = known.setdefault((*places, weights), [])
        copied = next((other for other in same if same_numbers(submission.record, other.record)), None)
        if copied is not None:
            reasons[number] = f"it is a copy of {copied.source}"
        elif weights is not None and of_weights.setdefault(weights, (places, submission.source))[0] != places:
            reasons[number] = f"its weights are those of {of_weights[weights][1]}, of another cell or seed"
        else:
            same.append(submission)
    return reasons
