"""The leaderboard as a Space: one commit, or none."""

import pytest
from huggingface_hub import HfApi
from loopback_hub.server import Fault

import hf_nextfail.hub.push
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.errors import HubError
from hf_nextfail.files import shipped_folder
from hf_nextfail.hub.collect import collect
from hf_nextfail.hub.publish import push_space

SPACE = shipped_folder("hub_cards") / "spaces/leaderboard"
RECORD = str(shipped_folder("hub_cards") / "results/objectives_cpu/nextlat-d2_l4_n20-gpt2-seed_42.json")
REPO = "nextfail/leaderboard"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0, 0))


def test_the_command_pushes_the_page_of_the_records_and_all_that_the_app_needs(hub, capsys):
    with pytest.raises(SystemExit) as exit:
        nextfail(["push-space", RECORD, "--repo", REPO])
    assert exit.value.code == 0
    output = capsys.readouterr().out
    assert "cells: 1; records that count: 1" in output and "/spaces/nextfail/leaderboard" in output
    assert hub.commits("space", REPO) == ["Leaderboard of 1 records", "initial commit"]
    assert HfApi().space_info(REPO).sdk == hub.load("space", REPO).sdk == "gradio"
    files = hub.files("space", REPO)
    own = [path for path in SPACE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path: files[path] for path in files if path not in ("leaderboard.html", ".gitattributes")} == {
        path.relative_to(SPACE).as_posix(): path.read_bytes() for path in own
    }
    assert "nextfail rerun hub_cards/results/objectives_cpu/nextlat-" in files["leaderboard.html"].decode()
    assert sorted(files["requirements.txt"].decode().split()) == ["gradio>=6.31", "hf_nextfail"]


def test_the_same_again_is_no_commit_and_checkpoints_that_are_gone_are_deleted(hub):
    collected = collect([RECORD])
    push_space(collected, REPO)
    head = hub.head("space", REPO)
    push_space(collected, REPO)
    assert hub.head("space", REPO) == head
    api = HfApi()
    api.upload_file(path_or_fileobj=b"1", path_in_repo="checkpoints/g/x/old.json", repo_id=REPO, repo_type="space")
    api.upload_file(path_or_fileobj=b"1", path_in_repo="mine.txt", repo_id=REPO, repo_type="space")
    push_space(collected, REPO)
    files = hub.files("space", REPO)
    assert "mine.txt" in files and "checkpoints/g/x/old.json" not in files


def test_whoever_may_not_push_leaves_nothing_and_a_cut_leaves_the_old_space(hub):
    with pytest.raises(HubError, match="somebody may not write to nextfail"):
        push_space(collect([RECORD]), REPO, token="hf_other")
    assert hub.head("space", REPO) is None
    push_space(collect([RECORD]), REPO)
    before = hub.files("space", REPO)
    hub.faults = [Fault("POST", "/commit/", times=3, status=503)]
    with pytest.raises(HubError, match="did not come through"):
        push_space(collect([]), REPO)
    assert hub.files("space", REPO) == before
