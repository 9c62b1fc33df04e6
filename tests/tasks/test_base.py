from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from own_code.sums import Sums

from hf_nextfail.tasks import SPLITS, InWeightsStar, StarGraph, TreeStar, split_of
from hf_nextfail.tasks.base import NUM_BUCKETS, SHARD_ROWS, check_integer, occupied_splits
from hf_nextfail.tasks.graphs import hash_edges
from hf_nextfail.tasks.hashing import hash_numbers, mix_bits
from hf_nextfail.tasks.star_graph import ENUMERABLE_GRAPHS, enumerated_splits
from hf_nextfail.tasks.text import TextColumn, format_labels, label_spans, read_labels


@pytest.mark.parametrize("largest", [9, 10, 99, 100, 999, 1_000, 99_999, 100_000, 1_000_000])
def test_format_labels_writes_what_str_writes(largest):
    labels = np.random.default_rng(0).integers(0, largest + 1, size=(50, 4))
    labels[0], labels[1] = 0, largest
    expected = [f"{a},{b}|{c}={d}" for a, b, c, d in labels.tolist()]
    assert format_labels(labels, ",|=\0").tolist() == expected


def test_format_labels_takes_other_separators_in_each_row():
    labels = np.array([[3, 12], [40, 5], [1_000_000, 0]])
    separators = np.array([[*b"+="], [*b"-\0"], [*b"/|"]], np.uint8)
    assert format_labels(labels, separators).tolist() == ["3+12=", "40-5", "1000000/0|"]
    assert format_labels(np.where(labels == 5, -1, labels), separators).tolist() == ["3+12=", "40-", "1000000/0|"]


@pytest.mark.parametrize("largest", [7, 5_000])  # below and above the number of labels
def test_format_labels_leaves_out_what_is_filled_up(largest):
    labels = np.array([[-1, 3, 4], [5, -1, 0], [1, largest, -1], [-1, -1, -1]])
    assert format_labels(labels, ",|=").tolist() == ["3|4=", "5,0=", f"1,{largest}|", ""]


def test_one_text_is_laid_out_many_times():
    assert TextColumn.constant("ab=", 3).tolist() == ["ab="] * 3
    assert TextColumn.constant("=", 0).tolist() == []


@pytest.mark.parametrize("text", ["3", "3,12", " 3 ,\n0"])
def test_labels_are_read(text):
    assert read_labels(text) == tuple(map(int, text.split(",")))
    assert [text[begin:end] for begin, end in label_spans(text)] == [piece.strip() for piece in text.split(",")]
    assert label_spans(text.replace(",", "/"), "/") == label_spans(text.replace(",", "|"), "|") == label_spans(text)


@pytest.mark.parametrize("text", ["", ",", "3,", "03", "-1", "3,,4", "1 2", "\u0663", "12345678", "9" * 5_000, "x"])
def test_what_is_no_label_is_none(text):
    assert read_labels(text) is None


def test_hash_of_numbers_depends_on_each_and_on_their_order_and_not_on_their_type():
    values = np.array([[1, 2, 3], [2, 1, 3], [1, 2, 4], [0, 2, 3], [3, 2, 1]])
    assert len(np.unique(hash_numbers(values))) == len(values)
    np.testing.assert_array_equal(hash_numbers(values.astype(np.int8)), hash_numbers(values))


@dataclass(frozen=True)
class Coded(Sums):
    codes: ClassVar[Mapping[str, str]] = {"digits": "", "base": "b", "signed": "signed"}

    base: str = "ten"
    signed: bool = False


@pytest.mark.parametrize(
    ("task", "name"), [(Coded(), "3_bten"), (Coded(12, "two_2", signed=True), "12_btwo_2_signed")]
)
def test_codes_make_short_names_that_are_read_back(task, name):
    assert task.config_name == name
    assert Coded.from_config_name(name) == task
    assert Coded.from_config_name(name, signed=task.signed) == task
    with pytest.raises(ValueError, match=f"config '{name}' says digits={task.digits}, but digits=7 was given"):
        Coded.from_config_name(name, digits=7)


def test_a_keyword_turns_a_switch_on_that_a_name_leaves_out_and_none_off():
    assert Coded.from_config_name("3_bten", signed=True) == Coded(signed=True)
    with pytest.raises(ValueError, match="config '3_bten_signed' says signed=True, but signed=False was given"):
        Coded.from_config_name("3_bten_signed", signed=False)


@pytest.mark.parametrize(
    ("task", "name", "field"),
    [(InWeightsStar, "d100_l5_p4_g0", "graph_seed"), (TreeStar, "d2_b2_s0_l3_n20", "splits")],
)
def test_a_one_does_not_turn_a_zero_of_the_name_on(task, name, field):
    """0 and 1 are equal to `False` and `True`, which an override may turn on."""
    with pytest.raises(ValueError, match=f"config '{name}' says {field}=0, but {field}=1 was given"):
        task.from_config_name(name, **{field: 1})


@pytest.mark.parametrize("name", ["", "3", "3_b", "x_bten", "03_bten", "_bten", "3-bten", "digits_3"])
def test_any_other_name_is_refused(name):
    with pytest.raises(ValueError, match=r"use <digits>_b<base>\[_signed\]|digits must be written like 3"):
        Coded.from_config_name(name)


def test_a_code_of_ones_own_may_be_what_reverses_other_tasks():
    @dataclass(frozen=True)
    class Revised(Sums):
        codes: ClassVar[Mapping[str, str]] = {"digits": "", "revised": "rev"}

        revised: bool = False

    assert Revised.from_config_name("3_rev") == Revised(revised=True)
    with pytest.raises(ValueError, match="cannot be reversed: leave _rev out of the config '3_bten_rev'"):
        Coded.from_config_name("3_bten_rev")


def test_text_column_offsets_delimit_the_rows():
    column = format_labels(np.array([[3, 12], [40, 5], [100, 7]]), ",\0")
    assert column.data.tobytes() == b"3,1240,5100,7"
    assert column.offsets.tolist() == [0, 4, 8, 13]


def test_mix_bits_is_splitmix64():
    # The outputs that are published for SplitMix64 seeded with 1234567.
    states = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix_bits(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_hash_depends_on_direction_pairing_and_every_edge():
    edges = np.array(
        [
            [[4, 1], [1, 7], [4, 2], [2, 9]],
            [[1, 4], [1, 7], [4, 2], [2, 9]],  # one edge turned round
            [[4, 1], [1, 9], [4, 2], [2, 7]],  # two targets exchanged
            [[4, 1], [1, 7], [4, 2], [2, 8]],  # one label changed
        ]
    )
    assert len(np.unique(hash_edges(edges))) == 4


def test_hash_does_not_depend_on_the_integer_type():
    edges = StarGraph().sample(np.random.default_rng(0), 100)["edges"]
    hashes = hash_edges(edges)
    for dtype in (np.uint8, np.int64, np.uint64):
        np.testing.assert_array_equal(hash_edges(edges.astype(dtype)), hashes)


def test_split_of_known_graphs_is_frozen():
    # Any other membership would move graphs that somebody has trained on into the test split.
    edges = np.array([[[0, 1 + i], [0, 11 + i]] for i in range(10)])
    assert split_of(hash_edges(edges)).tolist() == ["train"] * 7 + ["validation", "train", "test"]


def test_buckets_are_dealt_out_once_as_twelve_two_two():
    assert sorted(bucket for buckets in SPLITS.values() for bucket in buckets) == list(range(NUM_BUCKETS))
    assert {name: len(buckets) for name, buckets in SPLITS.items()} == {"train": 12, "validation": 2, "test": 2}


@pytest.mark.parametrize("value", [1, 5, 9])
def test_check_integer_accepts_the_whole_range(value):
    check_integer("degree", value, 1, 9)


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2), 2])
def test_check_integer_returns_a_plain_one(value):
    assert type(check_integer("degree", value, 1, 9)) is int


@pytest.mark.parametrize("value", [0, 10, True, 2.0, "2", None, np.int64(0), np.float64(2), np.bool_(True)])
def test_check_integer_names_field_value_and_range(value):
    with pytest.raises(ValueError) as caught:
        check_integer("degree", value, 1, 9, " for a test")
    assert str(caught.value) == f"degree must be an integer from 1 to 9 for a test, got {value!r}"


def test_check_integer_without_upper_bound_says_so():
    check_integer("seed", 10**30, 0)
    with pytest.raises(ValueError, match=r"^seed must be an integer >= 0, got -1$"):
        check_integer("seed", -1, 0)


def test_small_space_without_a_graph_in_a_split_is_refused_before_sampling():
    task = StarGraph(degree=1, path_length=2, num_nodes=2)  # the graphs 0->1 and 1->0
    empty = sorted(set(SPLITS) - enumerated_splits(task))
    assert empty, "this configuration no longer leaves a split empty: choose another"
    for split in empty:
        with pytest.raises(ValueError) as caught:
            task.sample_shard(split, 0)
        message = str(caught.value)
        assert "d1_l2_n2 has only 2 graphs" in message
        assert f"the {split} split" in message
        assert f"num_{split}=0" in message
    for split in enumerated_splits(task):
        assert len(task.sample_shard(split, 0)["edges"]) == SHARD_ROWS


def test_large_space_is_not_enumerated():
    task = StarGraph()
    assert task.num_graphs >= ENUMERABLE_GRAPHS
    misses = enumerated_splits.cache_info().misses + occupied_splits.cache_info().misses
    task.check_split("test")
    assert enumerated_splits.cache_info().misses + occupied_splits.cache_info().misses == misses


def test_no_rows_are_no_text():
    assert format_labels(np.zeros((0, 3), np.int32), ",,=").tolist() == []


def test_large_labels_are_written_and_too_large_ones_refused():
    labels = np.array([[0, 9_999_999], [1_000_000, 7]])
    assert format_labels(labels, ",\0").tolist() == ["0,9999999", "1000000,7"]
    with pytest.raises(ValueError, match="at most 7 digits, got 10000000"):
        format_labels(np.array([[10_000_000]]), "\0")


@pytest.mark.parametrize("num_rows", [0, -1, SHARD_ROWS + 1])
def test_a_shard_has_1_to_10000_rows(num_rows):
    with pytest.raises(ValueError, match=f"num_rows must be from 1 to 10000, got {num_rows}"):
        StarGraph().sample_shard("train", 0, num_rows=num_rows)
