"""Runs of a grid as processes of this machine, which begin where one process has imported everything."""

import atexit
import multiprocessing
import os
import re
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from hf_nextfail.files import shipped_folder
from hf_nextfail.training.hardware import usable_cores

#: What a process of a run imports, which takes seconds, and is done once for all of them.
IMPORTED = "hf_nextfail.commands.finetune"


def training_command(recipe: Path, folder: Path) -> list[str]:
    """Return the script and the options of one run, which goes on where an earlier one was stopped."""
    script = shipped_folder("recipes") / "finetune.py"
    options = ["--config", str(recipe), "--output_dir", str(folder), "--resume_from_checkpoint", "true"]
    return [str(script), *options, "--disable_tqdm", "true"]


def last_line(output: str) -> str:
    """Return what a failed run said last: its error if it names one."""
    errors = re.findall(r"finetune\.py: error: .*", output)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join((errors or lines or ["no output"])[-1].split())


def end_with_parent() -> None:
    """End this process when the one that began it has ended: killed, it cannot end its runs itself."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def be_a_run(command: Sequence[str], log: Path, num_threads: int | None) -> None:
    """Run a script in this process, which is its own, with its output in a file."""
    with log.open("w", encoding="utf-8") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.argv = list(command)
    # Loader processes begin as those of a new interpreter do, and locks, such as that of bars, leave nothing behind.
    multiprocessing.set_start_method(None, force=True)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # trackers finish here, and `multiprocessing` leaves a process without it


def run_here(commands: Mapping[str, Sequence[str]], folder: Path, jobs: int) -> Iterator[tuple[str, str | None]]:
    """Run commands on this machine, `jobs` at a time, which share its cores.

    Each is forked from a server that has imported what they need, so it begins to work at once. Where there is a GPU,
    which a process must not have seen before it forks, each is a new interpreter.

    Yields:
        The name of each as it ends, and the last line of a run that failed.
    """
    context = multiprocessing.get_context("spawn" if torch.accelerator.is_available() else "forkserver")
    context.set_forkserver_preload([IMPORTED])
    num_threads = None if "OMP_NUM_THREADS" in os.environ else max(1, usable_cores() // jobs)
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    for name in commands:
        (logs / f"{name}.txt").unlink(missing_ok=True)  # so that those there are are of runs that have begun
    waiting, running = list(commands), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                log = logs / f"{name}.txt"
                log.touch()
                arguments = (commands[name], log, num_threads)
                running[name] = context.Process(target=be_a_run, args=arguments)
                running[name].start()
            for name in [name for name, process in running.items() if not process.is_alive()]:
                failed = running.pop(name).exitcode != 0
                output = (logs / f"{name}.txt").read_text(encoding="utf-8", errors="replace")
                yield name, last_line(output) if failed else None
            time.sleep(0.2)
    finally:  # at an interrupt, which the runs need not have heard
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()
