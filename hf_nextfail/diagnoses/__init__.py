"""WHY: one file for what the diagnoses of several tasks share, one line in `DIAGNOSES` for each task that has one."""

from collections.abc import Mapping, Sequence
from typing import Any

from hf_nextfail.diagnoses.base import Answer, Definition, Diagnosis, NoDiagnosis
from hf_nextfail.diagnoses.paths import (
    CrossingStarDiagnosis,
    MinimalPlanningDiagnosis,
    PathDiagnosis,
    TreeStarDiagnosis,
    WaypointsDiagnosis,
)
from hf_nextfail.diagnoses.star_graph import StarGraphDiagnosis

#: By the name of the task. The rows of a star graph whose goals stand anywhere have one of their own.
DIAGNOSES: dict[str, type[Diagnosis]] = {
    "star_graph": StarGraphDiagnosis,
    "tree_star": TreeStarDiagnosis,
    "crossing_star": CrossingStarDiagnosis,
    "minimal_planning": MinimalPlanningDiagnosis,
}


def diagnosis_of(task_name: str, columns: Mapping[str, Sequence[Any]]) -> Diagnosis:
    """Let the diagnosis of a task read rows.

    Args:
        task_name (`str`): what the rows are of.
        columns (mapping from `str` to sequences): the columns of a dataset.

    Raises:
        NoDiagnosis: in one line, if the task has no diagnosis, or the rows do not fit it.
    """
    if task_name not in DIAGNOSES:
        *others, last = DIAGNOSES
        raise NoDiagnosis(
            f"{task_name} has no diagnosis, only {', '.join(others)} and {last} have one: nobody has said which parts "
            "of its answers need a plan and what a wrong branch is"
        )
    kind = DIAGNOSES[task_name]
    if kind is StarGraphDiagnosis and any(min(path) < 0 for path in columns.get("path", ())):
        kind = WaypointsDiagnosis
    try:
        return kind(columns)
    except ValueError as error:
        raise NoDiagnosis(str(error)) from error


def definitions_of(diagnosis: Mapping[str, Any]) -> Mapping[str, Definition]:
    """Return what the numbers of a diagnosis mean, as `hf_nextfail.diagnose` returned it."""
    kinds = (StarGraphDiagnosis, PathDiagnosis)
    return next((kind.definitions for kind in kinds if diagnosis["numbers"].keys() <= kind.definitions.keys()), {})


__all__ = [
    "DIAGNOSES",
    "Answer",
    "Definition",
    "Diagnosis",
    "NoDiagnosis",
    "PathDiagnosis",
    "StarGraphDiagnosis",
    "WaypointsDiagnosis",
    "definitions_of",
    "diagnosis_of",
]
