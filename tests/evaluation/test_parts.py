import numpy as np
import pytest
from small_tokenizers import END, byte_level_tokenizer
from transformers import ByT5Tokenizer

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.evaluation.parts import part_of_each_token
from hf_nextfail.tasks import StarGraph

GRAPHS = StarGraph()


def test_each_numeral_token_is_a_node():
    nodes = part_of_each_token(numeral_tokenizer(num_nodes=30), ["3,12,7", "12,3"], width=4, task=GRAPHS)
    np.testing.assert_array_equal(nodes, [[0, 1, 2, -1], [0, 1, -1, -1]])


def test_separators_and_end_tokens_belong_to_the_node_that_they_end():
    tokenizer = byte_level_tokenizer(eos_token=END)
    assert tokenizer.tokenize("3,12,7") == ["3", ",", "12", ",", "7"]
    nodes = part_of_each_token(tokenizer, ["3,12,7", "12,3,29"], width=7, task=GRAPHS)
    np.testing.assert_array_equal(nodes, [[0, 0, 1, 1, 2, 2, -1]] * 2)


def test_all_digits_of_a_label_belong_to_its_node():
    tokenizer = byte_level_tokenizer(split_digits=True)
    assert tokenizer.tokenize("3,12,7") == ["3", ",", "1", "2", ",", "7"]
    nodes = part_of_each_token(tokenizer, ["3,12,7", "12,3,4", "1,2,3"], width=6, task=GRAPHS)
    np.testing.assert_array_equal(nodes, [[0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, -1]])


def test_a_slow_tokenizer_does_not_know_where_its_tokens_come_from():
    with pytest.raises(ValueError, match="the tokenizer is a ByT5Tokenizer, which does not say where"):
        part_of_each_token(ByT5Tokenizer(), ["1,2"], 4, GRAPHS)
