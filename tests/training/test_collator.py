import pytest
import torch
from datasets import Dataset
from small_tokenizers import with_special_tokens
from torch.utils.data import DataLoader

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.decoding import ParallelDecoding
from hf_nextfail.objectives import OBJECTIVES, Objective, TeacherForcedObjective, TeacherlessObjective
from hf_nextfail.training.collator import CompletionCollator

TOKENIZER = with_special_tokens(numeral_tokenizer(num_nodes=10))  # the dummy token is 13, padding is 14
ROWS = [
    {"prompt_ids": [1, 2, 12], "completion_ids": [4]},
    {"prompt_ids": [12], "completion_ids": [5, 6, 7]},
    {"prompt_ids": [3, 12], "completion_ids": [8, 9, 0]},
]
ATTENTION_MASK = [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
LABELS = [[-100, -100, -100, 4, -100], [-100, 5, 6, 7, -100], [-100, -100, 8, 9, 0]]
INPUT_IDS = {
    TeacherForcedObjective: [[1, 2, 12, 4, 14], [12, 5, 6, 7, 14], [3, 12, 8, 9, 0]],
    TeacherlessObjective: [[1, 2, 12, 13, 14], [12, 13, 13, 13, 14], [3, 12, 13, 13, 13]],
}


class NoisyObjective(Objective):
    """Shows random labels: a stochastic objective."""

    name, decoding_class = "noisy", ParallelDecoding

    def encode(self, rows, generator=None):
        shown = torch.randint(10, rows.completion_ids.shape, generator=generator)
        return rows.lay_out(shown, self.pad_token_id)


@pytest.mark.parametrize("objective", INPUT_IDS)
def test_rows_of_any_lengths_become_a_batch(objective):
    batch = CompletionCollator(objective(TOKENIZER))(ROWS)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": INPUT_IDS[objective],
        "attention_mask": ATTENTION_MASK,
        "labels": LABELS,
    }
    assert {values.dtype for values in batch.values()} == {torch.int64}


def test_rows_of_one_length_get_no_padding():
    rows = [{"prompt_ids": [1, 2], "completion_ids": [3, 4]}, {"prompt_ids": [5, 6], "completion_ids": [7, 8]}]
    batch = CompletionCollator(TeacherForcedObjective(TOKENIZER))(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert batch["attention_mask"].all()


def test_other_columns_are_left_out():
    rows = [row | {"path": [1, 2], "prompt": "1,2="} for row in ROWS]
    batch = CompletionCollator(TeacherForcedObjective(TOKENIZER))(rows)
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("column", ["prompt_ids", "completion_ids"])
def test_empty_prompt_or_completion_is_refused(name, column):
    rows = [*ROWS, ROWS[0] | {column: []}]
    with pytest.raises(ValueError, match="empty prompt or completion"):
        CompletionCollator(OBJECTIVES[name](TOKENIZER))(rows)


def test_what_a_stochastic_objective_draws_depends_on_seed_epoch_and_batch_alone():
    def shown(seed=0, epoch=0, rows=ROWS):
        collator = CompletionCollator(NoisyObjective(TOKENIZER), seed)
        collator.epoch = epoch
        torch.rand(3)  # what others draw meanwhile changes nothing
        return collator(rows)["input_ids"]

    assert torch.equal(shown(), shown())
    other_batch = [row | {"completion_ids": row["completion_ids"][::-1]} for row in ROWS]
    for other in (shown(seed=1), shown(epoch=1), shown(rows=other_batch)):
        assert not torch.equal(shown(), other)


def test_loader_processes_that_live_on_hear_of_the_epoch():
    def batches(**options):
        collator = CompletionCollator(NoisyObjective(TOKENIZER))
        loader = DataLoader(ROWS, batch_size=3, collate_fn=collator, **options)
        for collator.epoch in range(3):
            yield from (batch["input_ids"].tolist() for batch in loader)

    expected = list(batches())
    assert expected[0] != expected[1] != expected[2]
    assert list(batches(num_workers=1, persistent_workers=True)) == expected


# Rows as tensors


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("indices", [[0], [2, 0], [1, 1, 2, 0]])
def test_rows_as_tensors_make_the_batches_of_the_dataset_itself(name, indices):
    collator = CompletionCollator(OBJECTIVES[name](TOKENIZER))
    rows = RowStore.of_ids(Dataset.from_list(ROWS), TOKENIZER.pad_token_id)
    batch, expected = collator(rows.__getitems__(indices)), collator([ROWS[i] for i in indices])
    assert batch.keys() == expected.keys()
    for key in batch:
        assert torch.equal(batch[key], expected[key])
        assert batch[key].dtype == expected[key].dtype


def test_an_empty_row_as_a_tensor_is_refused_as_well():
    rows = RowStore.of_ids(
        Dataset.from_list([*ROWS, {"prompt_ids": [], "completion_ids": [1]}]), TOKENIZER.pad_token_id
    )
    with pytest.raises(ValueError, match="empty prompt or completion"):
        CompletionCollator(OBJECTIVES["teacher_forced"](TOKENIZER))(rows[3])
