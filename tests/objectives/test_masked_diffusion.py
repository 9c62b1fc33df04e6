import math

import pytest
import torch
from families import build
from small_tokenizers import numerals_that_end, split_digits
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import even_rows, other_label, ragged_rows, random_rows, with_completions

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED, Rows
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.models.outputs import Outputs
from hf_nextfail.objectives import MaskedDiffusionObjective, build_objective

TOKENIZER = numeral_tokenizer(num_nodes=10)
DUMMY, PAD = TOKENIZER.dummy_token_id, TOKENIZER.pad_token_id
WEIGHTINGS = ("elbo", "mgdm", "uniform")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def one_row(prompt, completion):
    lengths = torch.tensor([[len(prompt), len(completion)]])
    return Rows(torch.tensor([prompt]), torch.tensor([completion]), lengths)


def many_rows(count=4000, completion=(1, 2, 3, 4)):
    row = one_row([7, 8], list(completion))
    return row.take(torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_loss_is_the_formula_of_the_paper(weighting):
    # Two rows of three and two tokens: levels 1 of 4 and 3 of 4, so that 2/4 and 4/4 of the tokens are masked.
    probabilities = [[0.5, 0.25, 0.2], [0.1, 0.8]]
    masked, level, num_levels = [[True, False, True], [True, True]], [1, 3], 4
    expected = 0.0
    for of_row, which, t in zip(probabilities, masked, level, strict=True):
        losses = [-math.log(p) for p, m in zip(of_row, which, strict=True) if m]
        if weighting == "elbo":
            expected += num_levels / (t + 1) * sum(losses)
        elif weighting == "mgdm":
            focal = [0.25 * (1 - math.exp(-loss)) * loss for loss in losses]
            expected += (num_levels - t) * len(of_row) * sum(focal) / len(focal)
        else:
            expected += sum(losses)

    objective = MaskedDiffusionObjective(TOKENIZER, weighting=weighting, num_levels=num_levels)
    weights = torch.zeros(2, 6)  # two prompt tokens first, and the position that is cut off last
    for row, (which, t) in enumerate(zip(masked, level, strict=True)):
        weight = {"elbo": num_levels / (t + 1), "mgdm": (num_levels - t) * len(which) / sum(which), "uniform": 1.0}
        weights[row, 2 : 2 + len(which)] = torch.tensor(which) * weight[weighting]
    labels = torch.tensor([[0, 0, 0, IGNORED], [0, 0, IGNORED, IGNORED]])
    right = torch.tensor([[*probabilities[0], 0.5], [*probabilities[1], 0.5, 0.5]])
    logits = torch.stack([right, 1 - right], dim=2).log()
    parts = objective.loss(Outputs(logits, labels, first=2), {"weights": weights})
    assert {name: total.item() for name, total in parts.items()} == {"masked": pytest.approx(expected, rel=1e-5)}


def test_what_is_masked_weighs_what_its_level_says():
    rows, num_levels = many_rows(200), 5
    batches = {
        weighting: MaskedDiffusionObjective(TOKENIZER, weighting, num_levels).encode(rows, seeded())
        for weighting in WEIGHTINGS
    }
    shown = batches["elbo"]["input_ids"]
    for row in range(len(rows)):
        masked = [shown[row, place].item() == DUMMY for place in range(2, 6)]
        weights = {name: batch["weights"][row] for name, batch in batches.items()}
        assert all(not w[:2].any() and not w[6:].any() for w in weights.values())
        assert weights["uniform"][2:6].tolist() == [float(m) for m in masked]
        if not any(masked):
            continue
        t = num_levels / weights["elbo"].max().item() - 1  # T_d / (t + 1)
        assert t == pytest.approx(round(t), abs=1e-5)
        assert weights["elbo"][2:6].tolist() == pytest.approx([num_levels / (t + 1) * m for m in masked])
        assert weights["mgdm"][2:6].tolist() == pytest.approx([(num_levels - t) * 4 / sum(masked) * m for m in masked])
        assert t < num_levels - 1 or all(masked)  # the last level is where decoding begins
    assert all(torch.equal(batch["input_ids"], shown) for batch in batches.values())


def test_levels_are_drawn_alike_and_tokens_by_their_rate():
    rows, num_levels = many_rows(), 4
    weights = MaskedDiffusionObjective(TOKENIZER, num_levels=num_levels).encode(rows, seeded())["weights"][:, 2:6]
    for t in range(num_levels):
        rate = (t + 1) / num_levels
        share = torch.isclose(weights, torch.tensor(1 / rate)).float().mean().item()
        assert share == pytest.approx(rate / num_levels, abs=0.02)  # of this level, and masked


def test_labels_are_the_completion_and_a_masked_token_is_predicted_from_all_that_is_shown():
    objective, rows = MaskedDiffusionObjective(TOKENIZER), even_rows(TOKENIZER)
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval()
    batch = objective.encode(rows, seeded(3))
    assert batch["labels"][:, 6:11].tolist() == rows.completion_ids.tolist()
    masked = batch["weights"][:, 6:11] > 0
    assert 0 < masked.sum() < masked.numel()
    before = completion_outputs(model, batch).logits
    for j in range(5):
        after = completion_outputs(
            model, objective.encode(with_completions(rows, other_label(rows.completion_ids, j)), seeded(3))
        ).logits
        changes = (after - before).abs().amax(dim=2)[:, :5]
        for row in range(len(rows)):
            if masked[row, j]:  # nobody sees it, itself included
                assert changes[row].max() < 1e-5
            else:  # everybody does, before it and behind it
                assert changes[row].min() > 1e-4


def test_a_last_token_is_seen_although_nothing_is_predicted_behind_it():
    objective = MaskedDiffusionObjective(TOKENIZER)
    batch = objective.decoding.lay_out(one_row([7], [1, 2]), torch.tensor([[DUMMY, 2]]))
    other = objective.decoding.lay_out(one_row([7], [1, 3]), torch.tensor([[DUMMY, 3]]))
    model = tiny_gpt2(TOKENIZER, initializer_range=0.3, **NO_DROPOUT).eval()
    first, second = (completion_outputs(model, each).logits[0, 0] for each in (batch, other))
    assert (first - second).abs().max() > 1e-3


def test_completions_that_end_go_on_with_end_tokens_to_a_length_of_their_own():
    end = 9
    objective = MaskedDiffusionObjective(numerals_that_end(10, end), num_levels=1)
    completion_ids = torch.tensor([[1, end, PAD, PAD], [1, 2, 3, end]] * 200)
    rows = Rows(torch.full((400, 1), 7), completion_ids, torch.tensor([[1, 2], [1, 4]] * 200))
    batch = objective.encode(rows, seeded())
    lengths = (batch["labels"] != IGNORED).sum(dim=1)
    assert {length: (lengths[::2] == length).sum().item() > 40 for length in (2, 3, 4)} == dict.fromkeys(
        (2, 3, 4), True
    )
    assert set(lengths[1::2].tolist()) == {4}
    for row, length in enumerate(lengths.tolist()):
        assert batch["labels"][row, 1 : 1 + length].tolist() == (
            [1, *[end] * 3][:length] if row % 2 == 0 else [1, 2, 3, end]
        )
        assert batch["weights"][row].tolist() == [0.0, *[1.0] * length, *[0.0] * (5 - length)]
        seen = batch["attention_mask"][row, 0, 0] == 0
        assert seen.tolist() == [True] * (1 + length) + [False] * (5 - length)


def test_completions_without_an_end_go_on_with_masks_from_which_nothing_is_learnt():
    rows = Rows(
        torch.full((200, 1), 7), torch.tensor([[1, PAD, PAD], [1, 2, 3]] * 100), torch.tensor([[1, 1], [1, 3]] * 100)
    )
    batch = MaskedDiffusionObjective(TOKENIZER).encode(rows, seeded())
    assert (batch["labels"][::2, 2:] == IGNORED).all()
    assert not batch["weights"][::2, 2:].any()
    masks = (batch["input_ids"][::2, 2:] == DUMMY).sum(dim=1)
    assert set(masks.tolist()) == {0, 1, 2}
    assert torch.equal((batch["attention_mask"][::2, 0, 0] == 0).sum(dim=1), 2 + masks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "mse"}, "weighting of masked_diffusion must be elbo or mgdm or uniform, got 'mse'"),
        ({"num_levels": 0}, "num_levels must be at least 1, got 0"),
        ({"num_steps": 0}, "num_steps must be at least 1, or null for one step a token, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_objective("masked_diffusion", TOKENIZER, options)


def test_a_weighting_that_there_is_not_is_refused_in_python_too():
    with pytest.raises(ValueError, match="weighting must be elbo, mgdm or uniform, got 'mse'"):
        MaskedDiffusionObjective(TOKENIZER, weighting="mse")


def test_steps_go_into_the_checkpoint():
    objective = build_objective("masked_diffusion", TOKENIZER, {"num_steps": 2})
    settings = objective.decoding.generation_config(max_new_tokens=4)
    assert (settings.decoding, settings.num_steps, settings.dummy_token_id) == ("unmasking", 2, DUMMY)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_families_with_attention_learn(family):
    objective, model, rows = MaskedDiffusionObjective(TOKENIZER), build(family), ragged_rows(TOKENIZER)
    objective.check(model)
    mean_loss(objective, model, objective.encode(rows, seeded())).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_mamba_is_refused_with_the_reason():
    with pytest.raises(
        ValueError, match="every token see the later ones, and MambaForCausalLM takes no attention mask"
    ):
        MaskedDiffusionObjective(TOKENIZER).check(build("mamba"))


def test_a_byte_level_tokenizer_with_ends_learns_to_end(tmp_path):
    split_digits().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    objective = MaskedDiffusionObjective(tokenizer)
    texts = [("1,2=", "1"), ("3,4=", "12,3"), ("5=", "7,25")]
    ids = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in texts]
    examples = [{"prompt_ids": p, "completion_ids": [*c, tokenizer.eos_token_id]} for p, c in ids]
    rows = Rows.of_examples(examples, tokenizer.pad_token_id)
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 32, **NO_DROPOUT}
    model, generator = build_model(tokenizer, model_type="gpt2", config_overrides=sizes), seeded()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        mean_loss(objective, model, objective.encode(rows, generator)).backward()
        optimizer.step()
    written = objective.decoding.write(model.eval(), rows, rows.completion_ids.shape[1])
    assert written.tolist() == rows.completion_ids.masked_fill(~rows.inside, tokenizer.pad_token_id).tolist()


def test_no_row_becomes_longer_than_the_longest():
    rows = random_rows(TOKENIZER, prompt_lengths=[6, 1, 3], completion_lengths=[1, 6, 2])
    for seed in range(20):
        batch = MaskedDiffusionObjective(TOKENIZER).encode(rows, torch.Generator().manual_seed(seed))
        assert batch["input_ids"].shape[1] == rows.longest + 1  # and one that is cut off
