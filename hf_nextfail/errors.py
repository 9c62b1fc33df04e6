"""What ends a command with one line instead of a traceback."""

import difflib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class UsageError(Exception):
    """Bad input: one line that says what, where, what is allowed and what to do; commands exit with code 2."""

    exit_code = 2


class HubError(Exception):
    """Say in one line what the Hub refused or what broke on the way there, and what to do.

    Args:
        message (`str`): the line.
        exit_code (`int`): 2 when the user's token or names are at fault, 1 when something broke.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


class TrainingError(Exception):
    """A training that had begun and failed: one line says what, when, and what is left; commands exit with code 1."""

    exit_code = 1


def print_error(program: str, message: str, debug: bool = False) -> None:
    """Print one line on the standard error, below the traceback of the error that is being handled if `debug`."""
    if debug:
        traceback.print_exc()
    line = " ".join(part.strip() for part in message.strip().splitlines())  # spaces within a path are its own
    print(f"{program}: error: {line}", file=sys.stderr)


def make_output_folder(folder: Path) -> None:
    """Make a folder for what a command writes; raise `UsageError` where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output_dir {folder}: {error}; name a folder that can be made") from error


def check_output_folder(folder: Path) -> None:
    """Raise `UsageError` unless a folder, which need not exist, can be written to. Nothing is made."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"--output_dir {folder}: {place} is a file; name a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--output_dir {folder}: nothing may be written to {place}; name a folder of yours")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for one command; a command that is killed holds it no longer.

    Args:
        folder (`Path`): made if it is not there.

    Raises:
        UsageError: if another command is at work in it.
    """
    make_output_folder(folder)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"another command is at work in {folder}: wait for it, or name another --output_dir"
        ) from error
    with held:
        yield


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` when a known word is near, else nothing.

    Example:

    ```python
    >>> did_you_mean("n_layers", ["n_embd", "n_layer"])
    " (did you mean 'n_layer'?)"

    ```
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
