"""What every objective of `OBJECTIVES` promises, on a GPT-2. A new objective needs no new test here."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import even_rows, other_label, ragged_rows, with_completions, with_prompts

import hf_nextfail.objectives
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED
from hf_nextfail.decoding import DECODINGS
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.trainer import NextFailTrainer

TOKENIZER = numeral_tokenizer(num_nodes=10)
TOLERANCE = {"rtol": 0.0, "atol": 1e-5}  # of logits between about -10 and 10

every_objective = pytest.mark.parametrize("name", OBJECTIVES)
every_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])


def gpt2(attention=None):
    # Weights far from 0: the logits depend on the input as much as those of a trained model.
    return tiny_gpt2(TOKENIZER, attention, initializer_range=0.3, **NO_DROPOUT)


def encode(name, rows):
    """A batch, the same one for the same rows, of a stochastic objective, too."""
    return OBJECTIVES[name](TOKENIZER).encode(rows, torch.Generator().manual_seed(0))


def logits_of(model, batch):
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


# The table


def test_every_module_of_the_folder_is_registered():
    folder = Path(hf_nextfail.objectives.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "options"}
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


# What a model sees


@every_objective
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
    torch.testing.assert_close(mean_loss(objective, model, batch, first - earlier), mean_loss(objective, model, batch))


@every_objective
def test_one_batch_can_be_overfitted(name):
    objective, rows = OBJECTIVES[name](TOKENIZER), ragged_rows(TOKENIZER)
    model, generator = tiny_gpt2(TOKENIZER, n_embd=32, initializer_range=0.3, **NO_DROPOUT), torch.Generator()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    assert mean_loss(objective, model, objective.encode(rows, generator)) > 1.0
    for _ in range(60):
        optimizer.zero_grad()
        mean_loss(objective, model, objective.encode(rows, generator)).backward()
        optimizer.step()
    assert mean_loss(objective, model, objective.encode(rows, generator)) < 0.05
    written = objective.decoding.write(model.eval(), rows, rows.completion_ids.shape[1])
    assert torch.equal(written[rows.inside], rows.completion_ids[rows.inside])


@every_objective
def test_every_parameter_moves_in_one_step(name, tmp_path):
    model, rows = gpt2(), ragged_rows(TOKENIZER)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    examples = [
        {"prompt_ids": prompt[:p].tolist(), "completion_ids": completion[:c].tolist()}
        for prompt, completion, (p, c) in zip(rows.prompt_ids, rows.completion_ids, rows.lengths.tolist(), strict=True)
    ]
    args = NextFailTrainingArguments(
        output_dir=str(tmp_path),
        objective=name,
        precision="fp32",
        max_steps=1,
        learning_rate=1e-2,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    NextFailTrainer(model, args, train_dataset=Dataset.from_list(examples), processing_class=TOKENIZER).train()
    assert [key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])] == []
