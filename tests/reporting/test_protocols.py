"""Which protocol a record belongs to, by what its recipe says."""

import copy
import dataclasses
import json

import pytest

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.reporting import defaults
from hf_nextfail.reporting.contestants import Contestant
from hf_nextfail.reporting.defaults import RECIPE
from hf_nextfail.reporting.leaderboard import Submission, leaderboard_of
from hf_nextfail.reporting.protocols import NoPlace, Place, Protocol, our_protocols, places_of, protocols_with
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.recipes import RecipeParser
from hf_nextfail.tasks import SPLITS, TASKS

NEXTLAT = shipped_folder("hub_cards") / "results/objectives_cpu/nextlat-d2_l4_n20-gpt2-seed_42.json"


def place_of(record: Record) -> Place:
    """The one place of a record among our protocols."""
    (place,) = places_of(record)
    return place


@pytest.fixture
def record() -> Record:
    return Record.read(NEXTLAT)


@pytest.fixture(scope="module")
def small() -> Protocol:
    return next(protocol for protocol in our_protocols() if protocol.name == "small")


def test_every_objective_and_every_task_is_in_small(small):
    assert {contestant.objective for contestant in small.trainings.values()} == set(OBJECTIVES)
    assert {task for task, *_ in small.settings} == set(TASKS)
    assert {"gpt2", "llama", "mamba"} <= set(small.models.values())


def test_protocols_are_called_as_their_files_and_differ_by_more_than_names():
    names = [path.stem for path in sorted((shipped_folder("recipes") / "protocols").glob("*.yaml"))]
    assert [protocol.name for protocol in our_protocols()] == names
    values = [json.dumps(protocol.settings[setting]) for protocol in our_protocols() for setting in protocol.settings]
    assert len(set(values)) > len(names)


def test_every_record_of_objectives_cpu_is_a_cell_of_small():
    for path in sorted(NEXTLAT.parent.glob("*.json")):
        record = Record.read(path)
        place = place_of(record)
        training, config, model, _ = path.stem.split("-")
        objective = "teacher_forced" if training == "reversed" else training
        assert (place.protocol, place.task, place.config, place.model) == ("small", "star_graph", config, model)
        assert place.seed == record.run["seed"]
        assert place.contestant == Contestant.of(objective, {}, reverse=training == "reversed")


# What is the same cell, and what is another


@pytest.mark.parametrize(
    ("part", "changes"),
    {
        "versions": {"revision": "0" * 40, "torch": "9.9", "hf_nextfail": "9.9"},
        "run": {"name": "bachmann", "started_from": "bachmann", "fast_path": [], "num_threads": 8, "device": "cuda"},
        "recipe": {"logging_steps": 7, "save_steps": 9, "fast_path": ["none"], "output_dir": "x", "num_diagnosed": 5},
    }.items(),
)
def test_what_does_not_change_a_run_leaves_it_in_its_cell(record, part, changes):
    place = place_of(record)
    getattr(record, part).update(changes)
    assert place_of(record) == place


@pytest.mark.parametrize(
    ("change", "reason"),
    {
        "max_steps": "it is not of small: max_steps must be 2000, got 7$",
        "learning_rate": "it is not of small: learning_rate must be 0.001, got 7$",
        "num_train": "it is not of small: num_train must be its default, got 7$",
        "eval_steps": "it is not of small: eval_steps must be 100, got 7$",
        "stop_at_accuracy": "stop_at_accuracy must be 0.995, got 7$",
        "per_device_train_batch_size": "batch must be 256, got 7$",
        "gradient_accumulation_steps": "batch must be 256, got 1792$",
        "dataset_seed": "dataset_seed must be its default, got 7$",
        "weight_decay": "weight_decay must be its default, got 7$",
    }.items(),
)
def test_another_value_is_no_cell_and_the_nearest_protocol_says_why(record, change, reason):
    record.recipe[change] = 7
    with pytest.raises(NoPlace, match=reason):
        place_of(record)


def test_the_rows_of_a_step_count_however_they_are_divided(record):
    place = place_of(record)
    record.recipe.update(per_device_train_batch_size=32, gradient_accumulation_steps=2)
    record.run["num_processes"] = 4
    assert place_of(record) == place
    record.run["num_processes"] = 2
    with pytest.raises(NoPlace, match="batch must be 256, got 128"):
        place_of(record)


def test_a_contestant_brings_its_objective_and_options_alone(record):
    first = place_of(record)
    record.recipe["objective_options"] = {"horizon": 2}
    record.run["objective_options"]["horizon"] = 2
    second = place_of(record)
    assert second.contestant == Contestant.of("nextlat", {"horizon": 2}) != first.contestant
    assert second.contestant.title == "nextlat, horizon 2"
    record.run.update(objective="mine", sources={"objective": {"class": "Mine", "sha256": "ab" * 32}})
    record.recipe["objective"] = "/home/somebody/mine.py:Mine"
    assert place_of(record).contestant.title == "mine, horizon 2, mine.py:Mine with SHA-256 abababab"


@pytest.mark.parametrize("ran", [True, False], ids=["resolved", "not resolved"])
def test_an_option_that_is_written_as_by_default_makes_no_other_contestant(record, ran):
    first = place_of(record)
    record.recipe["objective_options"] = {"kl_weight": 1, "horizon": None}
    record.recipe.update(weight_decay=0, num_test=20_000, max_grad_norm=None)
    record.run["objective_options"] = record.run["objective_options"] if ran else None
    assert place_of(record) == first and place_of(record).contestant.title == "nextlat"


def test_an_objective_of_ones_own_is_compared_by_all_of_its_options(record):
    record.run.update(objective="mine", sources={"objective": {"class": "Mine", "sha256": "ab" * 32}})
    record.recipe["objective"] = "mine.py:Mine"
    first = place_of(record)
    record.recipe["objective_options"] = {"kl_weight": 1.0}
    assert place_of(record) == first
    record.run["objective_options"]["kl_weight"] = 2.0
    assert place_of(record) != first


def test_defaults_are_those_of_the_code():
    parser = RecipeParser()
    by_split = {f"num_{split}": getattr(TaskConfig, f"num_{split}") for split in SPLITS}
    assert {name: by_split.get(name, parser.get_default(name)) for name in RECIPE} == RECIPE
    fields = {name: {one.name: one.default for one in dataclasses.fields(kind)} for name, kind in OBJECTIVES.items()}
    assert fields == defaults.OBJECTIVES


BAD = {
    "measured": ({"run": {"steps": None}}, "measured, not trained"),
    "no objective": ({"run": {"objective": None}}, "measured, not trained"),
    "own data": ({"run": {"dataset_name": "mine.json", "task": None}}, "its task, mine.json, is not one of ours"),
    "own task": ({"run": {"dataset_name": "x.py:X"}}, "its task, x.py:X, is not one of ours"),
    "another graph": (
        {part: {"dataset_config": "d2_l9_n20"} for part in ("run", "recipe")},
        "no protocol has star_graph d2_l9_n20",
    ),
    "no graph": (
        {part: {"dataset_config": "x"} for part in ("run", "recipe")},
        "unknown config 'x': use d<degree>_l<path_length>",
    ),
    "no reversed rows": (
        {
            "run": {"task": "countdown", "dataset_name": "nextfail/countdown", "dataset_config": "n3_rev"},
            "recipe": {"dataset_name": "nextfail/countdown", "dataset_config": "n3_rev"},
        },
        "countdown cannot be reversed",
    ),
    "another seed": (
        {part: {"seed": 7} for part in ("run", "recipe")},
        "it is not of small: seed 7 is not one of 42, 1, 2",
    ),
    "no seed": ({"run": {"seed": None}}, "its recipe asks for seed 42, and its run had None"),
    "a seed that is no number": (
        {part: {"seed": 42.0} for part in ("run", "recipe")},
        "must be a whole number, got 42.0",
    ),
    "the label of another seed": ({"run": {"seed": 1}}, "its recipe asks for seed 42, and its run had 1"),
    "the label of another graph": (
        {"run": {"dataset_config": "d2_l3_n20"}},
        "its recipe asks for dataset_config 'd2_l4_n20', and its run had 'd2_l3_n20'",
    ),
    "the label of reversed paths": (
        {"run": {"dataset_config": "d2_l4_n20_rev"}},
        "asks for dataset_config 'd2_l4_n20', ",
    ),
    "the label of another task": (
        {"run": {"task": "tree_star", "dataset_name": "nextfail/tree_star"}},
        "asks for dataset_name 'nextfail/star_graph', and its run had 'nextfail/tree_star'",
    ),
    "a task of one's own": (
        {"recipe": {"task": "x.py:X"}},
        "its recipe asks for dataset_name 'x.py:X', and its run had",
    ),
    "the label of another objective": (
        {"run": {"objective": "top"}},
        "its recipe asks for the objective 'nextlat', and its run had 'top'",
    ),
    "an objective of nobody": (
        {"run": {"objective": "magic"}, "recipe": {"objective": "magic"}},
        "its objective, magic, is not one of ours, and its recipe names no file",
    ),
    "a file in the place of ours": (
        {"run": {"sources": {"objective": {"class": "Mine"}}}},
        "its recipe asks for the objective 'nextlat', and its run had {'class': 'Mine'}",
    ),
    "the label of a file": (
        {"recipe": {"objective": "mine.py:Mine"}},
        "its recipe asks for the objective 'mine.py:Mine', and its sources name another or none",
    ),
    "the label of another class": (
        {"recipe": {"objective": "mine.py:Mine"}, "run": {"sources": {"objective": {"class": "Other"}}}},
        "its recipe asks for the objective 'mine.py:Mine', and its sources name another or none",
    ),
    "the label of another option": (
        {"recipe": {"objective_options": {"horizon": 2}}},
        "its recipe asks for horizon 2, and its run had None",
    ),
    "another model": (
        {"recipe": {"config_overrides": {"n_layer": 9}}},
        "config_overrides.attn_pdrop must be 0.0, got",
    ),
    "no recipe": ({"recipe": {"per_device_train_batch_size": "many"}}, "its recipe is not one that can be run"),
    "nested text": ({"recipe": {"lr_scheduler_kwargs": '{"a":' * 200_000}}, "its recipe is not one that can be run"),
    "text with a huge number": (
        {"recipe": {"lr_scheduler_kwargs": f'{{"a": 1{"0" * 400}}}'}},
        "its recipe is not one that can be run",
    ),
    "options a list": ({"recipe": {"objective_options": [1]}}, "its objective_options must be an object"),
    "a digest that is none": (
        {"recipe": {"objective": "x.py:X"}, "run": {"sources": {"objective": {"class": "X", "sha256": 1}}}},
        "the SHA-256 of its objective's file must be a text, got 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_record_without_a_place_gets_one_line(record, case):
    changes, reason = BAD[case]
    for part, values in changes.items():
        getattr(record, part).update(copy.deepcopy(values))
    with pytest.raises(NoPlace, match=reason) as error:
        place_of(record)
    assert "\n" not in str(error.value)


MINE = """
protocol: mine
trainings: {a: {objective: top}, b: {objective: fsp}}
models: {tiny: {model_type: gpt2}}
blocks:
- {trainings: [a], graphs: [d2_l3_n20], models: [tiny], seeds: [1]}
- {trainings: [b], graphs: [d2_l3_n20], models: [tiny], seeds: [2], options: {max_steps: 9}}
"""


def test_blocks_of_a_protocol_agree(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    with pytest.raises(
        UsageError, match="block 2: b-d2_l3_n20-tiny-seed_2: it has other values than in a block before"
    ):
        Protocol.read(path)
    path.write_text(MINE.replace(", options: {max_steps: 9}", ""))
    assert Protocol.read(path).seeds == {("star_graph", "d2_l3_n20", "tiny"): [1, 2]}
    path.write_text(MINE.replace("protocol: mine", ""))
    with pytest.raises(UsageError, match="is no protocol: its first line must be protocol: NAME"):
        Protocol.read(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("max_steps: 9", "per_device_train_batch_size: many", "batch_size must be a whole number, got 'many'"),
        ("max_steps: 9", "per_device_train_batch_size: 0", "must be whole numbers of 1 or more"),
        ("max_steps: 9", "num_test: 9.5", "num_test must be a whole number, got 9.5"),
        ("max_steps: 9", "num_train_epochs: .inf", "num_train_epochs must be a number, got inf"),
        ("max_steps: 9", "stop_at_accuracy: x", "stop_at_accuracy must be a number, got 'x'"),
        ("max_steps: 9", f"dataset_name: {'9' * 400}", "dataset_name must be text, got 9999"),
        ("{objective: fsp}", "{objective_options: {1: 2, a: 3}}", "objective_options must hold texts, numbers"),
        ("max_steps: 9", "streaming: 1", "streaming must be true or false, got 1"),
        ("max_steps: 9", "adam_beta1: true", "adam_beta1 must be a number, got True"),
        ("max_steps: 9", "eval_steps: !!timestamp 2026-01-01", "eval_steps must hold texts, numbers and lists, got "),
        ("max_steps: 9", "config_overrides: '{x'", "config_overrides must hold texts, numbers and lists, got '{x'"),
        (
            "max_steps: 9",
            "dataset_name: mine.json",
            "a protocol is about a task of ours: star_graph, .*; got 'mine.json'",
        ),
        ("max_steps: 9", "task: 'x.py:X'", "about a task of ours: star_graph, .*; got 'x.py:X'"),
        ("{model_type: gpt2}", "{}", "the model tiny must have model_type or model_name_or_path"),
        ("{model_type: gpt2}", "{model_type: 2}", "model_type must be text, got 2"),
        ("{objective: fsp}", "{objective: 2}", "objective must be text, got 2"),
        ("{objective: fsp}", "{objective_options: [2]}", "objective_options must be an object"),
        ("seeds: [2]", "seeds: [two]", "seed must be a whole number, got 'two'"),
        (
            "graphs: [d2_l3_n20], models: [tiny], seeds: [2]",
            "graphs: [big], models: [tiny], seeds: [2]",
            "unknown config",
        ),
    ],
)
def test_what_is_wrong_with_a_protocol_is_one_line(tmp_path, old, new, reason):
    path = tmp_path / "mine.yaml"
    assert old in MINE
    path.write_text(MINE.replace(old, new))
    with pytest.raises(UsageError, match=rf"mine.yaml: block \d: .*{reason}") as error:
        Protocol.read(path)
    assert "\n" not in str(error.value)


def test_a_record_stands_in_every_protocol_that_it_is_of(record, tmp_path):
    path = tmp_path / "mine.yaml"
    text = (
        (shipped_folder("recipes") / "protocols/small.yaml").read_text().replace("protocol: small", "protocol: mine")
    )
    path.write_text(text.replace("base:", "base:\n  weight_decay: 0.0\n  num_train: 200000"))
    protocols = protocols_with([path])
    assert [place.protocol for place in places_of(record, protocols)] == ["small", "mine"]
    board = leaderboard_of([Submission(record, "mine.json", "")] * 2, protocols)
    assert [(one.protocol, len(one.counted)) for one in board.standings] == [("small", 1), ("mine", 1)]
    assert board.left_out == [("mine.json", "it is a copy of mine.json")]
