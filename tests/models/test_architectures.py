"""Every family of causal LMs trains and decodes with every objective."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, PAD, TOKENIZER, build
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from hf_nextfail.decoding import parallel as generate
from hf_nextfail.decoding.parallel import accepted
from hf_nextfail.models import build_model
from hf_nextfail.models.checks import UNSUPPORTED
from hf_nextfail.models.completion_logits import IGNORED, completion_logits
from hf_nextfail.objectives import OBJECTIVES, base

TOLERANCE = {"rtol": 0.0, "atol": 1e-5}  # of logits between about -5 and 5

# What gets no gradient in the first step: parts of the names of parameters, and the reason.
UNTRAINED = {
    "bart": [".encoder_attn"],  # there is no encoder
    "ernie4_5_moe": ["e_score_correction_bias"],  # it ranks the experts, and weighs nothing
    "trocr": [".encoder_attn"],
    "whisper": [".encoder_attn"],
    "xlstm": [".norm_ffn.", ".ffn.proj_up.", ".ffn.proj_down."],  # behind a gate that begins at 0
}
# Their own loss compares each token with the label at its own position, for a collator that shifts.
UNSHIFTED_LOSS = {"bart", "trocr", "whisper"}
WITHOUT_LOGITS_TO_KEEP = {"trocr", "whisper", "xlstm"}

every_family = pytest.mark.parametrize("family", FAMILIES)
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@cache
def model_of(family, attention=None):
    return build(family, attention).eval()


def attentions(family):
    cls = MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[family]]
    return ["eager", "sdpa"] if getattr(cls, "_supports_sdpa", False) else ["eager"]


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


def ragged_batch(name):
    return OBJECTIVES[name](TOKENIZER).encode(*ragged_rows())


def decode(model, name):
    prompts, _, lengths = ragged_rows()
    return OBJECTIVES[name](TOKENIZER).decode(model, prompts, lengths[:, 0], 5)


@every_family
@every_objective
def test_one_step_moves_every_parameter(family, name):
    model = build(family)
    before = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    OBJECTIVES[name](TOKENIZER).loss(model, ragged_batch(name)).backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all(after[key].isfinite().all() for key in before)
    unmoved = {key for key in before if torch.equal(after[key], before[key])}
    assert unmoved == {key for key in before if any(part in key for part in UNTRAINED.get(family, []))}
    assert len(before) - len(unmoved) >= 10


@every_family
@every_objective
@torch.no_grad()
def test_loss_is_the_stock_one(family, name):
    model, batch = model_of(family), ragged_batch(name)
    outputs = model(**batch)
    # The label of a position is predicted one position before.
    plain = F.cross_entropy(
        outputs.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
    )
    loss = OBJECTIVES[name](TOKENIZER).loss(model, batch)
    assert plain > 1.0
    torch.testing.assert_close(loss, plain, **TOLERANCE)
    if family not in UNSHIFTED_LOSS:
        torch.testing.assert_close(loss, outputs.loss, **TOLERANCE)


@every_family
@every_objective
@torch.no_grad()
def test_no_token_is_predicted_from_itself_or_later_ones(family, name):
    objective = OBJECTIVES[name](TOKENIZER)
    prompts, completions, lengths = random_rows(prompt_lengths=[6] * 4, completion_lengths=[5] * 4)
    by_attention = []
    for attention in attentions(family):
        model = model_of(family, attention)
        logits, _, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
        by_attention.append(logits)
        for j in range(5):
            changed = completions.clone()
            changed[:, j] = (changed[:, j] + 1) % 10
            after, labels, _ = completion_logits(model, objective.encode(prompts, changed, lengths))
            assert torch.equal(labels, changed)
            torch.testing.assert_close(after[:, : j + 1], logits[:, : j + 1], **TOLERANCE)
            if objective.teacher_forced and j < 4:  # and later ones are
                assert ((after - logits)[:, j + 1].abs().amax(dim=1) > 0.01).all()
            if not objective.teacher_forced:
                torch.testing.assert_close(after, logits, **TOLERANCE)
    torch.testing.assert_close(by_attention[-1], by_attention[0], **TOLERANCE)


@every_family
@every_objective
@torch.no_grad()
def test_longer_rows_beside_it_do_not_change_a_row(family, name):
    objective = OBJECTIVES[name](TOKENIZER)
    prompts, completions, lengths = ragged_rows()
    for attention in attentions(family):
        model = model_of(family, attention)
        together, labels, _ = completion_logits(model, objective.encode(prompts, completions, lengths))
        for row, (prompt_length, completion_length) in enumerate(lengths.tolist()):
            alone = objective.encode(
                prompts[[row], :prompt_length], completions[[row], :completion_length], lengths[[row]]
            )
            logits, _, _ = completion_logits(model, alone)
            assert logits.shape[1] == completion_length
            torch.testing.assert_close(together[row, labels[row] != IGNORED], logits[0], **TOLERANCE)


@every_family
@every_objective
@torch.no_grad()
def test_rows_decode_as_they_do_alone_and_after_saving(family, name, tmp_path):
    objective, model = OBJECTIVES[name](TOKENIZER), model_of(family)
    prompts, _, lengths = ragged_rows()
    written = decode(model, name)
    assert written.shape == (4, 5)
    assert len(set(map(tuple, written.tolist()))) > 1
    for row, length in enumerate(lengths[:, 0].tolist()):
        alone = objective.decode(model, prompts[[row], :length], torch.tensor([length]), 5)
        assert alone[0].tolist() == written[row].tolist()

    model.save_pretrained(tmp_path)
    loaded = build_model(TOKENIZER, str(tmp_path)).eval()
    assert decode(loaded, name).tolist() == written.tolist()
    batch = ragged_batch(name)
    torch.testing.assert_close(
        completion_logits(loaded, batch)[0], completion_logits(model, batch)[0], rtol=0.0, atol=0.0
    )


@every_family
@torch.no_grad()
def test_decoding_with_a_cache_writes_what_the_whole_model_predicts(family):
    model = model_of(family)
    prompts, _, lengths = ragged_rows()
    for row, written in enumerate(decode(model, "teacher_forced")):
        length = lengths[row, 0]
        whole = torch.cat([prompts[row, :length], written])[None]
        predicted = model(input_ids=whole, attention_mask=torch.ones_like(whole)).logits.argmax(dim=-1)
        assert predicted[0, length - 1 : -1].tolist() == written.tolist()


@every_family
@torch.no_grad()
def test_teacherless_decoding_writes_what_teacherless_training_predicts(family):
    model = model_of(family)
    prompts, completions, lengths = random_rows(prompt_lengths=[6, 2, 4, 3], completion_lengths=[5] * 4)
    logits, labels, _ = completion_logits(
        model, OBJECTIVES["teacherless"](TOKENIZER).encode(prompts, completions, lengths)
    )
    assert decode(model, "teacherless").tolist() == logits.argmax(dim=-1)[labels != IGNORED].view(4, 5).tolist()


@every_family
@every_objective
@torch.no_grad()
def test_head_is_applied_to_completion_positions_only_where_the_family_can(family, name, monkeypatch):
    model, batch = model_of(family), ragged_batch(name)
    positions = []
    hook = model.register_forward_hook(lambda model, inputs, outputs: positions.append(outputs.logits.shape[1]))
    logits, labels, _ = completion_logits(model, batch)
    can = family not in WITHOUT_LOGITS_TO_KEEP
    assert ("logits_to_keep" in accepted(model, logits_to_keep=1)) == can
    assert positions == [labels.shape[1] if can else batch["labels"].shape[1] - 1]
    assert labels.shape[1] == 7 < batch["labels"].shape[1] - 1

    written = decode(model, name)
    for module in (base, generate):
        monkeypatch.setattr(module, "accepted", lambda model, **options: {})
    positions.clear()
    torch.testing.assert_close(completion_logits(model, batch)[0], logits, **TOLERANCE)
    assert positions == [batch["labels"].shape[1] - 1]
    assert decode(model, name).tolist() == written.tolist()
    hook.remove()


def test_no_family_is_both_tested_and_refused():
    assert not FAMILIES.keys() & UNSUPPORTED.keys()
