from collections import Counter

import numpy as np
import pytest

from hf_nextfail.tasks import SPLITS, InWeightsStar

TASK = InWeightsStar(degree=40, path_length=4, num_pauses=2)
NUM_EDGES = 120


def texts(task: InWeightsStar, split: str, num_rows: int, seed: int = 0, shard: int = 0) -> list[tuple[str, str]]:
    text = task.to_text(task.sample_shard(split, shard, seed, num_rows))
    return list(zip(text["prompt"].tolist(), text["completion"].tolist(), strict=True))


def first_round(split: str) -> list[tuple[str, str]]:
    """The rows of a split before any comes again, if they come as is said."""
    drawn = texts(TASK, split, 10_000)
    return drawn[: len(set(drawn))]


def paths_in_train() -> int:
    return sum(prompt.endswith("=") for prompt, _ in set(texts(TASK, "train", 10_000)))


def edges_of_training() -> list[tuple[str, str]]:
    """The graph as a training shows it, read from the texts of its edges alone."""
    forward = {(prompt[:-1], answer) for prompt, answer in texts(TASK, "train", 10_000) if prompt.endswith(">")}
    backward = {(answer, prompt[:-1]) for prompt, answer in texts(TASK, "train", 10_000) if prompt.endswith("<")}
    assert forward == backward
    return sorted(forward)


def test_training_rows_have_each_edge_in_both_directions_and_each_path_once_a_round():
    drawn = first_round("train")
    assert max(Counter(drawn).values()) == 1
    assert Counter(prompt[-1] for prompt, _ in drawn) == {">": NUM_EDGES, "<": NUM_EDGES, "=": paths_in_train()}
    again = texts(TASK, "train", 2 * len(drawn))[len(drawn) :]
    assert set(again) == set(drawn)
    assert again != drawn  # in another order


def test_edges_are_those_of_a_star_graph():
    edges = edges_of_training()
    after = Counter(source for source, _ in edges)
    (root,) = {source for source, _ in edges} - {target for _, target in edges}
    assert after.pop(root) == 40
    assert set(after.values()) == {1}
    assert len({target for _, target in edges}) == len(edges) == NUM_EDGES
    assert {node for edge in edges for node in edge} == {str(node) for node in range(121)}


def test_paths_of_all_splits_follow_the_edges_of_training():
    before = {target: source for source, target in edges_of_training()}
    leaves = set(before) - set(before.values())
    seen = {}
    for split in SPLITS:
        for prompt, answer in texts(TASK, split, 2_000):
            if prompt.endswith("="):
                leaf = prompt.removesuffix("..=")
                path = [leaf]
                while path[-1] in before:
                    path.append(before[path[-1]])
                assert answer.split(",") == path[::-1]
                assert len(path) == 4
                seen.setdefault(leaf, set()).add(split)
            else:
                assert split == "train"
    assert set(seen) == leaves
    assert all(len(splits) == 1 for splits in seen.values())


def test_three_of_four_leaves_are_trained_on():
    task = InWeightsStar()
    keys = task.split_key(task.sample(np.random.default_rng(0), 1))
    assert keys.dtype == np.uint64
    leaves = {split: len({p for p, _ in texts(task, split, 10_000)}) for split in ("validation", "test")}
    assert all(abs(number - 625) < 94 for number in leaves.values())  # four standard errors


def test_rounds_do_not_depend_on_shards():
    numbers = [texts(TASK, "test", 10_000, shard=shard) for shard in (0, 1)]
    joined = [row for shard in numbers for row in shard]
    size = len(set(joined))
    for begin in range(0, len(joined) - size, size):
        assert len(set(joined[begin : begin + size])) == size


def test_another_seed_is_another_order_of_the_same_rows():
    size = 2 * NUM_EDGES + paths_in_train()
    first, second = (texts(TASK, "train", size, seed=seed) for seed in (0, 1))
    assert first != second
    assert set(first) == set(second)


def test_another_graph_seed_is_another_graph():
    other = InWeightsStar(degree=40, path_length=4, num_pauses=2, graph_seed=1)
    assert len(set(texts(TASK, "train", 250)) & set(texts(other, "train", 250))) < 25


def test_from_the_root_each_first_step_is_right():
    edges = edges_of_training()
    (root,) = {source for source, _ in edges} - {target for _, target in edges}
    columns = TASK.sample_shard("train", 0)
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*(v.tolist() for v in columns.values()), strict=True)
    ]
    row = next(row for row in rows if row["kind"] == 1 and str(row["node"]) == root)
    assert {node for node in map(str, range(130)) if TASK.score(node, row)} == {b for a, b in edges if a == root}
    row = next(row for row in rows if row["kind"] == 1 and str(row["node"]) != root)
    assert [b for b in map(str, range(130)) if TASK.score(b, row)] == [b for a, b in edges if a == str(row["node"])]
    row = next(row for row in rows if row["kind"] == 2)
    assert [a for a in map(str, range(130)) if TASK.score(a, row)] == [a for a, b in edges if b == str(row["node"])]


def test_wrong_arms_are_wrong():
    paths = [answer for split in SPLITS for prompt, answer in first_round(split) if prompt.endswith("=")]
    columns = TASK.sample_shard("test", 0, num_rows=1)
    row = {name: values[0].tolist() for name, values in columns.items()}
    assert len(paths) == 40
    assert sum(TASK.score(path, row) for path in paths) == 1.0


def test_a_space_without_a_leaf_in_a_split_is_refused():
    task = InWeightsStar(degree=2, path_length=3)
    empty = [split for split in ("validation", "test") if split not in taken_splits(task)]
    assert empty
    with pytest.raises(
        ValueError, match=f"has no leaf in the {empty[0]} split; raise degree, or set num_{empty[0]}=0"
    ):
        task.sample_shard(empty[0], 0)


def taken_splits(task: InWeightsStar) -> list[str]:
    found = []
    for split in SPLITS:
        try:
            task.check_split(split)
        except ValueError:
            continue
        found.append(split)
    return found


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"degree": 1}, "degree must be an integer from 2 to 2499999 for path_length=5, got 1"),
        ({"path_length": 1}, "path_length must be an integer >= 2, got 1"),
        ({"num_pauses": -1}, "num_pauses must be an integer from 0 to 100, got -1"),
        ({"num_pauses": 101}, "num_pauses must be an integer from 0 to 100, got 101"),
        ({"graph_seed": -1}, "graph_seed must be an integer >= 0, got -1"),
    ],
)
def test_field_out_of_range_is_named_with_value_and_range(config, message):
    with pytest.raises(ValueError) as caught:
        InWeightsStar(**config)
    assert str(caught.value) == message


def test_names_title_and_chance():
    task = InWeightsStar.from_config_name("d30_l3_p1_g2")
    assert task == InWeightsStar(30, 3, 1, 2)
    assert task.title == "G(30,3) in the weights, 1 pauses, graph 2"
    assert (task.hard_part, task.chance) == (1, {"hard_token_accuracy": 1 / 30})
