import pytest
import torch
from transformers import TrainingArguments

from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import EVALUATED_TOGETHER, NextFailTrainingArguments
from hf_nextfail.training.hardware import fast_bf16

without_accelerator = pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")


def test_defaults():
    args = NextFailTrainingArguments()
    assert isinstance(args, TrainingArguments)
    assert args.output_dir == "runs"
    assert (args.objective, args.stop_at_accuracy, args.precision) == ("teacher_forced", None, "auto")
    assert args.per_device_eval_batch_size == EVALUATED_TOGETHER["cpu" if args.use_cpu else "accelerator"]


def test_options_of_transformers_pass_through():
    args = NextFailTrainingArguments(output_dir="elsewhere", max_steps=7, learning_rate=0.5)
    assert (args.output_dir, args.max_steps, args.learning_rate) == ("elsewhere", 7, 0.5)


@without_accelerator
def test_runs_on_the_cpu_where_there_is_nothing_else():
    args = NextFailTrainingArguments(precision="bf16")  # which transformers refuses on a CPU that was not asked for
    assert args.use_cpu
    assert args.device.type == "cpu"


@pytest.mark.parametrize(("precision", "bf16"), [("bf16", True), ("fp32", False), ("auto", fast_bf16())])
def test_precision(precision, bf16):
    args = NextFailTrainingArguments(precision=precision)
    assert (args.bf16, args.fp16) == (bf16, False)


@without_accelerator
def test_auto_precision_asks_what_the_cpu_has_instructions_for():
    capabilities = torch.cpu.get_capabilities()
    assert fast_bf16() == any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def test_bf16_of_transformers_has_the_last_word():
    assert NextFailTrainingArguments(precision="fp32", bf16=True).bf16


def test_fp16_of_transformers_has_the_last_word():
    args = NextFailTrainingArguments(precision="auto", fp16=True)
    assert (args.fp16, args.bf16) == (True, False)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_known_objectives(objective):
    assert NextFailTrainingArguments(objective=objective).objective == objective


def test_unknown_objective_is_named_beside_the_known_ones():
    known = f"{', '.join(OBJECTIVES)}, or FILE.py:Class or package.module:Class"
    with pytest.raises(ValueError, match=f"objective must be {known}, got 'teacher-forced'"):
        NextFailTrainingArguments(objective="teacher-forced")


def test_unknown_precision_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match="precision must be one of auto, bf16, fp32, got 'fp8'"):
        NextFailTrainingArguments(precision="fp8")


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("stop_at_accuracy", 0.0, "above 0 and at most 1"),
        ("stop_at_accuracy", -0.5, "above 0 and at most 1"),
        ("stop_at_accuracy", 99.5, "above 0 and at most 1"),
        ("stop_at_accuracy", float("nan"), "above 0 and at most 1"),
        ("per_device_train_batch_size", 0, "above 0"),
        ("per_device_train_batch_size", -3, "above 0"),
        ("per_device_eval_batch_size", 0, "above 0"),
        ("gradient_accumulation_steps", 0, "above 0"),
        ("num_train_epochs", 0, "above 0"),
        ("num_train_epochs", float("nan"), "above 0"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", -1e-3, "above 0"),
        ("max_steps", 0, "at least 1"),
        ("max_steps", -2, "at least 1"),
    ],
)
def test_value_out_of_range_is_named_with_the_range(field, value, allowed):
    with pytest.raises(ValueError, match=f"{field} must be {allowed}.*got {value}"):
        NextFailTrainingArguments(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("stop_at_accuracy", 1.0), ("stop_at_accuracy", 1e-6), ("max_steps", 1), ("max_steps", -1)]
)
def test_ends_of_a_range_are_allowed(field, value):
    assert getattr(NextFailTrainingArguments(**{field: value}), field) == value


@pytest.mark.parametrize(("strategy", "said"), [("no", True), ("epoch", False)])
def test_without_evaluations_nothing_stops_at_an_accuracy(strategy, said, caplog):
    with caplog.at_level("WARNING", logger="hf_nextfail"):
        NextFailTrainingArguments(stop_at_accuracy=0.9, eval_strategy=strategy)
    assert ("stop_at_accuracy has no effect" in caplog.text) == said
