"""The command `nextfail`: what is not training."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.exceptions import TyperException

# Torch and the Hugging Face libraries take seconds to import, so the commands import what they need themselves:
# `nextfail --help` answers at once.
from hf_nextfail.errors import (
    HubError,
    TrainingError,
    UsageError,
    check_output_folder,
    make_output_folder,
    print_error,
)
from hf_nextfail.version import __version__

app = typer.Typer(
    name="nextfail",
    help="Evaluate checkpoints on star graphs, and publish datasets, checkpoints and metrics on the Hugging Face Hub. "
    "Training is `accelerate launch recipes/finetune.py`.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Repo = Annotated[str, typer.Option("--repo", help="Where to, on the Hub; created if it does not exist.")]
Private = Annotated[
    bool | None, typer.Option("--private/--public", help="For a repository that this creates.", show_default=False)
]

Model = Annotated[str, typer.Argument(help="A causal LM: a name on the Hub, or a folder. Ours or not.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset_name",
        help="nextfail/star_graph or your own data; by default what the checkpoint was trained on.",
    ),
]
DatasetConfig = Annotated[str | None, typer.Option("--dataset_config", help="Such as d2_l5_n50; by default the same.")]
Split = Annotated[str, typer.Option("--split", help="train, validation or test.")]
DatasetSeed = Annotated[
    int | None,
    typer.Option("--dataset_seed", help="Seed of the rows; by default what the checkpoint was trained with, or 0."),
]
ObjectiveName = Annotated[
    str | None,
    typer.Option(
        "--objective", help="How the model decodes: teacher_forced or teacherless; by default as it was trained."
    ),
]
BatchSize = Annotated[int, typer.Option("--batch_size", help="Rows of one pass.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust_remote_code", help="Run code that comes with the checkpoint.")]


@app.callback(invoke_without_command=True)
def nextfail(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere in the line.")
    ] = False,
) -> None:
    """Say the version."""
    if show_version:
        print(__version__)
        raise typer.Exit


@app.command()
def evaluate(
    model: Model,
    dataset_name: DatasetName = None,
    dataset_config: DatasetConfig = None,
    split: Split = "test",
    num_rows: Annotated[
        int | None,
        typer.Option("--num_rows", help="Of the split; by default 20000 of test, 5000 of validation, 10000 of train."),
    ] = None,
    dataset_seed: DatasetSeed = None,
    test_file: Annotated[
        str | None, typer.Option("--test_file", help="A file in the paper's format, evaluated beside the split.")
    ] = None,
    objective: ObjectiveName = None,
    batch_size: BatchSize = 256,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for all evaluations.")] = Path(
        "runs/evaluate"
    ),
    push_results: Annotated[
        bool, typer.Option("--push_results", help="Add the results to the model's repository on the Hub.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Measure a checkpoint without training it: the same table and results.json as after training."""
    from hf_nextfail.hub.publish import push_results as push
    from hf_nextfail.hub.push import check_access
    from hf_nextfail.reporting.record import write_results
    from hf_nextfail.reporting.tables import results_table
    from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint

    check_output_folder(output_dir)
    if push_results:
        if Path(model).is_dir():
            raise UsageError(
                f"--push_results adds to a repository on the Hub, and {model} is a folder: name the model"
            )
        check_access(model)
    record = evaluate_checkpoint(
        model,
        batch_size,
        dataset_name=dataset_name,
        dataset_config=dataset_config,
        split=split,
        num_rows=num_rows,
        dataset_seed=dataset_seed,
        test_file=test_file,
        objective=objective,
        trust_remote_code=trust_remote_code,
    )
    run = record["run"]
    folder = measured_folder(output_dir, model, record)
    write_results(record, folder / "results.json")
    console = Console()
    console.rule(f"{run['title']}, {run['objective']}: whole paths right (± standard error)")
    console.print(results_table([record]))
    console.print(f"results.json: {folder}", soft_wrap=True)
    if push_results:
        console.print(f"Added to {push(record, model).commit_url}", soft_wrap=True)


@app.command()
def diagnose(
    model: Model,
    dataset_name: DatasetName = None,
    dataset_config: DatasetConfig = None,
    split: Split = "test",
    num_rows: Annotated[int, typer.Option("--num_rows", help="The first so many rows.")] = 2000,
    dataset_seed: DatasetSeed = None,
    test_file: Annotated[
        str | None, typer.Option("--test_file", help="Diagnose on a file in the paper's format instead of a split.")
    ] = None,
    objective: ObjectiveName = None,
    batch_size: BatchSize = 256,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for all diagnoses.")] = Path(
        "runs/diagnose"
    ),
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Say why a checkpoint fails on star graphs: the Clever Hans cheat, the hard token, the kinds of error."""
    from hf_nextfail.reporting.page import write_report
    from hf_nextfail.reporting.record import write_results
    from hf_nextfail.reporting.tables import diagnosis_table
    from hf_nextfail.runs.measure_checkpoint import diagnose_checkpoint

    check_output_folder(output_dir)
    record = diagnose_checkpoint(
        model,
        num_rows,
        test_file,
        batch_size,
        dataset_name=dataset_name,
        dataset_config=dataset_config,
        split=split,
        dataset_seed=dataset_seed,
        objective=objective,
        trust_remote_code=trust_remote_code,
    )
    run = record["run"]
    folder = measured_folder(output_dir, model, record)
    write_results(record, folder / "results.json")
    page = write_report([folder], folder)
    console = Console()
    console.rule(f"{run['title']}, {run['objective']}: {record['results']['accuracy']['n']:,} rows of {run['split']}")
    console.print(diagnosis_table(record["diagnosis"]))
    console.print(record["diagnosis"]["verdict"])
    console.print(f"The page, with pictures: {page}", soft_wrap=True)


def measured_folder(output_dir: Path, model: str, record: dict[str, Any]) -> Path:
    """Make the folder of one measurement of one model."""
    from hf_nextfail.hub.cards import evaluation_name

    folder = output_dir / model.strip("/").replace("/", "--") / evaluation_name(record)
    make_output_folder(folder)
    return folder


@app.command()
def sample(
    config: Annotated[str, typer.Argument(help="Such as d2_l5_n50, with _rev for reversed paths.")] = "d2_l5_n50",
    split: Split = "test",
    index: Annotated[int, typer.Option("--index", help="Which row of the split, from 0.")] = 0,
    dataset_seed: Annotated[int, typer.Option("--dataset_seed", help="Seed of the rows.")] = 0,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="A name on the Hub, or a folder; by default one token a label."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="A .png or .svg file; by default runs/sample/CONFIG.png.", show_default=False),
    ] = None,
) -> None:
    """Show a row of the star graph: its text, its arms, its tokens, what each objective makes of them, a picture."""
    from hf_nextfail.reporting.pictures import FORMATS, plot_graph
    from hf_nextfail.runs.sample import load_sample, sample_lines

    picture = picture or Path("runs/sample") / f"{config}.png"
    if picture.suffix.lower().removeprefix(".") not in FORMATS:
        raise UsageError(f"--picture must end in {' or '.join(f'.{name}' for name in FORMATS)}, got {str(picture)!r}")
    shown = load_sample(config, split, index, dataset_seed, tokenizer)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        plot_graph(shown.row, picture)
    except OSError as error:
        raise UsageError(f"--picture {picture}: {error}") from error
    console = Console()
    console.rule(shown.title)
    for line in sample_lines(shown, console.width):
        console.print(line, soft_wrap=True)
    console.print(f"\npicture     {picture}", soft_wrap=True)


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs, or of several below; results.json files.", metavar="RUN_DIR..."),
    ],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for the page and its pictures.")] = Path(
        "runs/report"
    ),
) -> None:
    """Show runs on one page: tables, pictures, diagnoses and how to repeat them, as Markdown and as one HTML file."""
    from hf_nextfail.reporting.page import write_report

    check_output_folder(output_dir)
    print(write_report(runs, output_dir))


@app.command("rerun")
def rerun_record(
    results: Annotated[Path, typer.Argument(help="A results.json of a training, or the folder of its run.")],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output_dir", help="Keep the new run in this folder.", show_default="a temporary one"),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train again what a results.json says, and compare: every number, and the weights bit for bit."""
    from hf_nextfail.runs.rerun import computed, differences, rerun, surroundings

    if output_dir is not None:
        check_output_folder(output_dir)
    before, after = rerun(results, output_dir, trust_remote_code)
    console = Console()
    console.rule("Here and now, against the record")
    for name, old, new in surroundings(before, after):
        console.print(f"{name}: {old} then, {new} now", soft_wrap=True, markup=False)
    found = differences(computed(before), computed(after))
    for name, old, new in found[:20]:
        console.print(f"{name}: {old} then, {new} now", soft_wrap=True, markup=False)
    if len(found) > 20:
        console.print(f"and {len(found) - 20:,} other numbers")
    if found:
        raise TrainingError(f"{len(found):,} numbers differ from {results}")
    known = "weights_sha256" in before["run"]
    weights = ", and the weights bit for bit." if known else "; the record has no digest of its weights."
    console.print(f"All numbers are equal{weights}")


@app.command()
def reproduce(
    grid: Annotated[str, typer.Argument(help="A YAML file, or ours: grid_cpu, grid_paper.")],
    output_dir: Annotated[
        Path | None, typer.Option("--output_dir", help="Folder for all runs.", show_default="runs/GRID")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Runs whose name is like this: 'teacherless-d2_l3_*'; may be given again."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time on this machine.")] = 1,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="Submit the runs through submitit: slurm; or local, all at once.")
    ] = None,
    cluster_options: Annotated[
        str, typer.Option("--cluster_options", help='What they ask for, as JSON: {"slurm_partition": "gpu"}.')
    ] = "{}",
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Run nothing: say what is done and what is not, and gather it.")
    ] = False,
) -> None:
    """Run a grid of trainings, go on where it was stopped, and gather one table and one picture."""
    from fnmatch import fnmatch

    from hf_nextfail.runs.grid import find_grid, parse_cells, read_grid, record_of, summary_table
    from hf_nextfail.runs.reproduce import gather, read_cluster, terminal_tables
    from hf_nextfail.runs.reproduce import reproduce as run_grid

    path = find_grid(grid)
    folder = output_dir or Path("runs") / path.stem
    check_output_folder(folder)
    options = read_cluster(cluster, cluster_options)
    cells = read_grid(path)
    chosen = [cell for cell in cells if any(fnmatch(cell.name, pattern) for pattern in only or ["*"])]
    if not chosen:
        raise UsageError(f"--only {' '.join(only)}: no run of {path} has such a name; the first is {cells[0].name}")
    console, failures = Console(), 0
    all_runs = parse_cells(path, cells, folder)
    make_output_folder(folder)
    missing = [cell for cell in chosen if record_of(all_runs[cell.name]) is None]
    console.rule(f"{path.stem}: {len(chosen)} runs, {len(chosen) - len(missing)} of them finished")
    if dry_run:
        for cell in missing:
            console.print(f"to run: {cell.name}", soft_wrap=True, highlight=False)
    elif missing:
        runs = run_grid(chosen, all_runs, folder, jobs, cluster, options)
        for number, (name, failure) in enumerate(runs, start=1):
            failures += failure is not None
            outcome = "finished" if failure is None else f"failed: {failure}"
            line = f"{number} of {len(missing)}: {name} {outcome}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    page = gather(path, cells, all_runs, folder)
    for table in terminal_tables(summary_table(chosen, all_runs, folder)):
        console.print(table)
    console.print(f"The table, a picture and all results: {page.parent}", soft_wrap=True)
    if failures:
        raise TrainingError(f"{failures} of {len(missing)} runs failed; their output is in {folder / 'logs'}")


@app.command("env")
def environment(
    model: Annotated[
        str | None, typer.Argument(help="A causal LM (a name on the Hub, or a folder), or a family such as mamba.")
    ] = None,
) -> None:
    """Show versions and devices, and with a model which code it runs by here, and why: for bug reports, too."""
    from huggingface_hub.errors import StrictDataclassError

    from hf_nextfail.runs.environment import describe_machine, way_of

    for name, value in describe_machine().items():
        print(f"{name:16} {value}")
    if model is not None:
        try:
            print(way_of(model))
        except (ValueError, OSError, StrictDataclassError) as error:
            raise UsageError(f"{model} is no family and no checkpoint that can be read: {error}") from error


@app.command("push-dataset")
def push_dataset(
    repo: Repo = "nextfail/star_graph",
    configs: Annotated[
        list[str] | None,
        typer.Option("--configs", help="Such as d2_l5_n50 d7_l4_n60, the default one first; by default the grid."),
    ] = None,
    more_configs: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    private: Private = None,
    num_train: Annotated[int | None, typer.Option("--num_train", help="Rows of the train split.")] = None,
    num_validation: Annotated[
        int | None, typer.Option("--num_validation", help="Rows of the validation split.")
    ] = None,
    num_test: Annotated[int | None, typer.Option("--num_test", help="Rows of the test split.")] = None,
    dataset_seed: Annotated[int, typer.Option("--dataset_seed", help="Seed of the rows.")] = 0,
) -> None:
    """Publish configurations as Parquet with a card, in one commit. The repository then holds these and no others."""
    from hf_nextfail.hub import publish

    sizes = {"num_train": num_train, "num_validation": num_validation, "num_test": num_test}
    sizes = {name: rows for name, rows in sizes.items() if rows is not None}
    # An option takes one value, so that the others arrive as arguments; names joined by commas are welcome, too.
    names = [name for entry in (*(configs or ()), *(more_configs or ())) for name in entry.split(",")]
    print(publish.push_dataset(repo, names, private, seed=dataset_seed, **sizes).commit_url)


@app.command("push-metric")
def push_metric(
    name: Annotated[
        str, typer.Argument(help="path_accuracy, hard_token_accuracy or valid_path_rate.")
    ] = "path_accuracy",
    repo: Annotated[
        str | None,
        typer.Option("--repo", help="Where to, on the Hub, by default nextfail/NAME; created if it does not exist."),
    ] = None,
    private: Private = None,
) -> None:
    """Publish a metric as a Space, for `evaluate.load("nextfail/NAME")`."""
    from hf_nextfail.hub import publish

    print(publish.push_metric(name, repo, private).commit_url)


@app.command("push-model")
def push_model(
    folder: Annotated[Path, typer.Argument(help="Of a finished run, such as runs/star_graph/teacherless/smoke.")],
    repo: Annotated[str, typer.Option("--repo", help="Where to, on the Hub; created if it does not exist.")],
    private: Private = None,
) -> None:
    """Publish a run's folder as --push_to_hub does at the end of training: checkpoint, recipe, results and card."""
    from hf_nextfail.files import check_objects
    from hf_nextfail.hub import publish
    from hf_nextfail.reporting.page import read_record

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    try:
        check_objects(folder, ["adapter_config.json"])
    except ValueError as error:
        raise UsageError(str(error)) from error
    if (folder / "results.json").is_file():
        read_record(folder / "results.json")  # which the card is made of
    print(publish.push_model(folder, repo, private).commit_url)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of `nextfail`.

    Args:
        argv (sequence of `str`, *optional*): the command line; by default that of the process.

    Raises:
        SystemExit: with one line on the standard error and code 2 for bad input, 1 for a failure during work; with
            `--debug`, below a traceback.
    """
    package_logger = logging.getLogger("hf_nextfail")
    package_logger.setLevel(logging.INFO)
    if not package_logger.handlers:
        package_logger.addHandler(RichHandler(console=Console(stderr=True), show_path=False))
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    try:
        code = app(arguments, standalone_mode=False)
    except TyperException as error:  # what is wrong with the command line itself
        print_error("nextfail", error.format_message(), debug)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print_error("nextfail", "interrupted", debug)
        code = 130
    except (UsageError, HubError, TrainingError) as error:
        print_error("nextfail", str(error), debug)
        code = error.exit_code
    raise SystemExit(code or 0)


if __name__ == "__main__":
    main()
