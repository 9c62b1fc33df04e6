"""The command `nextfail`: what is not training."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.exceptions import TyperException

# Torch and the Hugging Face libraries take seconds to import, so the commands import what they need themselves:
# `nextfail --help` answers at once.
from hf_nextfail.errors import HubError, UsageError
from hf_nextfail.version import __version__

app = typer.Typer(
    name="nextfail",
    help="Evaluate checkpoints on star graphs, and publish datasets, checkpoints and metrics on the Hugging Face Hub. "
    "Training is `accelerate launch recipes/finetune.py`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Repo = Annotated[str, typer.Option("--repo", help="Where to, on the Hub; created if it does not exist.")]
Private = Annotated[
    bool | None, typer.Option("--private/--public", help="For a repository that this creates.", show_default=False)
]


@app.callback(invoke_without_command=True)
def nextfail(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Say the version."""
    if show_version:
        print(__version__)
        raise typer.Exit


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A causal LM: a name on the Hub, or a folder. Ours or not.")],
    dataset_name: Annotated[
        str | None,
        typer.Option(
            "--dataset_name",
            help="nextfail/star_graph or your own data; by default what the checkpoint was trained on.",
        ),
    ] = None,
    dataset_config: Annotated[
        str | None, typer.Option("--dataset_config", help="Such as d2_l5_n50; by default the same.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    num_rows: Annotated[
        int | None,
        typer.Option("--num_rows", help="Of the split; by default 20000 of test, 5000 of validation, 10000 of train."),
    ] = None,
    dataset_seed: Annotated[int, typer.Option("--dataset_seed", help="Seed of the rows.")] = 0,
    test_file: Annotated[
        str | None, typer.Option("--test_file", help="A file in the paper's format, evaluated beside the split.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective", help="How the model decodes: teacher_forced or teacherless; by default as it was trained."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Rows of one pass.")] = 256,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for all evaluations.")] = Path(
        "runs/evaluate"
    ),
    push_results: Annotated[
        bool, typer.Option("--push_results", help="Add the results to the model's repository on the Hub.")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust_remote_code", help="Run code that comes with the checkpoint.")
    ] = False,
) -> None:
    """Measure a checkpoint without training it: the same table and results.json as after training."""
    from hf_nextfail.checkpoint import evaluate_checkpoint
    from hf_nextfail.hub import check_access
    from hf_nextfail.publish import push_results as push
    from hf_nextfail.report import results_table, write_results

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
    folder = output_dir / model.strip("/").replace("/", "--") / f"{run['dataset_config'] or run['title']}-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    write_results(record, folder / "results.json")
    console = Console()
    console.rule(f"{run['title']}, {run['objective']}: whole paths right (± standard error)")
    console.print(results_table([record]))
    console.print(f"results.json: {folder}", soft_wrap=True)
    if push_results:
        console.print(f"Added to {push(record, model).commit_url}", soft_wrap=True)


@app.command("env")
def environment(
    model: Annotated[
        str | None, typer.Argument(help="A causal LM (a name on the Hub, or a folder), or a family such as mamba.")
    ] = None,
) -> None:
    """Show versions and devices, and with a model which code it runs by here, and why: for bug reports, too."""
    from hf_nextfail.environment import describe_machine, way_of

    for name, value in describe_machine().items():
        print(f"{name:16} {value}")
    if model is not None:
        try:
            print(way_of(model))
        except (ValueError, OSError) as error:
            raise UsageError(f"{model}: {error}") from error


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
    from hf_nextfail import publish

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
    from hf_nextfail import publish

    print(publish.push_metric(name, repo, private).commit_url)


@app.command("push-model")
def push_model(
    folder: Annotated[Path, typer.Argument(help="Of a finished run, such as runs/star_graph/teacherless/smoke.")],
    repo: Annotated[str, typer.Option("--repo", help="Where to, on the Hub; created if it does not exist.")],
    private: Private = None,
) -> None:
    """Publish a run's folder as --push_to_hub does at the end of training: checkpoint, recipe, results and card."""
    from hf_nextfail import publish

    print(publish.push_model(folder, repo, private).commit_url)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of `nextfail`.

    Args:
        argv (sequence of `str`, *optional*): the command line; by default that of the process.

    Raises:
        SystemExit: with one line on the standard error and code 2 for bad input, 1 for a failure during work.
    """
    package_logger = logging.getLogger("hf_nextfail")
    package_logger.setLevel(logging.INFO)
    if not package_logger.handlers:
        package_logger.addHandler(RichHandler(console=Console(stderr=True), show_path=False))
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        code = app(arguments, standalone_mode=False)
    except TyperException as error:  # what is wrong with the command line itself
        code = fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = fail("interrupted", 130)
    except (UsageError, HubError) as error:
        code = fail(str(error), error.exit_code)
    raise SystemExit(code or 0)


def fail(message: str, code: int) -> int:
    """Print one line on the standard error."""
    print(f"nextfail: error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
