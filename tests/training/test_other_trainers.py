"""Our parts under the Trainers of others."""

import pytest
from datasets import load_dataset
from tiny_models import NO_DROPOUT, tiny_gpt2
from transformers import Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from hf_nextfail import (
    CompletionCollator,
    NextFailTrainer,
    TeacherForcedObjective,
    TeacherlessObjective,
    numeral_tokenizer,
    tokenize_dataset,
)

OPTIONS = {"max_steps": 5, "per_device_train_batch_size": 8, "logging_steps": 1, "report_to": [], "use_cpu": True}
OPTIONS |= {"learning_rate": 1e-2, "save_strategy": "no", "disable_tqdm": True, "seed": 0, "bf16": False}


@pytest.fixture
def rows():
    return load_dataset("nextfail/star_graph", "d2_l3_n20", split="train", num_train=64, num_validation=0, num_test=0)


@pytest.fixture
def tokenizer():
    return numeral_tokenizer(num_nodes=20)


def gpt2(tokenizer):
    return tiny_gpt2(tokenizer, **NO_DROPOUT)


def losses(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def our_losses(rows, tokenizer, objective, folder):
    arguments = TrainingArguments(str(folder / "ours"), **OPTIONS)
    return losses(
        NextFailTrainer(
            gpt2(tokenizer), arguments, objective=objective, train_dataset=rows, processing_class=tokenizer
        )
    )


@pytest.mark.parametrize("objective", [TeacherForcedObjective, TeacherlessObjective])
def test_a_stock_trainer_with_our_collator_and_dataset_trains_the_same(rows, tokenizer, tmp_path, objective):
    objective = objective(tokenizer)
    stock = Trainer(
        gpt2(tokenizer),
        TrainingArguments(str(tmp_path / "stock"), remove_unused_columns=False, **OPTIONS),
        data_collator=CompletionCollator(objective),
        train_dataset=tokenize_dataset(rows, tokenizer),
        processing_class=tokenizer,
    )
    assert losses(stock) == pytest.approx(our_losses(rows, tokenizer, objective, tmp_path), abs=1e-4)


@pytest.mark.parametrize("objective", [TeacherForcedObjective, TeacherlessObjective])
def test_the_sft_trainer_of_trl_with_our_collator_trains_the_same(rows, tokenizer, tmp_path, objective):
    objective = objective(tokenizer)
    arguments = SFTConfig(
        str(tmp_path / "sft"), remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True}, **OPTIONS
    )
    sft = SFTTrainer(
        gpt2(tokenizer),
        arguments,
        data_collator=CompletionCollator(objective),
        train_dataset=tokenize_dataset(rows, tokenizer),
        processing_class=tokenizer,
    )
    assert losses(sft) == pytest.approx(our_losses(rows, tokenizer, objective, tmp_path), abs=1e-3)


def test_the_sft_trainer_takes_our_dataset_as_it_is(rows, tokenizer, tmp_path):
    arguments = SFTConfig(str(tmp_path / "sft"), **OPTIONS)
    sft = SFTTrainer(
        gpt2(tokenizer),
        arguments,
        train_dataset=rows.select_columns(["prompt", "completion"]),
        processing_class=tokenizer,
    )
    first, *_, last = losses(sft)
    assert last < first
