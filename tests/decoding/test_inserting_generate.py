"""What travels with a checkpoint that decodes by inserting; `test_parallel_generate.py` has what all share."""

import ast
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_gpt2
from transformers import AutoModelForCausalLM

from hf_nextfail import generate_by_inserting
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.rows import Rows
from hf_nextfail.decoding import InsertingDecoding
from hf_nextfail.training.checkpoints import add_decoding

TOKENIZER = numeral_tokenizer(num_nodes=20)
NUM_TOKENS = 5
TEXTS = [",".join(map(str, range(row, 2 * row + 1))) + "=" for row in range(9)]


def inputs_of(side="right"):
    return TOKENIZER(TEXTS, return_tensors="pt", padding=True, padding_side=side)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Weights far from 0: what it writes varies with the prompt, and some rows are complete before others.
    model = tiny_gpt2(TOKENIZER, initializer_range=0.5, tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight[TOKENIZER.dummy_token_id] *= -4
    folder, decoding = tmp_path_factory.mktemp("inserting"), InsertingDecoding(TOKENIZER)
    model.generation_config = decoding.generation_config(NUM_TOKENS)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    add_decoding(folder, model, decoding)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    inputs = inputs_of()
    lengths = inputs["attention_mask"].sum(dim=1)
    rows = Rows(inputs["input_ids"], inputs["input_ids"], torch.stack([lengths, lengths], dim=1))
    model = AutoModelForCausalLM.from_pretrained(folder)
    written = InsertingDecoding(TOKENIZER).write(model, rows, NUM_TOKENS)
    assert len(written.unique(dim=0)) > 3
    assert 0 < (written[:, -1] == TOKENIZER.pad_token_id).sum() < len(written)
    return written


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("trust", [True, False])
def test_it_is_the_decoding_of_the_package_on_whichever_side_prompts_are_padded(folder, expected, trust, side):
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=trust)
    options = {} if trust else {"custom_generate": generate_by_inserting}
    assert torch.equal(model.generate(**inputs_of(side), **options)[:, -NUM_TOKENS:], expected)
    with pytest.raises(
        ValueError, match=r"inserting takes the likeliest token in each step and cannot do .*num_beams"
    ):
        model.generate(**inputs_of(side), num_beams=3, **options)


def test_the_files_need_nothing_but_torch_and_each_other(folder):
    files = sorted(path.name for path in (folder / "custom_generate").iterdir())
    assert files == ["generate.py", "parallel_generate.py"]
    imported = set()
    for path in InsertingDecoding.travels:
        for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add("." * node.level + node.module.partition(".")[0])
    assert imported == {"collections", "inspect", "torch", "typing", ".parallel_generate"}
