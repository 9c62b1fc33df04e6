"""What every objective of `OBJECTIVES` promises. A new objective needs no new test here."""

from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset

import hf_nextfail.objectives
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import IGNORED, at_completion, completion_logits
from hf_nextfail.objectives import OBJECTIVES
from hf_nextfail.training.arguments import NextFailTrainingArguments
from hf_nextfail.training.trainer import NextFailTrainer

RECIPES = Path(__file__).parents[2] / "recipes"
TOKENIZER = numeral_tokenizer(num_nodes=10)
PAD = TOKENIZER.pad_token_id
TOLERANCE = {"rtol": 0.0, "atol": 1e-5}  # of logits between about -10 and 10

every_objective = pytest.mark.parametrize("name", OBJECTIVES)
every_attention = pytest.mark.parametrize("attention", ["eager", "sdpa"])


def small_gpt2(attention=None, width=16):
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": width, "n_positions": 16}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    # Weights far from 0: the logits depend on the input as much as those of a trained model.
    overrides = sizes | dropout | {"initializer_range": 0.3}
    return build_model(TOKENIZER, model_type="gpt2", config_overrides=overrides, attn_implementation=attention)


def random_rows(prompt_lengths, completion_lengths):
    torch.manual_seed(1)
    lengths = torch.tensor([prompt_lengths, completion_lengths]).T

    def padded(lengths):
        width = int(lengths.max())
        ids = torch.randint(10, (len(lengths), width))
        return ids.masked_fill(torch.arange(width) >= lengths[:, None], PAD)

    return padded(lengths[:, 0]), padded(lengths[:, 1]), lengths


def ragged_rows():
    return random_rows(prompt_lengths=[6, 2, 4, 3], completion_lengths=[3, 5, 1, 3])


# The table


def test_every_module_of_the_folder_is_registered():
    folder = Path(hf_nextfail.objectives.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert {objective.__module__.rpartition(".")[2] for objective in OBJECTIVES.values()} == modules


@every_objective
def test_objective_knows_the_name_it_is_registered_under(name):
    assert OBJECTIVES[name].name == name
    assert OBJECTIVES[name].__module__.endswith(f".{name}")


@every_objective
def test_a_recipe_trains_with_it(name):
    recipes = [yaml.safe_load(path.read_text()) for path in RECIPES.glob("star_graph/*/*.yaml")]
    assert name in [recipe["objective"] for recipe in recipes]


@every_objective
def test_tokenizer_without_a_padding_token_is_refused(name):
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="the tokenizer has no padding token"):
        OBJECTIVES[name](tokenizer)


# What a model sees


@every_objective
@every_attention
@torch.no_grad()
def test_no_token_is_predicted_from_itself_or_later_ones(name, attention):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2(attention).eval()
    prompts, completions, lengths = random_rows(prompt_lengths=[6] * 4, completion_lengths=[5] * 4)
    logits, labels, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
    assert torch.equal(labels, completions)
    for j in range(5):
        changed = completions.clone()
        changed[:, j] = (changed[:, j] + 1) % 10
        after, labels, _ = completion_logits(model, objective.encode(prompts, changed, lengths))
        assert torch.equal(labels, changed)
        torch.testing.assert_close(after[:, : j + 1], logits[:, : j + 1], **TOLERANCE)
        if objective.teacher_forced and j < 4:  # and later ones are
            assert ((after - logits)[:, j + 1].abs().amax(dim=1) > 0.1).all()


@every_attention
@torch.no_grad()
def test_teacherless_predicts_nothing_from_the_completion(attention):
    objective, model = OBJECTIVES["teacherless"](TOKENIZER), small_gpt2(attention).eval()
    prompts, completions, lengths = ragged_rows()
    logits, _, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
    after, _, _ = completion_logits(model, objective.encode(prompts, (completions + 1) % 10, lengths))
    torch.testing.assert_close(after, logits, rtol=0.0, atol=0.0)


@every_objective
@every_attention
@torch.no_grad()
def test_every_token_is_predicted_from_the_whole_prompt(name, attention):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2(attention).eval()
    prompts, completions, lengths = random_rows(prompt_lengths=[6] * 4, completion_lengths=[5] * 4)
    logits, _, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
    for j in range(6):
        changed = prompts.clone()
        changed[:, j] = (changed[:, j] + 1) % 10
        after, _, _ = completion_logits(model, objective.encode(changed, completions, lengths))
        assert ((after - logits).abs().amax(dim=2) > 1e-3).all()


@every_objective
@every_attention
@torch.no_grad()
def test_longer_rows_beside_it_do_not_change_a_row(name, attention):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2(attention).eval()
    prompts, completions, lengths = ragged_rows()
    together, labels, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
    for row, (prompt_length, completion_length) in enumerate(lengths.tolist()):
        alone = objective.encode(
            prompts[[row], :prompt_length], completions[[row], :completion_length], lengths[[row]]
        )
        logits, _, _ = completion_logits(model, alone)
        assert logits.shape[1] == completion_length
        torch.testing.assert_close(together[row, labels[row] != IGNORED], logits[0], **TOLERANCE)


@every_objective
@torch.no_grad()
def test_completion_logits_are_those_of_the_whole_model(name):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2().eval()
    batch = objective.encode(*ragged_rows())
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    logits, labels, first = completion_logits(model, batch)
    assert first == 2  # the shortest prompt
    assert torch.equal(labels, batch["labels"][:, 2:])
    predicted = labels != IGNORED
    assert predicted.sum() == 12
    torch.testing.assert_close(logits[predicted], whole[:, 1:-1][predicted], **TOLERANCE)


@every_objective
@torch.no_grad()
def test_head_is_applied_to_completion_positions_only(name):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2().eval()
    positions = []
    model.lm_head.register_forward_hook(lambda head, inputs, logits: positions.append(logits.shape[1]))
    _, labels, _ = completion_logits(model, objective.encode(*ragged_rows()))
    assert positions == [labels.shape[1]] == [7]  # from the shortest prompt to the end of the longest row


@every_objective
@torch.no_grad()
def test_values_move_to_the_completion_positions_that_they_are_about(name):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2().eval()
    prompts, completions, lengths = ragged_rows()
    batch = objective.encode(prompts, completions, lengths)
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(dim=-1)
    logits, _, first = completion_logits(model, batch)
    tokens = at_completion(logits.argmax(dim=-1), first, lengths)
    assert tokens.shape == completions.shape
    for row, (prompt_length, completion_length) in enumerate(lengths.tolist()):
        expected = whole[row, prompt_length - 1 : prompt_length - 1 + completion_length]
        assert torch.equal(tokens[row, :completion_length], expected)


# Training


@every_objective
def test_one_batch_can_be_overfitted(name):
    objective, model = OBJECTIVES[name](TOKENIZER), small_gpt2(width=32)
    prompts, completions, lengths = ragged_rows()
    batch = objective.encode(prompts, completions, lengths)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    assert objective.loss(model, batch) > 1.0
    for _ in range(60):
        optimizer.zero_grad()
        objective.loss(model, batch).backward()
        optimizer.step()
    assert objective.loss(model, batch) < 0.05
    written = objective.decode(model.eval(), prompts, lengths[:, 0], completions.shape[1])
    inside = completions != PAD
    assert torch.equal(written[inside], completions[inside])


@every_objective
def test_every_parameter_moves_in_one_step(name, tmp_path):
    model = small_gpt2()
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    prompts, completions, lengths = ragged_rows()
    rows = [
        {"prompt_ids": prompt[:p].tolist(), "completion_ids": completion[:c].tolist()}
        for prompt, completion, (p, c) in zip(prompts, completions, lengths.tolist(), strict=True)
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
    NextFailTrainer(model, args, train_dataset=Dataset.from_list(rows), processing_class=TOKENIZER).train()
    unmoved = [key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])]
    assert not unmoved
    assert len(before) == 28


@every_objective
def test_saved_and_loaded_model_decodes_the_same(name, tmp_path):
    model = small_gpt2().eval()
    prompts, _, lengths = ragged_rows()
    written = OBJECTIVES[name](TOKENIZER).decode(model, prompts, lengths[:, 0], completion_length=6)
    assert len(set(map(tuple, written.tolist()))) == 4
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    tokenizer = type(TOKENIZER).from_pretrained(tmp_path)
    loaded = build_model(tokenizer, str(tmp_path)).eval()
    assert torch.equal(OBJECTIVES[name](tokenizer).decode(loaded, prompts, lengths[:, 0], 6), written)


@every_objective
@pytest.mark.parametrize("first", [1, 2])
def test_loss_is_the_same_from_any_position_before_the_labels(name, first):
    model, objective = small_gpt2().eval(), OBJECTIVES[name](TOKENIZER)
    batch = objective.encode(*ragged_rows())
    assert int((batch["labels"] != IGNORED).any(dim=0).int().argmax()) == 2
    torch.testing.assert_close(objective.loss(model, batch, first=first), objective.loss(model, batch))
