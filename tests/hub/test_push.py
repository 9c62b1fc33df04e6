import os
import signal

import pytest
from huggingface_hub import HfApi
from loopback_hub.server import Fault

import hf_nextfail.hub.push
from hf_nextfail.errors import HubError
from hf_nextfail.hub.push import check_access, push_files

FILES = {"notes.txt": b"one", "weights/model.safetensors": os.urandom(300_000)}
both_ways = pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", (0, 0))


def pushed(hub, repo_id="nextfail/x", repo_type="model"):
    return {path: data for path, data in hub.files(repo_type, repo_id).items() if path != ".gitattributes"}


@both_ways
def test_all_files_come_in_one_commit_and_the_same_again_in_none(hub):
    commit = push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES
    assert hub.commits("model", "nextfail/x") == ["first", "initial commit"]
    again = push_files("nextfail/x", "model", FILES, "second")
    assert hub.commits("model", "nextfail/x") == ["first", "initial commit"]
    assert again.oid == commit.oid == hub.head("model", "nextfail/x")


@both_ways
def test_local_files_and_bytes_are_alike(hub, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(FILES["weights/model.safetensors"])
    push_files("nextfail/x", "model", FILES | {"weights/model.safetensors": tmp_path / "model.safetensors"}, "first")
    assert pushed(hub) == FILES


@both_ways
def test_only_stale_files_are_deleted_and_in_the_same_commit(hub):
    push_files("nextfail/x", "model", FILES | {"old.safetensors": b"old", "mine.md": b"kept"}, "first")
    push_files("nextfail/x", "model", FILES, "second", stale=["*.safetensors"])
    assert pushed(hub) == FILES | {"mine.md": b"kept"}
    assert hub.commits("model", "nextfail/x") == ["second", "first", "initial commit"]


@both_ways
@pytest.mark.parametrize("private", [True, False])
def test_private_holds_for_a_new_repository(hub, private):
    push_files("nextfail/x", "dataset", FILES, "first", private=private)
    assert HfApi().repo_exists("nextfail/x", repo_type="dataset", token="hf_other") is not private


@both_ways
@pytest.mark.parametrize(
    ("token", "repo_id", "words"),
    [
        (None, "nextfail/x", ["no token", "hf auth login", "HF_TOKEN"]),
        ("hf_wrong_and_secret", "nextfail/x", ["token", "invalid", "hf auth login"]),
        ("hf_read", "nextfail/x", ["nextfail may only read", "write access"]),
        ("hf_other", "nextfail/x", ["somebody may not write to nextfail", "somebody/x"]),
        ("hf_test", "a/b/c", ["'a/b/c' is not a valid name"]),
        ("hf_test", "two words", ["'two words' is not a valid name"]),
    ],
)
def test_who_may_not_push_hears_what_to_do_before_anything_is_created(hub, monkeypatch, token, repo_id, words):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as refused:
        check_access(repo_id)
    message = str(refused.value)
    assert refused.value.exit_code == 2
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert token is None or token == "hf_test" or token not in message
    assert not any(request["method"] == "POST" for request in hub.log)


@both_ways
@pytest.mark.parametrize("token", ["hf_wrong_and_secret", "hf_read", "hf_other"])
def test_the_hub_itself_refuses_too(hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match="the Hub refuses to write to nextfail/x") as refused:
        push_files("nextfail/x", "model", FILES, "first")
    assert refused.value.exit_code == 2
    assert token not in str(refused.value)
    assert hub.head("model", "nextfail/x") is None


@both_ways
def test_a_token_that_is_passed_wins_over_that_of_the_environment(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert check_access("x", token="hf_test") == "nextfail/x"
    push_files("nextfail/x", "model", FILES, "first", token="hf_test")
    assert pushed(hub) == FILES


def test_offline_is_said():
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set") as refused:
        check_access("nextfail/x")
    assert refused.value.exit_code == 2


def test_a_hub_that_is_not_there(fresh):
    code = "from hf_nextfail.hub.push import check_access; check_access('nextfail/x')"
    done = fresh(code, check=False, HF_ENDPOINT="http://127.0.0.1:1", HF_HUB_OFFLINE="0")
    assert "HubError: the push to nextfail/x did not come through" in done.stderr


@both_ways
@pytest.mark.parametrize("path", ["/commit/", "/preupload/", "validate-yaml"])
def test_503_twice_is_overcome(hub, path):
    push_files("nextfail/x", "model", {"first.txt": b"1"}, "zeroth")
    hub.faults = [Fault("POST", path, times=2, status=503)]
    push_files("nextfail/x", "model", FILES | {"README.md": b"---\nlicense: mit\n---\n"}, "first")
    assert hub.faults[0].times == 0
    assert pushed(hub).items() >= FILES.items()
    assert hub.commits("model", "nextfail/x") == ["first", "zeroth", "initial commit"]


@both_ways
def test_a_commit_whose_request_is_cut_once_comes_through(hub):
    hub.faults = [Fault("POST", "/commit/", drop_after=20)]
    push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES
    assert hub.commits("model", "nextfail/x") == ["first", "initial commit"]


@both_ways
def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub):
    hub.faults = [Fault("POST", "/commit/", lose_response=True)]
    push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES
    assert hub.commits("model", "nextfail/x") == ["first", "initial commit"]


@both_ways
def test_somebody_else_pushes_at_the_same_time(hub):
    push_files("nextfail/x", "model", {"first.txt": b"1"}, "zeroth")

    def somebody_pushes():
        HfApi().upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id="nextfail/x")

    hub.faults = [Fault("POST", "/preupload/", call=somebody_pushes)]
    push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES | {"theirs.txt": b"theirs", "first.txt": b"1"}


def test_an_upload_that_is_cut_once_comes_through(hub):
    hub.faults = [Fault("PUT", "^/_lfs/", drop_after=100_000)]
    push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES


@both_ways
@pytest.mark.parametrize(("method", "path"), [("PUT", "^/_lfs/"), ("POST", "/commit/")])
def test_a_push_that_is_always_cut_fails_and_leaves_the_head(hub, method, path):
    if method == "PUT" and hub.upload_mode == "xet":
        pytest.skip("by Xet the bytes do not pass the server")
    push_files("nextfail/x", "model", {"first.txt": b"1"}, "zeroth")
    head = hub.head("model", "nextfail/x")
    hub.faults = [Fault(method, path, times=1000, drop_after=20)]
    with pytest.raises(HubError, match=r"push to nextfail/x did not come through.*run the command again") as broken:
        push_files("nextfail/x", "model", FILES, "first")
    assert broken.value.exit_code == 1
    assert hub.head("model", "nextfail/x") == head
    hub.faults = []
    push_files("nextfail/x", "model", FILES, "first")
    assert pushed(hub) == FILES | {"first.txt": b"1"}


@both_ways
@pytest.mark.parametrize("moment", ["/commit/", "^/_lfs/"])
def test_a_client_that_is_killed_leaves_the_head(hub, fresh, tmp_path, moment):
    if moment == "^/_lfs/" and hub.upload_mode == "xet":
        pytest.skip("by Xet the bytes do not pass the server")
    push_files("nextfail/x", "model", {"first.txt": b"1"}, "zeroth")
    head = hub.head("model", "nextfail/x")
    hub.faults = [
        Fault(
            "PUT" if "lfs" in moment else "POST",
            moment,
            drop_after=100,
            call=lambda: os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL),
        )
    ]
    (tmp_path / "model.safetensors").write_bytes(FILES["weights/model.safetensors"])
    code = f"""
import os
from pathlib import Path
from hf_nextfail.hub.push import push_files
folder = Path({str(tmp_path)!r})
(folder / "pid").write_text(str(os.getpid()))
push_files("nextfail/x", "model", {{"weights/model.safetensors": folder / "model.safetensors"}}, "first")
"""
    assert fresh(code, check=False).returncode == -signal.SIGKILL
    assert hub.head("model", "nextfail/x") == head
    fresh(code)
    assert pushed(hub)["weights/model.safetensors"] == FILES["weights/model.safetensors"]
