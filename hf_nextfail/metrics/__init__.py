"""HOW WELL: pure functions on lists and arrays."""

from hf_nextfail.metrics.creativity import CREATIVITY, creativity
from hf_nextfail.metrics.path_accuracy import correct_nodes, hard_token_accuracy, path_accuracy, token_accuracy
from hf_nextfail.metrics.path_errors import KINDS, path_kind, valid_path
from hf_nextfail.metrics.standard_error import mean_and_standard_error
from hf_nextfail.metrics.wilson import wilson_interval

#: Changes whenever the same predictions give other numbers.
METRICS_VERSION = "1.1.0"

#: From this test accuracy on a run counts as having solved its task.
SOLVED_ACCURACY = 0.99

__all__ = [
    "CREATIVITY",
    "KINDS",
    "METRICS_VERSION",
    "SOLVED_ACCURACY",
    "correct_nodes",
    "creativity",
    "hard_token_accuracy",
    "mean_and_standard_error",
    "path_accuracy",
    "path_kind",
    "token_accuracy",
    "valid_path",
    "wilson_interval",
]
