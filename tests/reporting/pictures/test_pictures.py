import copy
import dataclasses
import functools
import itertools
import logging
import re

import made_records
import matplotlib
import matplotlib.figure
import matplotlib.image
import matplotlib.text
import matplotlib.transforms
import numpy as np
import pytest
from known_rows import rows_of
from made_records import OBJECTIVES
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hf_nextfail.files import shipped_folder
from hf_nextfail.objectives import OBJECTIVES as ALL_OBJECTIVES
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
    plot_row,
)
from hf_nextfail.reporting.pictures.base import (
    OBJECTIVE_COLOURS,
    OTHER_COLOURS,
    colour_of,
    in_words,
    looks_of,
    title_of,
)
from hf_nextfail.reporting.pictures.curves import learning_curves
from hf_nextfail.reporting.pictures.shares import accuracy_by_distance, position_names
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.trainings import trainings_of
from hf_nextfail.tasks import TASKS, StarGraph
from hf_nextfail.tasks.star_graph_text import arms_of


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


def trained(model, title, objective, *accuracies) -> list[Record]:
    """Runs of one training with seeds 0, 1, ... and these accuracies."""
    records = [old_record(objective) for _ in accuracies]
    for seed, (record, accuracy) in enumerate(zip(records, accuracies, strict=True)):
        record.run.update(model=model, title=title, seed=seed)
        record.results["accuracy"]["value"] = accuracy
    return records


def grid_records() -> list[Record]:
    return [
        *trained("gpt2", "G(2,3), 20 labels", "teacher_forced", 0.5, 0.51),
        *trained("gpt2", "G(2,3), 20 labels", "teacherless", 1.0, 0.7),
        *trained("gpt2", "G(5,5), 50 labels", "teacher_forced", 0.2),
        *trained("mamba", "G(2,3), 20 labels", "teacherless", 0.9),
    ]


def shipped(pattern: str) -> list[Record]:
    return [Record.read(path) for path in sorted((shipped_folder("hub_cards") / "results").glob(pattern))]


DRAWN = {
    "grid": (plot_grid, grid_records),
    "accuracy": (plot_accuracy, diagnosed_records),
    "positions": (plot_positions, diagnosed_records),
    "learning": (plot_learning, diagnosed_records),
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
    done = fresh(["-c", code, here], cwd=tmp_path / "other", warm=False, PYTHONHASHSEED="7")
    assert done.stdout.strip() == "False"  # a picture does not wait for torch
    for path in sorted(tmp_path.glob("*.*")):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["a.jpg", "a", "png", "a.png.tmp"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        plot_accuracy(diagnosed_records(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_accuracy_names_trainings_and_chance(tmp_path):
    records = diagnosed_records()
    plot_accuracy(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    for text in ("1/2: a guess", "teacher forced", "0.506, 0 of 1", "reversed paths", "1.000, 1 of 1"):
        assert text in words
    plot_accuracy(records, tmp_path / "a.png")
    plot_accuracy(records[1:2], tmp_path / "b.png")
    colours = [OBJECTIVE_COLOURS[objective] for objective in ("teacher_forced", "teacherless")]
    assert all(count(tmp_path / "a.png", colour) > 300 for colour in colours)
    assert count(tmp_path / "b.png", colours[0]) == 0


def test_seeds_of_a_training_share_a_line_of_the_legend_and_have_a_curve_each(tmp_path, figures):
    records = [old_record(objective, seed) for objective in OBJECTIVES for seed in (42, 1, 2)]
    plot_accuracy(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert "0.501 ± 0.005, 0 of 3" in words
    assert sum(" of 3" in line for line in words) == 3
    (figure,) = figures
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(curves) == 9
    assert [list(line.get_ydata()) for line in curves] == [[p["accuracy"] for p in r.history] for r in records]


def test_guesses_among_many_arms_are_all_named(tmp_path):
    records = diagnosed_records()
    for record, degree in zip(records, (20, 10, 7), strict=True):
        record.chance["hard_token_accuracy"] = 1 / degree
    plot_accuracy(records, tmp_path / "a.svg")
    assert "1/20, 1/10, 1/7: a guess" in texts(tmp_path / "a.svg")


@pytest.mark.parametrize("objective", [*OBJECTIVES[:2], "someones.py:Other", None])
def test_an_objective_has_one_colour_in_every_picture_and_reversed_paths_look_different(tmp_path, figures, objective):
    """Whatever stands beside it, and in whatever order."""
    own = [old_record("teacher_forced"), old_record("reversed")]
    for record in own:
        record.run["objective"] = objective
    other = trained("gpt2", "G(2,3), 20 labels", "teacherless", 0.5)
    for number, records in enumerate((own, own[::-1], [*own, *other], [*other, *own])):
        expected = {colour_of(record.run["objective"]) for record in records}
        for draw in (plot_accuracy, plot_grid):
            draw(records, tmp_path / f"{number}.svg")
            lines = [line for line in figures[-1].axes[0].lines if not str(line.get_label()).endswith("guess")]
            assert {matplotlib.colors.to_hex(line.get_color()).upper() for line in lines} == expected
            looks = {(line.get_color(), str(line._unscaled_dash_pattern), line.get_mfc()) for line in lines}
            assert len(looks) == len({(record.run["objective"], record.run["dataset_config"]) for record in records})


def test_colours_of_our_objectives_are_theirs_alone():
    assert OBJECTIVE_COLOURS.keys() == ALL_OBJECTIVES.keys()
    assert len(set(OBJECTIVE_COLOURS.values())) == len(OBJECTIVE_COLOURS)
    assert not set(OBJECTIVE_COLOURS.values()) & {*OTHER_COLOURS, colour_of(None)}
    others = {colour_of(f"objective_{number}") for number in range(200)}
    assert others == set(OTHER_COLOURS)
    assert colour_of("after_next") == "#BCBD22"  # on every machine


def test_trainings_of_one_colour_have_markers_of_their_own():
    records = [old_record("teacher_forced") for _ in range(3)]
    for rate, record in enumerate(records, start=1):
        record.recipe["learning_rate"] = rate
    looks = looks_of(trainings_of(records))
    assert len({look["color"] for look in looks}) == 1
    assert len({look["marker"] for look in looks}) == 3


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn in a test, which no file shows from inside."""
    drawn = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        FigureCanvasAgg(figure).draw()
        drawn.append(figure)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return drawn


def words_and_boxes(figure) -> list[tuple[str, matplotlib.transforms.Bbox]]:
    """What can be read in a figure, and where it stands."""
    shown = [*figure.texts, *(text for legend in figure.legends for text in legend.texts)]
    shown += [text for text in (figure._suptitle, figure._supxlabel, figure._supylabel) if text is not None]
    for axes in figure.axes:
        shown += axes.texts
        if axes.axison:
            shown += [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                shown += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                shown += [tick.label2 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    shown = {id(text): text for text in shown if text.get_text().strip() and text.get_visible()}
    extent = matplotlib.text.Text.get_window_extent  # of the words alone: a line that ties them to a place is none
    return [(text.get_text(), extent(text)) for text in shown.values()]


def long_names() -> list[Record]:
    """Records whose objectives have long names, and whose paths have different lengths."""
    records = [with_length(diagnosed_record("teacher_forced"), length) for length in (3, 3, 5)]
    for number, record in enumerate(records):
        record.run["objective"] = f"somebodys_very_long_file_name_{number}.py:ObjectiveOfSomebody"
        record.run["title"] = "a title that says more than others do"
    return records


@pytest.mark.parametrize(
    "records",
    [
        *(
            functools.partial(shipped, f"{name}/*.json")
            for name in ("g2_5_small", "mamba_g2_4/*", "grid_cpu", "small")
        ),
        diagnosed_records,
        long_names,
    ],
)
def test_nothing_stands_on_anything_else_or_outside(tmp_path, figures, records):
    """In all pictures: titles, legends, ticks and colour bars leave each other alone."""
    paths = draw_pictures(records(), tmp_path, formats=["png"])
    assert len(paths) == len(figures) >= 5
    for path, figure in zip(paths, figures, strict=True):
        assert figure.get_figheight() < 9, path.name
        words = words_and_boxes(figure)
        page = figure.bbox.padded(3)
        for text, box in words:
            assert page.x0 <= box.x0 <= box.x1 <= page.x1, (path.name, text)
            assert page.y0 <= box.y0 <= box.y1 <= page.y1, (path.name, text)
        for (one, box), (other, other_box) in itertools.combinations(words, 2):
            assert not box.padded(-1).overlaps(other_box.padded(-1)), (path.name, one, other)
        bars = [axes for axes in figure.axes if hasattr(axes, "_colorbar")]
        assert len(bars) == path.stem.startswith("positions")
        for axes, (text, box) in itertools.product(bars, words):
            assert not box.padded(-1).overlaps(axes.bbox), (path.name, text)


# Rows of every task: of those with several shapes, some that differ.
DRAWINGS = {
    "star_graph": ["d3_l5_n50_any", "d2_l9_n50"],
    "tree_star": ["d2_b2_s2_l5_n50", "d5_b2_s1_l5_n50"],
    "crossing_star": ["medium", "hard"],
    "minimal_planning": ["l7_n14", "l2_n3"],
    "in_weights_star": ["d5000_l5_p4_g0", "d2_l2_p0_g0"],
    "countdown": ["n5"],
    "word_problem": ["s5_l36"],
    "sibling_discovery": ["p5_c2500_g0", "p2_c4_g0_rev"],
    "triangle_discovery": ["n200_d60_g0"],
    "circle_construction": ["l9_n15", "l3_n9"],
    "line_construction": ["l9_n15"],
}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_of_every_task_is_drawn_and_everything_can_be_read(tmp_path, figures, name):
    for config_name in DRAWINGS[name]:
        task = TASKS[name].from_config_name(config_name)
        drawing = task.drawing(rows_of(task, 1)[0])
        plot_row(drawing, tmp_path / "row.png")
        height, width, _ = pixels(tmp_path / "row.png").shape
        assert 100 <= height <= 2500
        assert 400 <= width <= 2500
        words, page = words_and_boxes(figures[-1]), figures[-1].bbox.padded(3)
        read = [text for text, _ in words]
        if "table" in drawing:
            assert {cell for line in drawing["table"] for cell in line if cell} <= set(read)
        else:
            assert {str(node) for edge in drawing["edges"] for node in edge} <= set(read)
            assert count(tmp_path / "row.png", COLOURS[1]) > 100  # the path
        assert (drawing.get("note") is None) or any(drawing["note"].split()[0] in text for text in read)
        assert all(page.containsx(box.x0) and page.containsx(box.x1) for _, box in words), name
        assert all(page.containsy(box.y0) and page.containsy(box.y1) for _, box in words), name
        for (one, box), (other, other_box) in itertools.combinations(words, 2):
            assert not box.padded(-1).overlaps(other_box.padded(-1)), (config_name, one, other)


def test_what_was_written_in_a_graph_with_other_hard_places_is_drawn(tmp_path, figures):
    task = TASKS["crossing_star"]()
    row = rows_of(task, 1)[0]
    hard, start = row["path"][row["hard_place"]], str(row["start"])
    predicted = task.drawing(row) | {"written": [start, "99"], "probabilities": {str(hard): 0.25}}
    plot_row(predicted, tmp_path / "row.png")
    read = [text for text, _ in words_and_boxes(figures[-1])]
    assert "0.25" in read
    assert any(f"written: {start}, 99" in text and "not in this graph: 99" in text for text in read)
    plot_row(predicted | {"written": ["99", start], "reverse": False}, tmp_path / "row.png")
    assert any(f"right: {start}, " in text for text, _ in words_and_boxes(figures[-1]))
    assert "-1" not in read


def test_many_trainings_are_bounded_pictures(tmp_path, figures):
    """44 trainings of one task, and 44 tasks: no picture grows with them without end."""
    many = [diagnosed_record("teacher_forced") for _ in range(44)]
    for number, record in enumerate(many):
        record.recipe["learning_rate"] = number / 1000
    paths = draw_pictures(many, tmp_path, formats=["png"])
    assert len(paths) == 4 + 6
    assert "(9 of 44 trainings)" in figures[0].axes[0].get_title(loc="left").replace("\n", " ")
    for figure in figures:
        assert figure.get_figheight() < 9
        assert all(len(legend.texts) <= 10 for legend in figure.legends)
    for number, record in enumerate(many):
        record.run["title"] = f"G({number},9), 900 labels"
    plot_grid(many, tmp_path / "grid.png")
    assert figures[-1].get_figwidth() <= 17
    ticks = [box for text, box in words_and_boxes(figures[-1]) if "labels" in text]
    assert len(ticks) == 44
    assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in itertools.combinations(ticks, 2))
    assert all(len(legend.texts) <= 10 for legend in figures[-1].legends)


def test_positions_run_from_the_goal_to_the_start_also_on_reversed_paths(tmp_path):
    forward, backward = diagnosed_record("teacherless"), diagnosed_record("reversed")
    for record in (forward, backward):
        steps, rows = accuracy_by_distance([record])
        assert steps == [point["step"] for point in record.history]
        assert [row[-1] for row in rows] == [1.0, record.history[-1]["accuracy"], 1.0]
        assert rows[0][1] == pytest.approx(steps[1] / steps[-1])  # the goal is learnt slowly here
        assert set(rows[2]) == {1.0}  # and the start known
    backward = dataclasses.replace(backward, diagnosis=None)  # then the name of the configuration says it
    assert accuracy_by_distance([backward])[1][2] == [1.0] * len(backward.history)
    plot_positions([forward, backward], tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert [words.count(word) for word in ("start", "hard token", "goal")] == [1, 1, 1]
    assert {"teacherless", "training steps", "1/2"} <= set(words)
    assert any("reversed" in word for word in words)


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
        (5, ["goal", "node 4", "node 3", "hard token", "start"]),
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
        record.recipe["learning_rate"] = number / 1000
    plot_positions(records, tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    same = len(set(lengths)) == 1
    columns = min(len(lengths), 3)
    hard = sum("hard token" in word for word in words)
    assert hard == (-(-len(lengths) // columns) if same else len(lengths))
    if 20 in lengths:
        assert {"node 18", "node 4"} <= set(words)
        assert "node 3" not in words


def test_one_evaluation_is_a_map_too(tmp_path):
    record = diagnosed_record("teacherless")
    del record.history[:-1]
    plot_positions([record], tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").shape[0] > 200


def test_learning_leaves_out_what_does_not_exist(tmp_path):
    forced, teacherless = diagnosed_record("teacher_forced"), diagnosed_record("teacherless")
    labels = [curve[0] for curve in learning_curves([forced])]
    assert labels == [
        "knows the candidates",
        "follows edges",
        "follows a wrong arm",
        "writes an arm",
        "first step right",
        "whole path right",
    ]
    fewer = [curve[0] for curve in learning_curves([teacherless])]
    assert fewer == [label for label in labels if "follows" not in label]
    plot_learning([teacherless], tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    assert {*fewer, "1/2: a guess"} <= set(words)
    assert not any("follows" in word for word in words)
    plot_learning([diagnosed_record("reversed")], tmp_path / "b.svg")
    assert not any("guess" in word for word in texts(tmp_path / "b.svg"))


def test_clever_hans_is_drawn_where_it_is_identifiable():
    record = diagnosed_record("teacher_forced")
    for point in record.history:
        point["diagnosis"]["clever_hans_accuracy"] = 0.125
    (edges,) = (curve for curve in learning_curves([record]) if curve[0] == "follows edges")
    assert set(edges[4]) == {0.125}
    record.history[0]["diagnosis"] = None  # an evaluation that was not diagnosed
    assert all(curve[3][0] == record.history[1]["step"] for curve in learning_curves([record]))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_curves_of_a_learning_picture_come_from_the_same_rows(objective):
    """A path is never right without its first step: impossible numbers come from different rows."""
    records = [record for record in shipped("*/**/*.json") if learning_curves([record])]
    assert len(records) > 40
    for record in records:
        curves = {
            label: dict(zip(steps, values, strict=True)) for label, _, _, steps, values in learning_curves([record])
        }
        if "first step right" in curves and "whole path right" in curves:
            for step, whole in curves["whole path right"].items():
                assert whole <= curves["first step right"][step] + 1e-9
    record = diagnosed_record(objective)
    before = learning_curves([record])
    for point in record.history:
        point["accuracy"] = 0.123  # on all validation rows
    assert learning_curves([record]) == before


def test_learning_is_the_mean_over_seeds_where_a_stopped_run_keeps_its_last_values():
    records = [diagnosed_record("teacher_forced", seed) for seed in (42, 1)]
    del records[0].history[3:]
    last = records[0].history[-1]["diagnosis"]["accuracy"]
    (curve,) = (curve for curve in learning_curves(records) if curve[0] == "whole path right")
    assert curve[4] == pytest.approx(
        [
            ((records[0].history[i]["diagnosis"]["accuracy"] if i < 3 else last) + point["diagnosis"]["accuracy"]) / 2
            for i, point in enumerate(records[1].history)
        ]
    )


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


@pytest.mark.parametrize(("degree", "path_length"), [(2, 5), (5, 3), (5, 20)])
def test_probabilities_are_tied_to_their_nodes(tmp_path, figures, degree, path_length):
    row = predicted_row(degree, path_length)
    plot_graph(row, tmp_path / "a.png")
    nodes = {text.get_text(): text.get_position() for text in figures[0].axes[0].texts}
    tags = [text for text in figures[0].axes[0].texts if text.get_text() and hasattr(text, "arrow_patch")]
    tags = [tag for tag in tags if tag.arrow_patch is not None]
    assert [(tag.get_text(), tag.xy) for tag in tags] == [
        (f"{row['probabilities'][node]:.2f}", place) for node, place in nodes.items() if node in row["probabilities"]
    ]


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
    assert [path.name for path in paths] == [
        f"{name}.{suffix}" for name, picture in PICTURES.items() if picture.of != "page" for suffix in ("png", "svg")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_several_runs_have_some_pictures_each(tmp_path):
    names = [path.stem for path in draw_pictures(diagnosed_records(), tmp_path, formats=["svg"])]
    graphs = [f"graph_{name}" for name in ("teacher_forced", "teacherless", "teacher_forced_reversed_paths")]
    assert names == ["accuracy", "positions", "learning", "errors", *graphs]


def test_seeds_add_no_picture_and_every_task_has_its_own(tmp_path):
    seeds = [diagnosed_record("teacherless", seed) for seed in (42, 1, 2)]
    names = [path.stem for path in draw_pictures(seeds, tmp_path, formats=["svg"])]
    assert names == ["accuracy", "positions", "learning", "errors", "graph"]
    seeds[1].run["title"] = "../x"
    names = [path.stem for path in draw_pictures(seeds, tmp_path, formats=["svg"])]
    kinds = ("accuracy", "positions", "learning", "errors", "graph")
    assert names[0] == "grid"
    assert names[1:6] == [f"{kind}_G_2_3_20_labels" if kind != "graph" else names[5] for kind in kinds]
    assert names[6:10] == [f"{kind}_x" for kind in kinds[:4]]


def test_names_of_runs_are_no_paths(tmp_path):
    records = [diagnosed_record("teacherless") for _ in range(3)]
    for record, name in zip(records, ("..", "../../x", "a b/ä:*?"), strict=True):
        record.run["objective"] = name
    folder = tmp_path / "inner"
    folder.mkdir()
    paths = draw_pictures(records, folder, formats=["svg"])
    assert len({path.name for path in paths}) == len(paths) == 7
    assert all(path.parent == folder and path.is_file() for path in paths)
    assert list(tmp_path.iterdir()) == [folder]


def test_runs_without_diagnosis_or_history_lack_those_pictures(tmp_path):
    old, evaluated = old_record("teacherless"), old_record("reversed")
    evaluated.history.clear()
    assert [path.name for path in draw_pictures([old], tmp_path, formats=["png"])] == ["accuracy.png"]
    assert draw_pictures([evaluated], tmp_path) == []
    assert draw_pictures([], tmp_path) == []
    mixed = draw_pictures([old, evaluated, diagnosed_record("teacher_forced")], tmp_path, formats=["svg"])
    stems = ["accuracy", "positions", "learning", "errors", "graph_teacher_forced"]
    assert [path.stem for path in mixed] == stems
    assert "reversed" not in " ".join(texts(tmp_path / "accuracy.svg"))


def test_a_picture_that_fails_is_logged_and_the_others_are_drawn(tmp_path, caplog):
    record = diagnosed_record("teacherless")
    record.diagnosis["drawing"]["edges"] = [[1]]
    with caplog.at_level(logging.WARNING, logger="hf_nextfail"):
        paths = draw_pictures([record], tmp_path, formats=["png"])
    assert [path.stem for path in paths] == ["accuracy", "positions", "learning", "errors"]
    assert "graph.png could not be drawn: ValueError" in caplog.text


def test_a_grid_names_its_models_tasks_and_trainings(tmp_path):
    plot_grid(grid_records(), tmp_path / "grid.svg")
    found = texts(tmp_path / "grid.svg")
    for text in ("gpt2", "mamba", "G(2,3),", "G(5,5),", "50 labels", "teacher forced", "teacherless", "1/d: a guess"):
        assert text in found
    assert found.count("teacherless") == 1  # one legend


def test_a_grid_of_one_task_names_trainings_below_their_dots(tmp_path, figures):
    plot_grid(grid_records()[:4], tmp_path / "grid.svg")
    (axes,) = figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["teacher forced", "teacherless"]
    dots = [line for line in axes.lines if line.get_marker() != "None"]
    for tick, line in zip(axes.get_xticks(), dots, strict=True):
        assert abs(sum(line.get_xdata()) / len(line.get_xdata()) - tick) < 1e-9
    assert "gpt2, G(2,3), 20 labels" in texts(tmp_path / "grid.svg")
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["1/d: a guess"]


def test_every_seed_of_a_grid_is_a_dot(tmp_path, figures):
    plot_grid(trained("gpt2", "a", "teacherless", 1.0, 0.9, 0.2), tmp_path / "many.png")
    (line,) = [line for line in figures[0].axes[0].lines if line.get_marker() != "None"]
    assert sorted(line.get_ydata()) == [0.2, 0.9, 1.0]
    assert len(set(line.get_xdata())) == 3
    assert count(tmp_path / "many.png", OBJECTIVE_COLOURS["teacherless"]) > 100


def test_titles_have_room():
    records = diagnosed_records()
    assert title_of(trainings_of(records), "x") == "G(2,3), 20 labels: x"
    for record, title in zip(records, ("a", "b", "a"), strict=True):
        record.run["title"] = title
    assert title_of(trainings_of(records), "x") == "2 tasks: x"
    records[2].run["title"] = "c"
    assert title_of(trainings_of(records), "x") == "3 tasks: x"
    assert in_words("teacher_forced/g2_5_small") == "teacher forced/g2_5_small"
