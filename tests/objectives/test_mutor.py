import pytest
import torch
from families import TOKENIZER, build
from small_tokenizers import split_digits
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tiny_rows import even_rows, ragged_rows, random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED, Rows
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.objectives import MutorObjective, TeacherForcedObjective

DUMMY = TOKENIZER.dummy_token_id


def parts_of(model, objective, rows, seed=0):
    batch = objective.encode(rows, torch.Generator().manual_seed(seed))
    return {name: total.item() for name, total in objective.loss(completion_outputs(model, batch), batch).items()}


def loss_of_registers(model, prompt, completion, d):
    """The mean loss of a row's registers, each written behind the tokens that it sees, with no mask at all."""
    losses = []
    for t in range(len(completion) - d + 1):
        ids = [*prompt, *completion[:t], DUMMY]
        positions = [*range(len(prompt) + t), len(prompt) + t + d - 2]
        logits = model(torch.tensor([ids]), position_ids=torch.tensor([positions])).logits[0, -1]
        losses.append(-logits.log_softmax(0)[completion[t + d - 1]].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
@torch.no_grad()
def test_loss_of_registers_is_that_of_rows_that_end_with_one(family, attention):
    model, rows = build(family, attention).eval(), ragged_rows(TOKENIZER)
    objective = MutorObjective(TOKENIZER, d_max=2, weight=0.3)
    expected = 0
    for prompt, completion, (p, c) in zip(rows.prompt_ids, rows.completion_ids, rows.lengths.tolist(), strict=True):
        if c > 1:  # of a completion of one token, the register has no target
            expected += c * loss_of_registers(model, prompt[:p].tolist(), completion[:c].tolist(), d=2)
    assert parts_of(model, objective, rows)["register"] == pytest.approx(0.3 * expected, rel=1e-5)


@torch.no_grad()
def test_each_row_draws_one_offset_up_to_d_max_and_its_length():
    model, objective = build("gpt2").eval(), MutorObjective(TOKENIZER, d_max=4)
    prompt, completion = [7, 8, 9], [1, 2, 3, 4, 5, 6]
    for length, offsets in ((6, {2, 3, 4}), (3, {2, 3}), (2, {2})):
        row = Rows(torch.tensor([prompt]), torch.tensor([completion[:length]]), torch.tensor([[3, length]]))
        expected = {d: length * loss_of_registers(model, prompt, completion[:length], d) / 2 for d in offsets}
        drawn = set()
        for seed in range(20):
            loss = parts_of(model, objective, row, seed)["register"]
            drawn |= {d for d in offsets if loss == pytest.approx(expected[d], rel=1e-5)}
        assert drawn == offsets
    rows = random_rows(TOKENIZER, prompt_lengths=[3] * 50, completion_lengths=[6] * 50)
    positions = objective.encode(rows, torch.Generator().manual_seed(0))["position_ids"][:, 3]
    assert positions.unique().tolist() == [3, 4, 5]  # of the first registers: rows of one batch differ


@torch.no_grad()
def test_ordinary_tokens_learn_what_they_learn_without_registers():
    model, rows = build("gpt2").eval(), ragged_rows(TOKENIZER)
    plain = parts_of(model, TeacherForcedObjective(TOKENIZER), rows)["next_token"]
    among_registers = parts_of(model, MutorObjective(TOKENIZER, weight=0.3), rows)["next_token"]
    assert among_registers == pytest.approx(0.7 * plain, rel=1e-5)


def test_labels_that_are_counted_are_those_of_ordinary_tokens():
    rows = ragged_rows(TOKENIZER)
    labels = MutorObjective(TOKENIZER).encode(rows)["labels"]
    for row, (p, c) in enumerate(rows.lengths.tolist()):
        assert labels[row, p : p + 2 * c : 2].tolist() == rows.completion_ids[row, :c].tolist()
    assert (labels != IGNORED).sum() == rows.lengths[:, 1].sum()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"d_max": 1}, "d_max of mutor must be at least 2, got 1"),
        ({"weight": 0.0}, "weight of mutor must be above 0 and below 1, got 0.0"),
        ({"weight": 1.0}, "weight of mutor must be above 0 and below 1, got 1.0"),
    ],
)
def test_options_out_of_their_ranges_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        MutorObjective(TOKENIZER, **options)


def test_tokenizer_without_a_dummy_token_is_refused():
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.dummy_token = None
    with pytest.raises(ValueError, match="the tokenizer has no dummy token"):
        MutorObjective(tokenizer)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "mistral", "opt", "mixtral"])
def test_families_of_attention_layers_are_allowed(family, attention):
    model = build(family, attention)
    MutorObjective(TOKENIZER).check(model)
    assert model.training


# Without attention; attention and others; positions from the order of tokens, by ALiBi and by a table.
@pytest.mark.parametrize("family", ["mamba", "rwkv", "jamba", "lfm2", "bloom", "mpt", "bart"])
def test_other_families_are_refused_with_the_reason(family):
    model = build(family)
    with pytest.raises(ValueError, match=f"mutor hides registers .* {family} does not heed both: it has layers") as no:
        MutorObjective(TOKENIZER).check(model)
    assert "\n" not in str(no.value)
    assert model.training


def test_the_embedding_of_the_register_learns_of_a_pretrained_tokenizer_too(tmp_path):
    split_digits().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    model = build_model(tokenizer, model_type="llama", config_overrides=sizes)
    objective = MutorObjective(tokenizer)
    objective.check(model)
    mean_loss(objective, model, objective.encode(even_rows(tokenizer))).backward()
    assert model.get_input_embeddings().weight.grad[tokenizer.dummy_token_id].abs().max() > 0


@torch.no_grad()
def test_dropout_does_not_decide_whether_a_model_is_allowed():
    model = tiny_gpt2(TOKENIZER, **dict.fromkeys(NO_DROPOUT, 0.5))
    MutorObjective(TOKENIZER).check(model)
