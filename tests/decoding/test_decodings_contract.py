"""What every decoding of `DECODINGS` promises, on a GPT-2. `models/test_architectures.py` has the other families."""

import pytest
import torch
from small_tokenizers import numerals_that_end
from tiny_models import tiny_gpt2
from tiny_rows import ragged_rows, random_rows
from transformers import AutoModelForCausalLM

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import DECODINGS, decoding_name, find_decoding

TOKENIZER = numeral_tokenizer(num_nodes=10)
PAD = TOKENIZER.pad_token_id
NUM_TOKENS = 5

every_decoding = pytest.mark.parametrize("name", DECODINGS)


def random_gpt2():
    # Weights far from 0: what it writes varies with the prompt.
    return tiny_gpt2(TOKENIZER, initializer_range=0.5).eval()


def prompts():
    """Twenty rows of five lengths of prompts."""
    return random_rows(TOKENIZER, prompt_lengths=[2, 3, 4, 5, 6] * 4, completion_lengths=[NUM_TOKENS] * 20)


@every_decoding
def test_decoding_knows_the_name_it_is_registered_under(name):
    assert DECODINGS[name].name == name
    assert DECODINGS[name].__module__.endswith(f".{name}")


@every_decoding
def test_tokenizer_without_a_padding_token_is_refused(name):
    tokenizer = numeral_tokenizer(num_nodes=10)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="the tokenizer has no padding token"):
        DECODINGS[name](tokenizer)


@pytest.mark.parametrize("name", [name for name in DECODINGS if DECODINGS[name].scores_tokens])
def test_the_completion_is_the_label_and_the_prompt_is_shown(name):
    rows = ragged_rows(TOKENIZER)
    batch = DECODINGS[name](TOKENIZER).view(rows)
    assert batch["input_ids"].shape == batch["labels"].shape
    for row, (prompt, completion) in enumerate(rows.lengths.tolist()):
        expected = torch.full_like(batch["labels"][row], -100)
        expected[prompt : prompt + completion] = rows.completion_ids[row, :completion]
        assert torch.equal(batch["labels"][row], expected)
        assert torch.equal(batch["input_ids"][row, :prompt], rows.prompt_ids[row, :prompt])
        seen = batch["attention_mask"][row]
        if seen.dim() > 1:  # a mask of its own, which is added to the scores
            assert len(seen[0].unique(dim=0)) == 1
            seen = seen[0, 0] == 0
        assert seen.nonzero().squeeze(1).tolist() == list(range(prompt + completion))


@pytest.mark.parametrize("name", [name for name in DECODINGS if not DECODINGS[name].scores_tokens])
def test_without_a_pass_that_scores_tokens_nothing_depends_on_one(name):
    decoding = DECODINGS[name](TOKENIZER)
    assert not decoding.one_pass_exact
    assert not decoding.shows_true_tokens
    with pytest.raises(TypeError, match=f"writes by {name} does not say"):
        decoding.view(ragged_rows(TOKENIZER))


@every_decoding
def test_nothing_is_written_after_the_end_token(name):
    model, rows = random_gpt2(), prompts()
    unstopped = DECODINGS[name](TOKENIZER).write(model, rows, NUM_TOKENS)
    end = unstopped.flatten().mode().values.item()
    written = DECODINGS[name](numerals_that_end(10, end)).write(model, rows, NUM_TOKENS)
    places = [row.index(end) if end in row else None for row in unstopped.tolist()]
    assert None in places  # some never end
    assert any(place is not None and place < NUM_TOKENS - 1 for place in places)  # and some in the middle
    for row, whole, place in zip(written.tolist(), unstopped.tolist(), places, strict=True):
        kept = NUM_TOKENS if place is None else place + 1
        assert row == whole[:kept] + [PAD] * (NUM_TOKENS - kept)


# Checkpoints come with generation settings of their own, which are for chatting.
@every_decoding
@pytest.mark.parametrize(
    "setting",
    [
        {"eos_token_id": 3},
        {"repetition_penalty": 3.0},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": [3, 5, 7]},
        {"num_beams": 3},
        {"do_sample": True, "temperature": 2.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_generation_settings_of_the_checkpoint_do_not_matter(name, setting):
    decoding, model, rows = DECODINGS[name](TOKENIZER), random_gpt2(), prompts()
    expected = decoding.write(model, rows, NUM_TOKENS)
    model.generation_config.update(**setting)
    assert torch.equal(decoding.write(model, rows, NUM_TOKENS), expected)
    assert {key: getattr(model.generation_config, key) for key in setting} == setting  # and are left alone


# Drawing


@every_decoding
def test_tokens_are_drawn_by_the_generator_and_nothing_else(name):
    decoding, model, rows = DECODINGS[name](TOKENIZER), random_gpt2(), prompts()

    def drawn(temperature, seed):
        return decoding.write(model, rows, NUM_TOKENS, temperature, torch.Generator().manual_seed(seed))

    greedy, first = decoding.write(model, rows, NUM_TOKENS), drawn(1.0, seed=0)
    assert torch.equal(drawn(0.0, seed=0), greedy)
    torch.manual_seed(5)  # whatever else is drawn meanwhile
    assert torch.equal(drawn(1.0, seed=0), first)
    assert not torch.equal(drawn(1.0, seed=1), first)
    assert torch.equal(drawn(1e-6, seed=0), greedy)


@every_decoding
@torch.no_grad()
def test_a_token_is_drawn_as_often_as_its_logits_divided_by_the_temperature_say(name):
    decoding, model, temperature, count = DECODINGS[name](TOKENIZER), random_gpt2(), 3.0, 20_000
    one = prompts().take(torch.tensor([0]))
    rows = one.take(torch.zeros(count, dtype=torch.int64))
    if name == "inserting":  # nothing is written yet, and whether anything is, is not drawn
        model.get_output_embeddings().weight[decoding.dummy_token_id] = 0
        batch = {"input_ids": one.prompt_ids[:, : one.lengths[0, 0]]}
        shown = batch["input_ids"].shape[1]
        logits = model(**batch, attention_mask=torch.zeros(1, 1, shown, shown)).logits[0, -1]
        logits[decoding.dummy_token_id] = -torch.inf
    else:
        batch = decoding.view(Rows(one.prompt_ids, one.completion_ids[:, :1], torch.tensor([[one.lengths[0, 0], 1]])))
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[0, one.lengths[0, 0] - 1]
    expected = (logits / temperature).softmax(dim=0)
    written = decoding.write(model, rows, 1, temperature, torch.Generator().manual_seed(0))[:, 0]
    shares = torch.bincount(written, minlength=len(expected)) / count
    assert (shares - expected).abs().max() < 5 * (0.25 / count) ** 0.5
    assert expected.max() < 0.9 and (expected > 0.05).sum() > 2


# What a checkpoint says


@every_decoding
def test_a_checkpoint_says_how_it_decodes(name, tmp_path):
    model = tiny_gpt2(TOKENIZER)
    model.generation_config = DECODINGS[name](TOKENIZER).generation_config(max_new_tokens=3)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.generation_config.max_new_tokens == 3
    assert decoding_name(loaded) == name
    assert type(find_decoding(None, loaded, TOKENIZER)) is DECODINGS[name]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({}, "autoregressive"),
        ({"objective": "teacher_forced"}, "autoregressive"),
        ({"objective": "teacherless"}, "parallel"),
    ],
)
def test_checkpoints_of_others_and_of_our_first_version_decode_as_they_did(said, name):
    model = tiny_gpt2(TOKENIZER)
    for key, value in said.items():
        setattr(model.generation_config, key, value)
    assert decoding_name(model) == name


def test_a_decoding_is_taken_by_name_or_as_it_is():
    model = tiny_gpt2(TOKENIZER)
    assert find_decoding("parallel", model, TOKENIZER).name == "parallel"
    decoding = DECODINGS["parallel"](TOKENIZER)
    assert find_decoding(decoding, model, TOKENIZER) is decoding


@pytest.mark.parametrize("given", ["paralel", None])
def test_a_decoding_that_does_not_exist_is_named_beside_the_near_one(given):
    model = tiny_gpt2(TOKENIZER)
    model.generation_config.decoding = "paralel"
    with pytest.raises(ValueError, match=r"decoding.* must be .*, got 'paralel' \(did you mean 'parallel'\?\)"):
        find_decoding(given, model, TOKENIZER)


def test_an_objective_in_the_place_of_its_decoding_is_refused_in_words():
    with pytest.raises(ValueError, match=r"of an objective, objective\.decoding"):
        find_decoding(object(), tiny_gpt2(TOKENIZER), TOKENIZER)
