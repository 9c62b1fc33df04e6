import pytest
import torch

from hf_nextfail.data_collator import CompletionCollator, pad_rows
from hf_nextfail.objectives import OBJECTIVES, Objective, TeacherForcedObjective, TeacherlessObjective
from hf_nextfail.tokenization import numeral_tokenizer

TOKENIZER = numeral_tokenizer(num_nodes=10)  # the dummy token is 13, padding is 14
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

    name, teacher_forced = "noisy", False

    def shown_completion(self, completion_ids, generator=None):
        return torch.randint(10, completion_ids.shape, generator=generator)

    def decode(self, model, prompt_ids, prompt_lengths, completion_length):
        return prompt_ids.new_zeros(len(prompt_ids), completion_length)


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


def test_stochastic_objective_draws_from_the_generator():
    def shown(seed):
        return CompletionCollator(NoisyObjective(TOKENIZER), torch.Generator().manual_seed(seed))(ROWS)["input_ids"]

    assert torch.equal(shown(0), shown(0))
    assert not torch.equal(shown(0), shown(1))


def test_stochastic_objective_draws_from_torch_by_default():
    collator = CompletionCollator(NoisyObjective(TOKENIZER))
    torch.manual_seed(0)
    first, second = collator(ROWS)["input_ids"], collator(ROWS)["input_ids"]
    torch.manual_seed(0)
    assert torch.equal(collator(ROWS)["input_ids"], first)
    assert not torch.equal(first, second)


def test_pad_rows():
    ids, lengths = pad_rows([[1, 2], [3], [4, 5, 6]], pad_token_id=9)
    assert ids.tolist() == [[1, 2, 9], [3, 9, 9], [4, 5, 6]]
    assert lengths.tolist() == [2, 1, 3]
    assert ids.dtype == lengths.dtype == torch.int64
