"""The record of a run: what is read, upgraded, refused and written."""

import copy
import functools
import io
import json
import re
from pathlib import Path

import pytest
from made_records import RECORDS, diagnosed_record, old_record
from rich.console import Console

from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.hub.cards import eval_results, model_card
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.reporting.page import page_text
from hf_nextfail.reporting.record import Record, find_results
from hf_nextfail.reporting.schema import RUN
from hf_nextfail.reporting.tables import results_table
from hf_nextfail.runs.command_of_record import repeat_all
from hf_nextfail.runs.rerun import computed, differences
from hf_nextfail.tasks import StarGraph

SHIPPED = shipped_folder("hub_cards") / "results"
FILES = sorted([*SHIPPED.rglob("*.json"), *RECORDS.rglob("*.json")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_record_that_ships_can_be_read_and_shown(path):
    before = json.loads(path.read_text())
    record = Record.read(path)
    written = record.as_dict()
    assert next(iter(written.items())) == ("schema_version", 2)
    assert Record.from_dict(written) == record
    assert Record.from_dict(json.loads(record.as_json())).as_dict() == written
    assert list(record.run) == list(RUN)
    trained = OBJECTIVES.get(record.run["objective"])
    assert (
        trained is not None or record.run["prompting"] is not None
    )  # only those that are asked were trained elsewhere
    assert record.run["decoding"] == ("autoregressive" if trained is None else trained.decoding_class.name)
    assert record.run["split"] == "test"
    for part in ("results", "chance", "recipe", "versions", "timings"):
        assert written[part] == before[part]  # nothing that was recorded is lost
    assert (before["test_file"] or {}).items() <= (written["test_file"] or {}).items()
    assert before["run"].items() <= record.run.items()
    assert "Run them again" in page_text([record], [], *repeat_all([record]))
    assert (record.run["objective"] or "choice_accuracy") in model_card(record, "nextfail/x")
    assert len(eval_results(record)) == 1
    Console(file=io.StringIO()).print(results_table([record]))


@pytest.mark.parametrize(
    "path",
    [SHIPPED / "g2_5_small/reversed.json", RECORDS / "memorize.json"],
    ids=["diagnosed", "older than diagnoses"],
)
def test_a_record_of_version_1_equals_itself_made_by_this_version(path):
    before, after = Record.read(path), Record.from_dict(Record.read(path).as_dict())
    assert differences(computed(before), computed(after)) == []
    assert set(computed(before)) >= {"results", "history", "test_file", "steps", "examples"}


def test_a_diagnosis_is_compared_where_there_is_one():
    before, after = (Record.from_dict(diagnosed_record("teacherless")) for _ in range(2))
    after.diagnosis["numbers"]["valid_path_rate"]["value"] = 0.123
    after.history[0]["diagnosis"]["valid_path_rate"] = 0.5
    after.run["weights_sha256"] = "0" * 64
    names = [name for name, _, _ in differences(computed(before), computed(after))]
    assert names == ["diagnosis.numbers.valid_path_rate.value", "history[0].diagnosis.valid_path_rate"]
    before.run["weights_sha256"] = "1" * 64
    assert differences(computed(before), computed(after))[0][0] == "weights_sha256"
    lost = Record.from_dict(after.as_dict() | {"diagnosis": None})
    assert "diagnosis" in [name for name, _, _ in differences(computed(after), computed(lost))]


@pytest.mark.parametrize(
    ("objective", "decoding"),
    [("teacher_forced", "autoregressive"), ("teacherless", "parallel"), ("of_another_package", "autoregressive")],
)
def test_version_1_said_by_the_objective_how_a_model_decodes(objective, decoding):
    old = diagnosed_record("teacher_forced")
    old["run"]["objective"] = old["diagnosis"]["task"]["objective"] = objective
    record = Record.from_dict(old)
    assert (record.run["objective"], record.run["decoding"]) == (objective, decoding)
    assert record.diagnosis["task"]["decoding"] == decoding
    assert "objective" not in record.diagnosis["task"]


def test_what_an_old_record_does_not_say_is_none():
    old = old_record("reversed")
    for name in ("num_threads", "split", "dataset_seed"):
        old["run"].pop(name, None)
    del old["timings"]
    run = Record.from_dict(old).run
    assert run["split"] == "test"
    for name in ("num_threads", "device_name", "num_processes", "fast_path", "weights_sha256", "dataset_seed"):
        assert run[name] is None
    assert set(Record.from_dict(old).timings.values()) == {None}


def test_reading_does_not_change_what_is_read():
    old = diagnosed_record("teacherless")
    before = copy.deepcopy(old)
    record = Record.from_dict(old)
    record.run["name"], record.diagnosis["task"]["degree"] = "other", 7
    record.as_dict()["run"]["name"] = "a third"
    assert old == before
    assert record.run["name"] == "other"


def test_a_record_is_built_whole():
    record = Record.build(StarGraph(), {"name": "a", "model": "gpt2"}, {}, history=[{"step": 1, "accuracy": 0.5}])
    assert set(record.run) == set(RUN)
    assert (record.run["title"], record.run["hard_node"]) == (StarGraph().title, StarGraph().hard_part)
    assert record.chance == StarGraph().chance
    assert record.history == [{"step": 1, "accuracy": 0.5, "loss": None, "diagnosis": None}]
    assert record.versions["star_graph"] == StarGraph.version
    own = Record.build(None, {"dataset_name": "me/sums"}, {})
    assert (own.run["title"], own.run["hard_node"], own.chance["hard_token_accuracy"]) == ("sums", None, None)


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    record, path = Record.from_dict(old_record("reversed")), tmp_path / "results.json"
    record.write(path)
    assert Record.read(path) == record
    before = path.read_text()
    record.run["name"] = object()
    with pytest.raises(TypeError):
        record.write(path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


DAMAGES = [
    (("run", "name"), 7, "run.name must be text, got 7"),
    (("run", "title"), None, "run.title must be text, got None"),
    (("run", "steps"), "many", "run.steps must be a whole number or null, got 'many'"),
    (("run", "seed"), True, "run.seed must be a whole number or null, got True"),
    (("run", "num_parameters"), None, "run.num_parameters must be a whole number"),
    (("run", "dataset_name"), "nextfail/mazes", "there is no dataset nextfail/mazes, only nextfail/star_graph"),
    (("run", "dataset_config"), None, "run.dataset_config must be text"),
    (("results", "accuracy"), None, "results.accuracy must be an object, got None"),
    (("results", "accuracy", "value"), "high", "results.accuracy.value must be a number, got 'high'"),
    (("results", "accuracy", "value"), [0.5], "results.accuracy.value must be a number, got [0.5]"),
    (("results", "accuracy", "n"), None, "results.accuracy.n must be a whole number"),
    (("results", "token_accuracy", "value"), 0.5, "results.token_accuracy.value must be a list, got 0.5"),
    (("results", "token_accuracy", "value"), ["x"], "results.token_accuracy.value must be a number, got 'x'"),
    (("chance",), 0.5, "chance must be an object, got 0.5"),
    (("chance", "hard_token_accuracy"), "half", "chance.hard_token_accuracy must be a number or null"),
    (("history",), 3, "history must be a list, got 3"),
    (("history", 0), "x", "history[0] must be an object, got 'x'"),
    (("history", 0, "accuracy"), None, "history[0].accuracy must be a number"),
    (("history", 0, "diagnosis", "token_accuracy"), [1.0], "must have one length everywhere"),
    (("versions",), None, "versions must be an object, got None"),
    (("versions", "metrics"), None, "versions.metrics must be text"),
    (("timings", "train_seconds"), "long", "timings.train_seconds must be a number or null"),
    (("recipe",), "x", "recipe must be an object or null, got 'x'"),
    (("recipe", "test_file"), 1, "recipe.test_file must be text, got 1"),
    (("test_file",), "x", "test_file must be an object or null, got 'x'"),
    (("test_file",), {}, "test_file.path must be text, got None"),
    (
        ("test_file",),
        {"path": "f.txt", "seen_share": "all"},
        "test_file.seen_share must be a number or null, got 'all'",
    ),
    (("test_file",), {"path": "f.txt", "train_share": "x"}, "test_file.train_share must be a number or null, got 'x'"),
    (("diagnosis",), [], "diagnosis must be an object, got []"),
    (("diagnosis", "numbers"), [], "diagnosis.numbers must be an object, got []"),
    (("diagnosis", "numbers", "accuracy"), None, "diagnosis.numbers.accuracy must be an object"),
    (("diagnosis", "numbers", "valid_path_rate"), {"value": 1}, "standard_error must be a number or a list"),
    (("diagnosis", "verdict"), None, "diagnosis.verdict must be text"),
    (("diagnosis", "errors", "jump"), {"value": 1}, "diagnosis.errors.jump.standard_error must be a number"),
    (("diagnosis", "examples"), {"jump": [{}]}, "diagnosis.examples.jump[0].prompt must be text"),
    (("diagnosis", "absent"), [1], "diagnosis.absent must be an object, got [1]"),
    (("diagnosis", "task", "reverse"), "no", "diagnosis.task.reverse must be true or false"),
    (("run", "num_parameters"), 2**63, "run.num_parameters must lie within 64 bits, got 9223372036854775808"),
    (("run", "steps"), -(10**400), "run.steps must lie within 64 bits, got -1000000"),
    (("recipe", "seed"), 10**400, "recipe.seed must lie within 64 bits"),
    (("results", "accuracy", "value"), float("nan"), "results.accuracy.value must lie within 64 bits, got nan"),
    (("results", "token_accuracy", "value", 0), 1e308, "results.token_accuracy.value[0] must lie within 64 bits"),
    (("history", 0, "loss"), float("inf"), "history[0].loss must lie within 64 bits, got inf"),
    (("run", "num_threads"), 0, "run.num_threads must be from 1 to 65,536, got 0"),
    (("run", "num_processes"), 2**40, "run.num_processes must be from 1 to 65,536, got 1099511627776"),
    (("run", "fast_path"), ["gelu", {}], "run.fast_path[1] must be text, got {}"),
    (("run", "sampling"), {"num_samples": 1, "--seed": 1}, "run.sampling.temperature must be a number, got None"),
    (("run", "name"), "a\0b", r"run.name must hold no control characters, got 'a\x00b'"),
    (("run", "title"), "\x1b[2J", r"run.title must hold no control characters, got '\x1b[2J'"),
    (("recipe", "run_name"), "\ud800", r"recipe.run_name must hold no control characters, got '\ud800'"),
    (("recipe", "a\x9bb"), 1, r"each key of recipe must hold no control characters, got 'a\x9bb'"),
    (("results", "\ud800"), None, r"each key of results must hold no control characters, got '\ud800'"),
    (("diagnosis", "examples"), {"\x1b": []}, "each key of diagnosis.examples must hold no control characters"),
    (("diagnosis", "drawing", "written"), ["\ud800"], "diagnosis.drawing.written[0] must hold no control characters"),
    (
        ("recipe", "seed=1 --objective"),
        [],
        "an option of recipe must be an identifier, got 'seed=1",
    ),
    (("versions", "hf_nextfail"), "1" * 5000, "versions.hf_nextfail must be at most 200 characters"),
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("places", "value", "words"), DAMAGES, ids=[words for _, _, words in DAMAGES])
def test_a_damaged_record_is_refused_in_one_line(tmp_path, places, value, words, version):
    data = diagnosed_record("teacher_forced")
    if version == 2:
        data = Record.from_dict(data).as_dict()
    *outer, last = places
    functools.reduce(lambda inside, key: inside[key], outer, data)[last] = value
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError) as error:
        Record.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_version_2_must_say_how_the_model_decodes():
    data = Record.from_dict(old_record("teacherless")).as_dict()
    del data["run"]["decoding"]
    with pytest.raises(ValueError, match=r"run\.decoding must be text, got None"):
        Record.from_dict(data)


def test_what_a_model_wrote_may_hold_any_character_and_is_shown_without():
    record = diagnosed_record("teacher_forced")
    record["diagnosis"]["examples"]["wrong arm"][0]["written"] = "17\x1b[2J\0"
    record["diagnosis"]["drawing"]["written"] = ["17", "\x1b"]
    record = Record.from_dict(record)
    assert record.diagnosis["examples"]["wrong arm"][0]["written"] == "17\x1b[2J\0"
    page = page_text([record], [], *repeat_all([record]))
    assert "it wrote `17\ufffd[2J\ufffd`" in page
    assert not re.search("[\0\x1b]", page)


def test_a_recipe_may_hold_what_a_configuration_needs():
    record = diagnosed_record("teacher_forced")
    record["recipe"]["config_overrides"] = {"time_step_limit": [0.0, float("inf")], "note": "two\n\tlines"}
    assert Record.from_dict(record).recipe == record["recipe"]


@pytest.mark.parametrize("version", [0, 3, "1", True, None, [1], 10**400])
def test_another_version_is_refused(version):
    with pytest.raises(ValueError, match="schema_version must be 1 or 2, got"):
        Record.from_dict(old_record("teacherless") | {"schema_version": version})


def test_what_is_nested_too_deeply_is_refused(tmp_path):
    path: Path = tmp_path / "results.json"
    for depth in (51, 900, 100_000):
        path.write_text(json.dumps(old_record("reversed"))[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(UsageError, match=r"cannot be read as JSON|nested too deeply"):
            Record.read(path)


def test_a_folder_is_no_record_whatever_it_is_called(tmp_path):
    (tmp_path / "a.json").mkdir()
    (tmp_path / "b.json").write_text(json.dumps(Record.from_dict(old_record("reversed")).as_dict()))
    assert find_results([tmp_path]) == [tmp_path / "b.json"]
