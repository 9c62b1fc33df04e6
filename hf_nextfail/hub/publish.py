"""Datasets, checkpoints, metrics and results to the Hub: each push is one commit, or none at all."""

import json
import tempfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import yaml
from datasets import DatasetInfo, load_dataset
from huggingface_hub import CommitInfo
from huggingface_hub.utils import tqdm

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.problem_keys import problem_keys
from hf_nextfail.data.registration import NAMESPACE
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.files import shipped_folder
from hf_nextfail.hub.cards import PublishedConfig, benchmark, dataset_card, eval_results, evaluation_name, model_card
from hf_nextfail.hub.collect import Collected
from hf_nextfail.hub.push import check_access, push_files
from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.models.with_heads import HEADS_FILE
from hf_nextfail.reporting.leaderboard import Leaderboard, leaderboard_of
from hf_nextfail.reporting.leaderboard_page import html_of
from hf_nextfail.reporting.pictures import plot_graph
from hf_nextfail.reporting.record import Record, without_paths
from hf_nextfail.tasks import SPLITS, StarGraph

#: The folder of `hub_cards/spaces` that `push_space` publishes.
LEADERBOARD_SPACE = "leaderboard"
# What of a run's folder goes to the Hub: no pickles, no state of the Trainer, which names local folders, no seal, and
# no heads of an objective.
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.png", "custom_generate/*.py")
PRIVATE_FILES = ("trainer_state.json", "results.json", "whole.json", HEADS_FILE)
# What an earlier push may have left in a model repository and this one may not have.
MODEL_STALE = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "custom_generate/*")


def publish_config(config: TaskConfig, folder: Path) -> PublishedConfig:
    """Write the Parquet files and the picture of one configuration into a folder laid out like the repository."""
    options = {f"num_{split}": config.num_rows(split) for split in SPLITS} | {"seed": config.seed}
    splits = load_dataset(f"{NAMESPACE}/{config.task.name}", config.name, **options)
    (folder / config.name).mkdir()
    download_size = 0
    for split, dataset in splits.items():
        path = folder / config.name / f"{split}-00000-of-00001.parquet"
        dataset.to_parquet(path)
        download_size += path.stat().st_size
    generated = dataset.info
    example = config.row(split, 0)
    picture = f"gallery/{config.name}.png"
    (folder / picture).parent.mkdir(exist_ok=True)
    plot_graph(example, folder / picture)
    return PublishedConfig(
        config,
        DatasetInfo(
            features=dataset.features,
            splits=generated.splits,
            download_size=download_size,
            dataset_size=generated.dataset_size,
        ),
        data_files=[{"split": split, "path": f"{config.name}/{split}-*"} for split in splits],
        num_graphs={split: len(np.unique(problem_keys(dataset, config.task))) for split, dataset in splits.items()},
        example=example,
        picture=picture,
    )


def push_dataset(
    repo_id: str = f"{NAMESPACE}/{StarGraph.name}",
    configs: Sequence[str] | None = None,
    private: bool | None = None,
    token: str | None = None,
    **options: int,
) -> CommitInfo:
    """Publish configurations of the star graph as Parquet with a card, all in one commit.

    The repository then holds these configurations and no others. The same rows again make no commit.

    Args:
        repo_id (`str`, *optional*): where to; created if it does not exist.
        configs (sequence of `str`, *optional*): names such as `d2_l5_n50`, the default one first; by default the grid.
        private (`bool`, *optional*): whether a repository that this creates is private.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.
        options: `num_train`, `num_validation`, `num_test` and `seed`, as of `load_dataset`.

    Returns:
        `CommitInfo` of the commit, or of the last one if nothing has changed.

    Raises:
        UsageError: if a configuration does not exist.
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    names = list(dict.fromkeys(configs or StarGraph.grid))
    try:
        resolved = [TaskConfig.resolve(StarGraph, name, **options) for name in names]
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    repo_id = check_access(repo_id, token)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        published = [publish_config(config, folder) for config in tqdm(resolved, desc="Writing configurations")]
        files: dict[str, Path | bytes] = {
            path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
        }
        files["README.md"] = dataset_card(published, repo_id).encode()
        files["eval.yaml"] = benchmark(published).encode()
        message = f"{', '.join(names)} by {StarGraph.name} {StarGraph.version}"
        if len(message) > 80:
            message = f"{len(names)} configurations by {StarGraph.name} {StarGraph.version}"
        return push_files(repo_id, "dataset", files, message, ("*.parquet", "gallery/*"), token, private)


def metric_names() -> list[str]:
    """Name the metrics that there are: the folders with an `evaluate` script of their name."""
    folders = (shipped_folder("hub_cards") / "spaces").iterdir()
    return sorted(folder.name for folder in folders if (folder / f"{folder.name}.py").is_file())


def push_metric(
    name: str = "path_accuracy", repo_id: str | None = None, private: bool | None = None, token: str | None = None
) -> CommitInfo:
    """Publish a metric as a Space, so that `evaluate.load(repo_id)` finds it.

    Args:
        name (`str`, *optional*, defaults to `"path_accuracy"`): a folder of `hub_cards/spaces`, such as
            `"planning_accuracy"`.
        repo_id (`str`, *optional*): where to, by default `nextfail/{name}`; created if it does not exist.
        private (`bool`, *optional*): whether a repository that this creates is private.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Raises:
        UsageError: if no metric has that name.
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    if name not in (known := metric_names()):
        raise UsageError(f"there is no metric {name!r}, only {', '.join(known)}{did_you_mean(name, known)}")
    repo_id = check_access(repo_id or f"{NAMESPACE}/{name}", token)
    folder = shipped_folder("hub_cards") / "spaces" / name
    files = {path.name: path for path in folder.iterdir() if path.suffix in (".py", ".md", ".html", ".txt")}
    # `evaluate` looks for a script of the repository's name.
    files[f"{repo_id.rpartition('/')[2]}.py"] = files.pop(f"{name}.py")
    return push_files(repo_id, "space", files, f"{name} {METRICS_VERSION}", ("*.py",), token, private)


def push_space(
    collected: Collected,
    repo_id: str = f"{NAMESPACE}/{LEADERBOARD_SPACE}",
    private: bool | None = None,
    token: str | None = None,
) -> tuple[CommitInfo, Leaderboard]:
    """Publish the leaderboard of records, with the playground, as a Space, in one commit.

    Args:
        collected (`Collected`): of `hf_nextfail.hub.collect.collect`.
        repo_id (`str`, *optional*): where to; created if it does not exist.
        private (`bool`, *optional*): whether a repository that this creates is private.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Raises:
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    repo_id = check_access(repo_id, token)
    folder = shipped_folder("hub_cards") / "spaces" / LEADERBOARD_SPACE
    files: dict[str, Path | bytes] = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    board = leaderboard_of(collected.submissions)
    files["leaderboard.html"] = html_of(board).encode()
    message = f"Leaderboard of {len(collected.submissions)} records"
    commit = push_files(repo_id, "space", files, message, ("checkpoints/*",), token, private, space_sdk="gradio")
    return commit, board


def model_files(folder: str | PathLike, repo_id: str) -> dict[str, Path | bytes]:
    """Choose what of a run's folder goes to the Hub, and write what is made for it: the card, results without paths.

    Args:
        folder (path): of a run of `recipes/finetune.py`, or of any checkpoint.
        repo_id (`str`): the checkpoint's name on the Hub, for its card.

    Returns:
        `dict` from the path in the repository to a local file, or bytes.

    Raises:
        UsageError: if the folder holds no checkpoint, or a results.json that no run has written.
    """
    folder = Path(folder)
    files: dict[str, Path | bytes] = {
        path.relative_to(folder).as_posix(): path
        for pattern in MODEL_FILES
        for path in folder.glob(pattern)
        if path.name not in PRIVATE_FILES
    }
    if "adapter_config.json" in files:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        files["adapter_config.json"] = json.dumps(without_paths(settings), indent=2).encode()
    if not any(path.endswith(".safetensors") for path in files):
        raise UsageError(f"{folder} holds no checkpoint: there is no *.safetensors in it")
    if (folder / "results.json").is_file():
        record = Record.read(folder / "results.json")
        files |= result_files(record, "results.json")
        files["recipe.yaml"] = yaml.safe_dump(record.public().recipe, sort_keys=False).encode()
        try:
            files["README.md"] = model_card(record, repo_id, files).encode()
        except ValueError as error:  # a configuration that is none
            raise UsageError(f"{folder / 'results.json'}: not what a run writes: {error}") from error
    elif (folder / "README.md").is_file() and "adapter_config.json" not in files:  # PEFT's names local folders
        files["README.md"] = folder / "README.md"
    return files


def push_model(
    folder: str | PathLike, repo_id: str, private: bool | None = None, token: str | None = None
) -> CommitInfo:
    """Push a run's folder: checkpoint, tokenizer, decoding, recipe, results and a card made from them.

    Pickles (`training_args.bin`, the states of optimizers) and names of local folders stay here.

    Args:
        folder (path): of a run of `recipes/finetune.py`, or of any checkpoint.
        repo_id (`str`): where to; created if it does not exist.
        private (`bool`, *optional*): whether a repository that this creates is private.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Raises:
        UsageError: if the folder holds no checkpoint.
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    repo_id = check_access(repo_id, token)
    files = model_files(folder, repo_id)
    return push_files(repo_id, "model", files, "Push of a finished run", MODEL_STALE, token, private)


def result_files(record: Record, path: str) -> dict[str, bytes]:
    """Write a record for the Hub: the whole of it under `path`, and the test accuracy in the Hub's own format."""
    files = {path: record.public().as_json(), **eval_results(record)}
    return {path: text.encode() for path, text in files.items()}


def push_results(record: Record, repo_id: str, token: str | None = None) -> CommitInfo:
    """Add what `nextfail evaluate` measured to a model's repository; the model and its card stay as they are.

    Args:
        record (`Record`): of the evaluation.
        repo_id (`str`): the model.
        token (`str`, *optional*): by default the one of `HF_TOKEN` or `hf auth login`.

    Raises:
        HubError: if the Hub refuses or cannot be reached; the repository is as it was.
    """
    repo_id = check_access(repo_id, token)
    name = evaluation_name(record)
    files = result_files(record, f"results/{name}.json")
    return push_files(repo_id, "model", files, f"Evaluation on {name}", token=token)
