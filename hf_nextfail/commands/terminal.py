"""What all commands do with the terminal: they show any character in any encoding, draw no bars into files, and end
with one line."""

import _thread
import codecs
import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.logging import RichHandler
from tqdm import tqdm

from hf_nextfail.errors import HubError, TrainingError, UsageError, print_error

#: What stands for a character that the encoding of a terminal or a file lacks; `?` for all others.
STAND_INS = {"→": "->", "±": "+/-", "…": "..."}
#: Who draws bars, the function that stops it, and the variable that does so for whoever is imported later.
BARS = {
    "datasets": ("disable_progress_bars", "HF_DATASETS_DISABLE_PROGRESS_BARS"),
    "huggingface_hub.utils": ("disable_progress_bars", "HF_HUB_DISABLE_PROGRESS_BARS"),
    "transformers.utils.logging": ("disable_progress_bar", "HF_HUB_DISABLE_PROGRESS_BARS"),
}
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what cannot be encoded, as an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name, which Python could not decode
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return STAND_INS.get(character, "?"), error.start + 1


codecs.register_error("hf_nextfail.stand_in", stand_in)


def open_console(stderr: bool = False) -> Console:
    """Return a console that shows text as it is: a path may have brackets and colons."""
    return Console(stderr=stderr, markup=False, emoji=False)


def log_to(console: Console) -> None:
    """Show what the package logs on a console, in the place of that of an earlier command of this process."""
    package_logger = logging.getLogger("hf_nextfail")
    package_logger.setLevel(logging.INFO)
    for handler in [handler for handler in package_logger.handlers if isinstance(handler, RichHandler)]:
        package_logger.removeHandler(handler)  # else each line would be shown once for each command
    package_logger.addHandler(RichHandler(console=console, show_path=False))


def draw_no_bars_into_files() -> None:
    """Leave progress bars out where the standard error is no terminal: a file would hold each of their states."""
    if sys.stderr.isatty():
        return
    for module, (function, variable) in BARS.items():
        os.environ.setdefault(variable, "1")
        if module in sys.modules:
            getattr(sys.modules[module], function)()


def hear_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Interrupt once more if Ctrl-C came where Python ignores exceptions, as in the callbacks of an import."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.05, _thread.interrupt_main)  # from here, it would be ignored, too
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def one_line_at_the_end(program: str, debug: bool, way_on: str) -> Iterator[None]:
    """Run a command: show any character, and end with one line where something is wrong, or somebody presses Ctrl-C.

    Args:
        program (`str`): who speaks in that line.
        debug (`bool`): show a traceback above it.
        way_on (`str`): what to do after Ctrl-C.

    Raises:
        SystemExit: with the code of the error, or 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # notebooks have others, which take any character
            stream.reconfigure(errors="hf_nextfail.stand_in")
    draw_no_bars_into_files()
    before, sys.unraisablehook = sys.unraisablehook, hear_again
    try:
        yield
    except (KeyboardInterrupt, UsageError, HubError, TrainingError) as error:
        for bar in list(tqdm._instances):  # else the line stands behind a progress bar
            bar.close()
        interrupted = isinstance(error, KeyboardInterrupt)
        print_error(program, f"interrupted; {way_on}" if interrupted else str(error), debug)
        raise SystemExit(INTERRUPTED if interrupted else error.exit_code) from None
    finally:
        sys.unraisablehook = before
