import json
import logging
import threading
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import ModelCard
from loopback_hub.server import Fault
from tiny_models import tiny_gpt2
from transformers import TrainerCallback, TrainingArguments

import hf_nextfail.hub.push
from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, TeacherForcedObjective, TeacherlessObjective
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.errors import HubError

REPO = "nextfail/trained"
PUSHED = {".gitattributes", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
PUSHED |= {"chat_template.jinja", "tokenizer_config.json"}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0, 0))


def trainer(folder, objective=TeacherlessObjective, arguments=NextFailTrainingArguments, **options):
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20", num_train=64, num_validation=16, num_test=0)
    tokenizer = numeral_tokenizer(num_nodes=20)
    defaults = {"max_steps": 4, "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "disable_tqdm": True}
    defaults |= {"push_to_hub": True, "hub_model_id": REPO, "report_to": [], "use_cpu": True}
    return NextFailTrainer(
        tiny_gpt2(tokenizer),
        arguments(str(folder / "run"), **(defaults | options)),
        objective=objective(tokenizer),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("arguments", [NextFailTrainingArguments, TrainingArguments])
def test_saves_are_pushed_while_training_goes_on_and_the_end_with_a_card(hub, tmp_path, arguments):
    training = trainer(tmp_path, arguments=arguments, hub_always_push=True)
    training.train()
    assert hub.commits("model", REPO) == [
        "Training in progress, step 4",
        "Training in progress, step 2",
        "initial commit",
    ]
    assert hub.files("model", REPO).keys() == PUSHED | {"custom_generate/generate.py"}
    commit = training.push_to_hub()
    files = hub.files("model", REPO)
    assert commit.oid == hub.head("model", REPO)
    assert files.keys() == PUSHED | {"custom_generate/generate.py", "README.md"}
    assert hub.commits("model", REPO)[0] == "End of training"
    assert training.failed_pushes == []
    assert (tmp_path / "run/training_args.bin").is_file()
    assert not list((tmp_path / "run").glob("_push-*"))
    for path, data in files.items():
        assert b"hf_test" not in data, path
        assert str(tmp_path).encode() not in data, path


def test_the_card_of_a_trainer_alone_says_what_it_knows(hub, tmp_path):
    training = trainer(tmp_path, objective=TeacherForcedObjective)
    training.train()
    training.push_to_hub()
    card = ModelCard(hub.files("model", REPO)["README.md"].decode())
    assert "teacher_forced" in card.data.tags
    assert card.data.base_model is None
    assert f"nextfail evaluate {REPO}" in card.text
    assert "This checkpoint came without results" in card.text
    assert f"Seed 42, {training.describe()['precision']} on `cpu`, 4 steps" in card.text


def test_the_end_is_pushed_alone_when_asked_to(hub, tmp_path):
    training = trainer(tmp_path, hub_strategy="end")
    training.train()
    assert hub.commits("model", REPO) == ["initial commit"]
    training.push_to_hub(commit_message="Done")
    assert hub.commits("model", REPO) == ["Done", "initial commit"]


def test_save_model_pushes_as_in_transformers(hub, tmp_path):
    trainer(tmp_path, hub_strategy="end").save_model()
    assert hub.files("model", REPO).keys() == PUSHED | {"custom_generate/generate.py", "README.md"}


def test_a_push_without_push_to_hub_creates_the_repository(hub, tmp_path):
    trainer(tmp_path, push_to_hub=False, hub_private_repo=True).push_to_hub()
    assert "model.safetensors" in hub.files("model", REPO)
    with pytest.raises(HubError, match="may not write"):
        trainer(tmp_path, push_to_hub=False).push_to_hub(token="hf_other")


@pytest.mark.parametrize("strategy", ["checkpoint", "all_checkpoints"])
def test_pickled_states_are_not_pushed(hub, tmp_path, strategy):
    with pytest.raises(ValueError, match="hub_strategy must be end or every_save"):
        trainer(tmp_path, hub_strategy=strategy)
    assert hub.head("model", REPO) is None


@pytest.mark.parametrize(("token", "words"), [("hf_read", "may only read"), ("hf_other", "may not write to nextfail")])
def test_a_token_that_may_not_push_is_refused_before_training(hub, tmp_path, token, words):
    with pytest.raises(HubError, match=words):
        trainer(tmp_path, hub_token=token)
    assert hub.head("model", REPO) is None


def test_a_push_that_fails_in_the_background_is_reported_and_training_goes_on(hub, tmp_path, caplog):
    training = trainer(tmp_path, hub_always_push=True)
    hub.faults = [Fault("POST", "/commit/", times=3, status=503)]
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        training.train()
    assert training.state.global_step == 4
    assert hub.commits("model", REPO) == ["Training in progress, step 4", "initial commit"]
    [failure] = training.failed_pushes
    assert failure.startswith(f"the push to {REPO} did not come through")
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"A push failed while training goes on: {failure}"
    ]
    assert "hf_test" not in caplog.text


def test_a_hub_that_does_not_answer_does_not_hold_up_training(hub, tmp_path):
    answer = threading.Event()
    training = trainer(tmp_path, max_steps=8, save_total_limit=1)
    hub.faults = [Fault("POST", "/commit/", call=lambda: answer.wait(60))]
    steps_while_waiting = []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps_while_waiting.append(state.global_step)
            if state.global_step == 8:
                answer.set()

    training.add_callback(Watch())
    training.train()
    assert steps_while_waiting == list(range(1, 9))
    # Saves in between were not pushed, since a push was still going on, whose checkpoint was deleted meanwhile.
    assert hub.commits("model", REPO)[-2:] == ["Training in progress, step 2", "initial commit"]
    assert not (tmp_path / "run/checkpoint-2").exists()
    assert training.failed_pushes == []


def test_what_a_killed_run_had_staged_is_cleared_away(hub, tmp_path):
    (tmp_path / "run/_push-abc").mkdir(parents=True)
    trainer(tmp_path)
    assert not (tmp_path / "run/_push-abc").exists()


def test_a_push_that_need_not_be_waited_for(hub, tmp_path):
    push = trainer(tmp_path, hub_strategy="end").push_to_hub(blocking=False)
    assert push.result().oid == hub.head("model", REPO)


def test_the_end_raises_when_it_cannot_be_pushed(hub, tmp_path):
    training = trainer(tmp_path, hub_strategy="end")
    hub.faults = [Fault("POST", "/commit/", times=100, status=503)]
    with pytest.raises(HubError, match="did not come through"):
        training.push_to_hub()


def test_a_finished_run_has_the_card_of_its_results(hub, tmp_path):
    training = trainer(tmp_path, hub_strategy="end")
    record = json.loads((Path(__file__).parents[1] / "records/memorize.json").read_text())
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run/results.json").write_text(json.dumps(record))
    training.push_to_hub()
    card = (tmp_path / "run/README.md").read_text()
    assert f"**{record['results']['accuracy']['value']:.5f}**" in card
    assert hub.files("model", REPO)["README.md"].decode() == card
