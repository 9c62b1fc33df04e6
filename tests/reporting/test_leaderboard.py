"""From records to standings, and to the pages that show them."""

import copy
import json
import re
from html import unescape
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml

from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.data.problem_keys import generated_digest
from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.reporting import leaderboard_page
from hf_nextfail.reporting.leaderboard import Submission, leaderboard_of
from hf_nextfail.reporting.leaderboard_matrix import matrices_of
from hf_nextfail.reporting.leaderboard_page import html_of, markdown_of, reasons, write_leaderboard
from hf_nextfail.reporting.protocols import protocols_with
from hf_nextfail.reporting.record import Record
from hf_nextfail.tasks import TASKS, StarGraph
from hf_nextfail.tasks.creative import CreativeTask

SHIPPED = shipped_folder("hub_cards") / "results/objectives_cpu"
RECORD = Record.read(SHIPPED / "nextlat-d2_l4_n20-gpt2-seed_42.json")


def submission(accuracy=0.5, seed=42, source=None, changes=None, **run) -> Submission:
    """A record like one of ours; `changes`: of other parts than `run`."""
    record = copy.deepcopy(RECORD)
    record.run.update({"seed": seed, "weights_sha256": f"{seed:x}{str(accuracy).encode().hex()}".zfill(64)} | run)
    record.recipe.update({name: record.run[name] for name in ("objective", "seed", "dataset_config")})
    record.run["objective_options"] = None if "objective" in run else record.run["objective_options"]
    record.results["accuracy"]["value"] = accuracy
    record.run.update({} if accuracy >= 0.99 or "steps" in run else {"steps": 2000, "stopped_at_accuracy": False})
    for part, values in (changes or {}).items():
        getattr(record, part).update(values)
    source = source or f"mine/{record.run['objective']}-{seed}-{accuracy}.json"
    return Submission(record, source, f"nextfail rerun {source}")


def test_the_headline_is_how_many_seeds_solve_the_task():
    entries = [submission(1.0, 42, steps=1200), submission(0.18, 1), submission(0.99, 2, steps=900)]
    board = leaderboard_of(entries)
    (standing,) = board.standings
    solved = standing.solved
    assert (str(solved), solved.steps_in_words(), solved.median_steps) == ("2 of 3", "1,050 (900 to 1,200)", 1050)
    assert solved.interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert standing.accuracies == [0.18, 0.99, 1.0]
    assert [one.record.run["seed"] for one in standing.counted] == [42, 1, 2]
    assert standing.command == "OMP_NUM_THREADS=1 nextfail reproduce small --only 'nextlat-d2_l4_n20-gpt2-*'"
    assert board.left_out == []


def test_many_solved_seeds_come_before_few_then_few_steps_then_accuracy():
    def of(objective, *outcomes):
        seeds = (42, 1, 2)
        return [
            submission(accuracy, seed, objective=objective, steps=steps, stopped_at_accuracy=True)
            for seed, (accuracy, steps) in zip(seeds, outcomes, strict=False)
        ]

    entries = [
        *of("top", (0.5, 2000), (0.6, 2000)),
        *of("fsp", (0.5, 2000), (0.9, 2000)),
        *of("jtp", (0.999, 900)),
        *of("mtp", (0.999, 800)),
        *of("bst", (0.991, 2000), (0.992, 2000), (0.993, 1900)),
    ]
    for number, entry in enumerate(entries):  # each is a run of its own
        entry.record.run["weights_sha256"] = f"{number:064x}"
    board = leaderboard_of(entries)
    names = [(board.rank(one), one.contestant.objective) for one in board.standings]
    assert names == [(1, "bst"), (2, "mtp"), (3, "jtp"), (4, "fsp"), (5, "top")]
    twin = submission(0.999, 42, objective="hybrid", steps=800, stopped_at_accuracy=True, weights_sha256="f" * 64)
    ranks = leaderboard_of([*entries[4:6], twin])
    assert [ranks.rank(one) for one in ranks.standings] == [1, 1, 3]


LEFT_OUT = {
    "another protocol": ({"changes": {"recipe": {"max_steps": 9}}}, "max_steps must be 2000, got 9"),
    "older rows": ({"changes": {"versions": {"star_graph": "0.9.0"}}}, "it is of star_graph 0.9.0, and this is 1.0.0"),
    "older metrics": ({"changes": {"versions": {"metrics": "1.0.0"}}}, "it is of metrics 1.0.0, and this is "),
    "trained split": ({"split": "train"}, "it was measured on train, and must be on test"),
    "too many steps": ({"steps": 2001}, "it took 2,001 steps, and may take 2,000"),
    "given up early": ({"steps": 300, "stopped_at_accuracy": False}, "it ended at step 300 of 2,000 without having"),
    "stopped without reason": (
        {"steps": 300, "stopped_at_accuracy": True},
        "it ended at step 300 of 2,000 without having",
    ),
    "few rows": ({"num_rows": 500}, "it was measured on 500 test rows, and must be on all 20,000"),
    "more than right": ({"accuracy": 1.5}, "its accuracy must be from 0 to 1, got 1.5"),
    "not a number": ({"accuracy": float("nan"), "weights_sha256": None}, "its accuracy must be from 0 to 1, got nan"),
    "no digest": ({"weights_sha256": "../../etc"}, "its weights_sha256 is not a SHA-256"),
    "a creative task": ({"changes": {"results": {"creativity": {"value": 0.2}}}}, "its task is creative"),
    "other rows": ({"rows_sha256": "f" * 64}, "its test rows have the SHA-256 ffffffff, and those of today 3810ba62"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_does_not_count_is_left_out_with_one_line(case):
    changes, reason = LEFT_OUT[case]
    if "accuracy" in changes:
        changes = {"weights_sha256": None} | changes | {"steps": 2000}
    num_rows = changes.get("num_rows", 20_000)
    bad = submission(**{"accuracy": 0.6, "source": "bad.json"} | {k: v for k, v in changes.items() if k != "num_rows"})
    bad.record.results["accuracy"]["n"] = num_rows
    bad.record.history[-1]["accuracy"] = 0.994
    board = leaderboard_of([submission(0.5, 1), submission(0.5, 2), bad])
    ((source, said),) = board.left_out
    assert source == "bad.json"
    assert said.removeprefix("it is not of small: ").startswith(reason)
    assert [len(standing.counted) for standing in board.standings] == [2]


@pytest.mark.parametrize(
    ("batch", "accumulated", "processes", "options", "steps"),
    [
        (256, 1, 1, "", 2346),  # 3 epochs of 781 whole batches and a part of one
        (128, 2, 1, "", 2346),
        (32, 2, 4, "", 2346),
        (256, 1, 1, "num_train_epochs: 0.5", 391),
        (256, 1, 1, "num_train: 100", 3),
        (256, 1, 1, "dataloader_drop_last: true", 2343),
        (128, 2, 1, "dataloader_drop_last: true", 2343),
        (64, 4, 1, "dataloader_drop_last: true", 2346),  # of 3,125 batches the last is a step of its own
    ],
)
def test_a_budget_in_epochs_is_one_in_steps(tmp_path, batch, accumulated, processes, options, steps):
    path = tmp_path / "epochs.yaml"
    text = (shipped_folder("recipes") / "protocols/small.yaml").read_text()
    text = text.replace("protocol: small", "protocol: epochs").replace("  stop_at_accuracy: 0.995", "")
    path.write_text(text.replace("  max_steps: 2000", f"  {options}"))

    def board(steps):
        entry = submission(0.5, steps=steps, stopped_at_accuracy=steps < 2000, num_processes=processes)
        recipe = entry.record.recipe
        recipe.update(yaml.safe_load(options) or {})
        recipe |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulated}
        del recipe["max_steps"], recipe["stop_at_accuracy"]
        entry.record.history[-1]["accuracy"] = 1.0
        return leaderboard_of([entry], protocols_with([path]))

    assert [one.protocol for one in board(steps).standings] == ["epochs"]
    for wrong in (steps - 1, steps + 1):
        ((_, reason),) = board(wrong).left_out
        assert f"{wrong:,} " in reason and f" {steps:,}" in reason


def test_rows_are_those_of_the_protocol_however_many_records_say_otherwise(tmp_path):
    path = tmp_path / "few.yaml"
    text = (shipped_folder("recipes") / "protocols/small.yaml").read_text()
    path.write_text(text.replace("protocol: small", "protocol: few").replace("base:", "base:\n  num_test: 5000"))
    few = generated_digest(StarGraph.from_config_name("d2_l4_n20"), "test", 5000, 0)
    entries = [submission(0.5, seed, rows_sha256="f" * 64, source="wrong") for seed in (1, 2)]
    entries += [submission(0.6), submission(0.7, rows_sha256=few, changes={"recipe": {"num_test": 5000}})]
    entries[-1].record.results["accuracy"]["n"] = 5000
    board = leaderboard_of(entries, protocols_with([path]))
    assert sorted((one.protocol, one.accuracies) for one in board.standings) == [("few", [0.7]), ("small", [0.6])]
    assert [source for source, _ in board.left_out] == ["wrong", "wrong"]


@pytest.mark.parametrize("text", ['{"a":' * 200_000, '{"a": 1', '{"a": 1e999}', '{"a": "\\u001b"}'])
def test_a_recipe_that_cannot_be_read_is_left_out_with_a_line(text):
    good, bad = (
        submission(0.5),
        submission(0.5, 1, source="bad.json", changes={"recipe": {"lr_scheduler_kwargs": text}}),
    )
    board = leaderboard_of([bad, good])
    (standing,) = board.standings
    assert [one.source for one in standing.counted] == [good.source]
    ((source, reason),) = board.left_out
    assert source == "bad.json" and "\n" not in reason and len(reason) < 200


def test_copies_and_borrowed_weights_do_not_count():
    first = submission(1.0, 42, source="first.json")
    renamed = submission(1.0, 42, source="copy.json", name="mine")
    other_seed = submission(1.0, 1, source="seed.json", weights_sha256=first.record.run["weights_sha256"])
    other_cell = submission(1.0, 42, source="cell.json", objective="top")
    other_cell.record.run["weights_sha256"] = first.record.run["weights_sha256"]
    board = leaderboard_of([first, renamed, other_seed, other_cell])
    assert board.left_out == [
        ("copy.json", "it is a copy of first.json"),
        ("seed.json", "its weights are those of first.json, of another cell or seed"),
        ("cell.json", "its weights are those of first.json, of another cell or seed"),
    ]
    (standing,) = board.standings
    assert (str(standing.solved), standing.verified) == ("1 of 1", [])


def test_a_copy_is_one_however_its_file_is_written(tmp_path):
    first = submission(1.0, changes={"timings": {"train_seconds": 7.0}})
    first.record.write(tmp_path / "first.json")
    text = json.dumps(json.loads((tmp_path / "first.json").read_text()), sort_keys=True)
    (tmp_path / "copy.json").write_text(text.replace('"train_seconds": 7.0', '"train_seconds": 7'))
    board = leaderboard_of([first, Submission(Record.read(tmp_path / "copy.json"), "copy.json", "")])
    assert board.left_out == [("copy.json", f"it is a copy of {first.source}")]
    assert board.standings[0].verified == []


def test_a_second_run_with_the_same_outcome_verifies_a_record():
    again = {"timings": {"train_seconds": 1.0}}
    first, second = submission(1.0, source="theirs"), submission(1.0, source="mine", changes=again)
    (standing,) = leaderboard_of([first, second, submission(0.5, 1)]).standings
    assert standing.verified == [42]
    assert [one.source for one in (*standing.counted, *standing.others)] == [
        "mine",
        "mine/nextlat-1-0.5.json",
        "theirs",
    ]
    second.record.results["accuracy"]["value"] = 0.9999
    assert leaderboard_of([first, second]).standings[0].verified == []
    unknown = [submission(1.0, changes=part, weights_sha256=None) for part in ({}, again)]
    assert leaderboard_of(unknown).standings[0].verified == []


def test_of_two_records_of_a_seed_the_newer_version_counts_else_the_one_handed_in_last():
    older, newer = submission(0.4), submission(0.6, changes={"versions": {"hf_nextfail": "0.10.0"}})
    last = submission(0.5)
    for entries, counted in (
        ([newer, older], 0.6),
        ([older, newer, last], 0.6),
        ([older, last], 0.5),
        ([last, older], 0.4),
    ):
        (standing,) = leaderboard_of(entries).standings
        assert standing.accuracies == [counted]
        assert len(standing.others) == len(entries) - 1


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.2.0.dev0", "0.2.0"),
        ("0.2.0rc1", "0.2.0"),
        ("0.9.0", "0.10.0"),
        ("0.2", "0.2.0.post1"),
        ("of mine 9", "0.1.0"),
    ],
)
def test_versions_are_ordered_as_packages_are(older, newer):
    entries = [
        submission(accuracy, changes={"versions": {"hf_nextfail": version}})
        for accuracy, version in ((0.4, older), (0.6, newer))
    ]
    for given in (entries, entries[::-1]):
        assert leaderboard_of(given).standings[0].accuracies == [0.6]


def test_a_page_that_fails_leaves_the_files_of_the_one_before(tmp_path, monkeypatch):
    write_leaderboard(leaderboard_of([submission(1.0)]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"README.md", "index.html", "leaderboard.parquet"}
    board = standings()
    whole = Path.write_bytes
    for wrong in ("parquet_of", "html_of", None):
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            if wrong is None:  # a full disk
                patch.setattr(Path, "write_bytes", lambda path, data: whole(path, data[:9]) / 0)
            else:
                patch.setattr(leaderboard_page, wrong, lambda board: 1 / 0)
            write_leaderboard(board, tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_objective_of_ones_own_has_a_row_and_a_command_of_its_own():
    recipe = {"recipe": {"objective": "mine.py:Mine"}}
    own = {
        "objective": "mine",
        "sources": {"objective": {"class": "Mine", "file": "mine.py", "sha256": "a" * 64}},
    }
    (standing,) = leaderboard_of([submission(1.0, changes=recipe, **own)]).standings
    assert standing.contestant.title == "mine, mine.py:Mine with SHA-256 aaaaaaaa"
    assert standing.command == (
        "OMP_NUM_THREADS=1 nextfail reproduce small --objective ./mine.py:Mine --only '*-d2_l4_n20-gpt2-*'"
    )
    recipe["recipe"]["objective"] = "x; rm -rf ~ #.py:Mine"
    (evil,) = leaderboard_of([submission(1.0, changes=recipe, **own)]).standings
    assert "--objective './x; rm -rf ~ #.py:Mine' --only" in evil.command


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"horizon": 1}, """--objective nextlat --objective_options '{"horizon": 1}' --only '*-d2_l4_n20-gpt2-*'"""),
        ({"kl_weight": 1}, "--only 'nextlat-d2_l4_n20-gpt2-*'"),  # as by default
        ({"x": "it's"}, """--objective_options '{"x": "it'"'"'s"}'"""),
    ],
)
def test_a_contestant_with_options_has_a_command_too(options, asked):
    recipe = {"recipe": {"objective_options": options}}
    (standing,) = leaderboard_of([submission(1.0, objective="nextlat", changes=recipe)]).standings
    assert standing.command.startswith("OMP_NUM_THREADS=1 nextfail reproduce small --")
    assert asked in standing.command


def test_a_reversed_contestant_has_a_command_where_the_protocol_names_it():
    config = {"dataset_config": "d2_l4_n20_rev", "rows_sha256": None}
    named = submission(0.5, objective="teacher_forced", **config)
    assert "--only 'reversed-d2_l4_n20-gpt2-*'" in leaderboard_of([named]).standings[0].command
    assert leaderboard_of([submission(0.5, objective="top", **config)]).standings[0].command is None


# Pages

WRAPPER = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe src="index.html#cell-3" width="360" height="640"></iframe>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const seenOf = kind => [...page.querySelectorAll(kind)].filter(row => !row.hidden);
  const rows = () => seenOf("tr.cell").map(row => row.cells[0].innerText);
  const open = () => seenOf("tr.more").map(row => row.innerText);
  const heading = name => [...page.querySelectorAll("#standings th button")].find(one => one.innerText === name);
  const seen = {title: page.title, width: root.scrollWidth, room: root.clientWidth, scripts: page.scripts.length};
  seen.opened = open();
  heading("accuracy").click();
  seen.upwards = rows();
  heading("accuracy").click();
  seen.downwards = rows();
  seen.sorted = heading("accuracy").parentElement.getAttribute("aria-sort");
  heading("steps to solve").click();
  seen.quickest = rows();
  const select = page.querySelector("select[data-filter=task]");
  seen.tasks = [...select.options].map(option => option.innerText);
  select.value = seen.tasks[1];
  select.onchange();
  seen.filtered = rows();
  seen.shown = page.getElementById("shown").innerText;
  seen.evil = Boolean(window.evil || document.querySelector("iframe").contentWindow.evil);
  document.body.innerHTML = "<pre id=seen></pre>";
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script></body></html>"""


def standings():
    evil = "<script>parent.evil = window.evil = 1</script><img src=x onerror='window.evil = 1'>"
    source = {"objective": {"class": "Mine", "sha256": "a" * 64}}
    entries = [
        submission(1.0, 42, steps=1200, title="G(2,4), 20 labels, and my own words"),
        submission(0.999, 1, steps=1100),
        submission(0.7, 42, objective="top"),
        submission(0.3, 42, objective="mine.py:Mine", sources=source, device_name=evil),
        submission(0.6, 42, objective="top", dataset_config="d2_l3_n20", title="G(2,3), 20 labels", rows_sha256=None),
        submission(0.5, 1, source=evil, steps=1, stopped_at_accuracy=False),
    ]
    entries[3].record.recipe["objective"] = "mine.py:Mine"
    entries[3].record.run["objective"] = f"{evil.replace('/', '')}.py:Mine"
    return leaderboard_of(entries)


def test_the_markdown_shows_cells_that_were_run_and_leaves_the_others_empty():
    text = markdown_of(standings())
    lines = text.splitlines()
    assert "| objective | G(2,3), 20 labels | G(2,4), 20 labels |" in lines
    assert "| nextlat |  | 2 of 2 |" in lines and "| top | 0 of 1 | 0 of 1 |" in lines and "| mtp |  |  |" in lines
    assert (
        "| nextlat | G(2,4), 20 labels | gpt2 | small | 1 | 2 of 2 | 0.34 to 1.00 | 1,150 (1,100 to 1,200) | "
        "1.000 (0.999 to 1.000) |  |"
    ) in lines
    without_code = re.sub("`[^`]*`", "", re.sub("```.*?```", "", text, flags=re.DOTALL))
    assert "script" in without_code and not re.search(r"(?<!\\)<(script|img)", without_code)
    assert "No runs yet of: d2_l5_n20." in lines
    assert "Models without runs: gpt2_128 of `small`, llama of `small`, mamba of `small`." in lines
    assert "Protocols without runs: `bachmann`, `bst`, `ilm`, `nextlat`, `top`." in lines


def test_creative_tasks_are_not_said_to_wait_for_runs():
    record = Record.read(SHIPPED.parent / "small/nextlat-tree_star-d2_b2_s1_l3_n20-gpt2_128-seed_42.json")
    board = leaderboard_of([Submission(record, "tree.json", "nextfail rerun tree.json")])
    tasks = {name for name, task in TASKS.items() if issubclass(task, CreativeTask)}
    notes = " ".join(matrices_of(board)[0].notes)
    waiting, creative = notes.split("Creative tasks, which have no rank: ")
    assert waiting.startswith("No runs yet of: crossing_star-easy, ") and not any(name in waiting for name in tasks)
    assert all(name in creative for name in tasks) and all(name in html_of(board) for name in tasks)


def test_records_that_are_left_out_are_counted_by_folder_and_reason():
    left_out = [
        ("a.json", "old"),
        ("b.json", "old"),
        ("there/c.json", "old"),
        ("there/d.json", "old"),
        ("e.json", "bad"),
    ]
    assert list(reasons(left_out)) == [
        ("2 records of this folder", "old"),
        ("2 records of there", "old"),
        ("e.json", "bad"),
    ]


def test_a_browser_sorts_filters_and_opens_cells_on_a_phone_and_runs_nothing_of_a_record(tmp_path, chromium, serve):
    write_leaderboard(standings(), tmp_path / "board")
    (tmp_path / "board/wrapper.html").write_text(WRAPPER, encoding="utf-8")
    dom = chromium(f"{serve(tmp_path / 'board')}/wrapper.html", "--dump-dom")
    seen = json.loads(unescape(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)[1]))
    assert (seen["title"], seen["scripts"], seen["evil"]) == ("Which training objectives can plan", 1, False)
    assert seen["width"] <= seen["room"]  # what is wider than the screen scrolls by itself
    (opened,) = seen["opened"]  # the one that the address names: top
    assert "nextfail rerun mine/top-42-0.7.json" in opened and "top-d2_l4_n20-gpt2-*'" in opened
    assert "0.700" in opened and "Not run: seed 1, seed 2." in opened
    names = [name.split(",")[0] for name in seen["upwards"]]
    assert names[0].startswith("<script>") and names[1:] == ["top", "top", "nextlat"]
    assert seen["downwards"] == seen["upwards"][::-1] and seen["sorted"] == "descending"
    assert seen["quickest"][0] == "nextlat"
    assert seen["tasks"] == ["all", "G(2,3), 20 labels", "G(2,4), 20 labels"]
    assert (seen["filtered"], seen["shown"]) == (["top"], "1 of 4 cells")


def test_a_page_asks_nobody_for_anything_and_lets_its_own_script_run_alone():
    page = html_of(standings())
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert page.count("<script>") == 1


def test_the_table_has_a_row_a_record_with_the_same_columns_whatever_there_is(tmp_path):
    write_leaderboard(standings(), tmp_path / "some")
    write_leaderboard(leaderboard_of([]), tmp_path / "none")
    some, none = (pyarrow.parquet.read_table(tmp_path / name / "leaderboard.parquet") for name in ("some", "none"))
    assert some.schema == none.schema
    assert (len(some), len(none)) == (5, 0)
    names = ("objective", "config", "seed", "solved", "steps", "rank")
    rows = [tuple(row[name] for name in names) for row in some.to_pylist()]
    assert rows[0] == ("top", "d2_l3_n20", 42, False, 2000, 1)
    assert ("nextlat", "d2_l4_n20", 42, True, 1200, 1) in rows
    assert "No record counts yet." in (tmp_path / "none/README.md").read_text()


# The command


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        nextfail(["leaderboard", *map(str, arguments)])
    return exit.value.code


def test_the_command_ranks_folders_and_says_what_it_leaves_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / "theirs" / name).mkdir(parents=True)
    submission(1.0, 42).record.write("theirs/a/results.json")
    submission(0.5, 7).record.write("theirs/b/results.json")
    (tmp_path / "theirs/c/results.json").write_text("{")
    assert run("theirs", "--output_dir", "out") == 0
    output = capsys.readouterr().out
    assert "left out: theirs/c/results.json: cannot be read as JSON" in output
    assert "left out: theirs/b/results.json: it is not of small: seed 7 is not one of 42, 1, 2" in output
    assert "cells: 1; records that count: 1, further ones of the same seeds: 0, left out: 2" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "index.html", "leaderboard.parquet"}
    assert "nextfail rerun theirs/a/results.json" in (tmp_path / "out/index.html").read_text()
    assert run("nowhere") == 2
    assert "there is no file or folder nowhere" in capsys.readouterr().err


def test_by_default_it_shows_what_ships_with_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    assert "small: G(2,4), 20 labels, gpt2" in capsys.readouterr().out
    page = (tmp_path / "leaderboard/index.html").read_text()
    assert "hub_cards/results/objectives_cpu/nextlat-d2_l4_n20-gpt2-seed_42.json" in page
    assert str(shipped_folder("hub_cards").parent) not in page


def test_a_readme_of_something_else_is_not_overwritten(tmp_path):
    board = leaderboard_of([submission(1.0)])
    write_leaderboard(board, tmp_path)
    write_leaderboard(board, tmp_path)  # its own is
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(UsageError, match="is of something else, and would be overwritten: name another"):
        write_leaderboard(board, tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project\n"


def test_the_terminal_names_what_was_handed_in_and_counts_what_ships(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine.json").write_text(submission(0.5, 7).record.as_json())
    with pytest.raises(SystemExit) as end:
        nextfail(["leaderboard"])
    assert end.value.code in (0, None)
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("left out: ")]
    assert line == "left out: runs/mine.json: it is not of small: seed 7 is not one of 42, 1, 2"
    (count,) = [line for line in lines if line.startswith("cells: ")]
    left_out, of_package = map(int, re.search(r"left out: (\d+), (\d+) of them of the package", count).groups())
    assert left_out == of_package + 1 > 100
    assert "results/smollm2: it was measured, not trained here" in (tmp_path / "leaderboard/README.md").read_text()
