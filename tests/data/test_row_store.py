import pytest
import torch
from datasets import Dataset
from tiny_rows import EXAMPLES

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.rows import Rows, check_lengths
from hf_nextfail.data.tokenization import COMPLETIONS_END


def rows_of(examples=EXAMPLES, pad_token_id=14):
    return RowStore.of_ids(Dataset.from_list(examples), pad_token_id)


@pytest.mark.parametrize(("largest", "dtype"), [(2**15 - 1, torch.int16), (2**15, torch.int32)])
def test_rows_take_as_few_bytes_as_they_need(largest, dtype):
    rows = rows_of([{"prompt_ids": [largest], "completion_ids": [1, 2]}], pad_token_id=0)
    assert (rows.prompts.ids.dtype, rows.completions.ids.dtype) == (dtype, torch.int16)
    assert rows[0].prompt_ids.tolist() == [[largest]]


def test_a_long_row_makes_no_other_one_longer():
    dataset = Dataset.from_list([{"prompt_ids": [1] * 24_000, "completion_ids": [2]}, *EXAMPLES * 1_000])
    rows = RowStore.of_ids(dataset, 14)
    num_ids = 24_001 + 13 * 1_000
    assert len(rows.prompts.ids) + len(rows.completions.ids) == num_ids
    assert RowStore.bytes_of(dataset) == 2 * num_ids
    assert rows.take(torch.tensor([1, 3_000])).prompt_ids.tolist() == [[1, 2, 12], [3, 12, 14]]
    assert (rows.longest, rows[0].prompt_ids.shape) == (24_001, (1, 24_000))


def test_a_padding_id_that_is_large_is_not_cut_off():
    assert rows_of(pad_token_id=2**15)[1].prompt_ids.tolist() == [[12]]
    assert rows_of(pad_token_id=2**15).take(torch.arange(2)).prompt_ids[1].tolist() == [12, 2**15, 2**15]


@pytest.mark.parametrize("indices", [[0], [2, 0], [1, 1, 2, 0]])
def test_a_batch_is_as_wide_as_its_longest_row(indices):
    batch, expected = rows_of().__getitems__(indices), Rows.of_examples([EXAMPLES[i] for i in indices], 14)
    for name in ("prompt_ids", "completion_ids", "lengths"):
        assert torch.equal(getattr(batch, name), getattr(expected, name)), name
        assert getattr(batch, name).dtype == torch.int64


def test_rows_are_counted_and_the_shortest_prompt_is_known():
    assert (len(rows_of()), rows_of().shortest_prompt) == (3, 1)


def test_an_empty_row_is_refused():
    rows = rows_of([*EXAMPLES, {"prompt_ids": [], "completion_ids": [1]}])
    assert rows.take(torch.tensor([0, 3])).prompt_ids.tolist() == [[1, 2, 12], [14, 14, 14]]
    check_lengths(rows.lengths[:3])
    with pytest.raises(ValueError, match="empty prompt or completion"):
        check_lengths(rows.lengths)


def test_the_row_that_goes_on_behind_its_end_is_named():
    tokenizer = numeral_tokenizer(10)
    tokenizer.eos_token, tokenizer.init_kwargs[COMPLETIONS_END] = "9", True
    texts = {"prompt_ids": [[1]] * 3, "completion_ids": [[2, 9], [3, 9], [9, 9]]}
    with pytest.raises(ValueError, match="completion_ids of row 2 go on behind the end token 9"):
        RowStore.of(Dataset.from_dict(texts), tokenizer)


def test_texts_and_their_ids_are_the_same_rows():
    tokenizer = numeral_tokenizer(10)
    texts = Dataset.from_dict({"prompt": ["1,2=", "3="], "completion": ["4", "5,6"]})
    rows = RowStore.of(texts, tokenizer).take(torch.arange(2))
    assert rows.prompt_ids.tolist() == [[1, 2, 12], [3, 12, 14]]
    assert rows.completion_ids.tolist() == [[4, 14], [5, 6]]
    assert rows.lengths.tolist() == [[3, 1], [2, 2]]
