import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import KINDS
from hf_nextfail.reporting import reference_pages
from hf_nextfail.reporting.meanings import KIND_MEANINGS, PREFIXES, RESULTS
from hf_nextfail.reporting.record import NOT_GIVEN, PLACES
from hf_nextfail.reporting.reference_pages import metrics_page, pages, results_page, shipped_records
from hf_nextfail.reporting.result_folders import FOLDERS
from hf_nextfail.reporting.tables import format_accuracy, other_tokens

README = Path(__file__).parents[2] / "README.md"
RECORD = "contrast/seed_42/teacher_forced.json"
ROW = (
    "| G(2,4), 20 labels | teacher_forced | gpt2 | 42 | 0.503 | 0.494 | 0.494 | 1.000 | 0 of 1 (0.00 to 0.79) | 900 |"
)


@pytest.fixture
def records():
    return {RECORD: copy.deepcopy(shipped_records()[RECORD])}


def row_of(page, training="teacher_forced"):
    (row,) = [line for line in page.splitlines() if line.startswith(f"| G(2,4), 20 labels | {training} |")]
    return row


@pytest.mark.parametrize("name", ["METRICS.md", "LEADERBOARD.md", "results/README.md"])
def test_the_shipped_page_is_what_the_code_and_the_records_say(name):
    path = shipped_folder("hub_cards") / name
    again = "run python -m hf_nextfail.reporting.reference_pages"
    assert path.read_text(encoding="utf-8") == pages()[path], again


def test_every_number_of_a_diagnosis_has_its_line():
    lines = metrics_page().splitlines()
    for name, definition in DEFINITIONS.items():
        assert f"| `{name}` | {' | '.join(definition)} |" in lines


def test_a_changed_definition_changes_the_page(monkeypatch):
    before = metrics_page()
    changed = DEFINITIONS["valid_path_rate"]._replace(plans="0.123")
    monkeypatch.setitem(DEFINITIONS, "valid_path_rate", changed)
    assert metrics_page() != before
    assert "| 0.123 |" in metrics_page()


def test_every_kind_of_path_is_explained():
    assert tuple(KIND_MEANINGS) == KINDS


def test_the_metrics_page_knows_every_number_of_every_shipped_record():
    for path, record in shipped_records().items():
        for name in record.results:
            prefix = next((p for p in PREFIXES if p and name.startswith(p)), "")
            assert name.removeprefix(prefix) in RESULTS, (path, name)


def test_shipped_records_name_no_place_on_a_machine():
    for path, record in shipped_records().items():
        assert not set(PLACES) & set(record.recipe or {}), path
        assert record == record.public() or set(record.recipe) - set(record.public().recipe) == set(NOT_GIVEN), path


def test_the_results_page_links_to_files_that_are_there():
    results = shipped_folder("hub_cards") / "results"
    for name, folder in FOLDERS.items():
        assert (results / name).is_dir(), name
        for file, _ in folder.pictures:
            assert (results / name / file).is_file(), (name, file)


def test_a_record_becomes_a_row(records):
    assert row_of(results_page(records)) == ROW


def test_a_changed_number_changes_the_page(records):
    records[RECORD].results["accuracy"]["value"] = 0.5671
    assert row_of(results_page(records)) == ROW.replace("0.494", "0.567", 1)


def test_a_seed_is_solved_from_99_percent_on(records):
    for accuracy, solved in ((0.98999, "0 of 1"), (0.99, "1 of 1")):
        records[RECORD].results["accuracy"]["value"] = accuracy
        assert f"| {solved} (" in row_of(results_page(records))


def test_seeds_of_one_training_share_a_row(records):
    other = copy.deepcopy(records[RECORD])
    other.run.update({"seed": 7, "steps": 900})
    other.results["accuracy"]["value"] = 1.0
    records["contrast/seed_7/teacher_forced.json"] = other
    row = row_of(results_page(records))
    assert "| 7, 42 |" in row
    assert "| 0.747 ± 0.358 |" in row  # of 0.4942 and 1.0
    assert row.endswith("| 1 of 2 (0.09 to 0.91) | 900 |")


def test_data_that_make_another_task_make_another_row(records):
    for name, change in (("reversed", {"dataset_config": "d2_l4_n20_rev"}), ("few", {})):
        other = copy.deepcopy(records[RECORD])
        other.run.update(change)
        records[f"contrast/{name}.json"] = other
    records["contrast/few.json"].recipe["num_train"] = 2_000
    page = results_page(records)
    assert "reversed paths" in row_of(page, "teacher_forced, reversed paths")
    assert "2,000 rows" in row_of(page, "teacher_forced, 2,000 rows")
    assert row_of(page) == ROW


def test_a_folder_that_nobody_described_names_the_command_that_trains_again(records):
    page = results_page({"mine/run.json": records[RECORD]})
    assert ROW in page
    assert "nextfail rerun hub_cards/results/mine/run.json" in page


def test_a_record_may_be_older_than_diagnoses(records):
    records[RECORD] = dataclasses.replace(records[RECORD], diagnosis=None)
    assert row_of(results_page(records)) == ROW.replace("| 1.000 |", "| - |")


def test_names_in_a_record_are_shown_as_text(records):
    records[RECORD].run["model"] = "a|b<script>"
    assert r"a\|b\<script\>" in results_page(records)


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless", "reversed"])
def test_the_contrast_in_the_readme_is_what_the_records_say(training):
    record = shipped_records()[f"contrast/seed_42/{training}.json"]
    results = record.results
    cells = [
        *(format_accuracy(results[name]) for name in ("train_accuracy", "accuracy")),
        f"{results['hard_token_accuracy']['value']:.3f}",
        f"{other_tokens(record):.3f}",
        f"{record.run['steps']:,}",
    ]
    lines = README.read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"| {training.replace('_', ' ')} |"))
    assert line.endswith(f"| {' | '.join(cells)} |")


def test_the_first_rows_of_the_leaderboard_stand_in_the_readme():
    page = (shipped_folder("hub_cards") / "LEADERBOARD.md").read_text(encoding="utf-8").splitlines()
    found = {}
    for row in (line.strip("| ").split(" | ") for line in page if "| gpt2 | small |" in line):
        found[row[0], row[1]] = [row[5], row[7].strip(), row[8].partition(" ")[0]]  # solved, steps, accuracy
    graphs = [f"G(2,{length}), 20 labels" for length in (3, 4, 5)]
    begin = page.index(f"| objective | {' | '.join(graphs)} |") + 2
    first = [line.strip("| ").split(" | ")[0] for line in page[begin : begin + 8]]
    rows = []
    for name in first:
        cells = [found[name, graph] for graph in graphs]
        rows.append([name, *(text for solved, steps, _ in cells for text in (solved, steps)), cells[-1][2]])
    readme = README.read_text(encoding="utf-8").splitlines()
    begin = readme.index(
        "| objective | G(2,3): solved | steps | G(2,4): solved | steps | G(2,5): solved | steps | accuracy |"
    )
    assert readme[begin + 2 : begin + 10] == [f"| {' | '.join(cells)} |" for cells in rows]


def test_the_pages_need_no_torch():
    code = f"import sys, {reference_pages.__name__}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
