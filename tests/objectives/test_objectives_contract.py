"""What every objective of `OBJECTIVES` promises, on a GPT-2. A new objective needs no new test here."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from small_tokenizers import with_special_tokens
from tiny_models import NO_DROPOUT, learning, mean_loss, tiny_gpt2
from tiny_rows import even_rows, other_label, ragged_rows, with_completions, with_prompts
from transformers import AutoModelForCausalLM, AutoTokenizer

import hf_nextfail.objectives
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED
from hf_nextfail.decoding import DECODINGS
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.trainer import NextFailTrainer

TOKENIZER = with_special_tokens(numeral_tokenizer(num_nodes=10))
TOLERANCE = {"rtol": 0.0, "atol": 1e-5}  # of logits between about -10 and 10

#: What they draw depends on the batch, of which half of one is another.
STOCHASTIC = {"target_masking", "trelawney", "mutor", "masked_diffusion", "insertion"}
#: They write later tokens before earlier ones, on purpose.
LOOKING_AHEAD = {"trelawney", "masked_diffusion", "insertion"}

every_objective = pytest.mark.parametrize("name", OBJECTIVES)
every_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])


def gpt2(attention=None):
    # Weights far from 0: the logits depend on the input as much as those of a trained model.
    return tiny_gpt2(TOKENIZER, attention, initializer_range=0.3, **NO_DROPOUT)


def encode(name, rows):
    """A batch, the same one for the same rows, of a stochastic objective, too."""
    return OBJECTIVES[name](TOKENIZER).encode(rows, torch.Generator().manual_seed(0))


def logits_of(model, batch):
    names = ("input_ids", "attention_mask", "position_ids")
    return model(**{name: batch[name] for name in names if name in batch}).logits


def examples_of(rows):
    return [
        {"prompt_ids": prompt[:p].tolist(), "completion_ids": completion[:c].tolist()}
        for prompt, completion, (p, c) in zip(rows.prompt_ids, rows.completion_ids, rows.lengths.tolist(), strict=True)
    ]


def trainer_of(folder, name, **options):
    options = {"max_steps": 4, "learning_rate": 1e-2, "save_strategy": "no", "logging_steps": 1} | options
    args = NextFailTrainingArguments(
        str(folder), objective=name, precision="fp32", disable_tqdm=True, use_cpu=True, **options
    )
    rows = Dataset.from_list(examples_of(ragged_rows(TOKENIZER)) * 4)
    return NextFailTrainer(gpt2(), args, train_dataset=rows, processing_class=TOKENIZER)


def weights_of(trainer):
    """The weights of the model and of what is trained beside it, by name."""
    heads = {} if trainer.heads is None else trainer.heads.heads.state_dict()
    return trainer.model.state_dict() | {f"heads.{name}": weight for name, weight in heads.items()}


# The table


def test_every_module_of_the_folder_is_registered():
    folder = Path(hf_nextfail.objectives.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "horizon", "options"}
    assert modules <= {objective.__module__.rpartition(".")[2] for objective in OBJECTIVES.values()}


@every_objective
def test_objective_knows_the_name_it_is_registered_under(name):
    assert OBJECTIVES[name].name == name
    assert OBJECTIVES[name].__module__.endswith(f".{name}")


@every_objective
def test_its_checkpoints_say_a_decoding_that_there_is(name):
    decoding = OBJECTIVES[name](TOKENIZER).decoding
    assert type(decoding) is DECODINGS[decoding.name]


@every_objective
def test_its_docstring_has_the_four_headings(name):
    for heading in ("*Adds parameters*:", "*Needs*:", "*Decodes*:", "*Relations*:", "Reference:"):
        assert heading in OBJECTIVES[name].__doc__


@every_objective
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_its_weights_and_rates_are_numbers(name, value):
    for option in (option.name for option in dataclasses.fields(OBJECTIVES[name]) if option.type is float):
        with pytest.raises(ValueError, match=rf"{option} .*must be .*got {value}"):
            OBJECTIVES[name](TOKENIZER, **{option: value})


# What a model sees


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in LOOKING_AHEAD])
@every_attention
@torch.no_grad()
def test_no_token_is_predicted_from_itself_or_later_ones(name, attention):
    model, rows = gpt2(attention).eval(), even_rows(TOKENIZER)
    prompt = rows.prompt_ids.shape[1]
    before = logits_of(model, encode(name, rows))
    for j in range(rows.completion_ids.shape[1]):
        changed = with_completions(rows, other_label(rows.completion_ids, j))
        after = logits_of(model, encode(name, changed))
        torch.testing.assert_close(after[:, : prompt + j], before[:, : prompt + j], **TOLERANCE)


@every_objective
@every_attention
@torch.no_grad()
def test_every_token_is_predicted_from_the_whole_prompt(name, attention):
    model, rows = gpt2(attention).eval(), even_rows(TOKENIZER)
    prompt = rows.prompt_ids.shape[1]
    before = logits_of(model, encode(name, rows))
    for j in range(prompt):
        after = logits_of(model, encode(name, with_prompts(rows, other_label(rows.prompt_ids, j))))
        predicting = slice(prompt - 1, -1)
        assert ((after - before)[:, predicting].abs().amax(dim=2) > 1e-3).all()


# Training


@every_objective
@pytest.mark.parametrize("earlier", [0, 1])
@torch.no_grad()
def test_loss_is_the_same_from_any_position_before_the_labels(name, earlier):
    model, objective = gpt2().eval(), OBJECTIVES[name](TOKENIZER)
    batch = encode(name, ragged_rows(TOKENIZER))
    first = int((batch["labels"] != IGNORED).any(dim=0).int().argmax())
    with learning(objective, model) as heads:
        of_earlier, usual = (mean_loss(objective, model, batch, at, heads) for at in (first - earlier, None))
    torch.testing.assert_close(of_earlier, usual)


@every_objective
@torch.no_grad()
def test_the_losses_of_two_halves_add_up(name):
    objective, model = OBJECTIVES[name](TOKENIZER), gpt2().eval()
    batch = encode(name, even_rows(TOKENIZER))
    with learning(objective, model) as heads:

        def parts_of(rows):
            some = {key: value[rows] for key, value in batch.items()}
            return objective.loss(completion_outputs(model, some, heads=heads), some)

        whole, first, second = (parts_of(rows) for rows in (slice(None), slice(0, 1), slice(1, None)))
    for part, value in whole.items():
        torch.testing.assert_close(first[part] + second[part], value, rtol=1e-4, atol=1e-4)


@every_objective
def test_one_batch_can_be_overfitted(name):
    objective, rows = OBJECTIVES[name](TOKENIZER), ragged_rows(TOKENIZER)
    model, generator = tiny_gpt2(TOKENIZER, n_embd=32, initializer_range=0.3, **NO_DROPOUT), torch.Generator()
    batch = rows.take(torch.arange(4).repeat(16 if name in STOCHASTIC else 1))  # to draw more at each step
    with learning(objective, model) as heads:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        begun = mean_loss(objective, model, objective.encode(batch, generator), heads=heads)
        for _ in range(80):
            optimizer.zero_grad()
            mean_loss(objective, model, objective.encode(batch, generator), heads=heads).backward()
            optimizer.step()
        assert mean_loss(objective, model, objective.encode(batch, generator), heads=heads) < begun / 2
    written = objective.decoding.write(model.eval(), rows, rows.completion_ids.shape[1])
    assert torch.equal(written[rows.inside], rows.completion_ids[rows.inside])


# Through the trainer


@every_objective
def test_every_parameter_moves_in_two_steps(name, tmp_path):
    # Layers before one that begins at zero move in the second.
    trainer = trainer_of(tmp_path, name, max_steps=2, per_device_train_batch_size=4)
    before = {key: weight.detach().clone() for key, weight in weights_of(trainer).items()}
    trainer.train()
    assert [key for key, weight in weights_of(trainer).items() if torch.equal(weight, before[key])] == []


@every_objective
def test_a_resumed_run_ends_bit_for_bit_as_the_uninterrupted_one(name, tmp_path):
    options = {"per_device_train_batch_size": 8, "save_strategy": "steps", "save_steps": 2}
    whole, resumed = (trainer_of(tmp_path / folder, name, **options) for folder in ("whole", "resumed"))
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-2"))
    for key, weight in weights_of(whole).items():
        assert torch.equal(weights_of(resumed)[key], weight), key


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in STOCHASTIC])
def test_accumulated_batches_are_one(name, tmp_path):
    whole = trainer_of(tmp_path / "whole", name, per_device_train_batch_size=8, max_steps=2)
    parts = trainer_of(
        tmp_path / "parts", name, per_device_train_batch_size=2, gradient_accumulation_steps=4, max_steps=2
    )
    whole.train()
    parts.train()
    of_whole, of_parts = ([entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (whole, parts))
    assert of_parts == pytest.approx(of_whole, abs=1e-4)


@every_objective
def test_what_is_saved_is_the_plain_model_and_measured_as_the_trainer_measures_it(name, tmp_path):
    trainer = trainer_of(tmp_path, name)
    trainer.train()
    trainer.save_model()
    model, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    rows = Dataset.from_list(examples_of(ragged_rows(TOKENIZER)))
    measured = trainer.evaluate(rows)
    again = evaluate(model, rows, None, AutoTokenizer.from_pretrained(tmp_path))
    assert again["accuracy"]["value"] == measured["eval_accuracy"]
    if trainer.objective.decoding.scores_tokens:
        assert again["loss"]["value"] == pytest.approx(measured["eval_loss"], abs=1e-5)
    else:
        assert again["loss"] is None
        assert "eval_loss" not in measured
