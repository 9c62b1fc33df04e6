import itertools
from collections import Counter
from pathlib import Path

import pytest
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    List,
    Value,
    get_dataset_config_info,
    load_dataset,
    load_dataset_builder,
)
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

import hf_nextfail.tasks
from hf_nextfail import TASKS, StarGraph
from hf_nextfail.data import builder as dataset_builder
from hf_nextfail.data.builder import MAX_PIECES, TaskConfig
from hf_nextfail.tasks.base import SHARD_ROWS

NAME = "nextfail/star_graph"
COLUMNS = ["prompt", "completion", "edges", "path", "start", "goal"]
TINY = {"num_train": 30, "num_validation": 10, "num_test": 20}
# Three shards, the last one cut, so that there is something to share out.
SEVERAL_SHARDS = {"num_train": 2 * SHARD_ROWS + 1_000, "num_validation": 0, "num_test": 0, "split": "train"}


def load_tiny(*args, **options) -> DatasetDict:
    return load_dataset(NAME, *args, **TINY | options)


@pytest.fixture(scope="module")
def several_shards() -> Dataset:
    return load_dataset(NAME, **SEVERAL_SHARDS)


def test_default_sizes_are_those_of_the_paper():
    config = load_dataset_builder(NAME).config
    assert (config.num_train, config.num_validation, config.num_test, config.seed) == (200_000, 5_000, 20_000, 0)
    assert config.task == StarGraph()


def test_columns_their_order_and_features():
    expected = Features(
        {
            "prompt": Value("string"),
            "completion": Value("string"),
            "edges": List(List(Value("int32"))),
            "path": List(Value("int32")),
            "start": Value("int32"),
            "goal": Value("int32"),
        }
    )
    for dataset in [*load_tiny().values(), *load_tiny(streaming=True).values()]:
        assert dataset.column_names == COLUMNS
        assert dataset.features == expected


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_those_of_the_task_and_parse_back(name):
    task = TASKS[name]()
    for split, dataset in load_dataset(f"nextfail/{name}", **TINY).items():
        columns = task.sample_shard(split, 0, num_rows=TINY[f"num_{split}"])
        expected = {key: values.tolist() for key, values in (task.to_text(columns) | columns).items()}
        assert dataset[:] == expected
        for row in dataset if hasattr(task, "parse") else ():
            assert task.parse(row["prompt"] + row["completion"]) == row


@pytest.mark.parametrize(
    ("args", "options", "config_name"),
    [
        ([], {}, "d2_l5_n50"),
        (["d5_l5_n50"], {}, "d5_l5_n50"),
        (["d7_l3_n40"], {}, "d7_l3_n40"),
        (["d2_l5_n50_rev"], {}, "d2_l5_n50_rev"),
        ([], {"degree": 7, "path_length": 4, "num_nodes": 60}, "d7_l4_n60"),
        ([], {"degree": 3}, "d3_l5_n50"),
        ([], {"reverse": True}, "d2_l5_n50_rev"),
        (["d5_l5_n50"], {"reverse": True}, "d5_l5_n50_rev"),
        (["d5_l5_n50"], {"degree": 5, "num_nodes": 50}, "d5_l5_n50"),
        ([], {"degree": None, "seed": None}, "d2_l5_n50"),  # a script passes on options that were not given
    ],
)
def test_names_and_keywords_resolve(args, options, config_name):
    task = StarGraph.from_config_name(config_name)
    for streaming in (False, True):
        dataset = load_tiny(*args, **options, streaming=streaming)["train"]
        assert dataset.info.config_name == config_name
        assert str(dataset.info.version) == StarGraph.version
        row = next(iter(dataset))
        assert task.parse(row["prompt"] + row["completion"]) == row


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        (["d2_l5_n50"], {"degree": 3}, ValueError, "config 'd2_l5_n50' says degree=2, but degree=3 was given"),
        (["d2_l5_n50_rev"], {"reverse": False}, ValueError, "says reverse=True, but reverse=False was given"),
        (["d2_l5"], {}, ValueError, "unknown config 'd2_l5': use d<degree>_l<path_length>_n<num_nodes>"),
        (["default"], {}, ValueError, "unknown config 'default'"),
        ([], {"degree": 0}, ValueError, "degree must be an integer >= 1, got 0"),
        ([], {"num_nodes": 8}, ValueError, "num_nodes must be an integer from 9"),
        ([], {"num_train": -1}, ValueError, "num_train must be an integer >= 0, got -1"),
        ([], {"num_validation": 2.5}, ValueError, "num_validation must be an integer >= 0, got 2.5"),
        ([], {"num_test": "20"}, ValueError, "num_test must be an integer >= 0, got '20'"),
        ([], {"num_test": True}, ValueError, "num_test must be an integer >= 0, got True"),
        ([], {"seed": -1}, ValueError, "seed must be an integer >= 0, got -1"),
        ([], {"seed": 0.0}, ValueError, "seed must be an integer >= 0, got 0.0"),
        ([], {"num_train": 0, "num_validation": 0, "num_test": 0}, ValueError, "are all 0: nothing to generate"),
        (["d1_l2_n2"], {}, ValueError, "d1_l2_n2 has only 2 graphs, all of them outside the train split"),
        (
            [],
            {"degre": 3},
            TypeError,
            "nextfail/star_graph has no option degre; it takes reverse, degree, path_length,",
        ),
        ([], {"length": 3, "nodes": 9}, TypeError, "has no option length, nodes"),
        ([], {"version": "2.0.0"}, TypeError, "has no option version"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_wrong_options_are_refused_before_anything_is_generated(args, options, error, message, streaming):
    with pytest.raises(error) as caught:
        load_dataset(NAME, *args, **options, streaming=streaming)
    assert message in str(caught.value)


def test_fewer_rows_are_the_first_rows():
    options = {"num_validation": 0, "num_test": 0, "split": "train"}
    small, large = (load_dataset(NAME, num_train=num_train, **options) for num_train in (1_000, SHARD_ROWS + 500))
    assert (len(small), len(large)) == (1_000, SHARD_ROWS + 500)
    assert small[:] == large[:1_000]


def test_sizes_and_seed_do_not_get_mixed_up_in_the_cache():
    options = [{}, {"num_train": 31}, {"seed": 1}, {"seed": 1, "num_train": 31}, {"reverse": True}, {"num_nodes": 51}]
    for _ in ("generated", "from the cache"):
        loaded = [load_tiny(**option)["train"] for option in options]
        assert [len(dataset) for dataset in loaded] == [30, 31, 30, 31, 30, 30]
        assert loaded[0][:] == loaded[1][:30]
        assert loaded[2][:] == loaded[3][:30]
        distinct = {tuple(zip(dataset[:30]["prompt"], dataset[:30]["completion"], strict=True)) for dataset in loaded}
        assert len(distinct) == 4


def test_second_load_reads_the_file_of_the_first(tmp_path):
    files, written = [], []
    for _ in range(2):
        dataset = load_tiny(cache_dir=str(tmp_path))["train"]
        files.append([file["filename"] for file in dataset.cache_files])
        written.append([Path(file).stat().st_mtime_ns for file in files[-1]])
    assert files[0] == files[1]
    assert len(files[0]) == 1
    assert Path(files[0][0]).is_relative_to(tmp_path)
    assert written[0] == written[1]


def test_named_default_and_plain_load_share_one_cache(tmp_path):
    plain, named = (load_tiny(*args, cache_dir=str(tmp_path))["test"].cache_files for args in ([], ["d2_l5_n50"]))
    assert plain == named


def test_map_is_cached_across_loads():
    files = [load_tiny()["train"].map(lambda row: {"length": len(row["path"])}).cache_files for _ in range(2)]
    assert files[0] == files[1]


def test_split_of_no_rows_is_left_out():
    assert list(load_tiny(num_validation=0)) == ["train", "test"]
    assert list(load_tiny(num_train=0, streaming=True)) == ["validation", "test"]
    with pytest.raises(ValueError, match="Unknown split"):
        load_tiny(num_test=0, split="test")


def test_split_slices():
    whole = load_tiny()
    assert load_tiny(split="train[:10]")[:] == whole["train"][:10]
    assert load_tiny(split="train[10:20]")[:] == whole["train"][10:20]
    assert load_tiny(split="train[-10%:]")[:] == whole["train"][27:]
    both = load_tiny(split="validation+test[:5]")
    assert both["prompt"][:] == whole["validation"]["prompt"][:] + whole["test"]["prompt"][:5]
    assert load_tiny(split=["test", "train"])[0][:] == whole["test"][:]


def test_split_names_and_info_need_no_generation(tmp_path):
    info = get_dataset_config_info(NAME, "d3_l3_n50")
    assert info.config_name == "d3_l3_n50"
    assert list(info.features) == COLUMNS
    assert list(info.splits) == ["train", "validation", "test"]
    builder = load_dataset_builder(NAME, "d3_l3_n50", cache_dir=str(tmp_path))
    assert builder.info.license == "apache-2.0"
    assert not list(tmp_path.rglob("*.arrow"))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_cites_the_paper_that_it_is_from(name):
    paper, info = TASKS[name].paper, load_dataset_builder(f"nextfail/{name}").info
    assert (info.citation, info.homepage) == (paper.citation, f"https://arxiv.org/abs/{paper.arxiv}")
    assert f"title={{{paper.title}}}" in info.citation
    readme = (Path(hf_nextfail.tasks.__file__).parent / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if line.startswith(f"| [`{name}`]({name}.py) |")]
    assert line.endswith(f"| [{paper.in_words}]({paper.url}) |")
    assert f"arXiv {paper.arxiv}" in " ".join(TASKS[name].__doc__.split())


def test_features_given_by_the_user_are_cast_to():
    wide = Features(
        {
            "prompt": Value("large_string"),
            "completion": Value("string"),
            "edges": List(List(Value("int64"))),
            "path": List(Value("int64")),
            "start": Value("int64"),
            "goal": Value("int64"),
        }
    )
    dataset = load_tiny(features=wide)["train"]
    assert dataset.features == wide
    assert dataset[:] == load_tiny()["train"][:]


def test_streaming_gives_the_same_rows(several_shards):
    streamed = load_dataset(NAME, **SEVERAL_SHARDS, streaming=True)
    assert streamed.num_shards == 3
    assert [row["prompt"] for row in streamed.select_columns("prompt")] == several_shards["prompt"][:]
    assert list(streamed.take(100)) == several_shards.select(range(100)).to_list()


def test_two_processes_give_the_same_rows(several_shards, tmp_path):
    parallel = load_dataset(NAME, **SEVERAL_SHARDS, num_proc=2, cache_dir=str(tmp_path))
    assert len(parallel.cache_files) == 2
    assert parallel.data.table.equals(several_shards.data.table)


def test_pieces_of_several_shards_give_the_same_rows(several_shards, monkeypatch):
    monkeypatch.setattr(dataset_builder, "MAX_PIECES", 2)
    streamed = load_dataset(NAME, **SEVERAL_SHARDS, streaming=True)
    assert streamed.num_shards == 2
    assert [row["prompt"] for row in streamed.select_columns("prompt")] == several_shards["prompt"][:]


@pytest.mark.parametrize("world_size", [2, 3])  # shards do not, and do, divide evenly
@pytest.mark.parametrize("streaming", [False, True])
def test_nodes_share_the_rows(several_shards, streaming, world_size):
    dataset = load_dataset(NAME, **SEVERAL_SHARDS, streaming=True) if streaming else several_shards
    nodes = [split_dataset_by_node(dataset.select_columns("prompt"), rank, world_size) for rank in range(world_size)]
    shares = [[row["prompt"] for row in node] for node in nodes]
    assert all(shares)
    assert Counter(itertools.chain(*shares)) == Counter(several_shards["prompt"][:])


def test_dataloader_workers_share_the_rows(several_shards):
    streamed = load_dataset(NAME, **SEVERAL_SHARDS, streaming=True).select_columns("prompt")
    batches = DataLoader(streamed, batch_size=1_000, num_workers=2)
    prompts = [prompt for batch in batches for prompt in batch["prompt"]]
    assert Counter(prompts) == Counter(several_shards["prompt"][:])


def test_hundred_million_rows_are_streamed_lazily(several_shards):
    streamed = load_dataset(NAME, num_train=10**8, streaming=True)["train"]
    assert 1 < streamed.num_shards <= 1_024 == MAX_PIECES
    assert next(iter(streamed)) == several_shards[0]


@pytest.mark.parametrize(
    "num_train",
    [1, SHARD_ROWS, SHARD_ROWS + 1, MAX_PIECES * SHARD_ROWS, MAX_PIECES * SHARD_ROWS + 1, 10**8, 10**9 + 7],
)
def test_pieces_cover_the_shards_once_and_in_order(num_train):
    builder = load_dataset_builder(NAME, num_train=num_train)
    pieces = builder._split_generators(None)[0].gen_kwargs["pieces"]
    assert len(pieces) <= MAX_PIECES
    shards = [shard for first, end in pieces for shard in range(first, end)]
    assert shards == list(range(-(-num_train // SHARD_ROWS)))


def test_reversed_rows_differ_in_the_completion_alone():
    forward, by_name, by_keyword = load_tiny(), load_tiny("d2_l5_n50_rev"), load_tiny(reverse=True)
    for split in forward:
        assert by_name[split][:] == by_keyword[split][:]
        unchanged = [column for column in COLUMNS if column != "completion"]
        assert by_name[split].select_columns(unchanged)[:] == forward[split].select_columns(unchanged)[:]
        for row in by_name[split]:
            assert row["completion"] == ",".join(map(str, row["path"][::-1]))


def test_every_option_outside_the_task_changes_what_is_generated():
    task = StarGraph()
    default = TaskConfig.resolve(StarGraph, None).cache_options()
    assert default == {}
    for option in ("num_train", "num_validation", "num_test", "seed"):
        config = TaskConfig.resolve(StarGraph, None, **{option: 7})
        assert config.task == task
        assert config.cache_options() == {option: 7}


@pytest.mark.parametrize("index", [0, SHARD_ROWS - 1, SHARD_ROWS, 2 * SHARD_ROWS, 2 * SHARD_ROWS + 999])
def test_a_row_alone_is_that_of_its_place(several_shards, index):
    sizes = {name: rows for name, rows in SEVERAL_SHARDS.items() if name.startswith("num_")}
    assert TaskConfig.resolve(StarGraph, None, **sizes).row("train", index) == several_shards[index]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_row_alone_is_that_of_its_split_seed_and_direction(split):
    rows = load_tiny("d2_l3_n10_rev", seed=3)[split]
    config = TaskConfig.resolve(StarGraph, "d2_l3_n10_rev", seed=3, **TINY)
    assert [config.row(split, index) for index in range(len(rows))] == list(rows)


@pytest.mark.parametrize("index", [-1, 30, 1.0, True])
def test_a_row_that_does_not_exist_is_named(index):
    with pytest.raises(ValueError, match="index must be an integer from 0 to 29 for the 30 rows of the train split"):
        TaskConfig.resolve(StarGraph, None, **TINY).row("train", index)
