"""Every family of causal LMs trains, and writes by every decoding."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, TOKENIZER, build
from tiny_models import mean_loss
from tiny_rows import even_rows, other_label, ragged_rows, random_rows, with_completions
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

from hf_nextfail.data.rows import IGNORED
from hf_nextfail.decoding import DECODINGS, parallel_generate
from hf_nextfail.decoding.parallel_generate import accepted
from hf_nextfail.models import build_model
from hf_nextfail.models import completion_logits as of_completions
from hf_nextfail.models.checks import UNSUPPORTED
from hf_nextfail.models.completion_logits import at_completion, completion_logits
from hf_nextfail.objectives import TeacherForcedObjective

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

# Whose attention takes no mask of its own, so that they cannot write by unmasking or inserting, and why.
MASK_OF_THEIR_OWN = {
    "bloom": "ValueError",  # ALiBi is made of a mask (B, S)
    "falcon_mamba": "RuntimeError",  # no attention
    "gpt_neo": "",  # its causal mask is part of its attention
    "mamba": "RuntimeError",
    "mamba2": "",
    "openai-gpt": "RuntimeError",
    "opt": "IndexError",  # positions are counted in a mask (B, S)
    "rwkv": "",
    "xlstm": "",
}

every_family = pytest.mark.parametrize("family", FAMILIES)
# Without inserting, which runs a model as unmasking does, and has nothing to score.
every_decoding = pytest.mark.parametrize(
    ("family", "name"),
    [
        (family, name)
        for family in FAMILIES
        for name in DECODINGS
        if DECODINGS[name].scores_tokens and (name != "unmasking" or family not in MASK_OF_THEIR_OWN)
    ],
)


@cache
def model_of(family, attention=None):
    return build(family, attention).eval()


def attentions(family):
    cls = MODEL_FOR_CAUSAL_LM_MAPPING[CONFIG_MAPPING[family]]
    return ["eager", "sdpa"] if getattr(cls, "_supports_sdpa", False) else ["eager"]


@every_family
def test_one_step_moves_every_parameter(family):
    model, objective = build(family), TeacherForcedObjective(TOKENIZER)
    before = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    mean_loss(objective, model, objective.encode(ragged_rows(TOKENIZER))).backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all(after[key].isfinite().all() for key in before)
    unmoved = {key for key in before if torch.equal(after[key], before[key])}
    assert unmoved == {key for key in before if any(part in key for part in UNTRAINED.get(family, []))}
    assert len(unmoved) < len(before) / 2


@every_family
@torch.no_grad()
def test_loss_is_the_stock_one(family):
    model, objective = model_of(family), TeacherForcedObjective(TOKENIZER)
    batch = objective.encode(ragged_rows(TOKENIZER))
    outputs = model(**batch)
    # The label of a position is predicted one position before.
    plain = F.cross_entropy(
        outputs.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
    )
    loss = mean_loss(objective, model, batch)
    assert plain > 1.0
    torch.testing.assert_close(loss, plain, **TOLERANCE)
    if family not in UNSHIFTED_LOSS:
        torch.testing.assert_close(loss, outputs.loss, **TOLERANCE)


@every_decoding
@torch.no_grad()
def test_no_token_is_predicted_from_itself_or_later_ones(family, name):
    decoding, rows = DECODINGS[name](TOKENIZER), even_rows(TOKENIZER)
    last = rows.completion_ids.shape[1] - 1
    by_attention = []
    for attention in attentions(family):
        model = model_of(family, attention)
        logits, _, _ = completion_logits(model, decoding.view(rows))
        by_attention.append(logits)
        for j in range(last + 1):
            changed = with_completions(rows, other_label(rows.completion_ids, j))
            after, labels, _ = completion_logits(model, decoding.view(changed))
            assert torch.equal(labels[:, : last + 1], changed.completion_ids)
            torch.testing.assert_close(after[:, : j + 1], logits[:, : j + 1], **TOLERANCE)
            if not decoding.shows_true_tokens:
                torch.testing.assert_close(after, logits, **TOLERANCE)
            elif j < last:  # and later ones are
                assert ((after - logits)[:, j + 1].abs().amax(dim=1) > 0.01).all()
    torch.testing.assert_close(by_attention[-1], by_attention[0], **TOLERANCE)


@every_decoding
@torch.no_grad()
def test_longer_rows_beside_it_do_not_change_a_row(family, name):
    decoding, rows = DECODINGS[name](TOKENIZER), ragged_rows(TOKENIZER)
    for attention in attentions(family):
        model = model_of(family, attention)
        together, labels, _ = completion_logits(model, decoding.view(rows))
        for row in range(len(rows)):
            logits, own_labels, _ = completion_logits(model, decoding.view(rows.take(torch.tensor([row]))))
            own = own_labels[0] != IGNORED
            assert own.sum() == rows.lengths[row, 1]
            torch.testing.assert_close(together[row, labels[row] != IGNORED], logits[0, own], **TOLERANCE)


@every_decoding
@torch.no_grad()
def test_rows_decode_as_they_do_alone_and_after_saving(family, name, tmp_path):
    decoding, model, rows = DECODINGS[name](TOKENIZER), model_of(family), ragged_rows(TOKENIZER)
    written = decoding.write(model, rows, 5)
    assert written.shape == (len(rows), 5)
    assert len(set(map(tuple, written.tolist()))) > 1
    for row in range(len(rows)):
        assert decoding.write(model, rows.take(torch.tensor([row])), 5)[0].tolist() == written[row].tolist()

    model.save_pretrained(tmp_path)
    loaded = build_model(TOKENIZER, str(tmp_path)).eval()
    assert decoding.write(loaded, rows, 5).tolist() == written.tolist()
    batch = decoding.view(rows)
    torch.testing.assert_close(
        completion_logits(loaded, batch)[0], completion_logits(model, batch)[0], rtol=0.0, atol=0.0
    )


@every_family
@pytest.mark.parametrize("name", [name for name in DECODINGS if DECODINGS[name].one_pass_exact])
@torch.no_grad()
def test_what_is_written_is_what_one_pass_over_it_finds_most_likely(family, name):
    decoding, model = DECODINGS[name](TOKENIZER), model_of(family)
    rows = random_rows(TOKENIZER, prompt_lengths=[6, 2, 4, 3], completion_lengths=[5] * 4)
    written = decoding.write(model, rows, 5)
    logits, _, first = completion_logits(model, decoding.view(with_completions(rows, written)))
    assert at_completion(logits.argmax(dim=-1), first, rows.lengths).tolist() == written.tolist()


@every_decoding
@torch.no_grad()
def test_head_is_applied_to_completion_positions_only_where_the_family_can(family, name, monkeypatch):
    decoding, model, rows = DECODINGS[name](TOKENIZER), model_of(family), ragged_rows(TOKENIZER)
    batch = decoding.view(rows)
    positions = []
    hook = model.register_forward_hook(lambda model, inputs, outputs: positions.append(outputs.logits.shape[1]))
    logits, labels, _ = completion_logits(model, batch)
    can = family not in WITHOUT_LOGITS_TO_KEEP
    longest = batch["input_ids"].shape[1]
    assert ("logits_to_keep" in accepted(model, logits_to_keep=1)) == can
    kept = longest - int(rows.lengths[:, 0].min())  # from the shortest prompt on
    assert positions == [kept if can else longest - 1]
    assert labels.shape[1] == kept < longest - 1

    written = decoding.write(model, rows, 5)
    for module in (of_completions, parallel_generate):
        monkeypatch.setattr(module, "accepted", lambda model, **options: {})
    positions.clear()
    torch.testing.assert_close(completion_logits(model, batch)[0], logits, **TOLERANCE)
    assert positions == [longest - 1]
    assert decoding.write(model, rows, 5).tolist() == written.tolist()
    hook.remove()


@every_family
def test_unmasking_refuses_families_that_see_no_later_token_and_says_why(family):
    model, decoding = model_of(family), DECODINGS["unmasking"](TOKENIZER)
    training = [module.training for module in model.modules()]
    if family in MASK_OF_THEIR_OWN:
        with pytest.raises(
            ValueError, match=f"the decoding unmasking .*{MASK_OF_THEIR_OWN[family]}.*: take a"
        ) as failure:
            decoding.check(model)
        assert "\n" not in str(failure.value)
    else:
        decoding.check(model)
    assert [module.training for module in model.modules()] == training


def test_no_family_is_both_tested_and_refused():
    assert not FAMILIES.keys() & UNSUPPORTED.keys()
