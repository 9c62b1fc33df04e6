"""WHY: one file for each task that has a diagnosis, one line in `DIAGNOSES`. No torch."""

from hf_nextfail.diagnoses.base import Answer, Definition, Diagnosis, NoDiagnosis
from hf_nextfail.diagnoses.star_graph import StarGraphDiagnosis

#: By the name of the task.
DIAGNOSES: dict[str, type[Diagnosis]] = {
    "star_graph": StarGraphDiagnosis,
}

__all__ = ["DIAGNOSES", "Answer", "Definition", "Diagnosis", "NoDiagnosis", "StarGraphDiagnosis"]
