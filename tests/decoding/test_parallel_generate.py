import ast
import shutil

import numpy as np
import pytest
import torch
from small_tokenizers import numerals_that_end
from tiny_models import TINY_GPT2
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    MaxLengthCriteria,
    pipeline,
)

from hf_nextfail import generate_teacherless
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import ParallelDecoding
from hf_nextfail.models import build_model

TOKENIZER = numeral_tokenizer(num_nodes=20)
PAD = TOKENIZER.pad_token_id
NUM_TOKENS = 4
# Weights far from 0: what they write varies with the prompt.
FAMILIES = {
    "gpt2": TINY_GPT2 | {"initializer_range": 0.5},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.5},
}


def random_texts(rows=12, longest=9):
    draw = np.random.default_rng(0)
    return [",".join(map(str, draw.integers(20, size=1 + row % longest))) + "=" for row in range(rows)]


def inputs_of(texts, side="right"):
    return TOKENIZER(texts, return_tensors="pt", padding=True, padding_side=side)


TEXTS = random_texts()
INPUTS = inputs_of(TEXTS)


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    model = build_model(TOKENIZER, model_type=request.param, config_overrides=FAMILIES[request.param])
    model.generation_config = ParallelDecoding(TOKENIZER).generation_config(NUM_TOKENS)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    (folder / "custom_generate").mkdir()
    shutil.copyfile(*ParallelDecoding.travels, folder / "custom_generate" / "generate.py")
    return folder


@pytest.fixture
def trusted(folder):
    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)


@pytest.fixture
def untrusted(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(params=["checkpoint's own", "argument"])
def generate(request, folder):
    # Both ways to the parallel pass, with the model at hand.
    trust = request.param == "checkpoint's own"
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust)
    options = {} if trust else {"custom_generate": generate_teacherless}

    def generate(*args, **kwargs):
        return model.generate(*args, **options, **kwargs)

    generate.model = model
    return generate


def decoded(model, num_tokens=NUM_TOKENS, tokenizer=TOKENIZER):
    lengths = INPUTS["attention_mask"].sum(dim=1)
    rows = Rows(INPUTS["input_ids"], INPUTS["input_ids"], torch.stack([lengths, lengths], dim=1))
    return ParallelDecoding(tokenizer).write(model, rows, num_tokens)


def written(outputs, inputs):
    width = inputs["input_ids"].shape[1]
    assert torch.equal(outputs[:, :width], inputs["input_ids"])
    return outputs[:, width:]


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_is_the_decoding_of_the_package_on_whichever_side_prompts_are_padded(generate, side):
    inputs = inputs_of(TEXTS, side)
    expected = decoded(generate.model)
    assert torch.equal(written(generate(**inputs), inputs), expected)
    assert len(set(map(tuple, expected.tolist()))) > len(TEXTS) / 2


def test_a_row_alone_is_written_as_in_a_batch(generate):
    together = generate(**INPUTS)[:, -NUM_TOKENS:]
    for text, expected in zip(TEXTS, together, strict=True):
        assert torch.equal(generate(**inputs_of([text]))[0, -NUM_TOKENS:], expected)


def test_without_trust_a_checkpoint_writes_token_by_token(untrusted):
    inputs = inputs_of(TEXTS, "left")
    plain, parallel = written(untrusted.generate(**inputs), inputs), decoded(untrusted)
    assert torch.equal(plain[:, 0], parallel[:, 0])  # no dummy has been shown yet
    assert not torch.equal(plain, parallel)


def test_the_folder_itself_names_its_decoding(folder, untrusted):
    outputs = untrusted.generate(**INPUTS, custom_generate=str(folder), trust_remote_code=True)
    assert torch.equal(written(outputs, INPUTS), decoded(untrusted))


def test_padding_follows_an_end_token(generate):
    unstopped = decoded(generate.model)
    end = unstopped.flatten().mode().values.item()
    generate.model.generation_config = ParallelDecoding(numerals_that_end(20, end)).generation_config(NUM_TOKENS)
    expected = []
    for tokens in unstopped.tolist():
        stop = tokens.index(end) if end in tokens else NUM_TOKENS - 1
        expected.append(tokens[: stop + 1] + [PAD] * (NUM_TOKENS - 1 - stop))
    assert written(generate(**INPUTS), INPUTS).tolist() == expected
    assert any(PAD in tokens for tokens in expected)


def test_fewer_tokens_can_be_asked_for(generate):
    for options in ({"max_new_tokens": 2}, {"generation_config": GenerationConfig(max_new_tokens=2)}):
        assert torch.equal(written(generate(**INPUTS, **options), INPUTS), decoded(generate.model, 2))


def test_the_padding_id_is_padding_where_nothing_is_said(generate):
    for side in ("left", "right"):
        inputs = inputs_of(TEXTS, side)
        expected = generate(**inputs)
        assert torch.equal(generate(input_ids=inputs["input_ids"]), expected)
        assert torch.equal(generate(inputs["input_ids"]), expected)
        assert torch.equal(generate(inputs["input_ids"], attention_mask=inputs["attention_mask"]), expected)


def test_the_mask_wins_over_the_padding_id(trusted):
    inputs = inputs_of(["1,2,3="])
    hidden = torch.tensor([[0, 1, 1, 1]])
    assert torch.equal(
        trusted.generate(inputs["input_ids"], attention_mask=hidden)[:, -NUM_TOKENS:],
        trusted.generate(**inputs_of(["2,3="]))[:, -NUM_TOKENS:],
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"do_sample": True}, "do_sample"),
        ({"num_beams": 3}, "num_beams"),
        ({"generation_config": GenerationConfig(do_sample=True)}, "do_sample"),
    ],
)
def test_what_is_not_one_greedy_pass_is_refused(generate, options, named):
    with pytest.raises(ValueError, match=rf"one greedy pass and cannot do .*\b{named}\b.*; it takes input_ids"):
        generate(**INPUTS, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"return_dict_in_generate": True},
        {"num_return_sequences": 2, "do_sample": True},
        {"repetition_penalty": 1.5},
        {"bad_words_ids": [[1]]},
        {"suppress_tokens": [1]},
        {"min_new_tokens": 2},
        {"no_repeat_ngram_size": 2},
        {"max_time": 1.5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_a_generation_config_asks_for_is_not_dropped(generate, options):
    config = GenerationConfig(max_new_tokens=NUM_TOKENS, **options)
    with pytest.raises(ValueError, match=rf"cannot do .*{next(iter(options))}"):
        generate(**INPUTS, generation_config=config)


def ended(written, ends, filler=PAD):
    """Rows with a filler behind the first place of each at which `ends(tokens so far)` holds."""
    rows = []
    for tokens in written.tolist():
        stop = next((n for n in range(1, len(tokens) + 1) if ends(tokens[:n])), len(tokens))
        rows.append(tokens[:stop] + [filler] * (len(tokens) - stop))
    return rows


def test_stopping_criteria_end_each_completion_where_they_hold(generate):
    whole, prompt = written(generate(**INPUTS), INPUTS), INPUTS["input_ids"].shape[1]
    likeliest = whole.flatten().mode().values.item()
    lengths = []

    def stop(input_ids, scores, **kwargs):
        lengths.append(input_ids.shape[1] - prompt)
        return input_ids[:, -1] == likeliest

    stopped = written(generate(**INPUTS, stopping_criteria=[stop]), INPUTS)
    assert stopped.tolist() == ended(whole, lambda tokens: tokens[-1] == likeliest)
    assert lengths == list(range(1, NUM_TOKENS + 1))
    assert not torch.equal(stopped, whole)


def test_one_that_ends_all_rows_at_once_does(generate):
    whole = written(generate(**INPUTS), INPUTS)
    width = INPUTS["input_ids"].shape[1] + 2

    def stop(input_ids, scores, **kwargs):
        return input_ids.shape[1] >= width

    expected = ended(whole, lambda tokens: len(tokens) == 2)
    for criterion in (stop, MaxLengthCriteria(width)):
        assert written(generate(**INPUTS, stopping_criteria=[criterion]), INPUTS).tolist() == expected


@pytest.mark.parametrize("options", [{"max_length": 30}, {"generation_config": GenerationConfig(max_length=30)}])
def test_a_length_in_all_counts_where_none_of_a_completion_is_known(generate, options):
    assert torch.equal(generate(**INPUTS, **options), generate(**INPUTS))  # as in transformers
    generate.model.generation_config.max_new_tokens = None
    num_tokens = 30 - INPUTS["input_ids"].shape[1]
    assert torch.equal(written(generate(**INPUTS, **options), INPUTS), decoded(generate.model, num_tokens))


def test_ids_of_the_caller_win_over_those_of_the_checkpoint(generate):
    whole = written(generate(**INPUTS), INPUTS)
    end, filler = whole.flatten().mode().values.item(), TOKENIZER.dummy_token_id
    expected = ended(whole, lambda tokens: tokens[-1] == end, filler)
    for ends in (end, [end]):
        assert written(generate(**INPUTS, eos_token_id=ends, pad_token_id=filler), INPUTS).tolist() == expected
    assert expected != whole.tolist()


def test_the_end_token_of_a_generation_config_ends(generate):
    unstopped = written(generate(**INPUTS), INPUTS)
    end = unstopped.flatten().mode().values.item()
    config = GenerationConfig(max_new_tokens=NUM_TOKENS, eos_token_id=end, pad_token_id=PAD)
    stopped = written(generate(**INPUTS, generation_config=config), INPUTS)
    expected = unstopped.masked_fill((unstopped == end).cumsum(dim=1) - (unstopped == end).long() > 0, PAD)
    assert torch.equal(stopped, expected)
    assert (stopped == PAD).any()


def test_a_mask_may_be_of_any_type_but_not_empty(trusted):
    mask = INPUTS["attention_mask"]
    expected = trusted.generate(**INPUTS)
    for kind in (torch.float32, torch.bool, torch.int32):
        assert torch.equal(trusted.generate(INPUTS["input_ids"], attention_mask=mask.to(kind)), expected)
    with pytest.raises(ValueError, match="a prompt is empty"):
        trusted.generate(INPUTS["input_ids"], attention_mask=torch.zeros_like(mask))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"return_dict_in_generate": True}, "return_dict_in_generate"),
        ({"stop_strings": ["7"]}, "stop_strings"),
        ({"generation_config": GenerationConfig(stop_strings=["7"])}, "stop_strings"),
        ({"num_return_sequences": 2, "colour": "red"}, "colour, num_return_sequences"),
    ],
)
def test_a_checkpoints_own_decoding_refuses_options_it_does_not_know(trusted, options, named):
    with pytest.raises(ValueError, match=rf"one greedy pass and cannot do {named}; it takes input_ids"):
        trusted.generate(**INPUTS, **options)


def test_options_that_ask_for_nothing_are_taken(trusted):
    nothing = {"do_sample": False, "num_beams": 1, "use_cache": True, "tokenizer": TOKENIZER, "streamer": None}
    nothing |= {"temperature": 0.0, "top_p": None, "top_k": 1, "repetition_penalty": 1.0, "pad_token_id": PAD}
    assert torch.equal(trusted.generate(**INPUTS, **nothing), trusted.generate(**INPUTS))


def test_prompts_are_needed(trusted):
    with pytest.raises(ValueError, match="generate needs input_ids"):
        trusted.generate()


def test_a_model_without_a_dummy_token_is_refused(generate):
    del generate.model.generation_config.dummy_token_id
    with pytest.raises(
        ValueError, match="no dummy_token_id: the checkpoint was not trained to be decoded so, or it is an adapter"
    ):
        generate(**INPUTS)


def test_the_number_of_tokens_has_to_be_known(trusted):
    trusted.generation_config.max_new_tokens = None
    for options in ({}, {"max_new_tokens": 0}):
        with pytest.raises(ValueError, match="say how many tokens to write: max_new_tokens"):
            trusted.generate(**INPUTS, **options)


def test_the_dummy_token_may_be_the_first_of_the_vocabulary(generate):
    usual = decoded(generate.model)
    generate.model.generation_config.dummy_token_id = 0
    tokenizer = numeral_tokenizer(num_nodes=20)
    tokenizer.dummy_token = "0"
    expected = decoded(generate.model, tokenizer=tokenizer)
    assert torch.equal(written(generate(**INPUTS), INPUTS), expected)
    assert not torch.equal(expected, usual)


def test_no_gradient_is_kept(generate):
    logits = []
    hook = generate.model.register_forward_hook(lambda module, args, output: logits.append(output.logits))
    generate(**INPUTS)
    hook.remove()
    assert [passed.requires_grad for passed in logits] == [False]  # one pass
    assert generate.model(**INPUTS).logits.requires_grad


def test_a_pipeline_writes_the_same_text(folder, trusted):
    writer = pipeline("text-generation", model=str(folder), trust_remote_code=True)
    expected = TOKENIZER.batch_decode(trusted.generate(**INPUTS), skip_special_tokens=True)
    for batch_size in (1, len(TEXTS)):
        assert [row[0]["generated_text"] for row in writer(TEXTS, batch_size=batch_size)] == expected
    assert writer(TEXTS[3], max_new_tokens=1)[0]["generated_text"] == TOKENIZER.decode(
        [*TOKENIZER(TEXTS[3])["input_ids"], decoded(trusted)[3, 0]]
    )


def test_a_checkpoint_decodes_where_this_package_is_not_installed(folder, fresh, trusted):
    loaded = AutoTokenizer.from_pretrained(folder)
    inputs = loaded(TEXTS, return_tensors="pt", padding=True)
    code = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
model = AutoModelForCausalLM.from_pretrained({str(folder)!r}, trust_remote_code=True)
print(model.generate(**tokenizer({TEXTS!r}, return_tensors="pt", padding=True)).tolist())
"""
    done = fresh(code, package=False)
    assert ast.literal_eval(done.stdout.splitlines()[-1]) == trusted.generate(**inputs).tolist()


def test_the_file_needs_nothing_but_torch():
    tree = ast.parse(ParallelDecoding.travels[0].read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    assert imported == {"collections", "inspect", "torch", "typing"}
