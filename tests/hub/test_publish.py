import json
import os
import signal

import pytest
import torch
import yaml
from datasets import Dataset, get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard, EvalResultEntry, ModelCard, hf_hub_download
from huggingface_hub._eval_results import parse_eval_result_entries
from loopback_hub.server import Fault
from run_folders import SMOKE, only_run
from tiny_models import tiny_options

import hf_nextfail
import hf_nextfail.hub.push
from hf_nextfail import StarGraph, push_dataset, push_metric, push_model
from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.errors import HubError, UsageError
from hf_nextfail.hub.publish import push_results
from hf_nextfail.reporting.pictures import PICTURES
from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint

SIZES = {"num_train": 60, "num_validation": 20, "num_test": 30}
CONFIGS = ["d2_l3_n20", "d2_l5_n50", "d5_l3_n50", "d2_l3_n20_rev"]
REPO = "nextfail/star_graph"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0, 0))


def rows(dataset):
    return {split: list(part) for split, part in dataset.items()}


# --- datasets ---


def test_every_config_loads_elsewhere_without_the_package_with_the_rows_of_the_builder(hub, fresh):
    push_dataset(configs=CONFIGS, **SIZES)
    assert hub.commits("dataset", REPO) == [f"{', '.join(CONFIGS)} by star_graph 1.0.0", "initial commit"]
    code = f"""
import json
from datasets import Dataset, get_dataset_config_names, load_dataset
read = lambda dataset: {{split: list(part) for split, part in dataset.items()}}
print(json.dumps({{
    "names": get_dataset_config_names({REPO!r}),
    "default": read(load_dataset({REPO!r})),
    "whole": {{name: read(load_dataset({REPO!r}, name)) for name in {CONFIGS}}},
    "streamed": {{name: read(load_dataset({REPO!r}, name, streaming=True)) for name in {CONFIGS}}},
}}))
"""
    seen = json.loads(fresh(code, package=False).stdout)
    local = {name: rows(load_dataset(REPO, name, **SIZES)) for name in CONFIGS}
    assert sorted(seen["names"]) == sorted(CONFIGS)
    assert seen["default"] == local[CONFIGS[0]]
    assert seen["whole"] == local
    assert seen["streamed"] == local


def test_the_columns_have_the_types_of_the_builder(hub, fresh):
    push_dataset(configs=["d2_l3_n20"], **SIZES)
    local = load_dataset(REPO, "d2_l3_n20", **SIZES)
    code = f"from datasets import load_dataset; print(load_dataset({REPO!r})['train'].features)"
    assert fresh(code, package=False).stdout == f"{local['train'].features}\n"


def test_the_same_push_again_makes_no_commit(hub):
    first = push_dataset(configs=CONFIGS[:2], **SIZES)
    head = hub.head("dataset", REPO)
    again = push_dataset(configs=CONFIGS[:2], **SIZES)
    assert hub.head("dataset", REPO) == head == first.oid == again.oid


def test_another_push_replaces_configs_whole_and_leaves_what_is_not_ours(hub):
    push_dataset(configs=CONFIGS[:2], **SIZES)
    hf_nextfail.hub.push.push_files(REPO, "dataset", {"notes.txt": b"mine"}, "notes")
    push_dataset(configs=["d5_l3_n50"], **SIZES)
    files = hub.files("dataset", REPO).keys()
    assert {path.partition("/")[0] for path in files if path.endswith(".parquet")} == {"d5_l3_n50"}
    assert "gallery/d2_l3_n20.png" not in files
    assert "notes.txt" in files
    assert get_dataset_config_names(f"hf://datasets/{REPO}") == ["d5_l3_n50"]


def test_the_card_says_what_is_there(hub):
    push_dataset(configs=CONFIGS, **SIZES, seed=3)
    files = hub.files("dataset", REPO)
    card = DatasetCard(files["README.md"].decode())
    metadata = card.data.to_dict()
    assert metadata["license"] == "apache-2.0"
    assert [entry["config_name"] for entry in metadata["configs"] if entry.get("default")] == ["d2_l3_n20"]
    for entry in metadata["dataset_info"]:
        assert {split["name"]: split["num_examples"] for split in entry["splits"]} == {
            "train": 60,
            "validation": 20,
            "test": 30,
        }
        parquet = [data for path, data in files.items() if path.startswith(f"{entry['config_name']}/")]
        assert entry["download_size"] == sum(map(len, parquet))
    for name in CONFIGS:
        row = load_dataset(REPO, name, **SIZES, seed=3)["test"][0]
        assert f"{row['prompt']}\n{row['completion']}\n" in card.text
        assert files[f"gallery/{name}.png"].startswith(b"\x89PNG")
        assert f"(gallery/{name}.png)" in card.text
    benchmark = yaml.safe_load(files["eval.yaml"])
    assert benchmark.keys() == {"name", "description", "evaluation_framework", "tasks"}
    assert benchmark["tasks"] == [{"id": name, "config": name, "split": "test"} for name in CONFIGS]
    for word in (StarGraph.version, "seed 3", "12, 2 and 2 of 16", "@inproceedings", hf_nextfail.__version__):
        assert word in card.text
    assert "needs none" in next(line for line in card.text.splitlines() if line.startswith("| `d2_l3_n20_rev`"))


def test_a_split_of_no_rows_is_left_out(hub):
    push_dataset(configs=["d2_l3_n20"], num_train=5, num_validation=0, num_test=5)
    assert {path for path in hub.files("dataset", REPO) if path.endswith("parquet")} == {
        "d2_l3_n20/train-00000-of-00001.parquet",
        "d2_l3_n20/test-00000-of-00001.parquet",
    }
    assert "validation" not in hub.files("dataset", REPO)["README.md"].decode().split("## How")[0]


def test_with_the_package_the_files_on_the_hub_are_still_reached(hub, fresh):
    push_dataset(configs=["d2_l3_n20", "d5_l3_n50"], num_train=7, num_validation=0, num_test=3)
    head = hub.head("dataset", REPO)
    code = f"""
import hf_nextfail
from datasets import Dataset, get_dataset_config_names, load_dataset
sizes = lambda dataset: {{split: len(part) for split, part in dataset.items()}}
one = "d5_l3_n50/test-00000-of-00001.parquet"
print(sizes(load_dataset({REPO!r}, "d5_l3_n50", revision="main")))
print(sizes(load_dataset({REPO!r}, "d5_l3_n50", revision={head!r})))
print(sizes(load_dataset({REPO!r}, data_files=one)))
print(sizes(load_dataset({REPO!r}, data_dir="d5_l3_n50")))
print(sizes(load_dataset("hf://datasets/{REPO}", "d5_l3_n50")))
print(get_dataset_config_names({REPO!r}, revision="main"))
print(sizes(load_dataset({REPO!r}, "d7_l4_n60", num_train=9, num_validation=0, num_test=1)))
"""
    published = "{'train': 7, 'test': 3}"
    assert fresh(code).stdout.splitlines() == [
        published,
        published,
        "{'train': 3}",  # one file, by the convention of `datasets`
        published,
        published,
        "['d2_l3_n20', 'd5_l3_n50']",
        "{'train': 9, 'test': 1}",
    ]


@pytest.mark.parametrize(("names", "words"), [(["d2_l3"], "unknown config 'd2_l3'"), (["d9_l9_n50"], "num_nodes")])
def test_a_config_that_cannot_be_generated_is_named_and_nothing_is_pushed(hub, names, words):
    with pytest.raises(UsageError, match=words):
        push_dataset(configs=["d2_l3_n20", *names], **SIZES)
    assert hub.head("dataset", REPO) is None


def test_no_rows_are_generated_for_a_token_that_may_not_push(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    monkeypatch.setattr(hf_nextfail.hub.publish, "publish_config", None)  # would fail if it were reached
    with pytest.raises(HubError, match="may only read"):
        push_dataset(configs=CONFIGS, **SIZES)
    assert hub.head("dataset", REPO) is None


def test_a_cut_connection_leaves_the_old_dataset_and_a_rerun_finishes(hub, fresh):
    push_dataset(configs=["d2_l3_n20"], **SIZES)
    old = hub.head("dataset", REPO)
    hub.faults = [Fault("POST", "/commit/", times=1000, drop_after=20)]
    with pytest.raises(HubError, match="run the command again"):
        push_dataset(configs=CONFIGS[:2], **SIZES)
    assert hub.head("dataset", REPO) == old
    hub.faults = []
    push_dataset(configs=CONFIGS[:2], **SIZES)
    assert get_dataset_config_names(f"hf://datasets/{REPO}") == sorted(CONFIGS[:2])


def test_a_killed_push_leaves_the_old_dataset_and_a_rerun_finishes(hub, fresh, tmp_path):
    push_dataset(configs=["d2_l3_n20"], **SIZES)
    old = hub.head("dataset", REPO)
    kill = lambda: os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # noqa: E731
    hub.faults = [Fault("POST", "/commit/", drop_after=20, call=kill)]
    code = f"""
import os, sys
from pathlib import Path
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
from hf_nextfail.commands.main import main
main(["push-dataset", "--configs", "d2_l3_n20,d2_l5_n50", "--num_train", "60", "--num_validation", "20",
      "--num_test", "30"])
"""
    assert fresh(code, check=False).returncode == -signal.SIGKILL
    assert hub.head("dataset", REPO) == old
    assert hub.head("dataset", REPO) in fresh(code).stdout or hub.head("dataset", REPO) != old
    assert get_dataset_config_names(f"hf://datasets/{REPO}") == ["d2_l3_n20", "d2_l5_n50"]


# --- metrics ---


def test_every_metric_loads_by_name_elsewhere_and_all_combine(hub, fresh):
    names = ["path_accuracy", "hard_token_accuracy", "valid_path_rate"]
    push_metric()
    for name in names[1:]:
        push_metric(name)
    heads = [hub.head("space", f"nextfail/{name}") for name in names]
    for name in names:
        push_metric(name)
    assert [hub.head("space", f"nextfail/{name}") for name in names] == heads
    code = """
import evaluate
metrics = evaluate.combine(["nextfail/path_accuracy", "nextfail/hard_token_accuracy", "nextfail/valid_path_rate"])
results = metrics.compute(
    predictions=["3,1,2", "3,5,4"], references=["3,1,2", "3,1,2"], prompts=["3,1|3,5|1,2|5,4/3,2="] * 2
)
print([results[name] for name in ("path_accuracy", "token_accuracy", "hard_token_accuracy", "valid_path_rate")])
"""
    assert fresh(code, package=False).stdout == "[0.5, [1.0, 0.5, 0.5], 0.5, 1.0]\n"


@pytest.mark.parametrize("name", ["path_accuracy", "hard_token_accuracy", "valid_path_rate"])
def test_a_metric_under_another_name_is_found_too(hub, fresh, name):
    push_metric(name, "nextfail/my_metric")
    files = hub.files("space", "nextfail/my_metric")
    assert {path for path in files if path.endswith(".py")} == {"my_metric.py"}
    assert yaml.safe_load(files["README.md"].decode().split("---")[1])["sdk"]
    code = f"""
import evaluate
options = {{"prompts": ["3,1/3,1="]}} if {name == "valid_path_rate"} else {{}}
print(evaluate.load("nextfail/my_metric").compute(predictions=["3,1"], references=["3,1"], **options)["{name}"])
"""
    assert fresh(code, package=False).stdout == "1.0\n"


@pytest.mark.parametrize("name", ["path_acuracy", "nextfail/my_metric", "..", ""])
def test_a_metric_that_does_not_exist_is_refused_before_the_hub_is_asked(hub, name):
    known = "creativity, hard_token_accuracy, path_accuracy, planning_accuracy, valid_path_rate"
    with pytest.raises(UsageError, match=f"there is no metric '{name}', only {known}") as error:
        push_metric(name)
    assert ("did you mean 'path_accuracy'?" in str(error.value)) == (name == "path_acuracy")
    assert hub.log == []


# --- checkpoints and results ---


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The three smoke recipes, cut short, in a folder with a telling name."""
    folder = tmp_path_factory.mktemp("on_this_machine")
    options = {"num_train": 500, "num_validation": 50, "num_test": 60, "max_steps": 4, "eval_steps": 2}
    options |= {"per_device_train_batch_size": 16, "precision": "fp32", "disable_tqdm": "true"}
    finetune(
        [
            *(f"--{name}={value}" for name, value in options.items()),
            *tiny_options(initializer_range=0.5),
            *("--config", *(f"star_graph/{training}/smoke.yaml" for training in SMOKE), "--output_dir", str(folder)),
        ]
    )
    return folder


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless", "reversed"])
def test_a_pushed_run_holds_all_that_others_need_and_nothing_else(hub, runs, training):
    push_model(runs / SMOKE[training], "checkpoint")
    files = hub.files("model", "nextfail/checkpoint")
    config = "d2_l3_n20" + "_rev" * (training == "reversed")
    decoding = "parallel" if training == "teacherless" else "autoregressive"
    evaluation = f".eval_results/star_graph-{config}-test-60_rows-{decoding}.yaml"
    assert files.keys() == {
        ".gitattributes",
        evaluation,
        "README.md",
        *(f"{name}.png" for name, picture in PICTURES.items() if picture.of != "page"),  # which is of many runs
        "chat_template.jinja",
        "config.json",
        *(["custom_generate/generate.py"] if training == "teacherless" else []),
        "generation_config.json",
        "model.safetensors",
        "recipe.yaml",
        "results.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    for path, data in files.items():
        for secret in (b"hf_test", str(runs).encode(), runs.parent.name.encode(), os.environ["HF_HOME"].encode()):
            assert secret not in data, path
    assert hub.commits("model", "nextfail/checkpoint") == ["Push of a finished run", "initial commit"]

    record = json.loads(files["results.json"])
    accuracy = record["results"]["accuracy"]
    card = ModelCard(files["README.md"].decode())
    assert f"**{accuracy['value']:.5f}**" in card.text
    assert card.data.datasets == ["nextfail/star_graph"]
    assert yaml.safe_load(files["recipe.yaml"]) == record["recipe"]
    [entry] = parse_eval_result_entries(yaml.safe_load(files[evaluation]))
    assert entry == EvalResultEntry("nextfail/star_graph", config, accuracy["value"], notes=entry.notes)


def test_pushing_a_run_again_makes_no_commit(hub, runs):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    head = hub.head("model", "nextfail/checkpoint")
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    assert hub.head("model", "nextfail/checkpoint") == head


def test_another_training_pushed_to_the_same_place_leaves_no_decoding_behind(hub, runs):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    push_model(runs / SMOKE["teacher_forced"], "nextfail/checkpoint")
    assert "custom_generate/generate.py" not in hub.files("model", "nextfail/checkpoint")


def test_a_folder_without_a_checkpoint_is_refused(hub, tmp_path):
    with pytest.raises(UsageError, match=r"holds no checkpoint"):
        push_model(tmp_path, "nextfail/checkpoint")
    assert hub.head("model", "nextfail/checkpoint") is None


def test_the_recipe_on_the_hub_trains_the_same_model_again(hub, runs, tmp_path, monkeypatch):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    recipe = hf_hub_download("nextfail/checkpoint", "recipe.yaml", local_dir=tmp_path)
    finetune(["--config", recipe, "--output_dir", str(tmp_path), "--disable_tqdm=true"])
    again = json.loads((only_run(tmp_path) / "results.json").read_text())
    first = json.loads((runs / SMOKE["teacherless"] / "results.json").read_text())
    assert again["results"] == first["results"]
    assert again["history"] == first["history"]


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless"])
def test_a_checkpoint_decodes_elsewhere_as_it_was_trained(hub, runs, fresh, training):
    push_model(runs / SMOKE[training], "nextfail/checkpoint")
    code = """
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("nextfail/checkpoint")
model = AutoModelForCausalLM.from_pretrained("nextfail/checkpoint", trust_remote_code=True)
prompts = ["8,17|5,19|5,8|19,16/5,17=", "1,2|2,3|1,4|4,5/1,3=", "6/7,8="]
inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
outputs = model.generate(**inputs)
print(outputs[:, inputs["input_ids"].shape[1] :].tolist())
"""
    outputs = fresh(code, package=False).stdout
    tokenizer = hf_nextfail.load_tokenizer(str(runs / SMOKE[training]))
    model = hf_nextfail.build_model(tokenizer, str(runs / SMOKE[training])).eval()
    prompts = ["8,17|5,19|5,8|19,16/5,17=", "1,2|2,3|1,4|4,5/1,3=", "6/7,8="]
    prompted = RowStore.of(Dataset.from_dict({"prompt": prompts, "completion": ["1"] * 3}), tokenizer)
    decoded = hf_nextfail.OBJECTIVES[training](tokenizer).decoding.write(model, prompted.take(torch.arange(3)), 3)
    assert outputs == f"{decoded.tolist()}\n"
    assert len({tuple(row) for row in decoded.tolist()}) > 1


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless", "reversed"])
def test_evaluation_elsewhere_by_name_gives_the_numbers_of_the_run(hub, runs, fresh, tmp_path, training):
    push_model(runs / SMOKE[training], "nextfail/checkpoint")
    fresh(["-m", "hf_nextfail.commands.main", "evaluate", "nextfail/checkpoint", "--num_rows", "60"], cwd=tmp_path)
    [path] = tmp_path.rglob("results.json")
    measured = json.loads(path.read_text())["results"]
    trained = json.loads((runs / SMOKE[training] / "results.json").read_text())["results"]
    # The run chose another implementation of attention, which moves the loss in its seventh digit.
    assert measured.pop("loss")["value"] == pytest.approx(trained["loss"]["value"], abs=1e-5)
    assert measured == {name: trained[name] for name in measured}


def test_results_of_another_evaluation_are_added_and_nothing_else_changes(hub, runs):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    before = hub.files("model", "nextfail/checkpoint")
    record = evaluate_checkpoint("nextfail/checkpoint", dataset_config="d2_l4_n20", num_rows=40, progress=False)
    push_results(record, "nextfail/checkpoint")
    after = hub.files("model", "nextfail/checkpoint")
    name = "star_graph-d2_l4_n20-test-40_rows-parallel"
    assert after.keys() - before.keys() == {f"results/{name}.json", f".eval_results/{name}.yaml"}
    assert {path: after[path] for path in before} == before
    assert json.loads(after[f"results/{name}.json"])["results"] == record.results

    push_results(
        evaluate_checkpoint("nextfail/checkpoint", split="validation", num_rows=40, progress=False), "checkpoint"
    )
    added = hub.files("model", "nextfail/checkpoint").keys() - after.keys()
    assert added == {"results/star_graph-d2_l3_n20-validation-40_rows-parallel.json"}


def test_results_are_not_added_where_one_may_not_write(hub, runs):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    record = evaluate_checkpoint("nextfail/checkpoint", num_rows=10, progress=False)
    head = hub.head("model", "nextfail/checkpoint")
    with pytest.raises(HubError, match="somebody may not write to nextfail"):
        push_results(record, "nextfail/checkpoint", token="hf_other")
    assert hub.head("model", "nextfail/checkpoint") == head


def test_weights_are_the_same_after_the_way_over_the_hub(hub, runs):
    push_model(runs / SMOKE["teacherless"], "nextfail/checkpoint")
    tokenizer = hf_nextfail.load_tokenizer("nextfail/checkpoint")
    there = hf_nextfail.build_model(tokenizer, "nextfail/checkpoint").state_dict()
    here = hf_nextfail.build_model(tokenizer, str(runs / SMOKE["teacherless"])).state_dict()
    assert here.keys() == there.keys()
    assert all(torch.equal(here[name], there[name]) for name in here)
