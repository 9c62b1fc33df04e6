"""`nextfail env`: show the machine, and how a model runs on it."""

from typing import Annotated

import typer

from hf_nextfail.errors import UsageError


def environment(
    model: Annotated[
        str | None, typer.Argument(help="A causal LM (a name on the Hub, or a folder), or a family such as mamba.")
    ] = None,
) -> None:
    """Show versions and devices, and with a model which code runs it here, and why: for bug reports, too."""
    from huggingface_hub.errors import StrictDataclassError

    from hf_nextfail.runs.environment import describe_machine, explain_code_path

    for name, value in describe_machine().items():
        print(f"{name:16} {value}")
    if model is not None:
        try:
            print(explain_code_path(model))
        except (ValueError, OSError, StrictDataclassError) as error:
            raise UsageError(f"{model} is neither a family nor a checkpoint that can be read: {error}") from error
