"""What travels with a checkpoint that decodes by unmasking; `test_parallel_generate.py` has what both share."""

import ast
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_gpt2
from transformers import AutoModelForCausalLM, GenerationConfig

from hf_nextfail import generate_by_unmasking
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import UnmaskingDecoding
from hf_nextfail.training.checkpoints import add_decoding

TOKENIZER = numeral_tokenizer(num_nodes=20)
NUM_TOKENS, NUM_STEPS = 5, 3
TEXTS = [",".join(map(str, range(row, 2 * row + 1))) + "=" for row in range(9)]


def inputs_of(texts, side="right"):
    return TOKENIZER(texts, return_tensors="pt", padding=True, padding_side=side)


INPUTS = inputs_of(TEXTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Weights far from 0: what it writes varies with the prompt.
    model, folder = tiny_gpt2(TOKENIZER, initializer_range=0.5), tmp_path_factory.mktemp("unmasking")
    decoding = UnmaskingDecoding(TOKENIZER, NUM_STEPS)
    model.generation_config = decoding.generation_config(NUM_TOKENS)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    add_decoding(folder, model, decoding)
    return folder


@pytest.fixture(params=["checkpoint's own", "argument"])
def generate(request, folder):
    # Both ways to it, with the model at hand.
    trust = request.param == "checkpoint's own"
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust)
    options = {} if trust else {"custom_generate": generate_by_unmasking}

    def generate(*args, **kwargs):
        return model.generate(*args, **options, **kwargs)[:, -NUM_TOKENS:]

    generate.model = model
    return generate


def decoded(model, num_steps=NUM_STEPS):
    lengths = INPUTS["attention_mask"].sum(dim=1)
    rows = Rows(INPUTS["input_ids"], INPUTS["input_ids"], torch.stack([lengths, lengths], dim=1))
    return UnmaskingDecoding(TOKENIZER, num_steps).write(model, rows, NUM_TOKENS)


@pytest.mark.parametrize("side", ["left", "right"])
def test_it_is_the_decoding_of_the_package_on_whichever_side_prompts_are_padded(generate, side):
    assert torch.equal(generate(**inputs_of(TEXTS, side)), decoded(generate.model))


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_another_number_of_steps_can_be_asked_for(generate, num_steps):
    expected = decoded(generate.model, num_steps)
    assert not torch.equal(expected, decoded(generate.model))
    assert torch.equal(generate(**INPUTS, num_steps=num_steps), expected)
    config = GenerationConfig(max_new_tokens=NUM_TOKENS, num_steps=num_steps)
    assert torch.equal(generate(**INPUTS, generation_config=config), expected)


def test_steps_that_there_cannot_be_and_what_is_not_greedy_are_refused(generate):
    with pytest.raises(ValueError, match="num_steps must be at least 1, or left out for one step a token, got 0"):
        generate(**INPUTS, num_steps=0)
    with pytest.raises(ValueError, match=r"unmasking keeps the likeliest tokens and cannot do .*num_beams"):
        generate(**INPUTS, num_beams=3)


def test_a_checkpoint_decodes_where_this_package_is_not_installed(folder, fresh, generate):
    code = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
model = AutoModelForCausalLM.from_pretrained({str(folder)!r}, trust_remote_code=True)
print(model.generate(**tokenizer({TEXTS!r}, return_tensors="pt", padding=True))[:, -{NUM_TOKENS}:].tolist())
"""
    done = fresh(code, package=False)
    assert ast.literal_eval(done.stdout.splitlines()[-1]) == decoded(generate.model).tolist()


def test_the_files_need_nothing_but_torch_and_each_other(folder):
    files = sorted(path.name for path in (folder / "custom_generate").iterdir())
    assert files == ["generate.py", "parallel_generate.py"]
    imported = set()
    for path in UnmaskingDecoding.travels:
        for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add("." * node.level + node.module.partition(".")[0])
    assert imported == {"collections", "functools", "inspect", "torch", "typing", ".parallel_generate"}
