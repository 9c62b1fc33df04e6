"""The memory that a large dataset takes; in a process of its own: see `Child`."""

import threading
import time
from pathlib import Path
from typing import Any

import datasets
import psutil
from measuring import Parent, peak_megabytes

from hf_nextfail import StarGraph, numeral_tokenizer, tokenize_dataset

MEGABYTE = 1024**2


class Watch:
    """Follow the memory of this process that is no mapped file; the system can drop those, and counts them in."""

    def __init__(self):
        self.peak = 0.0
        self.done = threading.Event()
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self) -> None:
        """Look every few milliseconds."""
        process = psutil.Process()
        while not self.done.wait(0.02):
            memory = process.memory_info()
            self.peak = max(self.peak, (memory.rss - getattr(memory, "shared", 0)) / MEGABYTE)


def measure(parent: Parent, config_name: str, num_train: int) -> None:
    """Load and tokenize, and answer what was taken after each step."""
    watch, taken = Watch(), []
    began = time.perf_counter()

    def note(name: str) -> None:
        time.sleep(0.05)  # so that the watch has looked
        files = Path(datasets.config.HF_DATASETS_CACHE).rglob("*.arrow")
        measured: dict[str, Any] = {
            "after": name,
            "seconds": time.perf_counter() - began,
            "peak": peak_megabytes(),
            "peak without mapped files": watch.peak,
            "files": sum(file.stat().st_size for file in files) / MEGABYTE,
        }
        taken.append(measured)

    note("imports")
    parent.say(f"generating {num_train:,} rows")
    sizes = {"num_train": num_train, "num_validation": 0, "num_test": 0}
    dataset = datasets.load_dataset("nextfail/star_graph", config_name, split="train", **sizes)
    note("load_dataset")
    parent.say(f"tokenizing {num_train:,} rows")
    tokenize_dataset(dataset, numeral_tokenizer(StarGraph.from_config_name(config_name).num_nodes))
    note("tokenize_dataset")
    watch.done.set()
    parent.answer(taken)
