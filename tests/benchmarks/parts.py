"""The parts of the suite: each lets others measure, in processes of their own, and makes tables. Loads no torch."""

import tempfile
import time
from collections.abc import Callable

from measuring import Figure, Say, Settings, Table, one_child, take_turns

SMALL, LARGE = "star_graph/teacher_forced/smoke", "star_graph/teacher_forced/g2_5_small"
#: Of start-up and memory, which take long and vary little.
FEW_ROUNDS = 2
TINY = {"num_train": 2_000, "num_validation": 100, "num_test": 100}

STOCK, STOCK_BF16 = "stock Trainer (fp32, as it comes)", "stock Trainer, bf16=True"
OURS, BARE, LOADER = "ours (the recipe)", "bare PyTorch loop", "our loader alone"


def speed_table(
    recipe: str, config_name: str, sizes: dict[str, int], steps: int, settings: Settings, say: Say
) -> Table:
    """Compare the trainings of one graph; `sizes` are those of the splits."""
    num_train, batch_size = sizes["num_train"], 256
    stock = ("contestants:stock", config_name, num_train, batch_size, settings.scratch)
    ours = (recipe, sizes | {"per_device_train_batch_size": batch_size}, settings.scratch)
    targets = {
        STOCK: stock,
        STOCK_BF16: (*stock, True),
        OURS: ("contestants:ours", *ours),
        BARE: ("contestants:bare", *ours),
    }
    if settings.quick:  # one process less to start
        del targets[STOCK_BF16]
    ready, answers = take_turns(targets, steps, settings, lambda text: say(f"{config_name}: {text}"))
    seconds = {name: [answer["seconds"] for answer in answers[name]] for name in targets}
    facts = ready[OURS]
    return Table(
        f"Training: {config_name}, {facts['rows']} rows of {facts['tokens']} tokens a step, GPT-2 of "
        f"{facts['num_parameters']:,} parameters, {facts['device']}",
        [
            {
                "contestant": name,
                "precision, attention": f"{ready[name]['precision']}, {ready[name]['attention']}",
                "examples/s": Figure.of(steps * facts["rows"] / second for second in seconds[name]),
                "ms a step": Figure.of(second / steps * 1e3 for second in seconds[name]),
                "times the stock": Figure.of_ratios(seconds[STOCK], seconds[name]),
                "times the bare loop": Figure.of_ratios(seconds[BARE], seconds[name]),
                "peak MB": answers[name][-1]["peak_megabytes"],
            }
            for name in targets
        ],
        [
            f"{settings.repeat} rounds of {steps} steps in turns, {num_train:,} training rows, {facts['threads']} "
            "thread(s). The bare loop has our model, loss, precision, clipping and fused AdamW, on batches made "
            "before. Peak memory is that of the process, imports, data and mapped files included.",
            f"Fast path of ours and of the bare loop: {', '.join(facts['fast_path']) or 'none'}.",
        ],
    )


def growth_table(config_names: list[str], steps: int, settings: Settings, say: Say) -> Table:
    """See how the time of our steps grows with the graph."""
    options = {"num_train": 20_000, "num_validation": 10, "num_test": 10, "config_overrides": {"n_positions": 128}}
    targets = {
        name: ("contestants:ours", LARGE, options | {"dataset_config": name}, settings.scratch)
        for name in config_names
    }
    ready, answers = take_turns(targets, steps, settings, lambda text: say(f"growth: {text}"))
    seconds = {name: [answer["seconds"] / steps for answer in answers[name]] for name in targets}
    first = config_names[0]
    return Table(
        "Training: how our steps grow with the graph, 256 rows a step",
        [
            {
                "graph": name,
                "tokens a row": ready[name]["tokens"],
                "ms a step": Figure.of(second * 1e3 for second in seconds[name]),
                f"times {first}": Figure.of_ratios(seconds[name], seconds[first]),
                "µs a token": Figure.of(second / 256 / ready[name]["tokens"] * 1e6 for second in seconds[name]),
                "peak MB": answers[name][-1]["peak_megabytes"],
            }
            for name in targets
        ],
        ["d: arms, l: nodes of an arm, n: labels. Model and training of the recipe g2_5_small, 128 positions."],
    )


def start_up_table(all_sizes: list[dict[str, int]], settings: Settings, say: Say) -> Table:
    """See what comes before the first step of our training; each of `all_sizes` are those of the splits."""
    rounds = min(settings.repeat, FEW_ROUNDS)
    measured: dict[tuple[int, str], list[dict[str, float]]] = {}
    for done in range(rounds):
        for sizes in all_sizes:
            num_train, cache = sizes["num_train"], tempfile.mkdtemp(dir=settings.scratch)
            for state in ["empty"] if settings.quick else ["empty", "filled"]:
                say(f"start-up, round {done + 1} of {rounds}: {num_train:,} rows, {state} cache")
                arguments = (time.time(), LARGE, sizes, settings.scratch)
                with one_child("contestants:start_up", *arguments, settings=settings, say=say, cache=cache) as child:
                    measured.setdefault((num_train, state), []).append(child.answer())
    return Table(
        "Training: seconds before our first step, d2_l5_n50",
        [
            {"training rows": num_train, "cache": state}
            | {step: Figure.of(values[step] for values in rounds_of) for step in rounds_of[0]}
            for (num_train, state), rounds_of in measured.items()
        ],
        ["To prepare is to generate or load the splits, tokenize them and build the model."],
    )


def training(settings: Settings, say: Say) -> list[Table]:
    """Compare our training with the stock Trainer and with a bare loop."""
    if settings.quick:
        return [
            speed_table(SMALL, "d2_l3_n20", TINY, 2, settings, say),
            start_up_table([TINY], settings, say),
        ]
    grown = ["d2_l5_n50", "d2_l3_n50", "d2_l10_n50", "d5_l5_n50", "d10_l5_n50"]
    return [
        speed_table(LARGE, "d2_l5_n50", {"num_train": 200_000}, 20, settings, say),
        speed_table(SMALL, "d2_l3_n20", {"num_train": 200_000}, 20, settings, say),
        growth_table(grown, 5, settings, say),
        start_up_table([{"num_train": 20_000}, {"num_train": 200_000}], settings, say),
    ]


def evaluation(settings: Settings, say: Say) -> list[Table]:
    """Compare exact match in one pass with writing every path."""
    small, large = "star_graph/reversed/smoke", "star_graph/reversed/g2_5_small"
    longer = {"dataset_config": "d2_l20_n50_rev", "config_overrides": {"n_positions": 160}}
    sizes = [(small, {}, 120, 2_000), (large, {}, 250, 2_000), (large, longer, 50, 1_000)]
    sizes = [(small, {}, 5, 200)] if settings.quick else sizes
    tables = []
    for size in sizes:
        with one_child("evaluation:measure", settings, *size, settings=settings, say=say) as child:
            tables.append(child.answer())
    return tables


def loader_table(sizes: dict[str, int], steps: int, settings: Settings, say: Say) -> Table:
    """See whether training waits for its batches; `sizes` are those of the splits."""
    arguments = (LARGE, sizes, settings.scratch)
    targets = {OURS: ("contestants:ours", *arguments), LOADER: ("contestants:loader", *arguments)}
    _, answers = take_turns(targets, steps, settings, lambda text: say(f"loader: {text}"))
    seconds = {name: [answer["seconds"] / steps for answer in answers[name]] for name in targets}
    return Table(
        "Data: is our loader the bottleneck? d2_l5_n50, 256 rows a batch",
        [
            {
                "what": name,
                "batches/s": Figure.of(1 / second for second in seconds[name]),
                "ms a batch": Figure.of(second * 1e3 for second in seconds[name]),
                "share of a step": Figure.of_ratios(seconds[name], seconds[OURS]),
            }
            for name in targets
        ],
        ["Training makes its batches itself, so the share is what a loader that takes no time would save."],
    )


def data(settings: Settings, say: Say) -> list[Table]:
    """Compare the generation of data with the paper's way, and our loader with our training."""
    names, rows = (["d2_l5_n50"], 2_000) if settings.quick else (["d2_l5_n50", "d20_l5_n100"], 225_000)
    with one_child("data_generation:measure", settings, names, rows, settings=settings, say=say) as child:
        tables = child.answer()
    sizes, steps = (TINY, 2) if settings.quick else ({"num_train": 200_000}, 20)
    return [*tables, loader_table(sizes, steps, settings, say)]


def memory(settings: Settings, say: Say) -> list[Table]:
    """Find the peak memory of a large dataset."""
    rows = 20_000 if settings.quick else 2_000_000
    rounds = []
    for _ in range(1 if settings.quick else min(settings.repeat, FEW_ROUNDS)):
        with one_child("memory:measure", "d2_l5_n50", rows, settings=settings, say=say) as child:
            rounds.append(child.answer())
    return [
        Table(
            f"Memory: {rows:,} rows of d2_l5_n50 into an empty cache",
            [
                {
                    "after": step[0]["after"],
                    "seconds since imports": Figure.of(values["seconds"] for values in step),
                    "peak MB": Figure.of(values["peak"] for values in step),
                    "peak MB without mapped files": Figure.of(values["peak without mapped files"] for values in step),
                    "MB of Arrow on disk": Figure.of(values["files"] for values in step),
                }
                for step in zip(*rounds, strict=True)
            ],
            ["Datasets are files mapped into memory, which the system counts in and drops when it needs the room."],
        )
    ]


def scan(settings: Settings, say: Say) -> list[Table]:
    """Compare our selective scan with that of transformers."""
    sizes = (1, 8, 4) if settings.quick else (4, 40, 64)  # layers, tokens, rows
    with one_child("selective_scan:measure", settings, *sizes, settings=settings, say=say) as child:
        return [child.answer()]


def objectives(settings: Settings, say: Say) -> list[Table]:
    """Compare a training step of each objective with one of teacher forcing, and with what it must cost."""
    base = "teacher_forced"
    if settings.quick:
        names, steps = [base, "hybrid"], 2
    else:
        steps = 3
        with one_child("objectives:names", settings=settings, say=say) as child:
            names = child.answer()
    options = {"num_train": 20_000, "num_validation": 10, "num_test": 10}
    targets = {name: ("objectives:train", name, LARGE, options, settings.scratch) for name in names}
    ready, answers = take_turns(targets, steps, settings, say)
    seconds, of_processor = (
        {name: [answer[key] / steps for answer in answers[name]] for name in names}
        for key in ("seconds", "processor_seconds")
    )
    peaks = {name: answers[name][-1]["peak_megabytes"] for name in names}
    needed, facts = ready[base]["needed"], ready[base]
    return [
        Table(
            f"Objectives: d2_l5_n50, {facts['rows']} rows a step, GPT-2 of {facts['num_parameters']:,} parameters, "
            f"{facts['device']}, {facts['precision']}",
            [
                {
                    "objective": name,
                    "ms a step": Figure.of(second * 1e3 for second in seconds[name]),
                    f"times {base}": Figure.of_ratios(seconds[name], seconds[base]),
                    "in processor time": Figure.of_ratios(of_processor[name], of_processor[base]),
                    "arithmetic at least": ready[name]["needed"] / needed,
                    "arithmetic done": ready[name]["done"] / needed,
                    "peak MB": peaks[name],
                    f"MB more than {base}": peaks[name] - peaks[base],
                    "parameters in training": ready[name]["num_parameters"],
                }
                for name in names
            ],
            [
                f"{settings.repeat} rounds of {steps} steps in turns, {facts['threads']} thread(s). Processor time "
                "leaves out the waits for others, but not for a GPU. Arithmetic is multiply-adds of matrix products, "
                f"forward and backward; 1 is the least that {base} needs.",
            ],
        )
    ]


def grids(settings: Settings, say: Say) -> list[Table]:
    """Compare a grid of small trainings with a shell loop over a script."""
    sizes = (1, 5) if settings.quick else (4, 300)  # runs, steps
    with one_child("grids:measure", settings, *sizes, settings=settings, say=say) as child:
        return [child.answer()]


PARTS: dict[str, Callable[[Settings, Say], list[Table]]] = {
    "training": training,
    "evaluation": evaluation,
    "data": data,
    "memory": memory,
    "scan": scan,
    "objectives": objectives,
    "grids": grids,
}
