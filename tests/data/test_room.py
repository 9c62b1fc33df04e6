import datasets
import pytest
from datasets import load_dataset

from hf_nextfail import numeral_tokenizer
from hf_nextfail.data import room
from hf_nextfail.data.room import check_disk, check_memory, fits_in_memory, in_words, who_is_to_blame
from hf_nextfail.data.row_store import SCORED_BYTES, RowStore


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(0, "0.0 bytes"), (999, "999.0 bytes"), (22e9, "22.0 GB"), (3.2e15, "3,200.0 TB")]
)
def test_bytes_in_words(num_bytes, words):
    assert in_words(num_bytes) == words


def test_more_than_half_of_the_disk_is_refused_with_both_figures_and_much_is_said(tmp_path, caplog):
    folder = tmp_path / "not" / "there"
    check_disk("12 rows", 1000.0, folder)
    assert "12 rows" not in caplog.text
    with caplog.at_level("INFO", logger="hf_nextfail"):
        check_disk("12 rows", 1.5e9, folder)
    assert "12 rows: about 1.5 GB are written to" in caplog.text
    with pytest.raises(ValueError, match=r"12 rows need about 1,000,000.0 TB, more than 50% of the [0-9.]+ .B"):
        check_disk("12 rows", 1e18, folder)
    assert not folder.exists()


def test_rows_that_do_not_fit_in_memory_are_refused_with_both_figures():
    assert fits_in_memory(1e6)
    with pytest.raises(ValueError, match=r"12 rows need about 1,000.0 TB, more than 50% of the [0-9.]+ .B of memory"):
        check_memory("12 rows", 1e15)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_dataset_that_is_too_large_is_refused_before_anything_is_made(tmp_path, split):
    sizes = {f"num_{name}": 0 for name in ("train", "validation", "test")} | {f"num_{split}": 10**11}
    with pytest.raises(ValueError, match=r"100,000,000,000 rows of star_graph d2_l3_n20 need about 11.. TB"):
        load_dataset("nextfail/star_graph", "d2_l3_n20", cache_dir=str(tmp_path), **sizes)
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".arrow"]
    stream = load_dataset("nextfail/star_graph", "d2_l3_n20", split=split, streaming=True, **sizes)
    assert len(list(stream.take(3))) == 3


def test_rows_need_what_their_tokens_and_the_scores_of_their_completions_take(monkeypatch):
    rows = datasets.Dataset.from_dict({"prompt": ["1=", "2=" * 500], "completion": ["1", "2,1"]})
    tokenizer = numeral_tokenizer(num_nodes=5)
    taken = RowStore.of(rows, tokenizer)
    needed = sum(texts.ids.numel() * texts.ids.element_size() for texts in (taken.prompts, taken.completions))
    needed += taken.inside.numel() * SCORED_BYTES
    monkeypatch.setattr(room, "SHARE", 0.0)
    with pytest.raises(
        ValueError, match=f"2 rows, the longest of 1,002 tokens, need about {in_words(needed)}, more than"
    ):
        RowStore.of(rows, tokenizer)


def test_the_cache_is_blamed_for_what_is_its_own():
    place = f"{datasets.config.HF_DATASETS_CACHE}/x.lock"
    said = who_is_to_blame("GOOD", PermissionError(13, "Permission denied", place))
    assert said.startswith(f"the cache {datasets.config.HF_DATASETS_CACHE} cannot be used ([Errno 13]")
    assert said.endswith("set HF_HOME to a folder that you may write to")
    assert who_is_to_blame("GOOD", PermissionError(13, "Permission denied", "GOOD/x")).startswith("GOOD: [Errno 13]")
    assert who_is_to_blame("GOOD", ValueError("a\nb")) == "GOOD: a b"
