"""Planning tasks on which next-token prediction fails, and objectives against it, for the Hugging Face libraries.

Importing this package lets `datasets.load_dataset("nextfail/star_graph", ...)` generate the tasks on this machine.
What needs torch is loaded when it is first used.
"""

import importlib
from typing import Any

from hf_nextfail.data.paper_file import load_paper_file
from hf_nextfail.data.registration import register, unregister
from hf_nextfail.tasks import TASKS, StarGraph, Task
from hf_nextfail.version import __version__

# Names that load torch, and where they live.
_LAZY = {
    "CompletionCollator": "training.collator",
    "DECODINGS": "decoding",
    "Decoding": "decoding",
    "DiagnosticsCallback": "training.callbacks",
    "NextFailTrainer": "training.trainer",
    "NextFailTrainingArguments": "training.arguments",
    "OBJECTIVES": "objectives",
    "Objective": "objectives",
    "TeacherForcedObjective": "objectives",
    "TeacherlessObjective": "objectives",
    "build_model": "models",
    "diagnose": "evaluation.diagnose",
    "evaluate": "evaluation.evaluate",
    "generate_by_inserting": "decoding.inserting_generate",
    "generate_by_unmasking": "decoding.unmasking_generate",
    "generate_teacherless": "decoding.parallel_generate",
    "load_tokenizer": "data.tokenization",
    "numeral_tokenizer": "data.numeral_tokenizer",
    "push_dataset": "hub.publish",
    "push_metric": "hub.publish",
    "push_model": "hub.publish",
    "reward": "harnesses.reward",
    "tokenize_dataset": "data.tokenization",
    "use_fast_path": "models.fast_path",
}

__all__ = ["TASKS", "StarGraph", "Task", "__version__", "load_paper_file", "register", "unregister", *_LAZY]

register()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"hf_nextfail.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'hf_nextfail' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
