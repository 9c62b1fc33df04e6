"""Measure how fast and how large: `python tests/benchmarks --help`. No figure here is a test."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measuring import BenchmarkError, Settings, describe_machine, usable_cores
from parts import PARTS
from rich.console import Console

DESCRIPTION = """\
Measure hf_nextfail against what one would write without it, on this machine.

parts:
  training    examples/s and memory of ours, the stock Trainer and a bare PyTorch loop; growth with the graph; start-up
  evaluation  exact match by one pass against model.generate; they must agree on every row
  data        generating rows on one core against a graph at a time; the loader against training
  memory      generating and tokenizing 2,000,000 rows
  scan        a training step of Mamba on a CPU, by our scan and by that of transformers
  objectives  a training step of each objective against teacher forcing, and against the arithmetic that it must cost
  grids       runs an hour of many small trainings, against a shell loop over a script with the stock Trainer
"""

EPILOG = """\
Contestants take turns (A B A B ...). Tables show the median of the rounds and, in brackets, the lowest and the
highest; ratios are taken round by round. Run it on a machine that does nothing else: the whole takes about half an
hour on 2 cores, a part a few minutes.

examples:
  python tests/benchmarks --output figures.json
  python tests/benchmarks --only training --repeat 10 --threads 2
  python tests/benchmarks --quick          does everything run? The figures mean nothing
"""


def whole_number(text: str) -> int:
    """Read an integer of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return int(text)


def thread_count(text: str) -> int:
    """Read a number of threads that this process can use."""
    if (threads := whole_number(text)) > usable_cores():
        raise argparse.ArgumentTypeError(f"must be at most {usable_cores()}, the usable cores, got {threads}")
    return threads


def output_file(text: str) -> Path:
    """Read the name of a JSON file that can be written."""
    path = Path(text)
    if path.suffix != ".json":
        raise argparse.ArgumentTypeError(f"must be a .json file, got {text!r}")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    return path


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with code 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="these parts (default: all)")
    parser.add_argument("--repeat", type=whole_number, metavar="N", help="rounds (default: 5; with --quick, 1)")
    cores = usable_cores()
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help=f"of torch (default: {cores}, the cores; with --quick, 1). Where others compute, too, several threads "
        "wait for each other, and can take ten times as long as one",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to see that everything runs")
    parser.add_argument("--output", type=output_file, metavar="FILE.json", help="also write every figure there")
    return parser.parse_args(argv)


def progress(console: Console, status: Any, heading: str) -> Callable[[str], None]:
    """Return a function that shows what is being done: in place on a terminal, as lines elsewhere."""

    def say(text: str) -> None:
        if console.is_terminal:
            status.update(f"{heading}: {text}")
        else:
            console.print(f"{heading}: {text}", markup=False, highlight=False, soft_wrap=True)

    return say


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write the file."""
    options = parse(argv)
    names = [name for name in PARTS if name in (options.only or PARTS)]
    repeat = options.repeat or (1 if options.quick else 5)
    threads = options.threads or (1 if options.quick else usable_cores())
    console, status_console = Console(width=None if sys.stdout.isatty() else 160), Console(stderr=True)
    machine = describe_machine(threads)
    record: dict[str, Any] = {
        "machine": machine,
        "options": {"only": names, "repeat": repeat, "threads": threads, "quick": options.quick},
        "parts": {},
    }
    console.print("  ".join(f"[bold]{name}[/bold] {value}" for name, value in machine.items()), highlight=False)
    if machine["load"] is not None and machine["load"] > 0.5:
        advice = "; --threads 1 is less so" if threads > 1 else ""
        console.print(f"[yellow]Others use this machine (load {machine['load']}): figures are noisy{advice}.[/yellow]")
    if options.quick:
        console.print("[yellow]--quick: the sizes are tiny and the figures mean nothing.[/yellow]")
    for number, name in enumerate(names, start=1):
        heading = f"[{number}/{len(names)}] {name}"
        began = time.perf_counter()
        with (
            status_console.status(heading) as status,
            tempfile.TemporaryDirectory(prefix="hf_nextfail-benchmarks-", ignore_cleanup_errors=True) as scratch,
        ):
            settings = Settings(repeat, threads, options.quick, scratch)
            try:
                tables = PARTS[name](settings, progress(status_console, status, heading))
            except BenchmarkError as error:
                print(f"benchmarks: error: {name}: {error}", file=sys.stderr)
                raise SystemExit(1) from None
            except KeyboardInterrupt:
                raise SystemExit(130) from None
        seconds = time.perf_counter() - began
        console.rule(f"{name}: {seconds:.0f} s")
        for table in tables:
            console.print(table.for_terminal())
            console.print()
        record["parts"][name] = {"seconds": seconds, "tables": [table.for_json() for table in tables]}
        if options.output is not None:  # after each part, so that none is lost
            options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if options.output is not None:
        console.print(f"Every figure: {options.output}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
