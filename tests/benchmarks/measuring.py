"""What all benchmarks share: processes that take turns, figures of several rounds, tables. Loads no torch."""

import contextlib
import importlib
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

#: Takes a line about what is being done.
Say = Callable[[str], None]


class BenchmarkError(Exception):
    """Something broke in a process that measures; holds what it said."""


@dataclass(frozen=True)
class Settings:
    """Hold what the command line asks of all parts.

    Args:
        repeat (`int`): the rounds in which contestants take turns.
        threads (`int`): of torch; what is measured by core takes one.
        quick (`bool`): only see that everything runs.
        scratch (`str`): a folder for caches, gone afterwards.
    """

    repeat: int
    threads: int
    quick: bool
    scratch: str


@dataclass(frozen=True)
class Figure:
    """Hold a number measured in several rounds: the median and the spread."""

    median: float
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        """Summarise the values of the rounds."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values), len(values))

    @classmethod
    def of_ratios(cls, numerators: Iterable[float], denominators: Iterable[float]) -> "Figure":
        """Divide round by round: what slows a whole round down cancels. Rounds that only one has are left out."""
        return cls.of(a / b for a, b in zip(numerators, denominators, strict=False))

    def __str__(self) -> str:
        if self.rounds == 1:
            return format_number(self.median)
        return f"{format_number(self.median)} ({format_number(self.lowest)}..{format_number(self.highest)})"


def format_number(value: float) -> str:
    """Write three digits, or all of the integral part."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


@dataclass
class Table:
    """Hold rows of figures, for a terminal and for JSON.

    Args:
        title (`str`): what is compared, on what.
        rows (`list` of `dict`): heading -> figure, number or text.
        notes (`list` of `str`): what a reader must know.
    """

    title: str
    rows: list[dict[str, Figure | float | str]]
    notes: list[str] = field(default_factory=list)

    def for_terminal(self) -> RichTable:
        """Lay the rows out."""
        table = RichTable(title=self.title, title_justify="left", caption="\n".join(self.notes) or None)
        table.caption_justify = "left"
        headings = list(dict.fromkeys(heading for row in self.rows for heading in row))
        for heading in headings:
            numbers = all(not isinstance(row.get(heading, 0.0), str) for row in self.rows)
            table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
        for row in self.rows:
            cells = [row.get(heading, "-") for heading in headings]
            table.add_row(*(format_number(cell) if isinstance(cell, int | float) else str(cell) for cell in cells))
        return table

    def for_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class Parent:
    """The process that started this one.

    Args:
        connection (`multiprocessing.connection.Connection`): to it.
    """

    def __init__(self, connection: Any):
        self.connection = connection

    def say(self, text: str) -> None:
        """Tell it what is being done."""
        self.connection.send(("progress", text))

    def answer(self, value: Any) -> None:
        """Answer its request, or the one that began this process."""
        self.connection.send(("answer", value))

    def request(self) -> Any:
        """Wait for the next request; raises `EOFError` when there is none."""
        return self.connection.recv()


def run_child(target: str, connection: Any, log: str, variables: dict[str, str], arguments: tuple[Any, ...]) -> None:
    """Run a function in a process of its own; both its outputs go to a file."""
    with Path(log).open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.environ |= variables  # read when torch and the Hugging Face libraries are first imported, which is now
    module, _, name = target.partition(":")
    parent = Parent(connection)
    try:
        getattr(importlib.import_module(module), name)(parent, *arguments)
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass
    except Exception:
        connection.send(("failed", traceback.format_exc()))


class Child:
    """A process that runs one function, which begins with an answer and then answers requests.

    It is a fresh one, so that its peak memory and its threads are its own, and has Hugging Face caches of its own,
    empty unless `cache` says otherwise.

    Args:
        target (`str`): `module:function`; the function takes a [`Parent`] and the arguments.
        arguments: for the function.
        settings (`Settings`): of all parts.
        say (`Say`): takes what it says on the way.
        cache (`str`, *optional*): a folder to share with other children.
    """

    def __init__(self, target: str, *arguments: Any, settings: Settings, say: Say, cache: str | None = None):
        context = multiprocessing.get_context("spawn")
        self.target, self.say = target, say
        folder = cache or tempfile.mkdtemp(dir=settings.scratch)
        variables = {"HF_HOME": folder, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(settings.threads)}
        self.log = str(Path(tempfile.mkdtemp(dir=settings.scratch)) / "log")
        self.connection, theirs = context.Pipe()
        arguments = (target, theirs, self.log, variables, arguments)
        self.process = context.Process(target=run_child, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def answer(self) -> Any:
        """Wait for its answer.

        Raises:
            BenchmarkError: if it failed, or is gone.
        """
        while True:
            try:
                kind, value = self.connection.recv()
            except EOFError:
                self.process.join()
                last = Path(self.log).read_text(errors="replace")[-2000:]
                reason = f"the process ended without an answer (exit code {self.process.exitcode})\n{last}"
                raise BenchmarkError(f"{self.target}: {reason}") from None
            if kind == "answer":
                return value
            if kind == "failed":
                raise BenchmarkError(f"{self.target}: {value}")
            self.say(value)

    def ask(self, request: Any) -> Any:
        """Send a request and wait for the answer."""
        self.connection.send(request)
        return self.answer()

    def close(self, patience: float) -> None:
        """End the process: it ends by itself where it waits for a request, and is ended after `patience` seconds."""
        self.connection.close()
        self.process.join(timeout=patience)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()


@contextlib.contextmanager
def one_child(target: str, *arguments: Any, **options: Any) -> Iterator[Child]:
    """Run a child for as long as the block."""
    child = Child(target, *arguments, **options)
    try:
        yield child
    except BaseException:
        child.close(patience=0)
        raise
    child.close(patience=10)


def take_turns(
    targets: Mapping[str, tuple[Any, ...]], request: int, settings: Settings, say: Say
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Let contestants run in turns, A B A B ..., each in a process of its own that sleeps while another runs.

    Args:
        targets (mapping): name of the contestant -> what [`Child`] takes.
        request (`int`): asked of each in each round.

    Returns:
        The first answer of each, given once it was ready, and its answers to the requests.
    """
    with contextlib.ExitStack() as stack:
        say(f"preparing {', '.join(targets)}")
        children = {
            name: stack.enter_context(one_child(*target, settings=settings, say=say))
            for name, target in targets.items()
        }
        ready = {name: child.answer() for name, child in children.items()}
        answers: dict[str, list[Any]] = {name: [] for name in targets}
        for done in range(settings.repeat):
            for name, child in children.items():
                say(f"round {done + 1} of {settings.repeat}: {name}")
                answers[name].append(child.ask(request))
    return ready, answers


def alternate(
    ways: Mapping[str, Callable[[], Any]], rounds: int, say: Say, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Run functions in turns, A B A B ..., and return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done in range(rounds):
        for name, function in ways.items():
            say(f"round {done + 1} of {rounds}: {name}")
            began = clock()
            function()
            seconds[name].append(clock() - began)
    return seconds


def peak_megabytes() -> float:
    """Return the most memory that this process has held at once, mapped files among it.

    On Linux the number begins at that of the process that started it, which is why that one loads no torch.
    """
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1024 if sys.platform != "darwin" else 1024**2)


def usable_cores() -> int:
    """Count the cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def describe_machine(threads: int) -> dict[str, Any]:
    """Say where and with what it was measured."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    libraries = ("torch", "transformers", "accelerate", "datasets", "numpy", "pyarrow", "hf-nextfail")
    return {
        "cpu": model,
        "cores": usable_cores(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }
