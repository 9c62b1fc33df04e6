from dataclasses import dataclass, field
from typing import Literal

import pytest
from families import TOKENIZER

from hf_nextfail.objectives import TeacherForcedObjective, build_objective, objective_class
from hf_nextfail.objectives.options import check_options


@dataclass
class Weighted(TeacherForcedObjective):
    """Have an option of each type."""

    name = "weighted"

    share: float = 0.5
    depth: int = 2
    quick: bool = False
    kind: Literal["linear", "cosine"] = "linear"
    label: str | None = None
    weights: list[float] = field(default_factory=list)


@dataclass
class Needing(TeacherForcedObjective):
    """Need an option."""

    name = "needing"

    depth: int


class Undecorated(TeacherForcedObjective):
    """Forget to be a dataclass."""

    name = "undecorated"

    depth: int = 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"share": 0.25, "depth": 3, "quick": True, "kind": "cosine", "label": "a", "weights": [1, 0.5]},
        {"share": 1, "label": None},
    ],
)
def test_options_become_fields(options):
    check_options(Weighted, options)
    objective = Weighted(TOKENIZER, **options)
    assert {name: getattr(objective, name) for name in options} == options


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (Weighted, {"shar": 1}, r"weighted has no option 'shar' \(did you mean 'share'\?\); it takes share, depth"),
        (TeacherForcedObjective, {"share": 1}, "teacher_forced has no option 'share'; it takes none"),
        (Weighted, {"tokenizer": 1}, "weighted has no option 'tokenizer'"),
        (Weighted, {"share": "half"}, "share of weighted must be a number, got 'half'"),
        (Weighted, {"share": True}, "share of weighted must be a number, got True"),
        (Weighted, {"depth": 1.5}, "depth of weighted must be a whole number, got 1.5"),
        (Weighted, {"quick": 1}, "quick of weighted must be true or false, got 1"),
        (Weighted, {"kind": "square"}, "kind of weighted must be linear or cosine, got 'square'"),
        (Weighted, {"label": 3}, "label of weighted must be a text or null, got 3"),
        (Weighted, {"weights": ["a"]}, r"weights of weighted must be a list, got \['a'\]"),
        (Needing, {}, "needing needs depth, a whole number"),
        (Undecorated, {}, "Undecorated has a field depth and is no dataclass: put @dataclass above it"),
    ],
)
def test_options_that_do_not_fit_are_one_line(kind, options, reason):
    with pytest.raises(ValueError, match=reason) as failure:
        check_options(kind, options)
    assert "\n" not in str(failure.value)


def test_an_objective_is_built_from_its_name_and_options():
    objective = build_objective(f"{__file__}:Weighted", TOKENIZER, {"depth": 4})
    assert (objective.name, objective.depth, objective.share) == ("weighted", 4, 0.5)
    assert type(build_objective("teacher_forced", TOKENIZER)) is TeacherForcedObjective


def test_an_unknown_objective_is_refused_with_the_near_one():
    with pytest.raises(ValueError, match=r"got 'teacherles' \(did you mean 'teacherless'\?\)"):
        objective_class("teacherles")
