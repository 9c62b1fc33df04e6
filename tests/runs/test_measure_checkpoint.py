import json
import logging
import shutil
from pathlib import Path

import datasets
import pytest
import torch
from datasets import load_dataset
from made_records import old_record
from tiny_models import tiny_gpt2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.paper_file import load_paper_file
from hf_nextfail.data.problem_keys import texts_digest
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.decoding import DECODINGS
from hf_nextfail.errors import UsageError
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.reporting.provenance import weights_digest
from hf_nextfail.reporting.record import Record
from hf_nextfail.runs.command_of_record import repeat
from hf_nextfail.runs.measure_checkpoint import diagnose_checkpoint, evaluate_checkpoint, trained_on
from hf_nextfail.tasks import StarGraph

SIZES = {"n_positions": 28, "initializer_range": 0.5}  # room for the rows of CONFIG, not for those of d4_l3_n10
CONFIG, TASK = "d2_l3_n10_rev", StarGraph(degree=2, path_length=3, num_nodes=10, reverse=True)
NUM_ROWS = 60


def save(folder, objective, **training):
    """A model that was not trained, in the folder of a run on `CONFIG`."""
    tokenizer = numeral_tokenizer(num_nodes=10)
    model = tiny_gpt2(tokenizer, **SIZES)
    model.generation_config = OBJECTIVES[objective](tokenizer).decoding.generation_config(max_new_tokens=3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_record(folder, objective=objective, **training)
    return str(folder)


def write_record(folder, recipe=None, **run):
    """The results.json of a run on `CONFIG`."""
    record = old_record("teacherless") | {"recipe": recipe}
    record["run"] |= {"dataset_config": CONFIG} | run
    Record.from_dict(record).write(folder / "results.json")


@pytest.fixture(scope="module", params=["teacher_forced", "teacherless"])
def ours(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp("ours"), request.param)


@pytest.fixture(scope="module")
def teacherless(tmp_path_factory):
    return save(tmp_path_factory.mktemp("teacherless"), "teacherless")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A plain GPT-2 with a byte-level tokenizer, as others publish theirs: no dummy token, no results."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator([f"{i},{i}|{i}/{i}=" for i in range(50)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    model = tiny_gpt2(tokenizer, initializer_range=0.5)
    folder = tmp_path_factory.mktemp("foreign")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def measured(name_or_path, num_rows=NUM_ROWS, **options):
    return evaluate_checkpoint(name_or_path, num_rows=num_rows, progress=False, **options)


def rows_of(config_name, split="test", num_rows=NUM_ROWS, seed=0):
    sizes = {f"num_{name}": num_rows for name in ("train", "validation", "test")}
    return load_dataset("nextfail/star_graph", config_name, split=split, seed=seed, **sizes)


def expected_results(folder, rows, decoding, task=TASK):
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return evaluate(model, rows, DECODINGS[decoding](tokenizer), tokenizer, task)


def check_message(error, *words):
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# Checkpoints of ours


def test_a_checkpoint_is_measured_as_it_was_trained(ours):
    record = measured(ours)
    objective = trained_on(ours)["objective"]
    assert record.results == expected_results(ours, rows_of(CONFIG), record.run["decoding"])
    assert record.results["loss"]["value"] > 0.1
    assert (record.results["forced_token_accuracy"] is None) == (objective == "teacherless")
    run = record.run
    assert (run["name"], run["model"], run["objective"]) == (ours, ours, objective)
    assert (run["dataset_config"], run["split"], run["dataset_seed"]) == (CONFIG, "test", 0)
    assert (run["title"], run["hard_node"]) == (TASK.title, 1)
    assert run["num_parameters"] == AutoModelForCausalLM.from_pretrained(ours).num_parameters()
    assert record.chance == {"hard_token_accuracy": None}  # a reversed path needs no guess
    assert record.test_file is None
    assert {name for name in run if run[name] is None} == {
        "started_from",
        "sampling",
        "objective_options",
        "num_head_parameters",
        "sources",
        "diagnosis_absent",
        "prompting",
        "seed",
        "steps",
        "epochs",
        "examples",
        "stopped_at_accuracy",
        "num_trainable_parameters",
        "fast_path",
        "device_name",
        "num_processes",
    }
    assert run["weights_sha256"] == weights_digest(Path(ours))
    assert run["rows_sha256"] == texts_digest(rows_of(CONFIG))
    assert record.versions["star_graph"] == StarGraph.version
    json.dumps(record.as_dict(), allow_nan=False)


@pytest.mark.parametrize("other", DECODINGS)
def test_another_decoding_can_be_asked_for(ours, other):
    record = measured(ours, decoding=other)
    assert record.run["decoding"] == other
    assert record.run["objective"] == trained_on(ours)["objective"]
    assert record.results == expected_results(ours, rows_of(CONFIG), other)


def test_batches_do_not_change_what_is_right(ours):
    whole, pieces = measured(ours).results, measured(ours, batch_size=7).results
    assert pieces.pop("loss")["value"] == pytest.approx(whole.pop("loss")["value"], rel=1e-5)
    assert pieces == whole
    assert max(whole["token_accuracy"]["value"]) > 0


@pytest.mark.parametrize(
    ("split", "num_rows", "seed"), [("validation", 30, 0), ("train", 40, 0), ("test", 50, 7), ("validation", 20, 3)]
)
def test_other_rows_can_be_asked_for(teacherless, split, num_rows, seed):
    record = measured(teacherless, num_rows, split=split, dataset_seed=seed)
    rows = rows_of(CONFIG, split, num_rows, seed)
    assert record.results == expected_results(teacherless, rows, "parallel")
    assert record.results["accuracy"]["n"] == num_rows
    assert (record.run["split"], record.run["dataset_seed"]) == (split, seed)


def test_another_configuration_wins_over_that_of_training(teacherless):
    task = StarGraph(degree=3, path_length=3, num_nodes=9)
    record = measured(teacherless, dataset_config="d3_l3_n9")
    assert record.results == expected_results(teacherless, rows_of("d3_l3_n9"), "parallel", task)
    assert (record.run["dataset_config"], record.run["title"]) == ("d3_l3_n9", task.title)
    assert record.chance == {"hard_token_accuracy": pytest.approx(1 / 3)}


def test_a_file_is_measured_beside_the_rows(teacherless, tmp_path):
    path = tmp_path / "graphs.txt"
    rows = rows_of("d2_l3_n10", "train", 25)
    path.write_text("".join(row["prompt"] + row["completion"] + "\n" for row in rows))
    record = measured(teacherless, test_file=str(path))
    file_rows = load_paper_file(path, reverse=True)
    of_the_file = expected_results(teacherless, file_rows, "parallel")
    expected = measured(teacherless).results | {f"test_file_{name}": of_the_file[name] for name in of_the_file}
    assert record.results == expected
    assert file_rows[0]["completion"] == ",".join(map(str, reversed(rows[0]["path"])))
    assert record.test_file == {"path": "graphs.txt", "rows_sha256": texts_digest(file_rows), "seen_share": 1.0}


@pytest.mark.parametrize(
    ("recipe", "run", "share"),
    [
        (None, {}, 0.75),  # 200,000 rows, of which there are few different ones
        ({"num_train": 10}, {}, 0.25),
        ({"num_train": 30}, {"dataset_seed": 5}, 0.0),
        ({"num_train": 30}, {"dataset_config": "d2_l3_n20"}, 0.0),
        (None, {"dataset_config": "d1"}, None),
        (None, {"dataset_name": None}, None),
    ],
)
def test_the_graphs_of_a_file_that_were_trained_on(tmp_path, recipe, run, share):
    folder = save(tmp_path / "mine", "teacherless")
    path = tmp_path / "graphs.txt"
    rows = [*rows_of("d2_l3_n10", "train", 30), *rows_of("d2_l3_n10", "test", 10)]
    path.write_text("".join(row["prompt"] + row["completion"] + "\n" for row in rows))
    write_record(tmp_path / "mine", recipe, **run)
    record = measured(folder, test_file=str(path), dataset_config=CONFIG)
    assert record.test_file["seen_share"] == share


def test_the_number_of_rows_bounds_those_of_the_file(teacherless, tmp_path):
    path = tmp_path / "graphs.txt"
    rows = rows_of("d2_l3_n10", "test", 25)
    path.write_text("".join(row["prompt"] + row["completion"] + "\n" for row in rows))
    record = measured(teacherless, num_rows=7, test_file=str(path))
    assert (record.results["accuracy"]["n"], record.results["test_file_accuracy"]["n"]) == (7, 7)
    assert "--num_rows 7" in repeat(record)[0]
    assert diagnose_checkpoint(teacherless, 7, str(path), progress=False).results["accuracy"]["n"] == 7
    record = measured(teacherless, num_rows=None, split="validation", test_file=str(path))
    assert record.results["test_file_accuracy"]["n"] == 25
    assert "--num_rows 5000" in repeat(record)[0]
    record.results["test_file_accuracy"]["n"] = 5001  # which that number would have cut
    assert "--num_rows" not in repeat(record)[0]


@pytest.mark.parametrize(("num_rows", "said"), [(20_000, "1,951"), (60, None)])
def test_rows_of_a_small_space_are_said_to_repeat(teacherless, caplog, num_rows, said):
    with caplog.at_level(logging.INFO, logger="hf_nextfail"):
        record = measured(teacherless, num_rows, batch_size=5000)
    line = f"{CONFIG}: the 20,000 rows of the test split have only {said} different graphs"
    assert (line in caplog.text) == (said is not None)
    assert ("different graphs" in caplog.text) == (said is not None)
    assert said in (None, f"{record.results['accuracy']['num_graphs']:,}")


def test_the_number_of_rows_has_a_default_for_each_split(teacherless):
    record = measured(teacherless, num_rows=None, split="validation", batch_size=5000)
    assert record.results["accuracy"]["n"] == 5_000


@pytest.mark.parametrize(("num_rows", "n"), [(None, 45), (30, 30), (200, 45)])
def test_of_the_training_rows_those_are_measured_that_were_trained_on(tmp_path, num_rows, n):
    folder = save(tmp_path / "few", "teacherless", dataset_seed=7)
    write_record(tmp_path / "few", {"num_train": 45}, dataset_seed=7)
    record = measured(folder, num_rows, split="train")
    assert record.results == expected_results(folder, rows_of(CONFIG, "train", n, seed=7), "parallel")
    assert record.run["dataset_seed"] == 7
    # Other rows than it was trained on have other numbers and seeds.
    assert measured(folder, 60, split="train", dataset_seed=0).results["accuracy"]["n"] == 60
    other = measured(folder, 60, split="train", dataset_config="d2_l3_n10")
    assert (other.results["accuracy"]["n"], other.run["dataset_seed"]) == (60, 0)


# Checkpoints of others


def test_a_checkpoint_that_is_not_ours_decodes_token_by_token(foreign):
    record = measured(foreign, dataset_config="d2_l3_n20")
    task = StarGraph(degree=2, path_length=3, num_nodes=20)
    expected = expected_results(foreign, rows_of("d2_l3_n20"), "autoregressive", task)
    assert (record.run["objective"], record.run["decoding"]) == (None, "autoregressive")
    assert record.results["accuracy"] == expected["accuracy"]
    assert record.results["loss"]["value"] == pytest.approx(expected["loss"]["value"], rel=1e-4)
    assert record.chance == {"hard_token_accuracy": 0.5}


@pytest.mark.parametrize(
    ("left", "decoding", "words"),
    [
        ("results.json", "parallel", "parallel is assumed, as the run that it came with"),
        ("recipe.yaml", "parallel", "parallel is assumed, as the run that it came with"),
        (None, "autoregressive", "autoregressive is assumed, as checkpoints that are not ours do"),
    ],
)
def test_what_is_assumed_of_a_checkpoint_that_does_not_say_how_it_decodes_is_said(
    tmp_path, caplog, left, decoding, words
):
    save(tmp_path, "teacherless")
    (tmp_path / "generation_config.json").unlink()  # as a hand that copies weights and config leaves it out
    if left != "results.json":
        (tmp_path / "results.json").unlink()
    if left == "recipe.yaml":
        (tmp_path / left).write_text(f"objective: teacherless\ndataset_config: {CONFIG}\n")
    assert measured(str(tmp_path), dataset_config=CONFIG).run["decoding"] == decoding
    assert f"does not say how it decodes: {words}; --decoding or --objective says otherwise." in caplog.text
    caplog.clear()
    assert measured(str(tmp_path), dataset_config=CONFIG, decoding="parallel").run["decoding"] == "parallel"
    assert "is assumed" not in caplog.text


def test_a_checkpoint_that_is_not_ours_is_measured_on_the_tasks_own_default(foreign):
    assert trained_on(foreign) == {}
    assert measured(foreign, num_rows=5).run["dataset_config"] == StarGraph().config_name


def test_a_checkpoint_without_a_dummy_token_gets_one_to_decode_at_once(foreign):
    record = measured(foreign, num_rows=5, dataset_config="d2_l3_n20", decoding="parallel")
    assert record.run["decoding"] == "parallel"
    assert record.results["forced_token_accuracy"] is None


@pytest.mark.parametrize("training", [{"dataset_name": None}, {"dataset_name": None, "dataset_config": None}])
def test_a_checkpoint_trained_on_rows_of_its_user_is_measured_on_what_is_asked(tmp_path, training):
    folder = save(tmp_path / "mine", "teacherless", **training)
    assert measured(folder, dataset_config="d2_l3_n10").run["dataset_config"] == "d2_l3_n10"


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "tset"}, ["split must be train or validation or test or all, got 'tset'", "did you mean 'test'?"]),
        ({"decoding": "paralel"}, [f"decoding must be {' or '.join(DECODINGS)}", "did you mean"]),
        ({"dataset_config": "d2_l3"}, ["unknown config 'd2_l3'"]),
        ({"dataset_config": "d2_l30_n10"}, ["num_nodes must be an integer from 59"]),
        ({"dataset_config": "d2_l3_n50"}, ["tokenizer of 15 tokens cannot express"]),
        ({"dataset_config": "d4_l3_n10"}, ["a row has 30 tokens, but the model has 28 positions"]),
        ({"num_rows": 0}, ["num_rows must be at least 1, got 0"]),
        ({"num_rows": -1}, ["num_rows must be at least 1, got -1"]),
        ({"dataset_seed": -1}, ["seed must be an integer >= 0, got -1"]),
        ({"batch_size": 0}, ["batch_size must be at least 1, got 0"]),
        ({"test_file": "nowhere.txt"}, ["nowhere.txt"]),
    ],
)
def test_bad_input_is_said_in_one_line(teacherless, options, words):
    with pytest.raises(UsageError) as error:
        measured(teacherless, **options)
    check_message(error, *words)


def test_a_bad_file_is_named_with_its_line(teacherless, tmp_path):
    path = tmp_path / "graphs.txt"
    path.write_text("1,2|2,3|1,4|4,5/1,3=1,2,3\n1,2|2,3|1,4|4,5/1,3=1,4,5\n")
    with pytest.raises(UsageError) as error:
        measured(teacherless, test_file=str(path))
    check_message(error, "graphs.txt, line 2")


@pytest.mark.parametrize("measure", [measured, diagnose_checkpoint])
def test_a_file_of_other_graphs_is_named_with_what_it_belongs_to(teacherless, tmp_path, measure):
    path = tmp_path / "graphs.txt"
    path.write_text("1,2|2,3|3,6|1,4|4,5|5,7/1,6=1,2,3,6\n")
    with pytest.raises(UsageError) as error:
        measure(teacherless, test_file=str(path))
    check_message(error, "graphs.txt holds graphs G(2,4), but is measured beside G(2,3)", "such as d2_l4_n10_rev")


def test_a_checkpoint_that_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name, reason in {
        "nobody/nothing": "no tokenizer can be loaded",
        "nothing": "no tokenizer can be loaded",
        "empty": "holds no checkpoint",
    }.items():
        with pytest.raises(UsageError) as error:
            measured(name)
        check_message(error, name, reason)
    with pytest.raises(UsageError) as error:
        measured(str(tmp_path / "nothing"))
    check_message(error, "there is no folder")


def test_damaged_weights_are_said_in_one_line(teacherless, tmp_path):
    shutil.copytree(teacherless, tmp_path / "copy")
    weights = (tmp_path / "copy/model.safetensors").read_bytes()
    (tmp_path / "copy/model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UsageError) as error:
        measured(str(tmp_path / "copy"))
    check_message(error, "cannot be read, the file is damaged")


def test_an_unknown_decoding_of_the_checkpoint_is_said_in_one_line(teacherless, tmp_path):
    shutil.copytree(teacherless, tmp_path / "copy")
    settings = json.loads((tmp_path / "copy/generation_config.json").read_text())
    (tmp_path / "copy/generation_config.json").write_text(json.dumps(settings | {"decoding": "mine"}))
    with pytest.raises(UsageError) as error:
        measured(str(tmp_path / "copy"))
    check_message(error, "generation_config.json", "'mine'")


@pytest.mark.parametrize(
    "results", ['{"accuracy": 1}', "[1]", '{"schema_version": 1, "run": []}', '{"schema_version": 3}']
)
def test_results_that_are_not_ours_say_nothing(tmp_path, results, caplog):
    (tmp_path / "results.json").write_text(results)
    assert trained_on(str(tmp_path)) == {}
    assert "does not say what the checkpoint was trained on" in caplog.text


def test_a_folder_without_weights_is_said_in_one_line(teacherless, tmp_path):
    shutil.copytree(teacherless, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(UsageError) as error:
        measured(str(tmp_path / "copy"))
    check_message(error, "model.safetensors")


def test_pickled_weights_are_not_loaded(teacherless, tmp_path):
    shutil.copytree(teacherless, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    weights = AutoModelForCausalLM.from_pretrained(teacherless).state_dict()
    torch.save(weights, tmp_path / "copy" / "pytorch_model.bin")
    with pytest.raises(UsageError) as error:
        measured(str(tmp_path / "copy"))
    check_message(error, "safetensors")


# What came with a checkpoint


@pytest.mark.parametrize("local", [True, False])
def test_the_training_of_a_checkpoint_stands_in_its_results(hub, tmp_path, local):
    from huggingface_hub import HfApi

    folder = tmp_path / "mine"
    folder.mkdir()
    write_record(folder, dataset_config="d7_l4_n60")
    HfApi().create_repo("nextfail/mine")
    HfApi().upload_folder(repo_id="nextfail/mine", folder_path=folder)
    assert trained_on(str(folder) if local else "nextfail/mine")["dataset_config"] == "d7_l4_n60"


def test_a_checkpoint_on_the_hub_may_come_without_results(hub):
    from huggingface_hub import HfApi

    HfApi().create_repo("nextfail/bare")
    assert trained_on("nextfail/bare") == {}


def test_a_cache_that_cannot_be_written_to_is_blamed_and_not_the_checkpoint(teacherless, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", Path("/proc/nothing/datasets"))
    with pytest.raises(
        UsageError, match=r"^the cache /proc/nothing/datasets cannot be used .*: set HF_HOME to a folder"
    ):
        measured(teacherless, num_rows=7)
