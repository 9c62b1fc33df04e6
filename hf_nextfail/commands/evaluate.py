"""`nextfail evaluate` and `nextfail diagnose`: measure a checkpoint without training it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_nextfail.commands.terminal import open_console
from hf_nextfail.errors import UsageError, check_output_folder, did_you_mean, make_output_folder
from hf_nextfail.own_code import FORMS
from hf_nextfail.tasks.star_graph import STYLES

if TYPE_CHECKING:
    from hf_nextfail.reporting.record import Record

Model = Annotated[str, typer.Argument(help="A causal LM: a name on the Hub, or a folder. Ours or not.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset_name",
        help="nextfail/star_graph or your own data; by default what the checkpoint was trained on.",
    ),
]
DatasetConfig = Annotated[str | None, typer.Option("--dataset_config", help="Such as d2_l5_n50; by default the same.")]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="train, validation or test; or all rows of your own data that have one split. By default test, and all "
        "of such data unless the checkpoint was trained on them.",
    ),
]
DatasetSeed = Annotated[
    int | None,
    typer.Option("--dataset_seed", help="Seed of the rows; by default what the checkpoint was trained with, or 0."),
]
DecodingName = Annotated[
    str | None,
    typer.Option(
        "--decoding",
        help="How the checkpoint writes: autoregressive, parallel, unmasking or inserting; by default as it was "
        "trained.",
    ),
]
ObjectiveName = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help=f"How the checkpoint was trained, and so how it writes, if it does not say so: one of ours, or {FORMS}.",
    ),
]
TaskName = Annotated[
    str | None, typer.Option("--task", help=f"A task of your own, in the place of --dataset_name: {FORMS}.")
]
NumSamples = Annotated[
    int | None, typer.Option("--num_samples", help="Outputs to draw, of a creative task, to measure creativity; 1024.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="At which they are drawn, without top-k or top-p; 1.0. 0 is greedy."),
]
NumRows = Annotated[
    int | None,
    typer.Option(
        "--num_rows",
        help="Of the split and of --test_file, the first so many; by default 20000 of test, 5000 of validation, "
        "10000 of train, and all of the file.",
    ),
]
Style = Annotated[
    str | None,
    typer.Option(
        "--style",
        help="instruct: ask star graphs in plain English, for checkpoints that were never trained on them; then 1000 "
        "rows by default.",
    ),
]
NumShots = Annotated[
    int | None,
    typer.Option("--num_shots", help="In plain English: so many answered training rows before each problem."),
]
Chat = Annotated[
    bool, typer.Option("--chat", help="In plain English: ask by the chat template of the checkpoint's tokenizer.")
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max_new_tokens",
        help="In plain English: how much the checkpoint may write, more where it reasons before it answers; by "
        "default twice the longest answer and 32.",
    ),
]
BatchSize = Annotated[int, typer.Option("--batch_size", help="Rows of one pass.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust_remote_code", help="Run code that comes with the checkpoint.")]


def evaluate(
    model: Model,
    dataset_name: DatasetName = None,
    dataset_config: DatasetConfig = None,
    split: Split = None,
    num_rows: NumRows = None,
    dataset_seed: DatasetSeed = None,
    test_file: Annotated[
        str | None, typer.Option("--test_file", help="A file in the paper's format, evaluated beside the split.")
    ] = None,
    decoding: DecodingName = None,
    objective: ObjectiveName = None,
    task: TaskName = None,
    num_samples: NumSamples = None,
    temperature: Temperature = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of what is drawn; 0.")] = None,
    style: Style = None,
    num_shots: NumShots = None,
    chat: Chat = False,
    max_new_tokens: MaxNewTokens = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch_size", help="Rows of one pass; 256, or 32 with --style instruct.")
    ] = None,
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
    from hf_nextfail.reporting.tables import print_table, results_table
    from hf_nextfail.runs.ask_checkpoint import ask_checkpoint
    from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint

    drawn = {"num_samples": num_samples, "temperature": temperature, "seed": seed}
    trained = {"test_file": test_file, "decoding": decoding, "objective": objective, "task": task} | drawn
    asked = {"num_shots": num_shots, "chat": chat or None, "max_new_tokens": max_new_tokens}
    check_style(style, trained, asked)
    check_output_folder(output_dir)
    if push_results:
        if Path(model).is_dir():
            raise UsageError(f"--push_results needs a repository on the Hub, and {model} is a folder: name the model")
        check_access(model)
    options = asked if style == "instruct" else trained
    options = {name: value for name, value in (options | {"batch_size": batch_size}).items() if value is not None}
    record = (ask_checkpoint if style == "instruct" else evaluate_checkpoint)(
        model,
        dataset_name=dataset_name,
        dataset_config=dataset_config,
        split=split,
        num_rows=num_rows,
        dataset_seed=dataset_seed,
        trust_remote_code=trust_remote_code,
        **options,
    )
    run = record.run
    folder = measured_folder(output_dir, model, record)
    record.write(folder / "results.json")
    console = open_console()
    console.rule(f"{run['title']}, {run['decoding']}: whole answers right (± standard error)")
    print_table(console, results_table([record]))
    console.print(f"results.json: {folder}", soft_wrap=True)
    if push_results:
        console.print(f"Added to {push(record, model).commit_url}", soft_wrap=True)


def check_style(style: str | None, trained: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise `UsageError` for a style that there is none, or options that go with the other one."""
    if style is not None and style not in STYLES:
        raise UsageError(f"style must be symbols or instruct, got {style!r}{did_you_mean(style, STYLES)}")
    wrong, with_style = (trained, "symbols") if style == "instruct" else (asked, "instruct")
    if given := [name for name, value in wrong.items() if value is not None]:
        raise UsageError(f"--{given[0]} goes with --style {with_style}: give that, or leave --{given[0]} out")


def diagnose(
    model: Model,
    dataset_name: DatasetName = None,
    dataset_config: DatasetConfig = None,
    split: Split = None,
    num_rows: Annotated[int, typer.Option("--num_rows", help="The first so many rows.")] = 2000,
    dataset_seed: DatasetSeed = None,
    test_file: Annotated[
        str | None, typer.Option("--test_file", help="Diagnose on a file in the paper's format instead of a split.")
    ] = None,
    decoding: DecodingName = None,
    objective: ObjectiveName = None,
    task: TaskName = None,
    batch_size: BatchSize = 256,
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Folder for all diagnoses.")] = Path(
        "runs/diagnose"
    ),
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Say why a checkpoint fails on paths in graphs: the Clever Hans cheat, the hard token, the kinds of error."""
    from hf_nextfail.reporting.tables import diagnosis_table, print_table
    from hf_nextfail.runs.measure_checkpoint import diagnose_checkpoint
    from hf_nextfail.runs.report import report_runs

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
        decoding=decoding,
        objective=objective,
        task=task,
        trust_remote_code=trust_remote_code,
    )
    run = record.run
    folder = measured_folder(output_dir, model, record)
    record.write(folder / "results.json")
    page = report_runs([folder], folder)
    console = open_console()
    console.rule(f"{run['title']}, {run['decoding']}: {record.results['accuracy']['n']:,} rows of {run['split']}")
    print_table(console, diagnosis_table(record.diagnosis))
    console.print(record.diagnosis["verdict"])
    console.print(f"The page, with pictures: {page}", soft_wrap=True)


def measured_folder(output_dir: Path, model: str, record: "Record") -> Path:
    """Make the folder of one measurement of one model; other weights by the same name have another folder."""
    from hf_nextfail.hub.cards import evaluation_name
    from hf_nextfail.reporting.record import Record

    folder = output_dir / model.strip("/").replace("/", "--") / evaluation_name(record)
    weights = record.run["weights_sha256"]
    if (folder / "results.json").is_file() and Record.read(folder / "results.json").run["weights_sha256"] != weights:
        folder = folder.with_name(f"{folder.name}-weights_{(weights or 'unknown')[:8]}")
    make_output_folder(folder)
    return folder
