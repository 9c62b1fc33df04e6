"""The Hub of these tests is one to the real clients: what they push to it, other processes load from it by name."""

import os
import signal
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import HfApi, whoami
from huggingface_hub.errors import HfHubHTTPError
from tiny_models import TINY_GPT2
from transformers import GPT2Config, GPT2LMHeadModel

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from loopback_hub.server import Fault

ROWS = DatasetDict(
    train=Dataset.from_dict({"prompt": ["1,2/1,2=", "3,4/3,4="], "completion": ["1,2", "3,4"]}),
    test=Dataset.from_dict({"prompt": ["5,6/5,6="], "completion": ["5,6"]}),
)
both_ways = pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)


def tiny_gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=32, **TINY_GPT2)).eval()


def folder_with_weights(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(3_000_000))
    return folder


def requests(hub, part):
    return [request for request in hub.log if part in request["path"]]


@both_ways
def test_a_dataset_loads_by_name_elsewhere(hub, fresh, refused_lookups):
    ROWS.push_to_hub("nextfail/rows", "tiny")
    head, hosts = hub.head("dataset", "nextfail/rows"), refused_lookups()
    assert "tiny/train-00000-of-00001.parquet" in hub.files("dataset", "nextfail/rows")
    code = """
from datasets import load_dataset
whole = load_dataset("nextfail/rows", "tiny")
streamed = load_dataset("nextfail/rows", "tiny", split="train", streaming=True)
print(list(streamed) == whole["train"].to_list(), whole["test"].to_list())
"""
    assert fresh(code, package=False).stdout == f"True {ROWS['test'].to_list()}\n"
    assert load_dataset("nextfail/rows", "tiny", split="train").to_list() == ROWS["train"].to_list()
    assert hosts == []
    assert {host.partition(".")[0] for host in refused_lookups()} == {"datasets-server"}  # see `connection`

    commits = hub.commits("dataset", "nextfail/rows")
    ROWS.push_to_hub("nextfail/rows", "tiny")
    assert (hub.head("dataset", "nextfail/rows"), hub.commits("dataset", "nextfail/rows")) == (head, commits)


@both_ways
def test_a_model_and_its_tokenizer_load_by_name_elsewhere(hub, fresh):
    model, tokenizer = tiny_gpt2(), numeral_tokenizer(num_nodes=10)
    model.push_to_hub("nextfail/tiny")
    tokenizer.push_to_hub("nextfail/tiny")
    code = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (auto.from_pretrained("nextfail/tiny") for auto in (AutoModelForCausalLM, AutoTokenizer))
ids = tokenizer("1,2/3", return_tensors="pt").input_ids
print(ids.tolist(), f"{model.eval()(ids).logits.double().sum():.6f}", sys.modules.get("hf_nextfail", "none"))
"""
    ids = tokenizer("1,2/3", return_tensors="pt").input_ids
    expected = f"{ids.tolist()} {model(ids).logits.double().sum():.6f} None\n"
    assert fresh(code, package=False).stdout == expected

    assert {request["auth"] for request in requests(hub, "/resolve/")} == {True}
    assert {request["auth"] for request in requests(hub, "/_cdn/")} == {False}  # the token stays with the Hub
    assert bool(requests(hub, "/_lfs/")) is (hub.upload_mode == "lfs")
    assert bool(requests(hub, "xet-write-token")) is (hub.upload_mode == "xet")


@both_ways
@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        (None, 401, "Invalid username or password"),
        ("hf_wrong", 401, "Invalid credentials"),
        ("hf_read", 403, "write access"),
        ("hf_other", 403, "namespace"),
    ],
)
def test_who_may_not_write_creates_nothing(hub, monkeypatch, token, status, reason):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    for push in (ROWS.push_to_hub, tiny_gpt2().push_to_hub):
        with pytest.raises(HfHubHTTPError, match=reason) as refused:
            push("nextfail/refused")
        assert refused.value.response.status_code == status
    assert (hub.head("dataset", "nextfail/refused"), hub.head("model", "nextfail/refused")) == (None, None)
    assert whoami(token="hf_read")["name"] == "nextfail"


@both_ways
def test_a_private_repository_and_the_sdk_of_a_space(hub):
    api = HfApi()
    api.create_repo("nextfail/secret", private=True)
    assert not api.repo_exists("nextfail/secret", token="hf_other")
    assert api.repo_exists("nextfail/secret", token="hf_read")
    api.create_repo("nextfail/space", repo_type="space", space_sdk="static")
    assert api.space_info("nextfail/space").sdk == "static"
    hub.reset()
    assert not api.repo_exists("nextfail/secret")


def test_cut_uploads(hub, tmp_path):
    folder = folder_with_weights(tmp_path / "model")
    api = HfApi()
    api.create_repo("nextfail/cut")
    head = hub.head("model", "nextfail/cut")
    hub.faults = [Fault("PUT", "^/_lfs/", times=99, drop_after=1_000_000)]
    with pytest.raises(RuntimeError, match=r"Error while uploading 'model.safetensors'"):
        api.upload_folder(repo_id="nextfail/cut", folder_path=folder)
    assert hub.faults[0].times < 98
    assert hub.head("model", "nextfail/cut") == head
    assert {path.stat().st_size < 3_000_000 for path in (hub.root / "blobs").iterdir()} == {True}

    hub.faults[0].times = 1
    api.upload_folder(repo_id="nextfail/cut", folder_path=folder)
    assert hub.files("model", "nextfail/cut").keys() == {".gitattributes", "config.json", "model.safetensors"}
    assert len(hub.commits("model", "nextfail/cut")) == 2


@both_ways
def test_a_client_killed_at_its_commit_leaves_nothing(hub, fresh, tmp_path):
    folder = folder_with_weights(tmp_path / "model")
    HfApi().create_repo("nextfail/killed")
    head = hub.head("model", "nextfail/killed")

    def kill_the_client():
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    hub.faults = [Fault("POST", "/commit/", call=kill_the_client)]
    code = f"""
import os, pathlib
from huggingface_hub import HfApi
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
HfApi().upload_folder(repo_id="nextfail/killed", folder_path={str(folder)!r})
"""
    assert fresh(code, check=False).returncode == -signal.SIGKILL
    assert hub.head("model", "nextfail/killed") == head
    fresh(code)
    assert hub.files("model", "nextfail/killed")["model.safetensors"] == (folder / "model.safetensors").read_bytes()


@both_ways
def test_lost_and_truncated_answers_and_errors(hub, tmp_path):
    folder, api = folder_with_weights(tmp_path / "model"), HfApi()
    api.create_repo("nextfail/lost")
    hub.faults = [Fault("POST", "/commit/", lose_response=True)]
    if hub.upload_mode == "lfs":  # the client does not know, and does not commit again what is there
        with pytest.raises(Exception, match="disconnected"):
            api.upload_folder(repo_id="nextfail/lost", folder_path=folder)
        assert len(hub.commits("model", "nextfail/lost")) == 2
    api.upload_folder(repo_id="nextfail/lost", folder_path=folder)
    # By Xet the client repeats the request by itself, and a commit that changes nothing is a commit to the Hub.
    assert len(hub.commits("model", "nextfail/lost")) == {"lfs": 2, "xet": 3}[hub.upload_mode]

    hub.faults = [
        Fault("GET", "/_cdn/", truncate_after=1_000_000),
        Fault("HEAD", "/resolve/", status=503, headers={"Retry-After": "0"}),
    ]
    path = Path(api.hf_hub_download("nextfail/lost", "model.safetensors"))
    assert [fault.times for fault in hub.faults] == [0, 0]
    assert path.read_bytes() == (folder / "model.safetensors").read_bytes()


def test_tests_without_the_hub_are_offline(fresh):
    with pytest.raises(ConnectionError):
        whoami()
    code = "from huggingface_hub import HfApi; HfApi().whoami()"
    assert "OfflineModeIsEnabled" in fresh(code, check=False).stderr
    assert "HTTPError" in fresh(code, check=False, HF_HUB_OFFLINE="0", HF_TOKEN="hf_wrong").stderr
