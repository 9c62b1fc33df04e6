"""Datasets and results to the cards and result files that stand on the Hub. Nothing of this machine goes there."""

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from datasets import DatasetInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import (
    DatasetCard,
    DatasetCardData,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.own_dataset import name_of_data
from hf_nextfail.data.problem_keys import mostly_repeats
from hf_nextfail.data.registration import task_called
from hf_nextfail.decoding import DECODINGS, Decoding
from hf_nextfail.diagnoses import definitions_of
from hf_nextfail.files import shipped_folder
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.reporting.pictures import PICTURES
from hf_nextfail.reporting.record import Record, is_local
from hf_nextfail.reporting.tables import format_number, seen_graphs
from hf_nextfail.reporting.trainings import asked_how
from hf_nextfail.tasks import SPLITS, StarGraph
from hf_nextfail.version import __version__


def example_prompt(run: dict[str, Any]) -> str:
    """Return a prompt of the task that a checkpoint was trained on, the first of the test split."""
    task_class = run["dataset_name"] and task_called(run["dataset_name"])
    if not task_class:
        return "..."
    return TaskConfig.resolve(task_class, run["dataset_config"]).row("test", 0)["prompt"]


def metric_rows(record: Record) -> list[dict[str, Any]]:
    """Lay out every metric of a record as a row of a table: where, name, value, standard error, n, graphs, chance."""
    split, chance = record.run["split"], record.chance["hard_token_accuracy"]
    places = {"train_": "train"}
    if record.test_file is not None:
        places["test_file_"] = f"file {record.test_file['path']}"
    rows = []
    for name, result in record.results.items():
        prefix = next((prefix for prefix in places if name.startswith(prefix)), "")
        metric = name.removeprefix(prefix)
        row = {"where": places.get(prefix, split), "metric": metric, "chance": ""}
        known = record.chance.get(metric, chance if metric == "accuracy" else None)
        if known is not None:
            row["chance"] = f"{known:.3g}"
        if result is None:
            row |= {"value": "does not exist", "standard_error": "", "n": "", "num_graphs": ""}
        else:
            row |= {key: format_number(result[key]) for key in ("value", "standard_error", "n", "num_graphs")}
        rows.append(row)
    return rows


def diagnosis_rows(diagnosis: dict[str, Any] | None) -> list[dict[str, str]]:
    """Lay out a diagnosis as rows of a table: name, value, standard error, n, meaning; no rows without one."""
    diagnosis = diagnosis or {"numbers": {}, "absent": {}}
    definitions = definitions_of(diagnosis)
    return [
        {
            "name": name,
            "meaning": diagnosis["absent"].get(name, definitions[name].meaning),
            **(
                {"value": "does not exist", "standard_error": "", "n": ""}
                if result is None
                else {key: format_number(result[key]) for key in ("value", "standard_error", "n")}
            ),
        }
        for name, result in diagnosis["numbers"].items()
    ]


def objective_text(run: dict[str, Any]) -> str:
    """Return what the docstring of an objective says for everybody; of another than ours, whose file it is."""
    name, source = run["objective"], (run["sources"] or {}).get("objective")
    if source is not None and source["file"] is not None:
        return (
            f"The objective does not come with hf_nextfail: it is `{source['class']}` of `{source['file']}`, whose "
            f"SHA-256 is `{source['sha256']}`."
        )
    if name not in OBJECTIVES:
        return "The objective does not come with hf_nextfail."
    return inspect.cleandoc(OBJECTIVES[name].__doc__).partition("\n\nArgs:")[0]


def model_card(record: Record, repo_id: str, files: Collection[str] = ()) -> str:
    """Write the card of a checkpoint from what was measured on it.

    Args:
        record (`Record`): of the run, paths of this machine and all; without results it makes a card without a table.
        repo_id (`str`): the checkpoint's name on the Hub.
        files (collection of `str`, *optional*): what stands beside the card; it shows the pictures among them, and
            says how an adapter is loaded if it is one.

    Returns:
        `str`: the text of a `README.md`, metadata included.
    """
    name, dataset_name, recipe = record.run["model"], record.run["dataset_name"], record.recipe
    local = is_local(name)
    dataset_on_hub = dataset_name is not None and (task_called(dataset_name) or not is_local(dataset_name))
    fine_tuned = local or "/" in name if recipe is None else "model_name_or_path" in recipe
    record = record.public()
    run, diagnosis, accuracy = record.run, record.diagnosis, record.estimate("accuracy")
    adapter, kind = "adapter_config.json" in files, DECODINGS.get(run["decoding"], Decoding)
    objective = [] if run["objective"] is None else [run["objective"]]
    task = [] if run["task"] is None else [run["task"].replace("_", "-")]
    of_star_graph = run["task"] == StarGraph.name
    decoding = ["custom_generate"] if kind.travels and not adapter else []
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=name if fine_tuned and not local else None,
        datasets=[dataset_name] if dataset_on_hub else None,
        metrics=["nextfail/path_accuracy"] if of_star_graph else None,
        tags=["nextfail", *task, *objective, *decoding],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(shipped_folder("hub_cards") / "model_card.md"),
        repo_id=repo_id,
        fine_tuned=fine_tuned,
        local=local,
        dataset_on_hub=dataset_on_hub,
        objective_text=objective_text(run),
        star_graph=of_star_graph,
        generates=kind.generates,
        decodes=kind.in_words,
        adapter=adapter,
        metrics=metric_rows(record),
        chance=record.chance["hard_token_accuracy"],
        prompt=example_prompt(run),
        pictures={name: picture.caption for name, picture in PICTURES.items() if f"{name}.png" in files},
        diagnosis=diagnosis,
        diagnosis_rows=diagnosis_rows(diagnosis),
        run=run,
        results=record.results,
        test_file=record.test_file,
        seen_graphs=seen_graphs(record),
        repeats=bool(task and accuracy) and mostly_repeats(accuracy["n"], accuracy["num_graphs"]),
        versions=record.versions,
        recipe=yaml.safe_dump(record.recipe, sort_keys=False).strip() if record.recipe else None,
    )
    return str(card) + "\n"


def evaluation_name(record: Record) -> str:
    """Name what a record measured: rows and decoding, such as `star_graph-d2_l5_n50-test-parallel`.

    Other rows than the usual say which: `star_graph-d2_l5_n50-test-30_rows-seed_1-parallel`. Rows that are not ours to
    generate, and files, are named by a part of their digest, too: `sums-all-300_rows-1f0c2d3e-parallel`.
    """
    run, num_rows = record.run, record.results["accuracy"]["n"]
    split, what = run["split"], run["task"] or name_of_data(run["dataset_name"])
    usual = run["task"] is not None and num_rows == getattr(TaskConfig, f"num_{split}", None)  # a file is no split
    rows = None if usual else f"{num_rows}_rows"
    seed = f"seed_{run['dataset_seed']}" if run["task"] is not None and run["dataset_seed"] else None
    ours = run["dataset_name"] is not None and task_called(run["dataset_name"]) is not None
    digests = [None if ours and split in SPLITS else run["rows_sha256"]]
    if record.test_file is not None:
        digests.append(record.test_file.get("rows_sha256"))
    digests = [digest[:8] for digest in digests if digest is not None]
    asked = [part.replace(" ", "_") for part in asked_how(record)]
    name = [what, run["dataset_config"], split, rows, seed, *digests, run["decoding"], *asked]
    if run["sampling"] is not None:
        name.append("{num_samples}_samples-temperature_{temperature:g}-seed_{seed}".format(**run["sampling"]))
    return "-".join(filter(None, name))


def eval_results(record: Record) -> dict[str, str]:
    """Write the test accuracy in the Hub's evaluation format, one file for each set of rows.

    Args:
        record (`Record`): with results.

    Returns:
        `dict` from the path in the repository to the text of the file; empty for another split than test, since other
        people's numbers are on that one, and for data that is not ours.
    """
    run = record.run
    if run["split"] != "test" or run["dataset_name"] is None or task_called(run["dataset_name"]) is None:
        return {}
    accuracy, task_name = record.results["accuracy"], run["dataset_name"].partition("/")[2]
    training = [] if run["objective"] is None else [f"objective {run['objective']}"]
    how = ", ".join([*training, *asked_how(record), run["decoding"]])
    notes = (
        f"{how} decoding; exact match, greedy and free-running; standard error "
        f"{accuracy['standard_error']:.5f} over {accuracy['num_graphs']} graphs, n {accuracy['n']}, dataset seed "
        f"{run['dataset_seed']}; {task_name} {record.versions[task_name]}, metrics {record.versions['metrics']}"
    )
    entry = EvalResultEntry(run["dataset_name"], run["dataset_config"], accuracy["value"], notes=notes)
    path = f".eval_results/{evaluation_name(record)}.yaml"
    return {path: yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)}


@dataclass(frozen=True)
class PublishedConfig:
    """Hold what a dataset card says of one configuration.

    Args:
        config (`TaskConfig`): what was generated.
        info (`DatasetInfo`): features and sizes.
        data_files (list of `dict`): which files make which split.
        num_graphs (`dict`): the different graphs of each split.
        example (`dict`): a row to show.
        picture (`str`): where in the repository its drawing stands.
    """

    config: TaskConfig
    info: DatasetInfo
    data_files: list[dict[str, str]]
    num_graphs: dict[str, int]
    example: dict[str, Any]
    picture: str


def benchmark(published: Sequence[PublishedConfig]) -> str:
    """Write the `eval.yaml` that makes a dataset on the Hub a benchmark.

    The tasks have the ids that `eval_results` names, those of configurations, so that the Hub can list models by task.
    """
    content = {
        "name": "nextfail: star graphs",
        "description": "Exact match on paths through star graphs, greedy and free-running: only the first step needs "
        "a plan, and next-token training stays at a guess.",
        "evaluation_framework": "nextfail",
        "tasks": [
            {"id": entry.config.name, "config": entry.config.name, "split": "test"}
            for entry in published
            if "test" in entry.num_graphs
        ],
    }
    return yaml.safe_dump(content, sort_keys=False)


def test_repeats(entry: PublishedConfig) -> bool:
    """Say whether most test rows of a configuration repeat a graph."""
    return mostly_repeats(entry.config.num_test, entry.num_graphs.get("test", 0))


def dataset_card(published: Sequence[PublishedConfig], repo_id: str) -> str:
    """Write the card of a dataset from what was generated.

    Args:
        published (sequence of `PublishedConfig`): the configurations, the default one first.
        repo_id (`str`): the dataset's name on the Hub.

    Returns:
        `str`: the text of a `README.md`, metadata included.
    """
    data = DatasetCardData(
        license="apache-2.0",
        pretty_name="Star graphs",
        task_categories=["text-generation"],
        tags=["nextfail", "planning", "next-token-prediction", "synthetic"],
    )
    DatasetInfosDict({entry.config.name: entry.info for entry in published}).to_dataset_card_data(data)
    metadata = MetadataConfigs({entry.config.name: {"data_files": entry.data_files} for entry in published})
    metadata[published[0].config.name]["default"] = True
    metadata.to_dataset_card_data(data)
    card = DatasetCard.from_template(
        data,
        template_path=str(shipped_folder("hub_cards") / "dataset_card.md"),
        repo_id=repo_id,
        published=published,
        repeating=[entry.config.name for entry in published if test_repeats(entry)],
        task=published[0].config.task,
        seed=published[0].config.seed,
        splits=[split for split in SPLITS if any(split in entry.num_graphs for entry in published)],
        versions={"hf_nextfail": __version__},
        trainings=(shipped_folder("hub_cards") / "results/grid_cpu/table.md")
        .read_text(encoding="utf-8")
        .partition("\n\n![")[0],
    )
    return str(card) + "\n"
