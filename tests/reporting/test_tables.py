import dataclasses
import io
import re
from importlib.metadata import version

import pytest
from made_records import diagnosed_record
from rich.console import Console

from hf_nextfail.metrics import METRICS_VERSION
from hf_nextfail.reporting.provenance import versions
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import (
    diagnosis_table,
    distinct_names,
    format_accuracy,
    format_number,
    other_tokens,
    print_table,
    results_table,
    short_name,
)
from hf_nextfail.runs.reproduce import terminal_tables
from hf_nextfail.tasks import StarGraph
from hf_nextfail.version import __version__


def result(value, error=0.004):
    return {"value": value, "standard_error": error, "n": 20_000, "num_graphs": 18_000}


def record(name: str, accuracy: float, chance: float | None = 0.5, forced: list[float] | None = None) -> Record:
    per_token = result([1.0, accuracy, 0.75])
    results = {
        "accuracy": result(accuracy),
        "train_accuracy": result(0.512),
        "hard_token_accuracy": result(accuracy),
        "token_accuracy": per_token,
        "forced_token_accuracy": None if forced is None else result(forced),
    }
    made = Record.build(
        StarGraph(path_length=3, num_nodes=20),
        {"name": name, "steps": 1000},
        results,
        history=[{"step": step, "accuracy": accuracy * step / 1000} for step in (0, 500, 1000)],
        timings={"train_seconds": 61.5, "examples_per_second": 3123.0},
    )
    made.chance["hard_token_accuracy"] = chance
    return made


@pytest.fixture
def records():
    return [
        record("star_graph/teacher_forced/smoke", 0.504, forced=[1.0, 0.504, 0.998]),
        record("star_graph/teacherless/smoke", 0.997),
        record("star_graph/reversed/smoke", 0.999, chance=None),
    ]


def render(records, width=80):
    text = io.StringIO()
    console = Console(width=width, file=text, force_terminal=True, color_system=None, markup=False)
    print_table(console, results_table(records))
    return text.getvalue()


def test_the_table_fits_80_columns_and_says_all(records):
    lines = render(records).splitlines()
    row = next(line for line in lines if line.startswith("teacher_forced"))
    assert row.split()[1:] == ["0.512±0.004", "0.504±0.004", "0.504", "0.500", "0.999", "1000", "62", "3123"]
    assert next(line for line in lines if line.startswith("reversed")).split()[4] == "-"
    assert len(lines) == 2 + len(records)


GRID_ROW = {
    "model": "gpt2",
    "graph": "d2_l5_n50",
    "training": "teacherless",
    "seeds": "2 of 3",
    "train accuracy": "0.512 ± 0.004",
    "test accuracy": "0.504 ± 0.003",
    "solved": "0 of 2",
    "steps": "1,000 to 20,000",
}
TABLES = {
    "results": lambda: results_table([record("star_graph/teacher_forced/d2_l3_n20-gpt2-seed_12345", 0.504)]),
    "several": lambda: results_table([record(f"star_graph/{name}/a", 0.504) for name in ("teacherless", "mine")]),
    "diagnosis": lambda: diagnosis_table(diagnosed_record("reversed")["diagnosis"]),
    "grid": lambda: next(terminal_tables([GRID_ROW, GRID_ROW | {"training": "my_own_objective_of_a_long_name"}])),
}


def cells(table):
    """All texts of a table whose width must not be cut: numbers, and whatever else is one word."""
    texts = [str(cell) for column in table.columns for cell in column.cells]
    return {word for text in texts for word in ([text] if "±" in text else text.split())}


@pytest.mark.parametrize("width", [40, 60, 75, 80, 120, 200])
@pytest.mark.parametrize("name", TABLES)
def test_every_number_is_whole_at_any_width(name, width):
    text = io.StringIO()
    print_table(Console(width=width, file=text, force_terminal=True, color_system=None), TABLES[name]())
    shown = text.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    for cell in cells(TABLES[name]()):
        if cell[0].isdigit():
            assert re.search(rf"(?<!\S){re.escape(cell)}(?!\S)", shown), cell
        else:  # a long name may go on below itself
            assert cell[:11] in shown
    for column in TABLES[name]().columns:
        heading = str(column.header).replace("-\n", "").split()
        assert all(word[:3] in shown for word in heading), heading
    assert "…" not in shown


@pytest.mark.parametrize("name", TABLES)
def test_what_is_no_terminal_gets_the_whole_width(name, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    text = io.StringIO()
    print_table(Console(file=text), TABLES[name]())
    assert all(cell in text.getvalue() for column in TABLES[name]().columns for cell in map(str, column.cells))
    assert len(text.getvalue().splitlines()) <= 2 + len(TABLES[name]().rows) + (name == "grid")


def test_columns_of_no_terminal_are_kept_to_where_somebody_names_them(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = io.StringIO()
    print_table(Console(file=text), TABLES["results"]())
    assert max(map(len, text.getvalue().splitlines())) <= 40
    assert "0.504±0.004" in text.getvalue()


def test_a_name_with_brackets_is_shown(records):
    records[0].run["name"] = "star_graph/[red]/smoke"
    assert "[red]" in render(records)


def test_a_test_file_gets_a_row_of_its_own(records):
    records[1] = dataclasses.replace(records[1], test_file={"path": "file.txt", "seen_share": 0.7})
    records[1].results["test_file_accuracy"] = result(0.25)
    assert "0.250±0.004" in render(records)


def test_other_tokens_leave_out_the_hard_one(records):
    assert other_tokens(records[0]) == pytest.approx((1.0 + 0.998) / 2)  # forced, where the training forces
    assert other_tokens(records[1]) == pytest.approx((1.0 + 0.75) / 2)


def test_short_names_leave_out_what_all_runs_share(records):
    assert [short_name(r, records) for r in records] == ["teacher_forced", "teacherless", "reversed"]
    assert short_name(records[0], records[:1]) == "teacher_forced/smoke"
    mixed = [*records, record("mine", 0.5)]
    assert short_name(mixed[0], mixed) == "teacher_forced/smoke"


def test_runs_of_one_name_are_told_apart_by_their_seeds_or_numbers(records):
    assert distinct_names(records) == ["teacher_forced", "teacherless", "reversed"]
    twice = [*records, record("star_graph/teacherless/smoke", 0.5)]
    assert distinct_names(twice) == ["teacher_forced", "teacherless #1", "reversed", "teacherless #2"]
    for seed, entry in zip((42, 1, 2, 7), twice, strict=True):
        entry.run["seed"] = seed
    assert distinct_names(twice) == ["teacher_forced", "teacherless, seed 1", "reversed", "teacherless, seed 7"]
    assert distinct_names([twice[1], twice[3]]) == ["teacherless/smoke, seed 1", "teacherless/smoke, seed 7"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (20_000, "20,000"),
        (0.50384, "0.50384"),
        (1.0, "1.00000"),
        (0.99995, "0.99995"),
        (12345.6, "12345.60000"),
        ([1.0, 0.25], "1.00000, 0.25000"),
        ([1000, 0.5], "1,000, 0.50000"),
        ([], ""),
    ],
)
def test_counts_numbers_and_lists_are_written_differently(value, text):
    assert format_number(value) == text


def test_an_accuracy_comes_with_its_error():
    assert format_accuracy(result(0.98765, 0.01234)) == "0.988±0.012"
    assert format_accuracy(None) == "-"


def test_versions_are_those_that_numbers_depend_on():
    of_a_task = versions(StarGraph())
    assert of_a_task["hf_nextfail"] == __version__
    assert of_a_task["star_graph"] == StarGraph.version
    assert of_a_task["metrics"] == METRICS_VERSION
    for library in ("torch", "transformers", "datasets"):
        assert of_a_task[library] == version(library)
    assert versions() == {name: number for name, number in of_a_task.items() if name != "star_graph"}


def test_an_evaluation_without_training_has_no_steps_and_no_training_rows(records):
    evaluation = records[0]
    evaluation.run.update({"name": "mine/gpt2", "split": "validation", "steps": None})
    evaluation.timings.update({"train_seconds": None, "examples_per_second": None})
    del evaluation.results["train_accuracy"]
    row = render([evaluation]).splitlines()[-1]
    assert row.split() == ["mine/gpt2", "-", "0.504±0.004", "0.504", "0.500", "0.999", "-", "-", "-"]
    assert "test" not in render([evaluation])
    assert "validation" in render([evaluation])
    assert "validation or test" in " ".join(render(records, width=120).split())
