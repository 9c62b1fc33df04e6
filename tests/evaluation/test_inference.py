import pytest
import torch
from accelerate import PartialState
from datasets import Dataset, load_dataset
from known_models import CleverHans
from tiny_models import tiny_gpt2
from tiny_rows import random_rows

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.rows import Ragged
from hf_nextfail.decoding import DECODINGS
from hf_nextfail.evaluation.inference import Inference

TOKENIZER = numeral_tokenizer(8)
every_scoring = pytest.mark.parametrize("name", [name for name in DECODINGS if DECODINGS[name].scores_tokens])


def star_graphs(num_rows=30):
    sizes = {"num_train": num_rows, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", "d2_l4_n8", split="train", **sizes)


def stored(rows):
    """The rows of a batch, as those of a dataset are kept."""
    texts = zip((rows.prompt_ids, rows.completion_ids), rows.lengths.T.tolist(), strict=True)
    lists = [[ids[:length].tolist() for ids, length in zip(padded, lengths, strict=True)] for padded, lengths in texts]
    return RowStore(*(Ragged.of_lists(ids, TOKENIZER.pad_token_id) for ids in lists))


def inference_of(name, batch_size=7, shared=False, model=None):
    model = model or tiny_gpt2(TOKENIZER, initializer_range=0.5)
    return Inference(model, DECODINGS[name](TOKENIZER), TOKENIZER, batch_size, None, shared)


@every_scoring
def test_scores_are_of_the_tokens_that_the_decoding_shows(name):
    inference, rows = inference_of(name), RowStore.of(star_graphs(), TOKENIZER)
    scores = inference.score(rows)
    inference.model.eval()
    batch = inference.decoding.view(rows.take(torch.arange(len(rows))))
    with torch.no_grad():
        logits = inference.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    rows = rows.take(torch.arange(len(rows)))
    end, length = rows.prompt_ids.shape[1], rows.completion_ids.shape[1]
    expected = logits[:, end - 1 : end - 1 + length].log_softmax(dim=-1)
    chosen = expected.gather(2, rows.completion_ids[..., None]).squeeze(2)
    torch.testing.assert_close(scores.log_probs, chosen.double(), rtol=1e-4, atol=1e-5)
    assert torch.equal(scores.correct, expected.argmax(dim=-1) == rows.completion_ids)


@every_scoring
def test_neither_batches_nor_processes_change_the_scores(name):
    PartialState()
    rows = RowStore.of(star_graphs(), TOKENIZER)
    whole = inference_of(name, batch_size=100).score(rows)
    for other in (inference_of(name), inference_of(name, shared=True)):
        scores = other.score(rows)
        assert torch.equal(scores.correct, whole.correct)
        torch.testing.assert_close(scores.log_probs, whole.log_probs)


def test_where_no_pass_scores_tokens_there_are_no_scores_and_every_row_is_written():
    dataset = star_graphs()
    rows, inference = RowStore.of(dataset, TOKENIZER), inference_of("inserting")
    scores = inference.score(rows)
    assert scores is None
    everything = inference.write(rows, torch.arange(len(rows)))
    assert inference.write_texts(rows, scores, dataset["completion"][:]) == TOKENIZER.batch_decode(
        everything, skip_special_tokens=True
    )
    everything[::2, 1] += 1
    rows = RowStore(rows.prompts, Ragged.of_lists(everything.tolist(), rows.prompts.pad_token_id))
    assert inference.exact_match(rows, scores).tolist() == [row % 2 == 1 for row in range(len(rows))]


@pytest.mark.parametrize("name", DECODINGS)
def test_a_long_completion_is_written_where_another_row_has_a_long_prompt(name):
    rows = stored(random_rows(TOKENIZER, prompt_lengths=[6, 1, 4], completion_lengths=[1, 6, 2]))
    inference = inference_of(name, model=tiny_gpt2(TOKENIZER, initializer_range=0.5, n_positions=rows.longest))
    written = inference.write(rows, torch.arange(3))
    for row in range(3):
        alone = rows.take(torch.tensor([row]))
        room = rows.longest - alone.prompt_ids.shape[1]
        expected = inference.decoding.write(inference.model.eval(), alone, room)
        # The likeliest of several steps depends on how many tokens are to be written.
        same = room if name != "unmasking" else 0
        assert written[row, :room].tolist()[:same] == expected[0].tolist()[:same]
        assert (written[row, room:] == TOKENIZER.pad_token_id).all()


def test_only_rows_that_are_wrong_are_decoded():
    dataset = star_graphs()
    rows, model = RowStore.of(dataset, TOKENIZER), CleverHans(8)
    inference = inference_of("autoregressive", model=model)
    scores = inference.score(rows)
    wrong = (~scores.correct.all(dim=1)).nonzero().squeeze(1)
    assert 0 < len(wrong) < len(dataset)
    decoded = []
    write = inference.decoding.write
    inference.decoding.write = lambda model, rows, num: decoded.append(rows.prompt_ids) or write(model, rows, num)
    completions = dataset["completion"][:]
    written = inference.write_texts(rows, scores, completions)
    assert torch.equal(torch.cat(decoded), rows.take(wrong).prompt_ids)
    everything = TOKENIZER.batch_decode(inference.write(rows, torch.arange(len(dataset))))
    assert written == everything
    assert [row for row in range(len(dataset)) if written[row] != completions[row]] == wrong.tolist()


def test_a_decoding_whose_output_one_pass_does_not_tell_is_run_on_every_row(monkeypatch):
    dataset = star_graphs()
    rows, inference = RowStore.of(dataset, TOKENIZER), inference_of("autoregressive", model=CleverHans(8))
    scores, completions = inference.score(rows), dataset["completion"][:]
    by_one_pass = inference.exact_match(rows, scores), inference.write_texts(rows, scores, completions)
    monkeypatch.setattr(type(inference.decoding), "one_pass_exact", False)
    decoded, write = [], inference.decoding.write
    inference.decoding.write = lambda model, rows, num: decoded.append(len(rows)) or write(model, rows, num)
    assert torch.equal(inference.exact_match(rows, scores), by_one_pass[0])
    assert sum(decoded) == len(dataset)
    assert inference.write_texts(rows, scores, completions) == by_one_pass[1]
    assert sum(decoded) == 2 * len(dataset)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_as_it_was(training):
    inference, rows = inference_of("parallel"), RowStore.of(star_graphs(4), TOKENIZER)
    inference.model.train(training)
    inference.score(rows)
    inference.write(rows, torch.arange(4))
    assert inference.model.training == training


def test_other_completions_go_with_the_same_prompts():
    rows = RowStore.of(star_graphs(2), TOKENIZER)
    other = rows.with_completions(["1,2", "3,4,5"], TOKENIZER)
    assert other.take(torch.arange(2)).completion_ids.tolist() == [[1, 2, TOKENIZER.pad_token_id], [3, 4, 5]]
    assert other.lengths[:, 1].tolist() == [2, 3]
    assert torch.equal(other.lengths[:, 0], rows.lengths[:, 0])
    assert other.inside.tolist() == [[True, True, False], [True, True, True]]


def test_nothing_is_written_for_no_rows():
    rows = RowStore.of(star_graphs(2), TOKENIZER)
    assert inference_of("parallel").write(rows, torch.tensor([], dtype=int)).shape == (0, rows.completions.longest)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (star_graphs(2).to_iterable_dataset(), "needs a map-style dataset"),
        (star_graphs(2).select([]), "empty dataset"),
        (Dataset.from_list([{"prompt_ids": [1], "completion_ids": []}]), "empty prompt or completion"),
    ],
)
def test_rows_that_cannot_be_measured_are_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        RowStore.of(dataset, TOKENIZER)
