import pytest
from datasets import Dataset, DatasetDict, IterableDataset, List, Value, load_dataset
from small_tokenizers import BEGIN, END, byte_level_tokenizer, numerals_that_end, sentencepiece_style
from tokenizers import processors
from transformers import AutoTokenizer

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import (
    COMPLETION_IDS,
    encode_completions,
    encode_texts,
    end_token_id,
    load_tokenizer,
    longest_of,
    longest_row,
    tokenize_dataset,
)


def star_graphs(config_name="d2_l3_n10", streaming=False):
    sizes = {"num_train": 50, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", streaming=streaming, **sizes)


# Loading


def test_loading_keeps_the_dummy_token_of_a_numeral_tokenizer(tmp_path):
    numeral_tokenizer(num_nodes=12).save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.dummy_token, loaded.dummy_token_id, loaded.pad_token_id) == ("$", 15, 16)
    assert len(loaded) == 17


def test_loading_adds_a_dummy_token_that_survives_saving(tmp_path):
    original = byte_level_tokenizer(eos_token=END)
    original.save_pretrained(tmp_path / "original")
    tokenizer = load_tokenizer(tmp_path / "original")
    tokenizer.save_pretrained(tmp_path / "again")
    for loaded in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "again"), load_tokenizer(tmp_path / "again")):
        assert (loaded.dummy_token, loaded.dummy_token_id) == ("<|dummy|>", len(original))
        assert len(loaded) == len(original) + 1
        assert loaded("12,3|4=")["input_ids"] == original("12,3|4=")["input_ids"]


@pytest.mark.parametrize(
    ("special_tokens", "pad_token"),
    [({"eos_token": END}, END), ({}, "<|dummy|>"), ({"eos_token": END, "pad_token": BEGIN}, BEGIN)],
)
def test_loading_sees_to_a_padding_token(tmp_path, special_tokens, pad_token):
    byte_level_tokenizer(**special_tokens).save_pretrained(tmp_path / "original")
    tokenizer = load_tokenizer(tmp_path / "original")
    tokenizer.save_pretrained(tmp_path / "again")
    assert tokenizer.pad_token == AutoTokenizer.from_pretrained(tmp_path / "again").pad_token == pad_token


@pytest.mark.parametrize(
    "make", [lambda: numeral_tokenizer(num_nodes=12), lambda: byte_level_tokenizer(eos_token=END)]
)
def test_a_loaded_tokenizer_does_not_say_where_it_came_from(tmp_path, make):
    make().save_pretrained(tmp_path / "original")
    load_tokenizer(str(tmp_path / "original")).save_pretrained(tmp_path / "again")
    files = [file for file in (tmp_path / "again").iterdir() if file.is_file()]
    assert {file.name for file in files} >= {"tokenizer.json", "tokenizer_config.json"}
    for file in files:
        for trace in (str(tmp_path), "original", "is_local", "local_files_only"):
            assert trace not in file.read_text(encoding="utf-8")


# Texts the tokenizer cannot express


def test_label_out_of_range_is_named_with_the_size_of_the_tokenizer():
    with pytest.raises(ValueError, match=r"tokenizer of 17 tokens cannot express '3,12\|3,1/3,12='"):
        encode_texts(numeral_tokenizer(num_nodes=12), ["3,11|3,1/3,11=", "3,12|3,1/3,12=", "3,99|3,1/3,99="])


def test_dataset_with_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match="tokenizer of 8 tokens cannot express"):
        tokenize_dataset(star_graphs("d2_l3_n10"), numeral_tokenizer(num_nodes=3))


def test_the_unknown_token_of_a_pretrained_tokenizer_stands_for_what_it_does_not_know():
    tokenizer = sentencepiece_style()
    (ids,) = encode_texts(tokenizer, ["3,ü"])
    assert tokenizer.unk_token_id in ids


# The ends of completions


def test_completions_of_a_pretrained_tokenizer_end_also_where_its_end_token_is_padding(tmp_path):
    byte_level_tokenizer(eos_token=END).save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == end_token_id(tokenizer)
    assert [ids[-1] for ids in encode_completions(tokenizer, ["3,1"])] == [end_token_id(tokenizer)]


def test_completions_of_the_numeral_tokenizer_do_not_end_unless_it_says_so():
    tokenizer = numeral_tokenizer(num_nodes=12)
    assert (tokenizer.eos_token_id, end_token_id(tokenizer)) == (tokenizer.pad_token_id, None)
    assert encode_completions(tokenizer, ["3,1"]) == [[3, 1]]
    assert encode_completions(numerals_that_end(12, end=9), ["3,1"]) == [[3, 1, 9]]


# Datasets


def test_dataset_gets_both_columns_of_ids():
    rows = star_graphs()
    dataset = tokenize_dataset(rows, numeral_tokenizer(num_nodes=10))
    assert set(dataset.column_names) == {*rows.column_names, "prompt_ids", "completion_ids"}
    assert dataset.features["prompt_ids"] == dataset.features["completion_ids"] == List(Value("int32"))
    assert list(dataset["completion_ids"]) == rows["path"][:]  # label i has the id i
    assert list(dataset["prompt"]) == list(rows["prompt"])


def test_streaming_gives_the_same_ids():
    tokenizer = numeral_tokenizer(num_nodes=10)
    streamed = tokenize_dataset(star_graphs(streaming=True), tokenizer)
    assert isinstance(streamed, IterableDataset)
    assert list(streamed) == list(tokenize_dataset(star_graphs(), tokenizer))


def test_streaming_dataset_of_unknown_columns_is_tokenized():
    rows = [{"prompt": "3,1/3,1=", "completion": "3,1"}, {"prompt": "2,0/2,0=", "completion": "2,0"}]
    dataset = IterableDataset.from_generator(lambda: iter(rows))
    assert dataset.column_names is None
    tokenized = tokenize_dataset(dataset, numeral_tokenizer(num_nodes=10))
    assert [row["completion_ids"] for row in tokenized] == [[3, 1], [2, 0]]


@pytest.mark.parametrize("missing", ["prompt", "completion"])
@pytest.mark.parametrize("streaming", [False, True])
def test_missing_column_is_named(missing, streaming):
    dataset = star_graphs(streaming=streaming).remove_columns(missing)
    with pytest.raises(ValueError, match=rf"no column {missing}, only .*path"):
        tokenize_dataset(dataset, numeral_tokenizer(num_nodes=10))


def test_second_tokenization_comes_from_the_cache():
    rows, tokenizer = star_graphs(), numeral_tokenizer(num_nodes=10)
    first = tokenize_dataset(rows, tokenizer)
    tokenizer(["1", "1,2"], padding=True)  # whatever the tokenizer did in between
    second = tokenize_dataset(rows, tokenizer)
    assert len(first.cache_files) == 1
    assert second.cache_files == first.cache_files
    assert second._fingerprint == first._fingerprint


def test_another_tokenizer_does_not_meet_the_cache():
    rows = star_graphs()
    datasets = [tokenize_dataset(rows, numeral_tokenizer(num_nodes)) for num_nodes in (10, 11)]
    assert datasets[0]._fingerprint != datasets[1]._fingerprint
    assert datasets[0]["prompt_ids"][0][-1] == 12  # the equals sign
    assert datasets[1]["prompt_ids"][0][-1] == 13


def test_completion_ends_with_the_end_token_of_the_tokenizer():
    rows = star_graphs()
    tokenizer = byte_level_tokenizer(eos_token=END)
    dataset = tokenize_dataset(rows, tokenizer)
    assert {ids[-1] for ids in dataset["completion_ids"]} == {tokenizer.eos_token_id}
    assert tokenizer.batch_decode([ids[:-1] for ids in dataset["completion_ids"]]) == list(rows["completion"])
    assert tokenizer.batch_decode(list(dataset["prompt_ids"])) == list(rows["prompt"])


def test_prompt_begins_with_the_begin_token_where_texts_do():
    rows = star_graphs()
    tokenizer = byte_level_tokenizer(bos_token=BEGIN)
    assert tokenizer.bos_token_id not in tokenize_dataset(rows, tokenizer)["prompt_ids"][0]
    template = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = template
    dataset = tokenize_dataset(rows, tokenizer)
    assert {ids[0] for ids in dataset["prompt_ids"]} == {tokenizer.bos_token_id}
    assert tokenizer.batch_decode([ids[1:] for ids in dataset["prompt_ids"]]) == list(rows["prompt"])
    assert tokenizer.batch_decode(list(dataset["completion_ids"])) == list(rows["completion"])


# What the columns say


def test_a_dataset_that_has_ids_is_taken_as_it_is():
    rows = Dataset.from_dict({"prompt_ids": [[1]], "completion_ids": [[2]]})
    assert tokenize_dataset(rows, numeral_tokenizer(num_nodes=3)) is rows


def test_longest_row_is_that_of_prompt_and_completion_together():
    rows = Dataset.from_dict({"prompt_ids": [[1, 2, 3], [1, 2]], "completion_ids": [[4], [5, 6, 7]]})
    assert longest_row(rows) == 5
    assert longest_row(rows.select([0])) == 4


def test_longest_completion_counts_its_end_token():
    rows = Dataset.from_dict({"prompt_ids": [[1, 2, 3, 4], [1]], "completion_ids": [[4], [5, 6, 7]]})
    assert longest_of(rows, COMPLETION_IDS) == 3
    assert longest_of(rows.select([0]), COMPLETION_IDS) == 1
    texts = Dataset.from_dict({"prompt": ["1,2=", "3="], "completion": ["1", "12,3"]})
    assert longest_of(tokenize_dataset(texts, byte_level_tokenizer(eos_token=END)), COMPLETION_IDS) == 4
    assert longest_of(tokenize_dataset(texts, numeral_tokenizer(num_nodes=20)), COMPLETION_IDS) == 2


# Special tokens in texts: reported of SFT trainers, which added a second begin or end token


def sentences():
    """A tokenizer whose texts begin with `<s>` and end with `</s>`, as those of Llama do."""
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.mark.parametrize("prompt", ["1,2=", "<s>1,2="])
@pytest.mark.parametrize("completion", ["3", "3</s>"])
def test_a_text_that_has_its_special_token_gets_no_second_one(prompt, completion):
    tokenizer = sentences()
    rows = tokenize_dataset(Dataset.from_list([{"prompt": prompt, "completion": completion}]), tokenizer)
    assert tokenizer.convert_ids_to_tokens(rows[0]["prompt_ids"])[:2] == ["<s>", "1"]
    assert tokenizer.convert_ids_to_tokens(rows[0]["completion_ids"]) == ["3", "</s>"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_completion_that_goes_on_behind_its_end_is_refused(streaming):
    # Greedy decoding stops there: one pass would call right what nobody ever writes.
    rows = Dataset.from_list([{"prompt": "1=", "completion": "2"}, {"prompt": "2=", "completion": "2</s>3"}])
    with pytest.raises(
        ValueError, match=r"'2</s>3'.* goes on behind the end token </s>, where a model stops to write"
    ):
        list(tokenize_dataset(rows.to_iterable_dataset() if streaming else rows, sentences()))


# Ids that came with a dataset


IDS = {"prompt_ids": [[1, 2], [2]], "completion_ids": [[3], [1]]}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt_ids": ["1 2", "2"]}, "prompt_ids must hold lists of ids below 9, got '1 2': remove the columns"),
        ({"completion_ids": [[3], [9]]}, r"completion_ids must hold lists of ids below 9, got \[9\]"),
        ({"completion_ids": [[0.5], [1.0]]}, r"completion_ids must hold lists of ids below 9, got \[0.5\]"),
        ({"prompt": ["1,2", "3"]}, r"prompt_ids are not what this tokenizer makes of '3': \[2\], not \[3\]; remove"),
        ({"completion": ["3", "2"]}, "completion_ids are not what this tokenizer makes of '2'"),
    ],
)
def test_ids_of_another_tokenizer_are_refused(columns, message, streaming):
    rows = Dataset.from_dict(IDS | columns)
    with pytest.raises(ValueError, match=message):
        tokenize_dataset(rows.to_iterable_dataset() if streaming else rows, numeral_tokenizer(num_nodes=4))


def test_ids_of_this_tokenizer_are_taken():
    rows = Dataset.from_dict(IDS | {"prompt": ["1,2", "2"], "completion": ["3", "1"]})
    assert tokenize_dataset(rows, numeral_tokenizer(num_nodes=4)) is rows


# What rows may be


@pytest.mark.parametrize("form", ["arrow", "numpy", "torch", "pandas"])
@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_any_format_are_the_same(form, streaming):
    texts = {"prompt": ["1,2=", "3="], "completion": ["1", "2,3"]}
    rows = Dataset.from_dict(texts)
    expected = tokenize_dataset(rows, numeral_tokenizer(num_nodes=4)).to_list()
    rows = rows.to_iterable_dataset() if streaming else rows
    assert list(tokenize_dataset(rows.with_format(form), numeral_tokenizer(num_nodes=4))) == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("rows.jsonl", "must be a Dataset or an IterableDataset, got 'rows.jsonl': load one split"),
        (DatasetDict(test=Dataset.from_dict({})), "got a dictionary of test: load one split"),
        ([{"prompt": "1", "completion": "2"}], "must be a Dataset"),
        (IterableDataset.from_generator(lambda: iter(())), "the dataset has no rows and no columns"),
    ],
)
def test_what_is_no_dataset_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        tokenize_dataset(rows, numeral_tokenizer(num_nodes=4))
