"""Many small trainings: our grids against shell loops, each as one types it. In a process of its own: see `Child`."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from measuring import Figure, Parent, Settings, Table

from hf_nextfail.files import shipped_folder

CONFIG = "d2_l3_n20"


def timed(command: list[str], variables: Mapping[str, str]) -> float:
    """Run a command and return its seconds."""
    began = time.perf_counter()
    subprocess.run(command, env=os.environ | variables, check=True, capture_output=True)
    return time.perf_counter() - began


def our_grid(num_runs: int, num_steps: int, folder: Path) -> Path:
    """Write a grid of one training with several seeds, as small as the smoke recipe."""
    recipe = yaml.safe_load((shipped_folder("recipes") / "star_graph/teacher_forced/smoke.yaml").read_text())
    model = {name: recipe.pop(name) for name in ("model_type", "config_overrides")}
    del recipe["dataset_config"]
    base = recipe | {"max_steps": num_steps, "eval_strategy": "no", "eval_on_start": False, "stop_at_accuracy": None}
    block = {"trainings": ["forced"], "graphs": [CONFIG], "models": ["gpt2"], "seeds": list(range(num_runs))}
    grid = {"base": base, "trainings": {"forced": {}}, "models": {"gpt2": model}, "blocks": [block]}
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid))
    return path


def measure(parent: Parent, settings: Settings, num_runs: int, num_steps: int) -> None:
    """Answer a table: all cores, the same rows, model and steps, test rows evaluated at the end of each run."""
    script, scratch = str(Path(__file__).with_name("stock_script.py")), Path(settings.scratch)

    def ours(variables: Mapping[str, str], jobs: int) -> float:
        folder = Path(tempfile.mkdtemp(dir=scratch))
        words = [str(our_grid(num_runs, num_steps, folder)), "--output_dir", str(folder / "runs"), "--jobs", str(jobs)]
        return timed([sys.executable, str(shipped_folder("recipes") / "reproduce.py"), *words], variables)

    def stock(variables: Mapping[str, str]) -> float:
        folders = [tempfile.mkdtemp(dir=scratch) for _ in range(num_runs)]
        options = [[CONFIG, str(num_steps), str(seed), folder] for seed, folder in enumerate(folders)]
        return sum(timed([sys.executable, script, *words], variables) for words in options)

    ways: dict[str, Callable[[], float]] = {
        "a shell loop over a script with the stock Trainer": lambda: stock({"OMP_NUM_THREADS": str(settings.threads)}),
        "nextfail reproduce": lambda: ours({"OMP_NUM_THREADS": str(settings.threads)}, 1),
    }
    if settings.threads > 1:
        ways[f"nextfail reproduce --jobs {settings.threads}"] = lambda: ours(
            {"OMP_NUM_THREADS": "1"}, settings.threads
        )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done in range(settings.repeat):
        for name, way in ways.items():
            parent.say(f"round {done + 1} of {settings.repeat}: {name}")
            seconds[name].append(way())
    first = next(iter(ways))
    parent.answer(
        Table(
            f"Grids: {num_runs} runs of {num_steps} steps on {CONFIG}, GPT-2 of 4 layers of width 128, "
            f"{settings.threads} core(s)",
            [
                {
                    "way": name,
                    "runs an hour": Figure.of(num_runs / second * 3600 for second in seconds[name]),
                    "seconds a run": Figure.of(second / num_runs for second in seconds[name]),
                    "times the shell loop": Figure.of_ratios(seconds[first], seconds[name]),
                }
                for name in ways
            ],
            [
                "Everything is counted: imports, rows, training, evaluation on 20,000 test rows. Ours also measures "
                "training rows, diagnoses 2,000 rows, draws its pictures and gathers the table; the script stops at "
                "the accuracy. Rows are generated and tokenized once, by whoever comes first.",
            ],
        )
    )
