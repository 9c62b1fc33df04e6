"""Records to a results dataset on the Hub, and back into the same table."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import HfApi, ModelCard
from loopback_hub.server import Fault

import hf_nextfail.hub.push
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.errors import HubError, UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.hub.collect import Collected, collect
from hf_nextfail.hub.push import push_files
from hf_nextfail.hub.results import push_records
from hf_nextfail.reporting.leaderboard import leaderboard_of
from hf_nextfail.reporting.record import Record

SHIPPED = shipped_folder("hub_cards") / "results"
NAMES = ["nextlat-d2_l4_n20-gpt2-seed_42", "nextlat-d2_l4_n20-gpt2-seed_1", "top-d2_l4_n20-gpt2-seed_42"]
REPO = "nextfail/results"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0, 0))


@pytest.fixture
def places(tmp_path) -> list[str]:
    """Three records that count, one that belongs to no protocol, and one of a private place."""
    record = Record.read(SHIPPED / f"objectives_cpu/{NAMES[0]}.json")
    record.run.update(seed=2, weights_sha256="0" * 64)
    record.recipe.update(seed=2, output_dir="/home/somebody/secret", hub_token="hf_secret", run_name="x")
    record.write(tmp_path / "results.json")
    names = [str(SHIPPED / f"objectives_cpu/{name}.json") for name in NAMES]
    return [*names, str(SHIPPED / "contrast/seed_42/reversed.json"), str(tmp_path / "results.json")]


def headlines(board) -> list[tuple]:
    return [(one.question, one.contestant, str(one.solved), one.accuracies, one.missing) for one in board.standings]


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit:
        nextfail(list(map(str, arguments)))
    return exit.value.code


def test_a_results_dataset_gives_the_table_that_its_records_gave(hub, places, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("push-results", *places, "--repo", REPO) == 0
    assert hub.commits("dataset", REPO) == ["5 records", "initial commit"]
    files = hub.files("dataset", REPO)
    records = {path: json.loads(data) for path, data in files.items() if path.startswith("records/")}
    assert len(records) == 5
    assert not [path for path, data in files.items() if b"secret" in data or str(tmp_path).encode() in data]
    here = leaderboard_of(collect(places).submissions)
    assert [str(one.solved) for one in here.standings] == ["3 of 3", "0 of 1"]
    there = collect([REPO])
    assert headlines(leaderboard_of(there.submissions)) == headlines(here)
    assert there.submissions[0].rerun.startswith(
        f'nextfail rerun "$(hf download -q --repo-type dataset {REPO} records/'
    )
    capsys.readouterr()
    assert run("leaderboard", REPO, "--output_dir", "there") == 0
    assert "cells: 2; records that count: 4, further ones of the same seeds: 0, left out: 1" in capsys.readouterr().out
    # What is pushed again is the same commit, and what is pushed next replaces it.
    head = hub.head("dataset", REPO)
    assert run("push-results", *places, "--repo", REPO) == 0
    assert hub.head("dataset", REPO) == head
    push_records(collect(places[:1]), REPO)
    assert len([path for path in hub.files("dataset", REPO) if path.startswith("records/")]) == 1


def test_records_are_read_again_in_the_order_in_which_they_were_handed_in(hub, tmp_path):
    record = Record.read(SHIPPED / f"objectives_cpu/{NAMES[0]}.json")
    for number in range(12):
        record.run["weights_sha256"] = f"{number:064x}"
        record.results["accuracy"]["value"] = number / 20
        record.write(tmp_path / f"{number:02d}.json")
    files = [str(tmp_path / f"{number:02d}.json") for number in range(12)]
    for given in (files, files[::-1]):
        here = leaderboard_of(collect(given).submissions)
        push_records(collect(given), REPO)
        there = leaderboard_of(collect([REPO]).submissions)
        assert headlines(there) == headlines(here)
        assert [one.record.results for one in there.standings[0].others] == [
            one.record.results for one in here.standings[0].others
        ]


def test_the_card_shows_the_table_and_the_dataset_loads(hub, places):
    push_records(collect(places), REPO)
    card = hub.files("dataset", REPO)["README.md"].decode()
    metadata = yaml.safe_load(card.split("---")[1])
    assert set(metadata["tags"]) >= {"nextfail", "nextfail-results"}
    assert f"nextfail leaderboard {REPO}" in card and "| nextlat | 3 of 3 |" in card
    rows = load_dataset(REPO, split="train")
    assert [row["objective"] for row in rows] == ["nextlat"] * 3 + ["top"]


def test_what_is_tagged_on_the_hub_is_collected_models_and_datasets(hub, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    push_records(collect(places[:2]), REPO)
    model = Record.read(places[2]).public().as_json().encode()
    card = str(ModelCard("---\ntags: [nextfail]\n---\n")).encode()
    push_files("nextfail/top", "model", {"results.json": model, "README.md": card}, "model")
    push_files("nextfail/untagged", "model", {"results.json": model}, "model")
    push_files("nextfail/bare", "model", {"README.md": card}, "model without results")
    push_files("nextfail/broken", "model", {"results.json": b"{", "README.md": card}, "model")
    found = collect([], tagged=True)
    assert [one.source for one in found.submissions if one.source.startswith("nextfail/top")] == [
        "nextfail/top/results.json"
    ]
    assert len(found.submissions) == 3
    ((source, reason),) = found.unreadable
    assert source == "nextfail/broken/results.json" and reason.startswith("cannot be read as JSON")
    assert collect(["nextfail/top"]).submissions[0].rerun == (
        'nextfail rerun "$(hf download -q nextfail/top results.json)"'
    )


def test_a_tagged_repository_that_cannot_be_read_hides_no_other(hub, places):
    push_records(collect(places[:2]), REPO)
    model = {"results.json": Record.read(places[2]).as_json().encode(), "README.md": b"---\ntags: [nextfail]\n---\n"}
    for name in ("gated", "top"):
        push_files(f"nextfail/{name}", "model", model, "model")
    hub.faults = [
        Fault("GET", "/api/datasets/nextfail/results/", times=99, status=500),
        Fault("GET|HEAD", "nextfail/gated/resolve", times=99, status=403),
    ]
    found = collect([], tagged=True)
    assert [one.source for one in found.submissions] == ["nextfail/top/results.json"]
    assert [source for source, _ in found.unreadable] == [REPO, "nextfail/gated"]
    assert all(reason.startswith("could not be read from the Hub: ") for _, reason in found.unreadable)


def test_a_training_under_way_is_no_place_of_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/small/x").mkdir(parents=True)
    (tmp_path / "runs/small/x/trainer_state.json").write_text("{}")
    shipped = len(collect([]).submissions)
    assert shipped > 100
    Record.read(SHIPPED / f"objectives_cpu/{NAMES[0]}.json").write(tmp_path / "runs/small/x/results.json")
    assert collect([]).submissions[shipped].source == "runs/small/x/results.json"


def test_the_command_of_a_record_leads_to_its_file_and_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    folder = tmp_path / "my data/a"
    folder.mkdir(parents=True)
    Record.read(SHIPPED / f"objectives_cpu/{NAMES[0]}.json").write(folder / "ok.json")
    elsewhere = ("a/ok.json", "nextfail rerun PATH/a/ok.json  # PATH stands for the folder that holds it")
    within = ("my data/a/ok.json", "nextfail rerun 'my data/a/ok.json'")
    for here, place, expected in (
        (tmp_path, folder, within),
        (tmp_path, folder / "ok.json", within),
        (tmp_path, "my data", within),
        (folder, folder, ("ok.json", "nextfail rerun ok.json")),
        (Path(__file__).parent, folder, elsewhere),
    ):
        monkeypatch.chdir(here)
        (found,) = collect([str(place)]).submissions
        assert (found.source, found.rerun) == expected


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nextfail/nothing", "is no folder here, and no dataset or model with results on the Hub"),
        ("nextfail/bare", "is no folder here, and no dataset or model with results on the Hub"),
        ("nowhere/at/all", "there is no file or folder nowhere/at/all, and a repository on the Hub is USER/NAME"),
    ],
)
def test_a_place_without_records_ends_with_one_line(hub, place, message):
    HfApi().create_repo("nextfail/bare")
    with pytest.raises(UsageError, match=message):
        collect([place])


def test_a_hub_that_fails_ends_with_one_line_and_a_push_of_nothing_too(hub, places):
    push_records(collect(places[:1]), REPO)
    hub.faults = [Fault("GET", "/api/datasets/nextfail/results", times=99, status=500)]
    with pytest.raises(HubError, match=f"{REPO} could not be read from the Hub: "):
        collect([REPO])
    with pytest.raises(UsageError, match="there is no record to publish"):
        push_records(Collected(), REPO)


def test_two_files_of_one_record_are_one_and_names_stay_inside_the_folder(hub, places, tmp_path):
    record = Record.read(places[0])
    evil = copy.deepcopy(record)
    evil.run.update(name="../../x/..\\evil\n", seed=1)
    evil.write(tmp_path / "evil.json")
    record.write(tmp_path / "copy.json")
    push_records(collect([places[0], str(tmp_path / "copy.json"), str(tmp_path / "evil.json")]), REPO)
    names = [path for path in hub.files("dataset", REPO) if path.endswith(".json")]
    assert len(names) == 2
    assert all(Path(name).parent.as_posix() == "records" and "\n" not in name for name in names)
