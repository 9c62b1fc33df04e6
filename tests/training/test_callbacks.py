from types import SimpleNamespace

import pytest
from datasets import load_dataset
from tiny_models import tiny_gpt2
from transformers import Trainer, TrainingArguments

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import tokenize_dataset
from hf_nextfail.evaluation.diagnose import diagnose
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.callbacks import DiagnosticsCallback
from hf_nextfail.training.collator import CompletionCollator
from hf_nextfail.training.trainer import NextFailTrainer

SIZES = {"num_train": 200, "num_validation": 60, "num_test": 10}
COLUMNS = ["prompt_ids", "completion_ids"]
TOKENIZER = numeral_tokenizer(num_nodes=20)
STEPS = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True, "use_cpu": True}


@pytest.fixture(scope="module")
def splits():
    return load_dataset("nextfail/star_graph", "d2_l4_n20", **SIZES)


def trainer(folder, splits, objective="teacher_forced", **options):
    options = {"save_strategy": "no", "report_to": "none", "precision": "fp32"} | STEPS | options
    args = NextFailTrainingArguments(folder, objective=objective, **options)
    return NextFailTrainer(
        tiny_gpt2(TOKENIZER),
        args,
        train_dataset=splits["train"],
        eval_dataset=splits["validation"],
        processing_class=TOKENIZER,
    )


@pytest.mark.parametrize("objective", ["teacher_forced", "teacherless"])
def test_every_evaluation_is_diagnosed_and_the_last_is_the_model_as_it_is(tmp_path, splits, objective):
    training = trainer(tmp_path, splits, objective, num_diagnosed=40)
    training.train()
    history = training.history()
    assert [point["step"] for point in history] == [0, 2, 4]
    now = diagnose(training.model, TOKENIZER, splits["validation"].select(range(40)), training.objective.decoding)
    last = history[-1]["diagnosis"]
    assert last.pop("errors") == {kind: result["value"] for kind, result in now["errors"].items()}
    assert last == {name: result["value"] for name, result in now["numbers"].items() if result is not None}
    assert last["hard_token_mass"] != history[0]["diagnosis"]["hard_token_mass"]
    assert ("clever_hans_accuracy" in last) == (objective == "teacher_forced")


def test_a_diagnosis_changes_nothing_of_the_training(tmp_path, splits):
    trainings = []
    for num_rows in (40, 0):
        trainings.append(trainer(tmp_path, splits, num_diagnosed=num_rows))  # which seeds the dropout
        trainings[-1].train()
    diagnosed, plain = trainings
    for name, parameter in plain.model.named_parameters():
        assert parameter.equal(diagnosed.model.get_parameter(name)), name
    assert all("diagnosis" not in point for point in plain.history())


def test_rows_of_another_task_are_not_diagnosed(tmp_path, splits):
    rows = splits["validation"].select_columns(["prompt", "completion"])
    training = trainer(tmp_path, {"train": splits["train"], "validation": rows})
    training.train()
    assert [set(point) for point in training.history()] == [{"step", "accuracy", "loss"}] * 3


def test_a_resumed_run_keeps_what_was_diagnosed_before(tmp_path, splits):
    options = {"num_diagnosed": 20, "save_strategy": "steps", "save_steps": 2}
    first = trainer(tmp_path, splits, **options)
    first.train()
    again = trainer(tmp_path, splits, **options)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert [point["step"] for point in again.history()] == [0, 2, 4]
    assert again.history() == first.history()


def test_a_stock_trainer_can_be_diagnosed(tmp_path, splits):
    objective = OBJECTIVES["teacherless"](TOKENIZER)
    rows = splits["validation"].select(range(30))
    training = Trainer(
        tiny_gpt2(TOKENIZER),
        TrainingArguments(tmp_path, remove_unused_columns=False, save_strategy="no", report_to="none", **STEPS),
        data_collator=CompletionCollator(objective),
        train_dataset=tokenize_dataset(splits["train"], TOKENIZER),
        eval_dataset=tokenize_dataset(rows, TOKENIZER),
        processing_class=TOKENIZER,
    )
    training.add_callback(DiagnosticsCallback(training, rows, objective.decoding))
    training.train()
    diagnosed = [entry for entry in training.state.log_history if "diagnosis" in entry]
    assert [entry["step"] for entry in diagnosed] == [0, 2, 4]
    assert "forced_token_accuracy" not in diagnosed[-1]["diagnosis"]


def test_rows_that_are_no_star_graphs_are_refused_at_once(splits):
    with pytest.raises(ValueError, match="no column edges"):
        DiagnosticsCallback(None, splits["validation"].remove_columns("edges"))


class RowByRow(CompletionCollator):
    """Takes rows, so that the Trainer reads them out of the dataset."""

    def __call__(self, examples):
        assert isinstance(examples, list)
        return super().__call__(examples)


def test_training_on_tensors_is_training_on_rows(tmp_path, splits, monkeypatch):
    fast = trainer(tmp_path, splits, num_diagnosed=0)
    assert isinstance(next(iter(fast.get_train_dataloader())), dict)
    assert fast.train_dataset.column_names[-2:] == ["prompt_ids", "completion_ids"]  # the user's own, as it was
    fast = trainer(tmp_path, splits, num_diagnosed=0)
    fast.train()
    plain = trainer(tmp_path, splits, num_diagnosed=0)

    def one_by_one(rows, pad):
        rows = rows.select_columns(COLUMNS)
        rows.shortest_prompt = 1
        return rows

    of_rows = SimpleNamespace(of_ids=one_by_one, bytes_of=lambda rows: 0)
    monkeypatch.setattr("hf_nextfail.training.trainer.RowStore", of_rows)
    plain.data_collator = RowByRow(plain.objective)
    plain.train()
    for name, parameter in plain.model.named_parameters():
        assert parameter.equal(fast.model.get_parameter(name)), name
