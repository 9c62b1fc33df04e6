import pytest
import torch
from datasets import Dataset, concatenate_datasets, load_dataset
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from transformers import Trainer, TrainingArguments

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import tokenize_dataset
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_logits
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.collator import CompletionCollator
from hf_nextfail.training.trainer import NextFailTrainer

TOKENIZER = numeral_tokenizer(num_nodes=10)
SIZES = {"num_train": 40, "num_validation": 0, "num_test": 0}

# One for each decoding; what every objective promises stands in objectives/test_objectives_contract.py.
every_objective = pytest.mark.parametrize("objective", ["teacher_forced", "teacherless"])


def star_graphs(config_name, streaming=False):
    return load_dataset("nextfail/star_graph", config_name, split="train", streaming=streaming, **SIZES)


def ragged_rows():
    """Prompts of four lengths and completions of three, in no order of lengths."""
    parts = [star_graphs(name) for name in ("d2_l3_n10", "d2_l2_n10", "d1_l4_n10", "d3_l2_n10")]
    texts = concatenate_datasets([part.select_columns(["prompt", "completion"]) for part in parts])
    return texts.shuffle(seed=0).select(range(48))


def one_completion(completion, count):
    """Prompts that differ and completions that do not: learnt in a few steps."""
    return Dataset.from_list([{"prompt": f"{i}=", "completion": completion} for i in range(count)])


def small_gpt2(attention=None, **overrides):
    return tiny_gpt2(TOKENIZER, attention, **NO_DROPOUT | overrides)


def options(folder, **overrides):
    defaults = {
        "output_dir": str(folder),
        "max_steps": 5,
        "learning_rate": 3e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return defaults | overrides


def trainer_of(folder, dataset=None, model=None, eval_dataset=None, **overrides):
    return NextFailTrainer(
        model or small_gpt2(),
        NextFailTrainingArguments(**options(folder, precision="fp32") | overrides),
        train_dataset=ragged_rows() if dataset is None else dataset,
        eval_dataset=eval_dataset,
        processing_class=TOKENIZER,
    )


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def trained(trainer):
    """Train; return the losses of all steps and the final weights."""
    trainer.train()
    assert len(losses(trainer)) == trainer.args.max_steps
    return torch.tensor(losses(trainer)), trainer.model.state_dict()


def assert_same_training(first, second):
    """Two trainings are one: the same losses at each step, and the same weights, which moved, in the end."""
    torch.testing.assert_close(first[0], second[0], rtol=1e-4, atol=1e-5)
    assert first[0].max() - first[0].min() > 0.01
    untrained = small_gpt2().state_dict()
    for key, weights in first[1].items():
        torch.testing.assert_close(weights, second[1][key], rtol=0.0, atol=1e-4)
        assert (weights - untrained[key]).abs().max() > 1e-3, key


# Equal to the stock Trainer, whatever the arrangement of a batch


@every_objective
@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (4, 2)])
def test_losses_and_weights_are_those_of_the_stock_trainer(tmp_path, objective, batch_size, accumulation):
    batches = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": accumulation}
    stock = Trainer(
        small_gpt2(),
        TrainingArguments(**options(tmp_path, remove_unused_columns=False, **batches)),
        train_dataset=tokenize_dataset(ragged_rows(), TOKENIZER),
        data_collator=CompletionCollator(OBJECTIVES[objective](TOKENIZER)),
    )
    assert_same_training(trained(trainer_of(tmp_path, objective=objective, **batches)), trained(stock))


@every_objective
@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 2), (2, 4)])
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, objective, batch_size, accumulation):
    # Ragged rows: each part of the batch has another number of labels, so that a mean of means would differ.
    whole = trainer_of(tmp_path, objective=objective, per_device_train_batch_size=8)
    parts = trainer_of(
        tmp_path,
        objective=objective,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
    )
    assert_same_training(trained(whole), trained(parts))


@every_objective
def test_eager_attention_is_sdpa(tmp_path, objective):
    eager, sdpa = (
        trainer_of(tmp_path, model=small_gpt2(attention), objective=objective) for attention in ("eager", "sdpa")
    )
    assert_same_training(trained(eager), trained(sdpa))


@every_objective
def test_bf16_trains_nearly_as_fp32(tmp_path, objective):
    (fp32, _), (bf16, weights) = (
        trained(trainer_of(tmp_path, objective=objective, precision=precision)) for precision in ("fp32", "bf16")
    )
    assert not torch.equal(fp32, bf16)
    torch.testing.assert_close(bf16, fp32, rtol=0.02, atol=0.0)
    assert {values.dtype for values in weights.values()} == {torch.float32}


# What it takes


def test_objective_as_an_object_is_the_one_of_that_name(tmp_path):
    by_name = trainer_of(tmp_path, objective="teacherless")
    as_object = NextFailTrainer(
        small_gpt2(),
        TrainingArguments(**options(tmp_path)),
        objective=OBJECTIVES["teacherless"](TOKENIZER),
        train_dataset=ragged_rows(),
        processing_class=TOKENIZER,
    )
    assert as_object.objective.name == "teacherless"
    assert_same_training(trained(by_name), trained(as_object))


def test_objective_as_an_object_wins_over_the_name(tmp_path):
    trainer = NextFailTrainer(
        small_gpt2(),
        NextFailTrainingArguments(**options(tmp_path, objective="teacher_forced")),
        objective=OBJECTIVES["teacherless"](TOKENIZER),
        processing_class=TOKENIZER,
    )
    assert trainer.objective.name == "teacherless"
    assert trainer.data_collator.objective is trainer.objective


def test_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(ValueError, match="needs processing_class, the tokenizer"):
        NextFailTrainer(small_gpt2(), NextFailTrainingArguments(**options(tmp_path)))


def test_missing_objective_is_named(tmp_path):
    with pytest.raises(ValueError, match="pass an objective, or name one in NextFailTrainingArguments"):
        NextFailTrainer(small_gpt2(), TrainingArguments(**options(tmp_path)), processing_class=TOKENIZER)


def test_texts_and_ids_train_the_same(tmp_path):
    texts = trainer_of(tmp_path)
    ids = trainer_of(tmp_path, dataset=tokenize_dataset(ragged_rows(), TOKENIZER).remove_columns("prompt"))
    assert {"prompt_ids", "completion_ids"} <= set(texts.train_dataset.column_names)
    assert_same_training(trained(texts), trained(ids))


@every_objective
def test_streaming_dataset_trains_as_the_same_rows_in_order(tmp_path, objective):
    streaming = trainer_of(tmp_path, dataset=star_graphs("d2_l3_n10", streaming=True), objective=objective)
    in_order = trainer_of(
        tmp_path, dataset=star_graphs("d2_l3_n10"), objective=objective, train_sampling_strategy="sequential"
    )
    assert_same_training(trained(streaming), trained(in_order))


# Evaluation


@every_objective
def test_evaluation_returns_and_logs_what_evaluate_measures(tmp_path, objective):
    rows = concatenate_datasets([one_completion("1,2", 6), one_completion("3,4", 2)])
    trainer = trainer_of(tmp_path, one_completion("1,2", 10), eval_dataset=rows, objective=objective, max_steps=20)
    trainer.train()
    metrics = trainer.evaluate()
    results = evaluate(trainer.model, rows, trainer.objective.decoding, TOKENIZER)
    assert metrics["eval_accuracy"] == results["accuracy"]["value"] == 0.75
    assert metrics["eval_accuracy_standard_error"] == results["accuracy"]["standard_error"] > 0
    assert metrics["eval_loss"] == pytest.approx(results["loss"]["value"], abs=1e-6)
    logged = trainer.state.log_history[-1]
    assert logged["step"] == 20
    assert {name: logged[name] for name in metrics} == metrics


def test_where_no_pass_scores_tokens_there_is_no_loss_of_an_evaluation(tmp_path):
    rows = one_completion("1,2", 6)
    trainer = trainer_of(tmp_path, rows, eval_dataset=rows, objective="insertion", max_steps=2)
    trainer.train()
    assert not any("loss" in name for name in trainer.evaluate())
    assert [point["loss"] for point in trainer.history()] == [None]
    best = {"metric_for_best_model": "loss", "save_strategy": "best", "eval_strategy": "steps"}
    with pytest.raises(ValueError, match="metric_for_best_model must be eval_accuracy, got 'loss'"):
        trainer_of(tmp_path, rows, eval_dataset=rows, objective="insertion", **best)


def test_each_of_several_datasets_is_evaluated_under_its_name(tmp_path):
    right, wrong = one_completion("1,2", 6), one_completion("3,4", 6)
    trainer = trainer_of(
        tmp_path, one_completion("1,2", 10), eval_dataset={"right": right, "wrong": wrong}, max_steps=20
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert (metrics["eval_right_accuracy"], metrics["eval_wrong_accuracy"]) == (1.0, 0.0)
    assert metrics["eval_right_loss"] < metrics["eval_wrong_loss"]
    assert trainer.evaluate({"other": wrong}, metric_key_prefix="test")["test_other_accuracy"] == 0.0
    assert trainer.evaluate(right, metric_key_prefix="test")["test_accuracy"] == 1.0


@pytest.mark.parametrize(("threshold", "steps"), [(0.75, 20), (0.76, 30)])
def test_training_stops_at_the_accuracy_asked_for(tmp_path, threshold, steps):
    trainer = trainer_of(
        tmp_path,
        one_completion("1,2", 10),
        # Accuracy is 3/4 as soon as the one completion of the training rows is learnt.
        eval_dataset=concatenate_datasets([one_completion("1,2", 6), one_completion("3,4", 2)]),
        stop_at_accuracy=threshold,
        eval_strategy="steps",
        eval_steps=20,
        max_steps=30,
    )
    trainer.train()
    assert trainer.state.global_step == steps
    accuracies = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    assert set(accuracies) == {0.75}
    assert len(accuracies) == steps / 10 - 1  # at step 20, and at the end


def test_best_checkpoint_is_the_most_accurate_one(tmp_path):
    trainer = trainer_of(
        tmp_path,
        one_completion("1,2", 10),
        eval_dataset=one_completion("1,2", 6),
        eval_strategy="steps",
        eval_steps=10,
        save_strategy="best",
        metric_for_best_model="accuracy",
        max_steps=20,
    )
    trainer.train()
    assert trainer.state.best_metric == 1.0
    assert (tmp_path / f"checkpoint-{trainer.state.best_global_step}" / "model.safetensors").is_file()


@every_objective
def test_prediction_gives_the_logits_of_whole_rows(tmp_path, objective):
    texts = star_graphs("d2_l3_n10")
    rows = tokenize_dataset(texts, TOKENIZER)
    trainer = trainer_of(tmp_path, rows, objective=objective)
    trainer.train()
    output = trainer.predict(texts)
    batch = trainer.data_collator([rows[i] for i in range(40)])
    with torch.no_grad():
        logits, labels, first = completion_logits(trainer.model, batch)
        loss = mean_loss(trainer.objective, trainer.model, batch)
    assert output.label_ids.tolist() == batch["labels"].tolist()
    predicted = torch.from_numpy(output.predictions)[:, first - 1 : -1]
    torch.testing.assert_close(predicted, logits, rtol=0.0, atol=1e-5)
    assert output.metrics["test_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert labels.shape == (40, 3)


def test_evaluation_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs an eval_dataset"):
        trainer_of(tmp_path).evaluate()


def test_several_datasets_cannot_stop_a_training(tmp_path):
    several = {"one": one_completion("1,2", 6), "other": one_completion("3,4", 6)}
    with pytest.raises(ValueError, match="stop_at_accuracy watches one eval_dataset"):
        trainer_of(tmp_path, eval_dataset=several, stop_at_accuracy=0.9)


def test_what_would_have_no_effect_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"label_smoothing_factor must be 0, got 0\.1"):
        trainer_of(tmp_path, label_smoothing_factor=0.1)
    args = NextFailTrainingArguments(**options(tmp_path))
    for name in ("compute_loss_func", "compute_metrics", "preprocess_logits_for_metrics"):
        with pytest.raises(ValueError, match=f"takes no {name}: "):
            NextFailTrainer(small_gpt2(), args, processing_class=TOKENIZER, **{name: print})


# Saving


@every_objective
def test_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, objective):
    # With dropout, so that the state of the random generators matters, too.
    def trainer():
        model = small_gpt2(resid_pdrop=0.1, embd_pdrop=0.1)
        return trainer_of(
            tmp_path, model=model, objective=objective, save_strategy="steps", save_steps=2, logging_steps=5
        )

    uninterrupted, resumed = trainer(), trainer()
    uninterrupted.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.state.global_step == uninterrupted.state.global_step == 5
    weights, untrained = resumed.model.state_dict(), small_gpt2().state_dict()
    for key, expected in uninterrupted.model.state_dict().items():
        torch.testing.assert_close(weights[key], expected, rtol=0.0, atol=1e-6)
        assert not torch.equal(weights[key], untrained[key])


def test_saved_model_comes_with_its_tokenizer(tmp_path):
    trainer = trainer_of(tmp_path)
    trainer.train()
    trainer.save_model()
    loaded = build_model(type(TOKENIZER).from_pretrained(tmp_path), str(tmp_path))
    for key, weights in trainer.model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], weights)
