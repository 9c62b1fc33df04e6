"""HOW it is learnt: one file an objective, one line in `OBJECTIVES`."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from hf_nextfail.errors import did_you_mean
from hf_nextfail.objectives.base import Objective, summed_cross_entropy
from hf_nextfail.objectives.bst import BstObjective
from hf_nextfail.objectives.ds_mtp import DsMtpObjective
from hf_nextfail.objectives.fsp import FspObjective
from hf_nextfail.objectives.hybrid import HybridObjective
from hf_nextfail.objectives.insertion import InsertionObjective
from hf_nextfail.objectives.jtp import JtpObjective
from hf_nextfail.objectives.masked_diffusion import MaskedDiffusionObjective
from hf_nextfail.objectives.mtp import MtpObjective
from hf_nextfail.objectives.mutor import MutorObjective
from hf_nextfail.objectives.nextlat import NextlatObjective
from hf_nextfail.objectives.options import check_options
from hf_nextfail.objectives.target_masking import TargetMaskingObjective
from hf_nextfail.objectives.teacher_forced import TeacherForcedObjective
from hf_nextfail.objectives.teacherless import TeacherlessObjective
from hf_nextfail.objectives.top import TopObjective
from hf_nextfail.objectives.trelawney import TrelawneyObjective
from hf_nextfail.own_code import FORMS, is_reference, load_class

OBJECTIVES: dict[str, type[Objective]] = {
    "teacher_forced": TeacherForcedObjective,
    "teacherless": TeacherlessObjective,
    "hybrid": HybridObjective,
    "target_masking": TargetMaskingObjective,
    "trelawney": TrelawneyObjective,
    "mtp": MtpObjective,
    "ds_mtp": DsMtpObjective,
    "top": TopObjective,
    "fsp": FspObjective,
    "jtp": JtpObjective,
    "nextlat": NextlatObjective,
    "mutor": MutorObjective,
    "bst": BstObjective,
    "masked_diffusion": MaskedDiffusionObjective,
    "insertion": InsertionObjective,
}


def objective_class(name: str, options: Mapping[str, Any] | None = None) -> type[Objective]:
    """Find an objective, and check options for it.

    Args:
        name (`str`): in `OBJECTIVES`, or a reference to a class of your own, which is imported.
        options (mapping, *optional*): fields of the objective and their values, to be checked.

    Raises:
        ValueError: in one line, if there is no such objective, or an option is unknown, missing or of another type.
    """
    if is_reference(name):
        found = load_class(name, Objective)
        if OBJECTIVES.get(found.name, found) is not found:
            raise ValueError(f"{name} is called {found.name!r}, as one of ours is: give it a name of its own")
    elif name in OBJECTIVES:
        found = OBJECTIVES[name]
    else:
        hint = did_you_mean(name, OBJECTIVES)
        raise ValueError(f"objective must be {', '.join(OBJECTIVES)}, or {FORMS}, got {name!r}{hint}")
    if options is not None:
        check_options(found, options)
    return found


def build_objective(
    name: str, tokenizer: PreTrainedTokenizerBase, options: Mapping[str, Any] | None = None
) -> Objective:
    """Build an objective from its name and options: the one place where that happens.

    Args:
        name (`str`): in `OBJECTIVES`, or a reference to a class of your own, which is imported.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        options (mapping, *optional*): fields of the objective and their values.

    Raises:
        ValueError: in one line, if there is no such objective, or it refuses an option or the tokenizer.
    """
    options = options or {}
    return objective_class(name, options)(tokenizer, **options)


__all__ = [
    "OBJECTIVES",
    "BstObjective",
    "DsMtpObjective",
    "FspObjective",
    "HybridObjective",
    "InsertionObjective",
    "JtpObjective",
    "MaskedDiffusionObjective",
    "MtpObjective",
    "MutorObjective",
    "NextlatObjective",
    "Objective",
    "TargetMaskingObjective",
    "TeacherForcedObjective",
    "TeacherlessObjective",
    "TopObjective",
    "TrelawneyObjective",
    "build_objective",
    "objective_class",
    "summed_cross_entropy",
]
