import base64
import functools
import io
import json
import re
import shlex
from pathlib import Path

import matplotlib.image
import pytest
from datasets import Dataset, load_dataset
from known_path_models import GuessingWalker
from known_rows import rows_of
from made_records import OBJECTIVES, diagnosed_record, diagnosed_records, old_record
from sketched_pictures import sketch_pictures
from tiny_models import tiny_gpt2

from hf_nextfail import diagnose, evaluate, numeral_tokenizer
from hf_nextfail.diagnoses.paths_numbers import DEFINITIONS as DEFINITIONS_OF_PATHS
from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.reporting.markdown import anchors, code, fence, plain, table, to_html
from hf_nextfail.reporting.record import PLACES, Record, find_results
from hf_nextfail.reporting.trainings import trainings_of
from hf_nextfail.runs.recipes import parse_runs
from hf_nextfail.runs.report import report_runs
from hf_nextfail.tasks import CrossingStar

TASKS = (("2,3", 20), ("2,3", 50), ("2,4", 50), ("2,5", 50), ("3,3", 50))
TRAININGS = ("teacher_forced", "teacherless", "teacher_forced, reversed paths")  # of the three objectives and data
EVIL = """<script>document.title="evil"</script>|`x` *b* [l](javascript:alert(1)) ![i](x.png)"""


def save(record, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder of three runs that were diagnosed."""
    for record in diagnosed_records():
        save(record, tmp_path / "runs" / record["run"]["name"])
    return tmp_path / "runs"


def cells(markdown: str, start: str) -> list[list[str]]:
    """The rows of the table whose heading begins with a text."""
    lines = [*markdown[markdown.index(f"| {start} |") :].splitlines(), ""]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines[: lines.index("")]]
    return [[cell.strip() for cell in row] for row in rows]


def test_a_page_says_what_the_records_say(runs, tmp_path):
    page = report_runs([runs], tmp_path / "report")
    assert page == tmp_path / "report" / "report.html"
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert markdown.startswith("# 3 runs on G(2,3), 20 labels\n")
    head, _, *rows = cells(markdown, "run")
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by_name) == ["reversed", "teacher_forced", "teacherless"]
    forced = by_name["teacher_forced"]
    assert forced["test accuracy"] == "0.506±0.004"
    assert forced["hard token"] == "0.506"
    assert (forced["chance"], by_name["reversed"]["chance"]) == ("0.500", "-")
    assert (forced["seed"], forced["steps"], forced["other tokens"]) == ("42", "1,500", "1.000")
    for objective, name in zip(OBJECTIVES, TRAININGS, strict=True):
        assert f"- **{name}**: The verdict on {objective}." in markdown
    numbers = {row[0]: row[1:] for row in cells(markdown, "number")}
    assert numbers["rows (graphs)"] == ["2,000 (1,985)"] * 3
    assert numbers["`hard_token_accuracy`"][2] == "1.000±0.004"
    assert numbers["`token_accuracy`"][2] == "1.000, 1.000, 1.000 (±0.004)"
    assert numbers["`accuracy_given_first_step`"][2] == "-"  # teacherless
    assert numbers["`clever_hans_accuracy`"] == ["-", "-", "-"]
    assert "no `clever_hans_accuracy`: not identifiable" in markdown
    assert list(numbers)[3:] == [f"`{name}`" for name in DEFINITIONS]
    kinds = {row[0]: row[1:] for row in cells(markdown, "kind")}
    assert kinds["wrong arm"][1] == "0.247±0.004"
    example = "asked `17,13|13,11|17,7|7,8/17,11=`, where `17,13,11` is right, it wrote `17,7,8`."
    assert f"- **wrong arm** (teacher_forced, reversed paths): {example}" in markdown
    assert ["torch", "2.13.0+cpu"] in cells(markdown, "")


def test_every_definition_is_there(runs, tmp_path):
    report_runs([runs], tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    explained = markdown[markdown.index("\n## What the numbers mean") :]
    rows = {row[0]: row[1:] for row in cells(explained, "number")}
    for name, definition in DEFINITIONS.items():
        assert rows[f"`{name}`"] == [plain(text) for text in definition]


def test_pictures_stand_beside_the_markdown_and_inside_the_html(runs, tmp_path):
    page = report_runs([runs], tmp_path / "report")
    markdown, html = (
        (tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")
    )
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)\\\n\*[^*]+\*", markdown)
    assert len(linked) == 7
    assert all((page.parent / name).stat().st_size > 5_000 for name in linked)
    sources = re.findall(r'<img src="([^"]+)"', html)
    assert len(sources) == 7
    for name, source in zip(linked, sources, strict=True):
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(data) == (page.parent / name).with_suffix(".svg").read_bytes()


def test_the_html_fetches_and_runs_nothing(runs, tmp_path):
    html = report_runs([runs], tmp_path / "report").read_text(encoding="utf-8")
    html = re.sub(r'src="data:[^"]+"', "", html)
    addresses = set(re.findall(r'(?:src|href)="([^"]*)"', html))
    assert {address for address in addresses if not address.startswith("#")} == {"https://arxiv.org/abs/2403.06963"}
    assert not re.search(r"<script|<link|@import|url\(|\son[a-z]+=", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize("name", ["g2_5_small", "small"])
def test_the_pages_that_ship_are_those_of_their_records(tmp_path, monkeypatch, name):
    """Made by `nextfail report hub_cards/results/NAME`; pictures are looked for, not drawn."""
    monkeypatch.setattr("hf_nextfail.reporting.page.draw_pictures", sketch_pictures)
    folder = shipped_folder("hub_cards") / "results" / name
    written = report_runs([folder], tmp_path).with_suffix(".md").read_text(encoding="utf-8")
    assert written == (folder / "report.md").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.glob("*.png")} <= {path.name for path in folder.iterdir()}


def test_runs_of_several_tasks_stand_by_task(tmp_path):
    shipped = shipped_folder("hub_cards") / "results" / "small"
    siblings, trees = (sorted(shipped.glob(f"*-{task}-*.json")) for task in ("sibling_discovery", "tree_star"))
    page = report_runs([siblings[0], trees[0], *siblings[1:3]], tmp_path)
    markdown = page.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.startswith("# 4 runs on 2 tasks\n")
    names = [row[0].split("/")[0] for row in cells(markdown, "run") if "/" in row[0]]
    assert names == ["sibling_discovery"] * 3 + ["tree_star"]
    (absent,) = re.findall(r"^- No diagnosis of (.*?): sibling_discovery has no", markdown, re.MULTILINE)
    assert absent.count("**") == 6


@pytest.fixture(scope="module")
def grid_page(tmp_path_factory) -> Path:
    """The page of the grid that ships with the package: 44 runs of 20 trainings on 5 tasks."""
    return report_runs([shipped_folder("hub_cards") / "results" / "grid_cpu"], tmp_path_factory.mktemp("grid"))


def test_the_page_of_a_grid_is_bounded(grid_page):
    markdown = grid_page.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.startswith("# 44 runs on 5 tasks\n")
    files = list(grid_page.parent.iterdir())
    assert len(files) == 2 + 2 * markdown.count("![") <= 60
    assert sum(file.stat().st_size for file in files) < 7_000_000  # 20 million with pictures of each run
    assert grid_page.stat().st_size < 2_500_000
    assert markdown.count("\n") < 700
    assert max(map(len, markdown.splitlines())) < 1000
    headings = [heading for level, heading, _ in anchors(markdown) if level == 2]
    tasks = [f"G({graph}), {labels} labels" for graph, labels in TASKS]
    assert len(headings) == 1 + len(tasks) + 4
    assert headings[1:6] == tasks


def test_a_grid_is_shown_by_training_with_its_seeds_together(grid_page):
    markdown = grid_page.with_suffix(".md").read_text(encoding="utf-8")
    results = markdown[markdown.index("## Results") :]
    head, _, *rows = cells(results, "task")
    assert len(rows) == 20
    rows = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    row = rows["G(3,3), 50 labels", "teacher_forced, reversed paths"]
    assert (row["seeds"], row["solved"], row["test accuracy"]) == (
        "1, 2, 42",
        "2 of 3 (0.21 to 0.94)",
        "0.971 ± 0.039",
    )
    part = markdown[markdown.index("\n## G(3,3)") :]
    values = {row[0]: row[1:] for row in cells(part, "number")}
    assert values["number"] == ["teacher_forced, 2,000 rows", TRAININGS[2], "teacher_forced", "teacherless"]
    assert values["rows (graphs)"][:2] == ["2,000 (2,000)", "3 seeds, each 2,000 (2,000)"]
    assert values["`accuracy`"][1] == "0.967±0.043"  # over seeds
    assert len(cells(markdown[markdown.index("\n## Every run") :], "run")) == 2 + 44


def test_contents_lead_to_every_section(grid_page):
    html = grid_page.read_text(encoding="utf-8")
    links = re.findall(r'<a href="#([^"]+)">', html)
    assert links[:2] == ["results", "g23-20-labels"]
    ids = re.findall(r'<h[1-6] id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert links == re.findall(r'<h2 id="([^"]+)"', html)


def test_headings_have_the_anchors_of_github():
    text = "# A `b`, c-d_e!\n\n## G(2,3), 20 labels\n\n## x\n\n## x\n"
    assert [anchor for _, _, anchor in anchors(text)] == ["a-b-c-d_e", "g23-20-labels", "x", "x-1"]


def test_one_recipe_and_the_options_of_each_training_make_its_first_run_again(grid_page, tmp_path):
    again = grid_page.with_suffix(".md").read_text(encoding="utf-8").partition("## Run them again")[2]
    (tmp_path / "recipe.yaml").write_text(re.search(r"```yaml\n(.*?)\n```", again, re.DOTALL)[1])
    lines = re.search(r"```bash\n(.*?)\n```", again, re.DOTALL)[1].splitlines()
    assert len(lines) == 2 * 20
    root = shipped_folder("hub_cards") / "results" / "grid_cpu"
    records = [Record.read(path).public() for path in find_results([root])]
    firsts = [training.records[0] for training in trainings_of(records)]
    for name, command, record in zip(lines[::2], lines[1::2], firsts, strict=True):
        assert name.startswith(f"# {record.run['title']}, {record.run['objective']}")
        words = shlex.split(command)
        assert words[:5] == ["accelerate", "launch", "recipes/finetune.py", "--config", "recipe.yaml"]
        (run,) = parse_runs(["--config", str(tmp_path / "recipe.yaml"), *words[5:]])
        assert {key: value for key, value in run.recipe.items() if key not in PLACES} == record.recipe
    assert sum("; other runs: --seed 2, --seed 42" in line for line in lines) == 12


def test_equal_runs_are_equal_pages(runs, tmp_path):
    first, second = (report_runs([runs], tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_no_place_of_this_machine_stands_in_a_page(tmp_path):
    record = diagnosed_record("teacher_forced")
    place = save({}, tmp_path / "secret place")
    record["run"] |= {"model": str(place), "dataset_name": str(place)}
    record["recipe"] |= {"output_dir": str(place), "model_name_or_path": str(place), "test_file": str(place / "f.txt")}
    evaluated = old_record("teacherless") | {"recipe": None, "history": []}
    evaluated["run"] |= {"name": str(place), "model": str(place), "steps": None, "seed": None}
    folders = [save(record, tmp_path / "a"), save(evaluated, tmp_path / "b")]
    page = report_runs(folders, tmp_path / "report")
    for path in (page, page.with_suffix(".md"), *page.parent.glob("*.svg")):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    assert "secret place" in page.read_text(encoding="utf-8")


def test_runs_without_diagnosis_or_history_lack_those_parts(tmp_path):
    record = old_record("teacherless")
    page = report_runs([save(record, tmp_path / "old")], tmp_path / "report")
    markdown = page.with_suffix(".md").read_text(encoding="utf-8")
    assert markdown.startswith("# Run teacherless/smoke on G(2,3), 20 labels\n")
    assert "![" in markdown
    for heading in ("What they do", "diagnoses", "What the written paths are"):
        assert heading not in markdown
    record |= {"history": [], "diagnosis": None}
    page = report_runs([save(record, tmp_path / "evaluated")], tmp_path / "report2")
    assert "Pictures" not in page.with_suffix(".md").read_text(encoding="utf-8")
    assert not list(page.parent.glob("*.png"))
    both = report_runs([tmp_path / "old", save(diagnosed_record("reversed"), tmp_path / "new")], tmp_path / "both")
    markdown = both.with_suffix(".md").read_text(encoding="utf-8")
    assert cells(markdown, "number")[0] == ["number", TRAININGS[2]]


def test_a_picture_that_fails_is_left_out(tmp_path):
    record = diagnosed_record("teacherless")
    record["diagnosis"]["drawing"]["edges"] = "none"
    page = report_runs([save(record, tmp_path / "run")], tmp_path / "report")
    markdown = page.with_suffix(".md").read_text(encoding="utf-8")
    assert "(errors.png)" in markdown
    assert "graph.png" not in markdown


def test_data_of_somebody_else_have_no_nodes(tmp_path):
    record = old_record("teacherless")
    record["run"] |= {"dataset_name": "me/sums", "dataset_config": None, "title": "sums", "hard_node": None}
    record["results"] = {name: record["results"][name] for name in ("loss", "accuracy", "train_accuracy")}
    record |= {"chance": {"hard_token_accuracy": None}, "diagnosis": None}
    page = report_runs([save(record, tmp_path / "run")], tmp_path / "report")
    row = cells(page.with_suffix(".md").read_text(encoding="utf-8"), "run")[2]
    assert row[6:10] == ["1.000±0.000", "-", "-", "-"]


def test_a_real_diagnosis_of_a_model_that_knows_nothing(tmp_path):
    rows = load_dataset("nextfail/star_graph", "d3_l4_n20", split="test", num_train=0, num_validation=0, num_test=20)
    tokenizer = numeral_tokenizer(num_nodes=20)
    record = old_record("teacher_forced")
    model = tiny_gpt2(tokenizer)
    record["diagnosis"] = diagnose(model, tokenizer, rows, "autoregressive")
    page = report_runs([save(record, tmp_path / "run")], tmp_path / "report")
    markdown = page.with_suffix(".md").read_text(encoding="utf-8")
    numbers = {row[0]: row[1] for row in cells(markdown, "number")}
    assert numbers["rows (graphs)"] == "20 (20)"
    assert all(re.match(r"[\d.,± ()-]+$", numbers[f"`{name}`"]) for name in DEFINITIONS)
    assert "(graph.png)" in markdown
    assert plain(record["diagnosis"]["verdict"]) in markdown


def test_paths_with_other_hard_places_have_their_numbers_and_definitions(tmp_path):
    task = CrossingStar()
    rows, model = Dataset.from_list(rows_of(task, 20)), GuessingWalker(task)
    record = diagnosed_record("teacher_forced")
    record["diagnosis"] = diagnose(model, model.tokenizer, rows, task_name=task.name)
    record["run"] |= {"task": task.name, "title": task.title, "hard_node": None}
    record["history"], record["chance"] = [], task.chance
    record["results"] = evaluate(model, rows, None, model.tokenizer, task)
    markdown = page_of(record, tmp_path)
    assert record["diagnosis"]["verdict"].split(";")[0] in markdown.replace("\\", "")
    for name in DEFINITIONS_OF_PATHS:
        assert markdown.count(f"| `{name}` |") == 2  # the number, and what it means
    assert "| `accuracy_given_first_step` |" not in markdown
    assert "What the numbers of paths with other hard places mean" in markdown
    hard, other = (record["results"]["hard_token_accuracy"]["value"], 1.0)
    assert f"| {hard:.3f} | {task.chance['hard_token_accuracy']:.3f} | {other:.3f} |" in markdown


def test_results_are_found_in_files_and_folders_each_once(runs, tmp_path):
    names = [f"star_graph/{objective}/smoke" for objective in ("reversed", "teacher_forced", "teacherless")]
    below = [runs / name / "results.json" for name in names]
    assert find_results([runs]) == below
    assert find_results([below[1], runs / names[1], runs]) == [below[1], below[0], below[2]]
    shipped = shipped_folder("hub_cards") / "results" / "contrast"
    assert find_results([shipped]) == sorted(shipped.rglob("*.json"))  # by other names
    save({}, runs / names[0] / "checkpoint-5")
    assert find_results([runs / names[0]]) == below[:1]  # a run's own file, not those of its checkpoints
    assert find_results([runs / names[0] / "checkpoint-5"]) == [runs / names[0] / "checkpoint-5" / "results.json"]


def test_records_of_all_names_are_found_beside_each_other(runs, tmp_path):
    mine, theirs = tmp_path / "all" / "mine", tmp_path / "all" / "theirs"
    record = json.loads((runs / "star_graph" / "reversed" / "smoke" / "results.json").read_text())
    save(record, mine)
    save(record, tmp_path / "all")
    theirs.mkdir()
    (theirs / "one.json").write_text((mine / "results.json").read_text())
    (theirs / "config.json").write_text("{}")
    everything = [mine / "results.json", tmp_path / "all" / "results.json", theirs / "one.json"]
    assert find_results([tmp_path / "all"]) == everything


def test_the_summary_of_a_grid_is_found_only_without_its_runs(runs, tmp_path):
    grid, record = tmp_path / "grid", (runs / "star_graph" / "reversed" / "smoke" / "results.json").read_text()
    for path in (grid / "star_graph" / "run" / "results.json", grid / "summary" / "run.json"):
        path.parent.mkdir(parents=True)
        path.write_text(record)
    assert find_results([grid]) == [grid / "star_graph" / "run" / "results.json"]
    assert find_results([grid / "summary"]) == [grid / "summary" / "run.json"]
    (grid / "star_graph" / "run" / "results.json").unlink()
    assert find_results([grid]) == [grid / "summary" / "run.json"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "holds no results.json"),
        ("{", "cannot be read as JSON"),
        ("[]", "schema_version must be 1 or 2, got None"),
        ('{"schema_version": 3}', "schema_version must be 1 or 2, got 3"),
        ('{"schema_version": 1}', "not what a run writes: run must be an object, got None"),
        ('{"schema_version": 1, "run": [], "recipe": null}', "not what a run writes: run must be an object, got []"),
        ("\xff", "cannot be read as JSON"),
    ],
)
def test_what_is_no_run_is_one_line(tmp_path, text, words):
    folder = tmp_path / "run"
    folder.mkdir()
    if text is not None:
        (folder / "results.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError) as error:
        report_runs([folder], tmp_path / "report")
    assert words in str(error.value)
    assert str(folder) in str(error.value)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("places", "value"),
    [
        (("results", "accuracy", "value"), "high"),
        (("results", "accuracy"), None),
        (("run", "name"), 7),
        (("run", "title"), None),
        (("run", "steps"), "many"),
        (("chance",), 0.5),
        (("history",), 3),
        (("history", 0), "x"),
        (("versions",), None),
        (("diagnosis", "numbers"), []),
        (("diagnosis", "verdict"), None),
        (("diagnosis", "numbers", "accuracy"), None),
        (("diagnosis", "errors", "jump"), {"value": 1}),
        (("diagnosis", "examples"), {"jump": [{}]}),
        (("diagnosis", "absent"), [1]),
        (("test_file",), "x"),
        (("recipe",), "x"),
    ],
)
def test_a_broken_record_is_named_in_one_line(tmp_path, places, value):
    record = diagnosed_record("teacher_forced")
    *outer, last = places
    inside = functools.reduce(lambda inside, key: inside[key], outer, record)
    inside[last] = value
    folder = save(record, tmp_path / "run")
    with pytest.raises(UsageError, match="not what a run writes"):
        report_runs([folder], tmp_path / "report")


def test_commands_of_shipped_recipes_make_the_same_recipe(runs, tmp_path):
    record = diagnosed_record("teacherless")
    record["recipe"] |= {"seed": 7, "learning_rate": 0.0005, "logging_strategy": "no", "eval_on_start": True}
    record["recipe"] |= {"model_type": "llama", "config_overrides": {"hidden_size": 64, "num_hidden_layers": 2}}
    markdown = page_of(record, tmp_path)
    (command,) = re.findall(r"```bash\n(accelerate.*?)\n```", markdown, re.DOTALL)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:5] == ["accelerate", "launch", "recipes/finetune.py", "--config", RECIPE]
    (run,) = parse_runs(words[3:])
    expected = Record.from_dict(record).public().recipe
    assert run.recipe == expected
    assert "--lr_scheduler_type" not in command  # as the recipe says it


RECIPE = "recipes/star_graph/teacherless/smoke.yaml"


def page_of(record, tmp_path) -> str:
    page = report_runs([save(record, tmp_path / "run")], tmp_path / "report")
    return page.with_suffix(".md").read_text(encoding="utf-8")


def test_a_run_as_it_was_shipped_is_one_line(tmp_path):
    record = diagnosed_record("teacherless")
    (run,) = parse_runs(["--config", RECIPE])
    record["recipe"] = {name: value for name, value in run.recipe.items() if name not in PLACES}
    assert f"\n```bash\naccelerate launch recipes/finetune.py --config {RECIPE}\n```\n" in page_of(record, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["run"].update(name="mine"),
        lambda record: record["recipe"].pop("stop_at_accuracy"),  # no option takes it away again
        lambda record: record["recipe"].update(option_of_another_version=1),
        lambda record: record["run"].update(name="../../../etc/passwd"),
    ],
)
def test_other_runs_show_their_recipe(tmp_path, change):
    record = diagnosed_record("teacherless")
    change(record)
    markdown = page_of(record, tmp_path)
    assert "accelerate launch recipes/finetune.py --config recipe.yaml\n" in markdown
    recipe = re.search(r"```yaml\n(.*?)\n```", markdown, re.DOTALL)[1]
    assert "learning_rate: 0.001" in recipe
    if "option_of_another_version" not in recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe, encoding="utf-8")
        (run,) = parse_runs(["--config", str(path)])
        assert run.recipe == Record.from_dict(record).public().recipe


@pytest.mark.parametrize(
    ("change", "command"),
    [
        ({}, "nextfail evaluate me/model --dataset_name nextfail/star_graph --dataset_config d2_l3_n20 --split test"),
        (
            {"split": "f.txt"},
            "nextfail diagnose me/model --dataset_name nextfail/star_graph --dataset_config d2_l3_n20",
        ),
    ],
)
def test_measurements_without_training_have_commands_too(tmp_path, change, command):
    record = old_record("teacherless") | {"recipe": None, "history": []}
    record["run"] |= {"name": "me/model", "model": "me/model", "steps": None, "seed": None} | change
    if change:
        del record["results"]["loss"]
    markdown = page_of(record, tmp_path)
    (shown,) = re.findall(r"```bash\n(nextfail.*?)\n```", markdown, re.DOTALL)
    shown = " ".join(shlex.split(shown.replace("\\\n", "")))
    assert shown.startswith(command)
    assert "--num_rows 20000 --dataset_seed 0" in shown
    assert ("--test_file f.txt" in shown) == bool(change)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"seen_share": 0.0}, "on f.txt (0 % of its graphs were trained on)"),
        ({"seen_share": 0.125}, "on f.txt (12.5 % of its graphs were trained on)"),
        ({"seen_share": None}, "on f.txt"),
        ({"train_share": 0.741}, "on f.txt"),  # what an earlier version counted reads as if it were trained on
    ],
)
def test_the_row_of_a_test_file_says_how_much_of_it_was_trained_on(tmp_path, share, said):
    record = old_record("teacherless") | {"test_file": {"path": "f.txt"} | share}
    record["results"]["test_file_accuracy"] = record["results"]["accuracy"]
    assert [row[0] for row in cells(page_of(record, tmp_path), "run")[3:]] == [said]


def test_options_are_quoted_for_the_shell(tmp_path):
    evil = old_record("teacherless") | {"recipe": None, "history": []}
    evil["run"] |= {"name": "a; rm -rf /", "model": "a; rm -rf /"}
    assert "nextfail evaluate 'a; rm -rf /'" in page_of(evil, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "a_b_c",
        "_a_",
        EVIL,
        "a\nb",
        "`",
        "``",
        "a|b",
        "\\",
        "&lt;",
        "1. x",
        "# x",
        "~~~",
        "<!-- x -->",
        "  x ",
    ],
)
def test_any_text_is_shown_as_it_is(text):
    shown = " ".join(text.split())
    for markdown in (f"x {plain(text)}", f"- **{plain(text)}**: x", table(["h"], [[plain(text)]])):
        html = to_html(markdown, {}, "{{ body }}")
        visible = unescape(re.sub(r"<[^>]*>", "", html))
        assert shown in visible
    for markdown in (f"x {code(text)}", table(["h"], [[code(text)]])):
        assert shown in unescape(
            re.sub(r"</?(p|code|table|thead|tbody|tr|th|td|div)\b[^>]*>", "", to_html(markdown, {}, "{{ body }}"))
        )
    block = to_html(fence(text.strip(), "yaml"), {}, "{{ body }}")
    assert unescape(re.sub(r"^<pre><code[^>]*>|</code></pre>\n$", "", block)).strip() == text.strip()


def unescape(html: str) -> str:
    return html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")


def test_a_run_with_an_evil_name_does_nothing(tmp_path):
    html = report_runs([evil_run(tmp_path)], tmp_path / "report").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'href="javascript' not in html
    assert len(re.findall("<img", html)) == 5  # ours


def evil_run(tmp_path) -> Path:
    record = diagnosed_record("teacher_forced")
    for key in ("name", "title", "model"):
        record["run"][key] = EVIL
    record["versions"][EVIL] = EVIL
    record["recipe"] |= {"report_to": f"```\n{EVIL}", "config_overrides": {EVIL: EVIL}}
    diagnosis = record["diagnosis"]
    diagnosis |= {"verdict": EVIL, "absent": {EVIL: EVIL}}
    diagnosis["examples"]["jump"] = [{"prompt": EVIL, "completion": EVIL, "written": EVIL}]
    diagnosis["drawing"]["written"] = ["17", EVIL]
    return save(record, tmp_path / "evil")


# In a browser.

WRAPPER = """<!DOCTYPE html><html><body><iframe id="page" width="360" height="800" src="report.html"></iframe><script>
window.onload = () => {
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  const seen = {
    title: page.title, scripts: page.scripts.length, links: [...page.links].map(link => link.href),
    images: [...page.images].map(image => [image.naturalWidth, image.naturalHeight, image.width]),
    tables: [...page.querySelectorAll("table")].map(table => table.rows.length),
    width: root.scrollWidth, room: root.clientWidth, text: page.body.innerText.length,
  };
  document.body.innerHTML = "<pre id=seen></pre>";
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script></body></html>"""


def look(page: Path, chromium, serve) -> dict:
    (page.parent / "wrapper.html").write_text(WRAPPER, encoding="utf-8")
    dom = chromium(f"{serve(page.parent)}/wrapper.html", "--dump-dom")
    return json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))


def test_a_browser_shows_all_of_a_page_on_a_phone(runs, tmp_path, chromium, serve):
    seen = look(report_runs([runs], tmp_path / "report"), chromium, serve)
    assert seen["title"] == "3 runs on G(2,3), 20 labels"
    markdown = (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert len(seen["images"]) == markdown.count("![") > 0
    for natural_width, natural_height, width in seen["images"]:
        assert natural_width > 200
        assert natural_height > 60
        assert 200 < width <= 360
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert seen["tables"] == [table.count("\n") - 1 for table in tables]  # the rule below the headings is not a row
    assert seen["width"] <= seen["room"]  # what is wider than the screen scrolls by itself
    assert seen["scripts"] == 0
    assert seen["text"] > 3000


def test_a_browser_runs_nothing_of_a_run_with_an_evil_name(tmp_path, chromium, serve):
    seen = look(report_runs([evil_run(tmp_path)], tmp_path / "report"), chromium, serve)
    assert seen["title"].startswith("Run <script>")
    assert seen["scripts"] == 0
    outside = [link for link in seen["links"] if "report.html#" not in link]
    assert outside == ["https://arxiv.org/abs/2403.06963"]
    assert len(seen["images"]) == 5
    assert all(width > 200 for width, _, _ in seen["images"])


def test_a_page_is_not_blank(runs, tmp_path, chromium):
    page = report_runs([runs], tmp_path / "report")
    shot = tmp_path / "shot.png"
    chromium(page.as_uri(), f"--screenshot={shot}", "--window-size=1000,2400")
    image = (matplotlib.image.imread(io.BytesIO(shot.read_bytes()))[..., :3] * 255).round().astype(int)
    assert image.shape == (2400, 1000, 3)
    assert (image.reshape(-1, 3).mean(axis=0) > 200).all()  # dark on light
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):  # curves
        assert (image == colour).all(axis=-1).sum() > 100
    assert ((image.max(axis=-1) < 80).sum(axis=1) > 3).mean() > 0.3  # rows with ink
