"""Where the runs of the default command, and of the smoke recipes, go below the folder of all runs."""

from pathlib import Path

SMOKE = {
    "teacher_forced": "star_graph/teacher_forced/d2_l3_n20-gpt2",
    "teacherless": "star_graph/teacherless/d2_l3_n20-gpt2",
    "reversed": "star_graph/teacher_forced/d2_l3_n20_rev-gpt2",
}
CONTRAST = {
    "teacher_forced": "star_graph/teacher_forced/d2_l4_n20-gpt2",
    "teacherless": "star_graph/teacherless/d2_l3_n10-gpt2",
    "reversed": "star_graph/teacher_forced/d2_l4_n20_rev-gpt2",
}


def only_run(folder: Path) -> Path:
    """The folder of the one run that is finished below a folder."""
    (results,) = folder.rglob("results.json")
    return results.parent


def repository_of(run: Path, folder: Path) -> str:
    """The repository that a run in a folder of all runs is pushed to by default."""
    return f"nextfail/{run.relative_to(folder).as_posix().replace('/', '-')}"
