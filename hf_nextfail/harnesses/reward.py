"""The verifier of a task as a reward, in the form of TRL."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hf_nextfail.evaluation.verify import verified
from hf_nextfail.tasks import Task

#: A text, or the messages of a conversation, the last of which counts.
Said = str | Sequence[Mapping[str, Any]]


def text_of(said: Said) -> str:
    """Return a text as it is, and of messages what the last one says: nothing, if it is a tool call."""
    return said if isinstance(said, str) else said[-1].get("content") or ""


def reward(task: Task) -> Callable[..., list[float]]:
    """Return the verifier of a task as a reward function of TRL's trainers, such as `GRPOTrainer`.

    A right completion earns 1.0, any other 0.0. `recipes/grpo.py` reinforces a checkpoint with it.

    Args:
        task (`Task`): of the configuration that the rows are of.

    Returns:
        A function of `prompts` and `completions`, texts or messages, and of the columns of the dataset, each a list
        with an entry for each completion, that returns their scores. It reads right completions from a column
        `solution`, as `accuracy_reward` of TRL does, or else what the verifier looks at from the columns of our
        datasets. (TRL hands the column `completion` to no reward.) It raises `ValueError` in one line for rows that
        have neither.

    Example:

    ```python
    >>> from hf_nextfail.tasks import StarGraph
    >>> verify = reward(StarGraph(degree=2, path_length=3, num_nodes=20))
    >>> prompts = ["17,13|13,11|17,7|7,8/17,11="] * 2
    >>> verify(prompts=prompts, completions=["17,13,11", "17,7,8"], path=[[17, 13, 11]] * 2)
    [1.0, 0.0]
    >>> answer = [{"role": "assistant", "content": "17,13,11"}]
    >>> verify(prompts=prompts[:1], completions=[answer], solution=["17,13,11"])
    [1.0]

    ```
    """

    def verifier(prompts: Sequence[Said], completions: Sequence[Said], **columns: Any) -> list[float]:
        # TRL hands over things of its own, too, such as `trainer_state`, which are no columns.
        columns = {name: values for name, values in columns.items() if isinstance(values, Sequence)}
        scores = []
        for place, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            row = {name: values[place] for name, values in columns.items()} | {"prompt": text_of(prompt)}
            if "solution" in row:
                row |= task.read_row(row["prompt"], text_of(row["solution"]))
            scores.append(scored(task, text_of(completion), row))
        return scores

    verifier.__name__ = f"{task.name}_reward"  # what TRL calls it in its logs
    return verifier


def scored(task: Task, text: str, row: Mapping[str, Any]) -> float:
    """Score a completion; raise `ValueError` in one line where the row lacks a column."""
    try:
        return verified(task, text, row)
    except ValueError as error:
        if not isinstance(error.__cause__, KeyError):
            raise
        raise ValueError(
            f"the rows lack the column {error.__cause__}, which the verifier of {task.name} looks at: keep the "
            "columns of the dataset, or put right completions into a column 'solution'"
        ) from error
