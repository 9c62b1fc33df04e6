"""`nextfail push-dataset`, `push-metric` and `push-model`: publish on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from hf_nextfail.errors import UsageError

Repo = Annotated[str, typer.Option("--repo", help="Where to, on the Hub; created if it does not exist.")]
Private = Annotated[
    bool | None, typer.Option("--private/--public", help="For a repository that this creates.", show_default=False)
]


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


def push_metric(
    name: Annotated[
        str,
        typer.Argument(help="planning_accuracy, creativity, path_accuracy, hard_token_accuracy, valid_path_rate."),
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


def push_model(
    folder: Annotated[
        Path, typer.Argument(help="Of a finished run, such as runs/star_graph/teacherless/d2_l3_n20-gpt2.")
    ],
    repo: Repo,
    private: Private = None,
) -> None:
    """Publish a run's folder as --push_to_hub does at the end of training: checkpoint, recipe, results and card."""
    from hf_nextfail.files import check_objects
    from hf_nextfail.hub import publish
    from hf_nextfail.reporting.record import Record

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    try:
        check_objects(folder, ["adapter_config.json"])
    except ValueError as error:
        raise UsageError(str(error)) from error
    if (folder / "results.json").is_file():
        Record.read(folder / "results.json")  # the card is made from it
    print(publish.push_model(folder, repo, private).commit_url)
