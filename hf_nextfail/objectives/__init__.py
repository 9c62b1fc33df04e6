"""HOW it is learnt: one file an objective, one line in `OBJECTIVES`."""

from hf_nextfail.objectives.base import Objective
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective
from hf_nextfail.objectives.teacherless import TeacherlessObjective

OBJECTIVES: dict[str, type[Objective]] = {
    "teacher_forced": TeacherForcedObjective,
    "teacherless": TeacherlessObjective,
}

__all__ = ["OBJECTIVES", "Objective", "TeacherForcedObjective", "TeacherlessObjective"]
