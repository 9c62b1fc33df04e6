import copy
import dataclasses
import re
from pathlib import Path

import matplotlib.image
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from made_records import OBJECTIVES, diagnosed_record

import hf_nextfail
from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.decoding import DECODINGS
from hf_nextfail.hub import cards
from hf_nextfail.hub.publish import publish_config
from hf_nextfail.reporting.record import PLACES, Record
from hf_nextfail.reporting.tables import format_number
from hf_nextfail.tasks import StarGraph

REPO = "nextfail/a-model"
RESULTS = Path(__file__).parents[1] / "records"
RECORDS = {
    "teacher_forced": "smoke/seed_42/teacher_forced.json",
    "teacherless": "smoke/seed_42/teacherless.json",
    "reversed": "smoke/seed_42/reversed.json",
    "memorize": "memorize.json",
    "with a test file": "g2_5_small_reversed.json",
}


def load(name):
    return Record.read(RESULTS / RECORDS[name])


def unfinished(objective="teacher_forced"):
    # What a Trainer knows of a model that is trained on a user's own rows, before anything was measured.
    known = load("memorize").run | {"objective": objective, "model": "gpt2"}
    known["decoding"] = "parallel" if objective == "teacherless" else "autoregressive"
    for name in ("dataset_name", "dataset_config", "dataset_seed", "title", "hard_node", "split", "weights_sha256"):
        del known[name]
    return Record.build(None, known, {}, history=load("memorize").history)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    # What is a local path depends on the folder that one is in.
    monkeypatch.chdir(tmp_path)


def code_blocks(card, language):
    return re.findall(rf"^```{language}\n(.*?)^```", card, re.MULTILINE | re.DOTALL)


def check_text(card):
    for unfilled in (r"\bNone\b", "Undefined", r"\{\{", r"\{%", r"\bon the  "):
        assert not re.search(unfilled, card)
    for block in code_blocks(card, "python"):
        compile(block, "card", "exec")


# Records without places


def test_a_token_and_where_a_run_went_do_not_leave_this_machine():
    record = load("teacherless")
    record.recipe.update(dict.fromkeys(PLACES, "hf_secret"))
    public = record.public()
    assert "hf_secret" not in public.as_json()
    assert not set(PLACES) & set(public.recipe)
    assert public.recipe["config_overrides"] == record.recipe["config_overrides"]
    assert dataclasses.replace(public, recipe=None) == dataclasses.replace(record, recipe=None)


def test_a_record_is_not_changed_by_being_published():
    record = load("with a test file")
    record.recipe["test_file"] = "/data/graphs.txt"
    before = copy.deepcopy(record)
    record.public()
    cards.model_card(record, REPO)
    assert record == before


@pytest.mark.parametrize("recipe", [None, {}, {"run_name": "a"}])
def test_an_empty_recipe_is_none(recipe):
    assert dataclasses.replace(load("memorize"), recipe=recipe).public().recipe is None


def test_paths_of_this_machine_are_shortened_however_deep_they_stand():
    Path("data").mkdir()
    Path("data/graphs.txt").write_text("")
    record = load("memorize")
    record.run["model"] = "/home/somebody/models/mine"
    record.recipe.update(
        {
            "model_name_or_path": "~/models/mine",
            "test_file": "data/graphs.txt",
            "deepspeed": {"config": [{"file": "/home/somebody/zero.json"}, "data/graphs.txt", 3, None, 0.5, True]},
        }
    )
    public = record.public()
    assert public.run["model"] == public.recipe["model_name_or_path"] == "mine"
    assert public.recipe["test_file"] == "graphs.txt"
    assert public.recipe["deepspeed"] == {"config": [{"file": "zero.json"}, "graphs.txt", 3, None, 0.5, True]}
    assert "somebody" not in cards.model_card(record, REPO)


@pytest.mark.parametrize(
    "name", ["openai-community/gpt2", "gpt2", "a" * 5000 + "/b", "a\0b", "~nobody-of-this-name/b"]
)
def test_names_that_are_no_paths_stay(name):
    record = load("memorize")
    record.run["model"] = record.recipe["model_name_or_path"] = name
    public = record.public()
    assert public.run["model"] == public.recipe["model_name_or_path"] == name


# Model cards


@pytest.mark.parametrize("name", RECORDS)
def test_the_card_of_a_run_says_what_it_is(name):
    record = load(name)
    text = cards.model_card(record, REPO)
    data, objective = ModelCard(text).data.to_dict(), record.run["objective"]
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-generation"
    assert data["datasets"] == ["nextfail/star_graph"]
    assert data["metrics"] == ["nextfail/path_accuracy"]
    assert data["tags"] == ["nextfail", "star-graph", objective] + ["custom_generate"] * (objective == "teacherless")
    assert "base_model" not in data
    assert f"# {REPO}\n" in text
    assert f"parameters, trained from scratch with the objective **{objective}**" in text
    assert record.run["title"] in text
    assert ("paths written from the goal to the start" in text) == record.run["dataset_config"].endswith("_rev")
    check_text(text)


@pytest.mark.parametrize("name", RECORDS)
def test_every_metric_stands_in_the_table_with_its_error_and_its_rows(name):
    record = load(name)
    lines = cards.model_card(record, REPO).splitlines()
    begin = lines.index("## Results")
    table = [line for line in lines[begin : lines.index("## How to decode")] if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    places = {"": "test", "train_": "train", "test_file_": "file deg_2_path_5_nodes_50_test_20000.txt"}
    expected = []
    for key, result in record.results.items():
        prefix = next(prefix for prefix in ("train_", "test_file_", "") if key.startswith(prefix))
        metric = key.removeprefix(prefix)
        chance = record.chance["hard_token_accuracy"] if metric in ("accuracy", "hard_token_accuracy") else None
        numbers = ["does not exist", "", "", ""]
        if result is not None:
            numbers = [format_number(result[column]) for column in ("value", "standard_error", "n", "num_graphs")]
        expected.append([places[prefix], f"`{metric}`", *numbers, "" if chance is None else f"{chance:.3g}"])
    assert cells == expected
    assert any(", " in row[2] for row in cells)  # a number for each node
    assert any("does not exist" in row for row in cells) == (record.run["objective"] == "teacherless")


def test_the_first_number_is_the_accuracy_beside_chance():
    text = " ".join(cards.model_card(load("memorize"), REPO).split())
    said = (
        "right on the test split, greedy and free-running: **0.49225** (standard error 0.00354 over 19,986 graphs, n ="
    )
    assert said in text
    assert "Guessing the arm gives 0.5." in text
    assert "Guessing the arm" not in cards.model_card(load("reversed"), REPO)


@pytest.mark.parametrize(("num_graphs", "said"), [(1_951, True), (9_999, True), (10_000, False), (20_000, False)])
def test_a_card_says_that_the_rows_of_a_small_space_repeat(num_graphs, said):
    record = load("memorize")
    record.results["accuracy"]["num_graphs"] = num_graphs
    text = cards.model_card(record, REPO)
    check_text(text)
    assert ("Most of these rows repeat a graph" in text) == said
    record.run["task"] = None  # of your own data nobody knows the space
    assert "Most of these rows repeat" not in cards.model_card(record, REPO)


@pytest.mark.parametrize(("share", "said"), [(0.0, "0 %"), (0.5, "50 %"), (None, None)])
def test_a_card_says_how_much_of_a_test_file_was_trained_on(share, said):
    record = load("with a test file")
    assert "were trained on" not in cards.model_card(record, REPO)  # of an earlier version, which did not know
    record.test_file["seen_share"] = share
    text = cards.model_card(record, REPO)
    check_text(text)
    line = f"Of the file `deg_2_path_5_nodes_50_test_20000.txt`, {said} of its graphs were trained on."
    assert (line in text) == (said is not None)
    assert ("were trained on" in text) == (said is not None)


@pytest.mark.parametrize("name", [name for name in DECODINGS if DECODINGS[name].generates])
def test_a_card_decodes_as_the_checkpoint_says(name):
    record = load("teacherless")
    record.run["decoding"] = name
    text = cards.model_card(record, REPO)
    blocks = code_blocks(text, "python")
    assert len(blocks) == 2
    assert f'from_pretrained("{REPO}", trust_remote_code=True)' in blocks[0]
    assert f"custom_generate=hf_nextfail.{DECODINGS[name].generates}" in blocks[1]
    assert callable(getattr(hf_nextfail, DECODINGS[name].generates))
    assert "trust_remote_code" not in blocks[1]
    assert f"{DECODINGS[name].in_words}, with the code in" in text
    assert "A plain `generate` does something else" in text


@pytest.mark.parametrize("name", ["teacher_forced", "reversed"])
def test_a_teacher_forced_card_decodes_token_by_token(name):
    text = cards.model_card(load(name), REPO)
    (block,) = code_blocks(text, "python")
    assert 'padding_side="left"' in block
    assert "trust_remote_code" not in text
    assert "custom_generate" not in text


@pytest.mark.parametrize("name", RECORDS)
def test_the_prompt_to_try_is_the_first_of_the_test_split(name):
    record = load(name)
    config_name, sizes = record.run["dataset_config"], {"num_train": 0, "num_validation": 0, "num_test": 1}
    rows = load_dataset("nextfail/star_graph", config_name, split="test", **sizes)
    assert f'tokenizer(["{rows[0]["prompt"]}"]' in cards.model_card(record, REPO)


@pytest.mark.parametrize("name", ["openai-community/gpt2", "gpt2"])
def test_a_fine_tuned_model_names_what_it_began_from(name):
    record = load("memorize")
    record.run["model"] = record.recipe["model_name_or_path"] = name
    text = cards.model_card(record, REPO)
    assert ModelCard(text).data.base_model == name
    assert f"[{name}](https://huggingface.co/{name}), fine-tuned" in text
    assert "from scratch" not in text
    check_text(text)


def test_a_folder_is_fine_tuned_and_no_base_model_on_the_hub():
    Path("models/mine").mkdir(parents=True)
    for name in ("models/mine", str(Path("models/mine").absolute())):
        record = load("memorize")
        record.run["model"] = record.recipe["model_name_or_path"] = name
        text = cards.model_card(record, REPO)
        assert "base_model" not in ModelCard(text).data.to_dict()
        assert name not in text
        assert "`mine`" in text
        assert "fine-tuned" in text
        assert "from scratch" not in text


def test_folders_that_are_called_like_names_on_the_hub_change_nothing():
    record = load("memorize")
    expected = cards.model_card(record, REPO), record.public()
    for folder in ("nextfail/star_graph", record.run["name"], record.run["dataset_config"], "gpt2"):
        Path(folder).mkdir(parents=True)
    assert (cards.model_card(record, REPO), record.public()) == expected


@pytest.mark.parametrize("objective", ["teacher_forced", "teacherless"])
def test_a_card_without_results_says_how_to_get_them(objective):
    text = cards.model_card(unfinished(objective), REPO)
    check_text(text)
    assert "datasets" not in ModelCard(text).data.to_dict()
    assert f"This checkpoint came without results. To measure it: `nextfail evaluate {REPO}`." in text
    assert "Whole paths right" not in text
    assert "recipe" not in text
    assert len(code_blocks(text, "python")) == (2 if objective == "teacherless" else 1)


def test_the_recipe_of_a_card_is_the_one_that_ran_without_its_places():
    record = load("teacherless")
    text = cards.model_card(record, REPO)
    (recipe,) = code_blocks(text, "yaml")
    left_out = ("output_dir", "include_num_input_tokens_seen")  # which nobody had given
    assert yaml.safe_load(recipe) == {k: v for k, v in record.recipe.items() if k not in left_out}
    assert "--config recipe.yaml" in text


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_diagnosed_run_says_why(objective):
    record = Record.from_dict(diagnosed_record(objective))
    text = cards.model_card(record, REPO, ["errors.png", "errors.svg", "accuracy.png"])
    check_text(text)
    why = text[text.index("## Why") : text.index("## How to decode")]
    assert record.diagnosis["verdict"] in why
    assert why.count("![") == why.count("(errors.png)") == 1
    rows = {line.split("|")[1].strip(): line for line in why.splitlines() if line.startswith("| `")}
    assert list(rows) == [f"`{name}`" for name in record.diagnosis["numbers"]]
    assert "0.00400" in rows["`valid_path_rate`"] and "2,000" in rows["`valid_path_rate`"]
    reason = record.diagnosis["absent"]["clever_hans_accuracy"]
    assert "does not exist" in rows["`clever_hans_accuracy`"] and reason in rows["`clever_hans_accuracy`"]


def test_seed_and_picture_are_there_when_they_exist():
    record = load("memorize")
    assert "Seed 42, bf16 on `cpu`, 2000 steps." in cards.model_card(record, REPO)
    assert "![" not in cards.model_card(record, REPO)
    assert "(accuracy.png)" in cards.model_card(record, REPO, ["accuracy.png"])
    record.run.update({"seed": None, "steps": None, "split": "validation"})
    text = cards.model_card(record, REPO)
    check_text(text)
    assert "Seed" not in text
    assert "right on the validation split" in " ".join(text.split())
    assert "| validation | `accuracy` |" in text


# Results in the Hub's format


@pytest.mark.parametrize("name", RECORDS)
def test_the_hub_reads_the_test_accuracy(name):
    record = load(name)
    ((path, text),) = cards.eval_results(record).items()
    config_name, accuracy = record.run["dataset_config"], record.results["accuracy"]
    assert path == f".eval_results/star_graph-{config_name}-test-{record.run['decoding']}.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("nextfail/star_graph", config_name, accuracy["value"])
    for said in (
        record.run["objective"],
        f"standard error {accuracy['standard_error']:.5f} over {accuracy['num_graphs']} graphs, n 20000",
        "dataset seed 0; star_graph 1.0.0, metrics 1.0.0",
    ):
        assert said in entry.notes


@pytest.mark.parametrize("split", ["train", "validation"])
def test_only_the_test_split_is_a_result_for_others(split):
    record = load("memorize")
    record.run["split"] = split
    assert cards.eval_results(record) == {}


@pytest.mark.parametrize(
    ("split", "num_rows", "seed", "name"),
    [
        ("test", 20_000, 0, "star_graph-d2_l3_n50-test-autoregressive"),
        ("validation", 5_000, 0, "star_graph-d2_l3_n50-validation-autoregressive"),
        ("validation", 20_000, 0, "star_graph-d2_l3_n50-validation-20000_rows-autoregressive"),
        ("test", 100, 0, "star_graph-d2_l3_n50-test-100_rows-autoregressive"),
        ("test", 20_000, 7, "star_graph-d2_l3_n50-test-seed_7-autoregressive"),
        ("test", 100, 7, "star_graph-d2_l3_n50-test-100_rows-seed_7-autoregressive"),
    ],
)
def test_other_rows_have_another_name(split, num_rows, seed, name):
    record = load("memorize")
    record.run.update({"split": split, "dataset_seed": seed})
    record.results["accuracy"]["n"] = num_rows
    assert cards.evaluation_name(record) == name
    assert set(cards.eval_results(record)) == ({f".eval_results/{name}.yaml"} if split == "test" else set())
    record.run["decoding"] = "parallel"
    assert cards.evaluation_name(record) == name.replace("autoregressive", "parallel")


# Dataset cards


COLUMNS = ["prompt", "completion", "edges", "path", "start", "goal"]
SIZES = {"num_train": 60, "num_validation": 20, "num_test": 40}


@pytest.fixture
def published(tmp_path):
    names = ["d2_l3_n10", "d2_l3_n10_rev", "d1_l2_n9"]
    return [publish_config(TaskConfig.resolve(StarGraph, name, seed=3, **SIZES), tmp_path) for name in names]


def test_the_metadata_of_a_dataset_describe_its_files(published, tmp_path):
    text = cards.dataset_card(published, "nextfail/mine")
    data = DatasetCard(text).data.to_dict()
    names = sorted(entry.config.name for entry in published)
    assert [config["config_name"] for config in data["configs"]] == names
    assert [config["config_name"] for config in data["configs"] if "default" in config] == ["d2_l3_n10"]
    assert [info["config_name"] for info in data["dataset_info"]] == names
    for config, info in zip(data["configs"], data["dataset_info"], strict=True):
        assert {f"num_{split['name']}": split["num_examples"] for split in info["splits"]} == SIZES
        assert [feature["name"] for feature in info["features"]] == COLUMNS
        files = [file for entry in config["data_files"] for file in tmp_path.glob(entry["path"])]
        assert len(files) == len(list((tmp_path / config["config_name"]).iterdir())) == 3
        assert info["download_size"] == sum(file.stat().st_size for file in files)
    assert data["license"] == "apache-2.0"
    assert data["task_categories"] == ["text-generation"]


def test_the_card_of_a_dataset_shows_each_configuration(published, tmp_path):
    text = cards.dataset_card(published, "nextfail/mine")
    check_text(text)
    assert text.count('load_dataset("nextfail/mine"') == 2
    lines = text.splitlines()
    for entry in published:
        rows = load_dataset("nextfail/star_graph", entry.config.name, seed=3, **SIZES)
        graphs = [len({str(sorted(edges)) for edges in rows[split]["edges"]}) for split in rows]
        (line,) = (line for line in lines if line.startswith(f"| `{entry.config.name}` |"))
        chance = {"d2_l3_n10": "0.5", "d2_l3_n10_rev": "needs none", "d1_l2_n9": "1"}[entry.config.name]
        cells = [entry.config.task.title, *map(str, [60, 20, 40, *graphs]), chance]
        assert [cell.strip() for cell in line.strip("|").split("|")][1:] == cells
        assert f"```\n{rows['test'][0]['prompt']}\n{rows['test'][0]['completion']}\n```" in text
        assert f"]({entry.picture})" in text
        assert matplotlib.image.imread(tmp_path / entry.picture).ndim == 3
    assert "Most test rows of `d1_l2_n9` repeat a graph" in text
    assert f"version **{StarGraph.version}**, seed 3." in text
    assert "| gpt2 | d2_l3_n20 | teacherless |" in text
    assert "By `nextfail reproduce grid_cpu`" in text


def test_a_dataset_of_one_split_has_one_column_of_rows(tmp_path):
    config = TaskConfig.resolve(StarGraph, "d2_l3_n10", num_train=0, num_validation=0, num_test=30)
    text = cards.dataset_card([publish_config(config, tmp_path)], "nextfail/mine")
    check_text(text)
    data = DatasetCard(text).data.to_dict()
    assert [entry["split"] for entry in data["configs"][0]["data_files"]] == ["test"]
    assert "| `d2_l3_n10` | G(2,3), 10 labels | 30 | 30 | 0.5 |" in text
    assert "repeat a graph" not in text
