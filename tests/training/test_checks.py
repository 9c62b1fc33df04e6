"""What a trainer is given is checked when it is built, and what it will build is tried."""

import pytest
from datasets import Dataset, IterableDataset
from small_tokenizers import byte_level_tokenizer
from tiny_models import NO_DROPOUT, tiny_gpt2
from transformers import TrainingArguments

from hf_nextfail import (
    NextFailTrainer,
    TeacherForcedObjective,
    TeacherlessObjective,
    load_tokenizer,
    numeral_tokenizer,
)
from hf_nextfail.models import build_model
from hf_nextfail.objectives import HybridObjective

TOKENIZER = numeral_tokenizer(num_nodes=10)
ROWS = Dataset.from_list([{"prompt": f"{i % 10},{i // 10}=", "completion": f"{i % 7}"} for i in range(40)])
STREAM = IterableDataset.from_generator(lambda: iter(ROWS))


def trainer_of(folder, objective=TeacherForcedObjective, model=None, tokenizer=TOKENIZER, rows=ROWS, **given):
    options = given.pop("options", {})
    return NextFailTrainer(
        model or tiny_gpt2(tokenizer, **NO_DROPOUT),
        TrainingArguments(str(folder / "out"), use_cpu=True, max_steps=2, disable_tqdm=True, **options),
        objective=objective(tokenizer),
        train_dataset=rows,
        processing_class=tokenizer,
        **given,
    )


LONG = Dataset.from_list([{"prompt": "1=" * 40, "completion": "2"}])
EMPTY = ROWS.select([])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rows": EMPTY}, "a dataset has no rows"),
        ({"rows": LONG}, "a row has 81 tokens, but the model has 64 positions"),
        ({"rows": Dataset.from_list([{"prompt": ",", "completion": "2"}])}, "has no tokens: leave such rows out"),
        ({"rows": Dataset.from_dict({"prompt_ids": [[]], "completion_ids": [[1]]})}, "an empty prompt or completion"),
        ({"rows": ROWS.remove_columns("completion")}, "has no column completion, only prompt"),
        ({"rows": ROWS.to_list()}, "rows must be a Dataset or an IterableDataset"),
        ({"rows": {"train": ROWS}}, "got a dictionary of train: load one split"),
        ({"rows": IterableDataset.from_generator(lambda: iter(()))}, "the dataset has no rows and no columns"),
        ({"eval_dataset": STREAM}, "eval must be a map-style Dataset, got a stream"),
        ({"eval_dataset": {"one": ROWS, "two": STREAM}}, "eval_two must be a map-style Dataset"),
        ({"eval_dataset": EMPTY}, "a dataset has no rows"),
        ({"eval_dataset": LONG}, "a row has 81 tokens"),
        (
            {"options": {"metric_for_best_model": "eval_acc"}},
            r"must be eval_accuracy or eval_loss, got 'eval_acc' \(did",
        ),
        (
            {"eval_dataset": {"one": ROWS}, "options": {"metric_for_best_model": "accuracy"}},
            "must be eval_one_accuracy or eval_one_loss, got 'accuracy'",
        ),
        ({"options": {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1.0}}}, "lr_end"),
        (
            {"options": {"lr_scheduler_kwargs": {"min_lr": 1e-5}}},
            "the schedule linear has no min_lr; it has no options",
        ),
        ({"options": {"optim": "lomo"}}, "optim lomo, optim_args None: ImportError"),
        ({"options": {"optim_args": "rank=3"}}, "this optimizer does not look at them: leave optim_args out"),
        ({"options": {"torch_compile": True, "torch_compile_mode": "fast"}}, "Unrecognized mode=fast"),
        ({"options": {"torch_compile": True, "torch_compile_backend": "gcc"}}, "torch_compile_backend gcc"),
    ],
)
def test_what_would_end_a_training_later_is_said_when_the_trainer_is_built(tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        trainer_of(tmp_path, **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("objective", "refused"), [(TeacherForcedObjective, False), (TeacherlessObjective, True), (HybridObjective, True)]
)
def test_a_missing_row_of_the_embedding_is_said_where_it_is_needed(tmp_path, objective, refused):
    # Reported in public of models whose embeddings were not resized: "index out of range in self".
    folder = tmp_path / "published"
    published = byte_level_tokenizer(eos_token="<|end|>")
    tiny_gpt2(published, **NO_DROPOUT).save_pretrained(folder)
    published.save_pretrained(folder)
    tokenizer = load_tokenizer(str(folder))  # with a dummy token
    model = build_model(published, str(folder))
    if not refused:
        trainer_of(tmp_path, objective, model, tokenizer).train()
        return
    with pytest.raises(ValueError, match=r"but the model has \d+ embeddings: model.resize_token_embeddings\(len"):
        trainer_of(tmp_path, objective, model, tokenizer)
    model.resize_token_embeddings(len(tokenizer))
    trainer_of(tmp_path, objective, model, tokenizer).train()


@pytest.mark.parametrize("strategy", ["group_by_length", "batch_rebalance"])
def test_rows_of_like_lengths_stand_in_one_batch(tmp_path, strategy):
    # Reported in public: the stock sampler looks for `input_ids`, which prompts and completions do not have.
    ragged = Dataset.from_list([{"prompt": "1," * (1 + i % 8) + "=", "completion": "2"} for i in range(64)])
    options = {"train_sampling_strategy": strategy, "per_device_train_batch_size": 8}
    trainer, usual = trainer_of(tmp_path, rows=ragged, options=options), trainer_of(tmp_path, rows=ragged)
    grouped, random = (list(of.get_train_dataloader()) for of in (trainer, usual))
    assert sum(len(batch["labels"]) for batch in grouped) == 64
    if strategy == "group_by_length":  # which pads less
        assert sum(batch["labels"].numel() for batch in grouped) < sum(batch["labels"].numel() for batch in random)
    trainer.train()


def test_rows_too_wide_for_memory_are_padded_batch_by_batch(tmp_path, monkeypatch):
    wide, usual = trainer_of(tmp_path), trainer_of(tmp_path)
    monkeypatch.setattr("hf_nextfail.data.room.SHARE", 0.0)
    wide.train()
    monkeypatch.undo()
    usual.train()
    assert wide.state.log_history[-1]["train_loss"] == usual.state.log_history[-1]["train_loss"]
