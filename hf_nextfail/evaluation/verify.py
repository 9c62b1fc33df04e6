"""The verifier of a task, asked by evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.tokenization import encode_texts
from hf_nextfail.tasks import Task

#: The rows on which a task is checked before anything is trained.
NUM_CHECKED = 100
NUMBERS = (bool, int, float, np.number, np.bool_)
#: The names of results that are of every task.
RESULTS = {
    "loss",
    "accuracy",
    *(prefix + name for prefix in ("", "forced_") for name in ("token_accuracy", "hard_token_accuracy")),
}
#: What a model may write that has learnt nothing; a verifier must bear it.
NONSENSE = ("", " ", "?", ",", "-1", "0" * 50, "\u221e\n")


def asked(task: Task, what: str, text: str, row: Mapping[str, Any]) -> Any:
    """Return what a method of a task, `score` or `measures`, says of a text.

    Raises:
        ValueError: in one line, if it fails.
    """
    try:
        return getattr(task, what)(text, row)
    except Exception as error:  # a verifier may be anybody's
        raise ValueError(
            f"the verifier of {task.name} fails: {what}({text!r}, row) of the row {row['prompt']!r} raises "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def measured(task: Task, text: str, row: Mapping[str, Any]) -> dict[str, float]:
    """Return the further numbers of a task about what a model wrote for a row.

    Raises:
        ValueError: in one line, if the verifier fails, or returns something else than numbers by their names.
    """
    numbers = asked(task, "measures", text, row)
    if not isinstance(numbers, Mapping) or not all(
        isinstance(name, str) and isinstance(number, NUMBERS) for name, number in numbers.items()
    ):
        raise ValueError(f"measures of {task.name} must be numbers by their names, got {numbers!r} for {text!r}")
    if taken := sorted(numbers.keys() & RESULTS):
        raise ValueError(f"measures of {task.name} must not be called {taken[0]}, as another result is")
    return {name: float(number) for name, number in numbers.items()}


def verified(task: Task, text: str, row: Mapping[str, Any]) -> float:
    """Score what a model wrote for a row.

    Raises:
        ValueError: in one line, if the verifier fails, or returns something else than a number from 0 to 1.
    """
    score = asked(task, "score", text, row)
    if not isinstance(score, NUMBERS) or not 0 <= score <= 1:
        raise ValueError(f"the verifier of {task.name} must return a number from 0 to 1, got {score!r} for {text!r}")
    return float(score)


def check_task(task: Task, dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check the first rows of a task: the verifier takes their completions, as tokens, too, and bears nonsense.

    Raises:
        ValueError: in one line, naming the task and the row.
    """
    rows = dataset.select(range(min(NUM_CHECKED, len(dataset))))
    encode_texts(tokenizer, rows["prompt"])
    for row in rows:
        completion = row["completion"]
        if verified(task, completion, row) != 1:
            raise ValueError(
                f"the verifier of {task.name} refuses the completion of a row: {completion!r} of {row['prompt']!r}"
            )
        (ids,) = encode_texts(tokenizer, [completion])
        text = tokenizer.decode(ids, skip_special_tokens=True)
        if verified(task, text, row) != 1:
            raise ValueError(
                f"the tokenizer does not give {completion!r} of {task.name} back, but {text!r}, which the verifier "
                "refuses: mend words and separator of the task, or score"
            )
        parts, hard = task.parts(completion), task.hard_part
        if hard is not None and not (parts is not None and 0 <= hard < len(parts)):
            raise ValueError(f"the hard part of {task.name} is {hard}, and {completion!r} has the parts {parts}")
    names = measured(task, completion, row).keys()
    for text in NONSENSE:
        verified(task, text, row)
        if (others := measured(task, text, row).keys()) != names:
            raise ValueError(
                f"measures of {task.name} must have the same names for all texts, got {sorted(others)} for {text!r} "
                f"and {sorted(names)} for {completion!r}"
            )
