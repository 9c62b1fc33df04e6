"""What a training shows of itself."""

import re

import pytest
from datasets import load_dataset
from tiny_models import tiny_gpt2
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.reporting.tables import in_time
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.progress import TrainingProgress, evaluation_in_words, losses_in_words
from hf_nextfail.training.trainer import NextFailTrainer

TOKENIZER = numeral_tokenizer(num_nodes=20)
NUMBER = r"\d\.?[\de.-]*"
LOSS = rf"loss {NUMBER} \(bag {NUMBER}, next token {NUMBER}\)"
TIME = r"\d[\w ]* s"
ACCURACY = r"accuracy 0\.\d{3} ± 0\.\d{3}"


class InNotebooks(TrainerCallback):
    """Stands for the table of transformers, whose package needs IPython."""


@pytest.fixture(scope="module")
def splits():
    return load_dataset("nextfail/star_graph", "d2_l3_n20", num_train=100, num_validation=20, num_test=10)


def trainer(folder, splits, several=False, **options):
    options = {"objective": "fsp", "max_steps": 4, "logging_steps": 2, "num_diagnosed": 0} | options
    options |= {"save_strategy": "no", "report_to": "none", "precision": "fp32", "use_cpu": True}
    rows = splits["validation"]
    return NextFailTrainer(
        tiny_gpt2(TOKENIZER),
        NextFailTrainingArguments(str(folder), per_device_train_batch_size=4, **options),
        train_dataset=splits["train"],
        eval_dataset={"a": rows, "b": rows} if several else rows,
        processing_class=TOKENIZER,
    )


def test_an_evaluation_is_one_line(tmp_path, splits, capsys):
    options = {"eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True, "stop_at_accuracy": 1.0}
    training = trainer(tmp_path, splits, **options)
    training.train()
    training.evaluate()  # nobody's training: it returns what it found
    printed = capsys.readouterr()
    first, second, last = printed.out.splitlines()
    assert re.fullmatch(rf"step 0 of 4: validation loss {NUMBER}, {ACCURACY} \({TIME}\)", first)
    assert re.fullmatch(
        rf"step 2 of 4: {LOSS}; validation loss {NUMBER}, {ACCURACY} \({TIME}, at most {TIME} left\)", second
    )
    assert re.fullmatch(rf"step 4 of 4: {LOSS}; validation loss {NUMBER}, {ACCURACY} \({TIME}\)", last)
    assert "Training" not in printed.err and "\r" not in printed.err.replace("\r\n", "\n")


def test_where_nothing_is_evaluated_each_log_is_a_line(tmp_path, splits, capsys):
    trainer(tmp_path, splits).train()
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"step 2 of 4: {LOSS} \({TIME}, {TIME} left\)", first)
    assert re.fullmatch(rf"step 4 of 4: {LOSS} \({TIME}\)", last)


def test_several_datasets_have_a_line_each(tmp_path, splits, capsys):
    trainer(tmp_path, splits, several=True, eval_strategy="epoch", max_steps=25, logging_steps=25).train()
    first, second = capsys.readouterr().out.splitlines()
    assert re.search(rf"{LOSS}; validation a loss {NUMBER}, a {ACCURACY} ", first)
    assert re.search(rf"step 25 of 25: validation b loss {NUMBER}, b {ACCURACY} ", second)


def test_a_terminal_has_a_bar_in_between(tmp_path, splits, capsys):
    training = trainer(tmp_path, splits)
    training.pop_callback(TrainingProgress)
    training.add_callback(TrainingProgress(draws_bar=True))
    training.train()
    printed = capsys.readouterr()
    assert len(re.findall("^step ", printed.out, re.MULTILINE)) == 2
    assert re.search(r"Training: +0%.*0/4", printed.err)


def test_ours_takes_the_place_of_the_stock_ones_but_in_a_notebook(tmp_path, splits, monkeypatch):
    callbacks = trainer(tmp_path, splits).callback_handler.callbacks
    assert [type(callback) for callback in callbacks].count(TrainingProgress) == 1
    assert not any(isinstance(callback, (PrinterCallback, ProgressCallback)) for callback in callbacks)
    monkeypatch.setattr("transformers.trainer.DEFAULT_PROGRESS_CALLBACK", InNotebooks)
    callbacks = trainer(tmp_path, splits, disable_tqdm=False).callback_handler.callbacks
    assert any(isinstance(callback, InNotebooks) for callback in callbacks)
    assert not any(isinstance(callback, TrainingProgress) for callback in callbacks)


def test_numbers_in_words():
    assert losses_in_words({"loss": 0.12345}) == "loss 0.123"
    metrics = {"eval_loss": 0.5, "eval_accuracy": 0.25, "eval_accuracy_standard_error": 0.0158, "eval_runtime": 3.0}
    assert evaluation_in_words(metrics) == "validation loss 0.5, accuracy 0.250 ± 0.016"
    del metrics["eval_loss"]  # of a decoding that scores no tokens
    assert evaluation_in_words(metrics) == "accuracy 0.250 ± 0.016"
    assert [in_time(seconds) for seconds in (0.4, 59.6, 200, 7_500)] == ["0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]
