import copy
import dataclasses
import itertools
import logging
import re

import made_records
import matplotlib
import matplotlib.image
import numpy as np
import pytest
from made_records import OBJECTIVES

from hf_nextfail.reporting.pictures import (
    COLOURS,
    PICTURES,
    draw_pictures,
    plot_accuracy,
    plot_errors,
    plot_graph,
    plot_grid,
    plot_learning,
    plot_positions,
)
from hf_nextfail.reporting.pictures.base import in_words, spread, title_of
from hf_nextfail.reporting.pictures.curves import learning_curves
from hf_nextfail.reporting.pictures.shares import accuracy_by_distance, position_names
from hf_nextfail.reporting.record import Record
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph import arms_of


def old_record(objective, seed=42) -> Record:
    return Record.from_dict(made_records.old_record(objective, seed))


def diagnosed_record(objective, seed=42) -> Record:
    return Record.from_dict(made_records.diagnosed_record(objective, seed))


def diagnosed_records() -> list[Record]:
    return [diagnosed_record(objective) for objective in OBJECTIVES]


def texts(path) -> list[str]:
    """What stands in an SVG: matplotlib draws letters as paths, and leaves the text as comments."""
    comments = re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.DOTALL)
    return [comment.replace("&lt;", "<").replace("&gt;", ">") for comment in comments]


def pixels(path) -> np.ndarray:
    return (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)


def count(path, colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((pixels(path) == wanted).all(axis=-1).sum())


def star_graph_row(degree, path_length, **predicted):
    columns = StarGraph(degree=degree, path_length=path_length, num_nodes=500).sample(np.random.default_rng(0), 1)
    return {name: values[0].tolist() for name, values in columns.items()} | predicted


def predicted_row(degree, path_length):
    """A row with what a model wrote: into the last arm, and from there to the goal."""
    row = star_graph_row(degree, path_length)
    arms = sorted(arms_of(row["edges"], row["start"]), key=lambda arm: arm[-1] != row["goal"])
    written = [str(node) for node in [*arms[-1][:-1], row["goal"]]]
    shares = np.random.default_rng(0).dirichlet([1.0] * degree).tolist()
    return row | {"written": written, "probabilities": {str(arm[1]): p for arm, p in zip(arms, shares, strict=True)}}


GRID = {
    ("gpt2", "d2_l3_n20", "teacher_forced"): [0.5, 0.51],
    ("gpt2", "d2_l3_n20", "teacherless"): [1.0, 0.7],
    ("gpt2", "d5_l5_n50", "teacher_forced"): [0.2],
    ("gpt2", "d5_l5_n50", "teacherless"): [],
    ("mamba", "d2_l3_n20", "teacherless"): [0.9],
}
GRID_CHANCES = {"d2_l3_n20": 0.5, "d5_l5_n50": 0.2}
GRID_TITLES = {"d2_l3_n20": "G(2,3), 20", "d5_l5_n50": "G(5,5), 50"}


def grid_picture(accuracies, path):
    plot_grid(accuracies, GRID_CHANCES, GRID_TITLES, path)


DRAWN = {
    "grid": (grid_picture, lambda: GRID),
    "accuracy": (plot_accuracy, diagnosed_records),
    "positions": (plot_positions, diagnosed_records),
    "learning": (plot_learning, lambda: diagnosed_record("teacher_forced")),
    "errors": (plot_errors, diagnosed_records),
    "graph": (plot_graph, lambda: predicted_row(3, 4)),
}


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("name", DRAWN)
def test_equal_data_are_equal_files_whatever_the_user_has_set(tmp_path, name, suffix):
    draw, data = DRAWN[name]
    draw(data(), tmp_path / f"a.{suffix}")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": "other", "figure.dpi": 33}):
        draw(data(), tmp_path / f"b.{suffix}")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_files_are_equal_in_another_process(tmp_path, fresh):
    draw_pictures([diagnosed_record("teacherless")], tmp_path)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from made_records import diagnosed_record; from hf_nextfail.reporting.pictures import draw_pictures\n"
        "from hf_nextfail.reporting.record import Record\n"
        "record = Record.from_dict(diagnosed_record('teacherless'))\n"
        "draw_pictures([record], Path('.')); print('torch' in sys.modules)"
    )
    here = made_records.__file__.rpartition("/")[0]
    (tmp_path / "other").mkdir()
    done = fresh(["-c", code, here], cwd=tmp_path / "other", PYTHONHASHSEED="7")
    assert done.stdout.strip() == "False"  # a picture does not wait for torch
    for path in sorted(tmp_path.glob("*.*")):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["a.jpg", "a", "png", "a.png.tmp"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        plot_accuracy(diagnosed_records(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_accuracy_names_runs_and_chance(tmp_path):
    records = diagnosed_records()
    plot_accuracy(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert "1/2: a guess" in words
    assert "teacher forced: 0.506 on the test split" in words
    assert "reversed: 1.000 on the test split" in words
    plot_accuracy(records, tmp_path / "a.png")
    plot_accuracy(records[:2], tmp_path / "b.png")
    assert pixels(tmp_path / "a.png").shape[0] >= 600
    assert all(count(tmp_path / "a.png", colour) > 300 for colour in COLOURS[:3])
    assert count(tmp_path / "b.png", COLOURS[2]) == 0


def test_seeds_of_a_run_share_a_colour_and_a_line_of_the_legend(tmp_path):
    records = [old_record(objective, seed) for objective in OBJECTIVES for seed in (42, 1, 2)]
    plot_accuracy(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert "teacher forced: 0.506, 0.503, 0.495 on the test split (seeds 42, 1, 2)" in words
    assert sum("test split" in line for line in words) == 3
    plot_accuracy(records, tmp_path / "a.png")
    assert count(tmp_path / "a.png", COLOURS[3]) == 0


def test_the_legend_of_accuracy_lies_below_its_axes(tmp_path):
    records = diagnosed_records()
    plot_accuracy(records, tmp_path / "a.png")
    image = pixels(tmp_path / "a.png")
    dark = (image.max(axis=-1) < 100).sum(axis=1)
    axis = int(dark.argmax())  # the line of the steps is the darkest row
    for colour in COLOURS[:3]:
        rows = (image == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1).any(axis=1).nonzero()[0]
        assert rows.min() < axis < rows.max()  # its curve above, its legend below
        gap = np.diff(rows)[rows[:-1] < axis + 5].max() if (rows > axis).any() else 0
        assert gap > 20  # nothing of it in between, where the steps are written


def test_guesses_among_many_arms_do_not_stand_on_each_other(tmp_path):
    records = diagnosed_records()
    for record, degree in zip(records, (20, 10, 7), strict=True):
        record.chance["hard_token_accuracy"] = 1 / degree
    plot_accuracy(records, tmp_path / "a.svg")
    assert {"1/20: a guess", "1/10: a guess", "1/7: a guess"} <= set(texts(tmp_path / "a.svg"))


@pytest.mark.parametrize(
    ("values", "limits", "places"),
    [
        ([], {}, []),
        ([0.3], {}, [0.3]),
        ([0.1, 0.9], {}, [0.1, 0.9]),
        ([1.0, 1.0, 1.0], {}, [1.2, 1.0, 0.8]),
        ([1.0, 1.0, 1.0], {"high": 1.0}, [1.0, 0.8, 0.6]),
        ([0.0, 0.05], {"low": 0.0}, [0.0, 0.2]),
        ([0.5, 0.5, 0.35], {}, [0.65, 0.45, 0.25]),
    ],
)
def test_labels_move_apart_as_little_as_it_takes(values, limits, places):
    assert spread(values, 0.2, **limits) == pytest.approx(places)


def test_any_labels_move_apart_and_keep_their_order():
    rng = np.random.default_rng(0)
    for size in rng.integers(2, 12, 50):
        values = rng.random(size).round(1).tolist()
        places = np.array(spread(values, 0.1))
        assert np.diff(np.sort(places)).min() > 0.1 - 1e-9
        order = np.argsort(places)
        assert (np.diff(np.array(values)[order]) >= 0).all()
        assert places.mean() == pytest.approx(np.mean(values))


def test_positions_run_from_the_goal_to_the_start_also_on_reversed_paths(tmp_path):
    forward, backward = diagnosed_record("teacherless"), diagnosed_record("reversed")
    for record in (forward, backward):
        steps, rows = accuracy_by_distance(record)
        assert steps == [point["step"] for point in record.history]
        assert [row[-1] for row in rows] == [1.0, record.history[-1]["accuracy"], 1.0]
        assert rows[0][1] == pytest.approx(steps[1] / steps[-1])  # the goal is learnt slowly here
        assert set(rows[2]) == {1.0}  # and the start known
    backward = dataclasses.replace(backward, diagnosis=None)  # then the name of the configuration says it
    assert accuracy_by_distance(backward)[1][2] == [1.0] * len(backward.history)
    plot_positions([forward, backward], tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert [words.count(word) for word in ("start", "hard token", "goal")] == [1, 1, 1]
    assert {"teacherless", "reversed", "training steps", "1/2"} <= set(words)


def test_the_last_column_is_the_last_evaluation(tmp_path):
    record = diagnosed_record("teacherless")
    viridis = matplotlib.colormaps["viridis"]
    colour = matplotlib.colors.to_hex(viridis(0.37))
    for point in record.history:
        point["diagnosis"]["token_accuracy"] = [1.0, 1.0, 1.0]
    plot_positions([record], tmp_path / "a.png")
    before = count(tmp_path / "a.png", colour)
    record.history[-1]["diagnosis"]["token_accuracy"][1] = 0.37
    plot_positions([record], tmp_path / "b.png")
    drawn = (pixels(tmp_path / "b.png") == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1)
    assert drawn.sum() > before + 500
    yellow = (pixels(tmp_path / "b.png") == (np.array(viridis(1.0)[:3]) * 255).round()).all(axis=-1)
    at_right = np.nonzero(drawn.sum(axis=0) > 20)[0].max()
    assert yellow[:, at_right + 10 : at_right + 30].sum() == 0  # nothing of the map is farther right


@pytest.mark.parametrize(
    ("path_length", "names"),
    [
        (2, ["goal, hard token", "start"]),
        (3, ["goal", "hard token", "start"]),
        (5, ["goal", "1 before", "2 before", "hard token", "start"]),
    ],
)
def test_positions_have_names(path_length, names):
    assert position_names(path_length) == names


def with_length(record, path_length):
    record = copy.deepcopy(record)
    for point in record.history:
        point["diagnosis"]["token_accuracy"] = [point["accuracy"]] * path_length
    return record


@pytest.mark.parametrize("lengths", [[2], [20], [3, 5], [20, 20, 20, 20], [3, 3, 3, 20, 2]])
def test_positions_of_any_lengths_are_drawn(tmp_path, lengths):
    records = [with_length(diagnosed_record("teacherless"), length) for length in lengths]
    for number, record in enumerate(records):
        record.run["seed"] = number
    plot_positions(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    same = len(set(lengths)) == 1
    columns = min(len(lengths), 3)
    hard = sum("hard token" in word for word in words)
    assert hard == (-(-len(lengths) // columns) if same else len(lengths))
    if 20 in lengths:
        assert {"2 before", "16 before"} <= set(words)
        assert "17 before" not in words


def test_one_evaluation_is_a_map_too(tmp_path):
    record = diagnosed_record("teacherless")
    del record.history[:-1]
    plot_positions([record], tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").shape[0] > 200


def test_learning_leaves_out_what_does_not_exist(tmp_path):
    forced, teacherless = diagnosed_record("teacher_forced"), diagnosed_record("teacherless")
    labels = [curve[0] for curve in learning_curves(forced)]
    assert labels == [
        "knows the candidates",
        "follows edges",
        "follows a wrong arm",
        "writes an arm",
        "first step right",
        "whole path right",
    ]
    fewer = [curve[0] for curve in learning_curves(teacherless)]
    assert fewer == [label for label in labels if "follows" not in label]
    plot_learning(teacherless, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert {*fewer, "1/2: a guess"} <= set(words)
    assert not any("follows" in word for word in words)
    plot_learning(diagnosed_record("reversed"), tmp_path / "b.svg")
    assert not any("guess" in word for word in texts(tmp_path / "b.svg"))


def test_clever_hans_is_drawn_where_it_is_identifiable():
    record = diagnosed_record("teacher_forced")
    for point in record.history:
        point["diagnosis"]["clever_hans_accuracy"] = 0.125
    (edges,) = (curve for curve in learning_curves(record) if curve[0] == "follows edges")
    assert set(edges[4]) == {0.125}
    record.history[0]["diagnosis"] = None  # an evaluation that was not diagnosed
    assert all(curve[3][0] == record.history[1]["step"] for curve in learning_curves(record)[:-1])


def test_errors_name_the_kinds_that_occur_and_their_shares(tmp_path):
    plot_errors(diagnosed_records(), tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert {
        "right arm",
        "wrong arm",
        "wrong arm to the goal",
        "jump",
        "teacher forced",
        "50.6 %",
        "24.7 %",
        "12.4 %",
    } <= set(words)
    assert "not a node" not in words
    record = diagnosed_record("teacher_forced")
    shares = (0.0, 0.0, 0.02, 0.08, 0.2, 0.3, 0.4)
    for kind, share in zip(record.diagnosis["errors"], shares, strict=True):
        record.diagnosis["errors"][kind]["value"] = share
    plot_errors([record], tmp_path / "b.svg")
    words = texts(tmp_path / "b.svg")
    assert "right arm" not in words
    assert {"20.0 %", "30.0 %", "40.0 %", "wrong length"} <= set(words)
    assert not {"2.0 %", "8.0 %"} & set(words)  # no room


DEGREES, LENGTHS = (1, 2, 5, 10, 20), (2, 3, 5, 20)


@pytest.mark.parametrize(("degree", "path_length"), list(itertools.product(DEGREES, LENGTHS)))
def test_a_graph_is_drawn_at_a_size_to_look_at(tmp_path, degree, path_length):
    row = star_graph_row(degree, path_length)
    plot_graph(row, tmp_path / "a.png")
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 400 <= width <= 1900
    assert 130 <= height <= 1900
    assert count(tmp_path / "a.png", COLOURS[3]) == 0
    predicted = predicted_row(degree, path_length)
    plot_graph(predicted, tmp_path / "b.svg")
    words = texts(tmp_path / "b.svg")
    for node in {node for edge in row["edges"] for node in edge}:
        assert str(node) in words
    for probability in predicted["probabilities"].values():
        assert f"{probability:.2f}" in words


def test_the_colours_of_a_graph_are_those_of_its_path(tmp_path):
    row = star_graph_row(degree=3, path_length=4)
    plot_graph(row, tmp_path / "a.png")
    for colour in (COLOURS[1], COLOURS[0]):  # the path and the goal
        assert count(tmp_path / "a.png", colour) > 300
    image = pixels(tmp_path / "a.png")
    assert ((image.min(axis=-1) == image.max(axis=-1)) & (image.max(axis=-1) < 200)).sum() > 300
    other = next(arm for arm in arms_of(row["edges"], row["start"]) if arm != row["path"])
    plot_graph(row | {"path": other, "goal": other[-1]}, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    plot_graph(star_graph_row(degree=1, path_length=4), tmp_path / "c.png")  # nothing but the path
    image = pixels(tmp_path / "c.png")
    assert not ((image.min(axis=-1) == image.max(axis=-1)) & (image.max(axis=-1) < 200)).any()


def test_what_was_written_is_drawn_beside_the_right_path(tmp_path):
    row = diagnosed_record("teacher_forced").diagnosis["drawing"]
    plot_graph(row, tmp_path / "a.png")
    assert count(tmp_path / "a.png", COLOURS[3]) > 200
    plot_graph(row, tmp_path / "a.svg")
    words = " ".join(texts(tmp_path / "a.svg"))
    assert "right: 17, 13, 11" in words
    assert "written: 17, 7, 8" in words
    assert "not in this graph" not in words
    assert {"0.48", "0.51", "written by the model"} <= set(texts(tmp_path / "a.svg"))
    plot_graph(row | {"written": ["17", "13", "8"]}, tmp_path / "b.png")  # a jump from arm to arm
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_reversed_paths_are_written_from_the_goal(tmp_path):
    row = diagnosed_record("reversed").diagnosis["drawing"]
    plot_graph(row, tmp_path / "a.svg")
    words = " ".join(texts(tmp_path / "a.svg"))
    assert "right: 11, 13, 17" in words
    assert "written: 11, 7, 17" in words


@pytest.mark.parametrize(
    ("written", "unknown"),
    [
        (["17", "<|dummy|>", "8"], "<|dummy|>"),
        (["17", "99", "99"], "99"),
        (["17", r"$\frac$", "$"], r"$\frac$, $"),
        (["17", "", "x", "-1", "²"], "nothing, x, -1, ²"),
        ([], None),
        (["17", "17", "17"], None),
        (["17"], None),
        (["17", "13"] * 40, None),
    ],
)
def test_whatever_a_model_writes_is_drawn(tmp_path, written, unknown):
    row = diagnosed_record("teacher_forced").diagnosis["drawing"] | {"written": written}
    plot_graph(row, tmp_path / "a.svg")
    words = " ".join(" ".join(texts(tmp_path / "a.svg")).split())
    assert ("not in this graph" in words) == (unknown is not None)
    if unknown is not None:
        assert f"not in this graph: {unknown}" in words
    if not written:
        assert "written: nothing" in words


def test_one_run_has_its_pictures_under_their_plain_names(tmp_path):
    paths = draw_pictures([diagnosed_record("teacherless")], tmp_path)
    assert [path.name for path in paths] == [f"{name}.{suffix}" for name in PICTURES for suffix in ("png", "svg")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_several_runs_have_some_pictures_each(tmp_path):
    names = [path.stem for path in draw_pictures(diagnosed_records(), tmp_path, formats=["svg"])]
    each = [[f"{kind}_{objective}" for objective in OBJECTIVES] for kind in ("learning", "graph")]
    assert names == ["accuracy", "positions", *each[0], "errors", *each[1]]


def test_names_of_runs_are_no_paths(tmp_path):
    records = [diagnosed_record("teacherless") for _ in range(3)]
    for record, name in zip(records, ("..", "../../x", "a b/ä:*?"), strict=True):
        record.run["name"] = name
    folder = tmp_path / "inner"
    folder.mkdir()
    paths = draw_pictures(records, folder, formats=["svg"])
    assert len({path.name for path in paths}) == len(paths) == 9
    assert all(path.parent == folder and path.is_file() for path in paths)
    assert list(tmp_path.iterdir()) == [folder]


def test_runs_without_diagnosis_or_history_lack_those_pictures(tmp_path):
    old, evaluated = old_record("teacherless"), old_record("reversed")
    evaluated.history.clear()
    assert [path.name for path in draw_pictures([old], tmp_path, formats=["png"])] == ["accuracy.png"]
    assert draw_pictures([evaluated], tmp_path) == []
    assert draw_pictures([], tmp_path) == []
    mixed = draw_pictures([old, evaluated, diagnosed_record("teacher_forced")], tmp_path, formats=["svg"])
    stems = ["accuracy", "positions", "learning_teacher_forced", "errors", "graph_teacher_forced"]
    assert [path.stem for path in mixed] == stems
    assert "reversed" not in " ".join(texts(tmp_path / "accuracy.svg"))


def test_a_picture_that_fails_is_logged_and_the_others_are_drawn(tmp_path, caplog):
    record = diagnosed_record("teacherless")
    record.diagnosis["drawing"]["edges"] = [[1, 2], [2, 1]]
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        paths = draw_pictures([record], tmp_path, formats=["png"])
    assert [path.stem for path in paths] == ["accuracy", "positions", "learning", "errors"]
    assert "graph.png could not be drawn: ValueError" in caplog.text


def test_a_grid_names_its_models_graphs_and_trainings(tmp_path):
    grid_picture(GRID, tmp_path / "grid.svg")
    found = texts(tmp_path / "grid.svg")
    for text in ("gpt2", "mamba", "G(2,3), 20", "G(5,5), 50", "teacher forced", "teacherless", "1/d: a guess"):
        assert text in found
    assert found.count("teacherless") == 1  # one legend


def test_every_seed_of_a_grid_is_a_dot(tmp_path):
    few = {key: values[:1] for key, values in GRID.items() if key[1] == "d2_l3_n20"}
    many = few | {("gpt2", "d2_l3_n20", "teacherless"): [1.0, 0.9, 0.2]}
    grid_picture(few, tmp_path / "few.png")
    grid_picture(many, tmp_path / "many.png")
    dots = COLOURS[1]
    assert count(tmp_path / "many.png", dots) > 1.5 * count(tmp_path / "few.png", dots) > 0


def test_titles_have_room():
    records = diagnosed_records()
    assert title_of(records) == "G(2,3), 20 labels"
    for record, title in zip(records, ("a", "b", "a"), strict=True):
        record.run["title"] = title
    assert title_of(records) == "a and b"
    records[2].run["title"] = "c"
    assert title_of(records) == "3 kinds of graphs"
    assert in_words("teacher_forced/g2_5_small") == "teacher forced/g2_5_small"
