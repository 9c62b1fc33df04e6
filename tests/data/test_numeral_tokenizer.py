import json

import numpy as np
import pytest
from datasets import load_dataset
from small_tokenizers import byte_level_tokenizer
from transformers import AutoTokenizer

from hf_nextfail.data.numeral_tokenizer import num_labels, numeral_ids, numeral_tokenizer
from hf_nextfail.data.tokenization import (
    encode_completions,
    encode_texts,
    end_token_id,
    load_tokenizer,
    tokenize_dataset,
)


def star_graphs(config_name="d2_l3_n10", streaming=False):
    sizes = {"num_train": 50, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", streaming=streaming, **sizes)


# The numeral tokenizer


def test_label_i_has_id_i_and_signs_follow():
    vocabulary = numeral_tokenizer(num_nodes=12).get_vocab()
    assert sorted(vocabulary, key=vocabulary.get) == [*map(str, range(12)), "|", "/", "=", "$", "<pad>"]
    assert sorted(vocabulary.values()) == list(range(17))


def test_special_tokens_of_the_numeral_tokenizer():
    tokenizer = numeral_tokenizer(num_nodes=12)
    assert len(tokenizer) == 17
    assert (tokenizer.dummy_token, tokenizer.dummy_token_id) == ("$", 15)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<pad>", 16)
    assert tokenizer.eos_token_id == tokenizer.unk_token_id == 16  # for clients that cannot do without them
    assert tokenizer.bos_token_id is None


def test_numeral_ids_of_a_prompt_and_a_completion():
    tokenizer = numeral_tokenizer(num_nodes=12)
    assert tokenizer("11,3|3,0/11,0=")["input_ids"] == [11, 3, 12, 3, 0, 13, 11, 0, 14]
    assert tokenizer("11,3,0")["input_ids"] == [11, 3, 0]


def test_g_2_5_has_27_prompt_and_5_completion_tokens():
    dataset = tokenize_dataset(star_graphs("d2_l5_n50"), numeral_tokenizer(num_nodes=50))
    assert set(map(len, dataset["prompt_ids"])) == {27}
    assert set(map(len, dataset["completion_ids"])) == {5}


@pytest.mark.parametrize("config_name", ["d2_l5_n50", "d2_l3_n10_rev", "d3_l2_n120", "d1_l2_n9"])
def test_numeral_tokenizer_gives_the_text_back(config_name):
    tokenizer = numeral_tokenizer(int(config_name.split("_")[2][1:]))
    rows = star_graphs(config_name)
    for column in ("prompt", "completion"):
        ids = tokenizer(list(rows[column]))["input_ids"]
        assert tokenizer.batch_decode(ids) == list(rows[column])
        assert tokenizer.batch_decode(ids, skip_special_tokens=True) == list(rows[column])


def check_saved(loaded):
    tokenizer, text = numeral_tokenizer(num_nodes=12), "11,3|3,0/11,0="
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert (loaded.dummy_token, loaded.dummy_token_id) == ("$", 15)
    assert (loaded.pad_token_id, loaded.eos_token_id, loaded.unk_token_id, loaded.bos_token_id) == (16, 16, 16, None)
    assert end_token_id(loaded) is None
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_numeral_tokenizer_survives_saving_twice(tmp_path):
    numeral_tokenizer(num_nodes=12).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    check_saved(loaded)
    loaded.save_pretrained(tmp_path / "again")
    check_saved(load_tokenizer(tmp_path / "again"))


def test_numeral_tokenizer_survives_the_hub(hub):
    numeral_tokenizer(num_nodes=12).push_to_hub("nextfail/numerals")
    check_saved(AutoTokenizer.from_pretrained("nextfail/numerals"))


def saved_by_an_earlier_version(num_nodes, folder):
    """Save it as it was when it had no end, no unknown token and nothing to say of messages."""
    numeral_tokenizer(num_nodes).save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        for added in ("completions_end", "eos_token", "unk_token"):
            content.pop(added, None)
        if "model" in content:
            content["model"]["unk_token"] = "<unk>"
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_one_of_an_earlier_version_is_read_as_it_was(tmp_path):
    saved_by_an_earlier_version(12, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.eos_token_id, loaded.unk_token_id, end_token_id(loaded)) == (None, None, None)
    assert num_labels(loaded) == 12
    assert encode_completions(loaded, ["3,1"]) == [[3, 1]]
    with pytest.raises(ValueError, match=r"tokenizer of 17 tokens cannot express '3,x'"):
        encode_texts(loaded, ["3,1", "3,x"])


# Many texts at once


def texts_of_labels(num_nodes, count):
    draw = np.random.default_rng(0)
    return [
        "".join(draw.choice([*map(str, range(num_nodes)), *",,,,||/=$"], size=draw.integers(12))) for _ in range(count)
    ]


@pytest.mark.parametrize("num_nodes", [1, 2, 10, 11, 50, 100, 1000])
def test_many_texts_at_once_are_tokenized_as_each_by_itself(num_nodes):
    tokenizer, texts = numeral_tokenizer(num_nodes), [*texts_of_labels(num_nodes, 500), "", "0", "0,", ",0", "="]
    known, ids = [], []
    for text in texts:
        if tokenizer.unk_token_id in (row := tokenizer(text)["input_ids"]):
            # Two labels beside each other make another, that may not exist.
            assert numeral_ids([text], num_nodes) is None
        else:
            ids.append(row)
            known.append(text)
    assert len(known) > 50
    assert numeral_ids(known, num_nodes) == ids
    assert encode_texts(tokenizer, known) == ids
    assert [numeral_ids([text], num_nodes) for text in known] == [[row] for row in ids]


@pytest.mark.parametrize(
    "text", ["3,50", "3,07", "00", "3, 1", "3;1", "3,x", "é,3", "<pad>", "99999999999999999999999"]
)
def test_texts_of_anything_else_are_for_the_tokenizer_to_judge(text):
    assert numeral_ids(["1,2", text], 50) is None


def test_only_the_numeral_tokenizer_is_taken_for_one(tmp_path):
    tokenizer = numeral_tokenizer(12)
    assert num_labels(tokenizer) == 12
    tokenizer("1,2", padding="max_length", max_length=8)
    tokenizer.save_pretrained(tmp_path)
    assert num_labels(load_tokenizer(str(tmp_path))) == 12
    assert num_labels(byte_level_tokenizer()) is None
    tokenizer.add_tokens(["<T>", "</T>"], special_tokens=True)  # which no problem holds
    assert num_labels(tokenizer) == 12
    tokenizer.add_tokens(["12,3"])
    assert num_labels(tokenizer) is None
