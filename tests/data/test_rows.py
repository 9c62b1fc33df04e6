import torch
from datasets import Dataset
from tiny_rows import EXAMPLES

from hf_nextfail.data.rows import IGNORED, Ragged, Rows

LISTS = [[1, 2, 3], [4], [5, 6]]
PADDED, LENGTHS = [[1, 2, 3], [4, 9, 9], [5, 6, 9]], [3, 1, 2]


def test_lists_and_columns_are_padded_alike():
    for texts in (Ragged.of_lists(LISTS, 9), Ragged.of_column(Dataset.from_dict({"ids": LISTS}), "ids", 9)):
        assert texts.take(torch.arange(3)).tolist() == PADDED
        assert texts.take(torch.tensor([2, 1])).tolist() == [[5, 6], [4, 9]]  # no wider than they are
        assert texts.lengths.tolist() == LENGTHS
        assert (texts.lengths.dtype, texts.longest) == (torch.int64, 3)


def test_a_column_whose_rows_were_selected_is_padded_in_their_order():
    texts = Ragged.of_column(Dataset.from_dict({"ids": LISTS}).select([2, 1]), "ids", 9)
    assert texts.take(torch.arange(2)).tolist() == [[5, 6], [4, 9]]
    assert texts.lengths.tolist() == [2, 1]


def test_a_layout_is_the_prompt_what_is_shown_and_padding():
    rows = Rows.of_examples(EXAMPLES, 14)
    batch = rows.lay_out(torch.full_like(rows.completion_ids, 13), pad_token_id=14)
    assert batch["input_ids"].tolist() == [[1, 2, 12, 13, 14], [12, 13, 13, 13, 14], [3, 12, 13, 13, 13]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [
        [IGNORED, IGNORED, IGNORED, 4, IGNORED],
        [IGNORED, 5, 6, 7, IGNORED],
        [IGNORED, IGNORED, 8, 9, 0],
    ]
