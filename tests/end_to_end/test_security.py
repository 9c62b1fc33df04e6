"""What comes from the Hub, or from the folder of somebody else's run, is read and shown, and never run without a word.

Every attack touches the file `MARKER` when its code runs; where there is a way to let it run, a test takes that, too.
"""

import io
import json
import os
import re
import sys
import tarfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_lines import over
from loopback_hub.server import Account, Entry, Fault
from made_records import diagnosed_record
from tiny_models import tiny_gpt2, tiny_options
from transformers import AutoModelForCausalLM, AutoTokenizer

import hf_nextfail
import hf_nextfail.hub.push
from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.errors import HubError
from hf_nextfail.hub.push import check_access, push_files
from hf_nextfail.models import build_model
from hf_nextfail.models.lora import add_lora
from hf_nextfail.objectives import OBJECTIVES

PACKAGE = Path(hf_nextfail.__file__).parent
ROWS = {"num_train": 40, "num_validation": 8, "num_test": 8, "max_steps": 2, "eval_strategy": "no"}
SMALL = [
    "--config",
    "star_graph/teacherless/smoke",
    "--precision=fp32",
    "--disable_tqdm=true",
    "--eval_on_start=false",
]
SMALL += [f"--{name}={value}" for name, value in ROWS.items()]
COMMANDS = {
    "evaluate": lambda name, *options: nextfail(["evaluate", name, "--num_rows", "5", *GRAPHS, *options]),
    "diagnose": lambda name, *options: nextfail(["diagnose", name, "--num_rows", "5", *GRAPHS, *options]),
    "finetune": lambda name, *options: finetune(over([*SMALL, "--model_name_or_path", name], options)),
}
GRAPHS = ["--dataset_config", "d2_l3_n20"]
JSONL = "".join(json.dumps({"prompt": f"1,{i}/1,{i}=", "completion": f"1,{i}"}) + "\n" for i in range(20)) * 9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> dict[str, bytes]:
    """The files of a tiny teacherless checkpoint, decoding and all."""
    folder, tokenizer = tmp_path_factory.mktemp("checkpoint"), numeral_tokenizer(num_nodes=20)
    model = tiny_gpt2(tokenizer)
    objective = OBJECTIVES["teacherless"](tokenizer)
    model.generation_config = objective.decoding.generation_config(max_new_tokens=3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {"custom_generate/generate.py": objective.decoding.travels[0].read_bytes()}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands run in an empty folder, so that what they write is in sight."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(hf_nextfail.hub.push, "PAUSES", ())


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "MARKER"


@pytest.fixture
def pickled(marker, tmp_path) -> bytes:
    """What torch writes of an object whose reading runs code."""

    class Evil:
        def __reduce__(self):
            return Path.touch, (marker,)

    torch.save(Evil(), tmp_path / "evil.bin")
    data = (tmp_path / "evil.bin").read_bytes()
    (tmp_path / "evil.bin").unlink()
    return data


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The names of all files that are opened during the test, as Python itself reports them."""
    names, watching = [], [True]

    def watch(event, arguments):
        if event == "open" and watching:
            names.append(os.fspath(arguments[0]) if isinstance(arguments[0], str | Path) else "")

    sys.addaudithook(watch)  # stays for as long as the process
    yield names
    watching.clear()


def code_touching(marker: Path, rest: str = "") -> bytes:
    return f"from pathlib import Path\nPath({str(marker)!r}).touch()\n{rest}".encode()


def refusal(capfd, command, *arguments) -> str:
    """Run a command that is refused, and return its one line."""
    with pytest.raises(SystemExit) as ended:
        command(*arguments)
    errors = capfd.readouterr().err
    assert ended.value.code == 2, errors
    assert "Traceback" not in errors
    [line] = [line for line in errors.splitlines() if ": error: " in line]
    return line


def succeeds(command, *arguments) -> None:
    try:
        command(*arguments)
    except SystemExit as ended:
        assert ended.code == 0


def put_as_named(hub, repo_type: str, repo_id: str, files: dict[str, bytes]) -> None:
    """Put files into a repository under names that no client of it would push."""
    repository = hub.load(repo_type, repo_id)
    for path, data in files.items():
        hub.put_blob(data)
        repository.commits[repository.revision("main")].tree[path] = Entry.regular(data)
    hub.save(repository)


def files_below(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


# --- pickles ---


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_in_a_pickle_are_refused_unread(hub, checkpoint, marker, pickled, capfd, refused_lookups, command):
    weights = checkpoint.keys() - {"model.safetensors"}
    push_files(
        "nextfail/x", "model", {name: checkpoint[name] for name in weights} | {"pytorch_model.bin": pickled}, "x"
    )
    assert "nextfail/x has no model.safetensors" in refusal(capfd, COMMANDS[command], "nextfail/x")
    assert not marker.exists()
    # Nor are they downloaded, or sent to a service that converts them, as transformers would have it.
    assert not [request for request in hub.log if ".bin" in request["path"] or "discussions" in request["path"]]
    assert refused_lookups() == []


def test_the_pickle_would_have_run(hub, marker, pickled):
    torch.load(io.BytesIO(pickled), weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pickle_beside_safetensors_is_not_read(hub, checkpoint, marker, pickled, command):
    pickles = dict.fromkeys(("pytorch_model.bin", "training_args.bin", "adapter_model.bin", "optimizer.pt"), pickled)
    push_files("nextfail/x", "model", checkpoint | pickles, "x")
    succeeds(COMMANDS[command], "nextfail/x")
    assert not marker.exists()
    assert not [request for request in hub.log if request["method"] == "GET" and ".bin" in request["path"]]


@pytest.fixture
def adapter(checkpoint, tmp_path) -> dict[str, bytes]:
    """The files of an adapter of `nextfail/base`."""
    for name, data in checkpoint.items():
        (tmp_path / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "base" / name).write_bytes(data)
    tokenizer = load_tokenizer(str(tmp_path / "base"))
    model = add_lora(build_model(tokenizer, str(tmp_path / "base")), tokenizer, target_modules=["c_attn"])
    model.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    files = {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()}
    settings = json.loads(files["adapter_config.json"]) | {"base_model_name_or_path": "nextfail/base"}
    return files | {"adapter_config.json": json.dumps(settings).encode()}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_adapter_in_a_pickle_is_refused_unread(hub, checkpoint, adapter, marker, pickled, capfd, command):
    push_files("nextfail/base", "model", checkpoint, "x")
    del adapter["adapter_model.safetensors"]
    push_files("nextfail/x", "model", adapter | {"adapter_model.bin": pickled}, "x")
    assert "has no adapter_model.safetensors" in refusal(capfd, COMMANDS[command], "nextfail/x")
    assert not marker.exists()


def test_an_adapter_hides_no_pickle_behind_its_base(hub, checkpoint, adapter, marker, pickled, capfd):
    settings = {"adapter_config.json": adapter["adapter_config.json"]}
    push_files("nextfail/base", "model", checkpoint | settings | {"adapter_model.bin": pickled}, "x")
    push_files("nextfail/x", "model", adapter, "x")
    assert "which is an adapter" in refusal(capfd, COMMANDS["evaluate"], "nextfail/x")
    assert not marker.exists()


# --- code ---

MODEL = """
from transformers import GPT2Config, GPT2LMHeadModel
class OddConfig(GPT2Config):
    model_type = "odd"
class OddModel(GPT2LMHeadModel):
    config_class = OddConfig
"""
TOKENIZER = """
from transformers import PreTrainedTokenizerFast
class OddTokenizer(PreTrainedTokenizerFast):
    pass
"""


def with_code(checkpoint: dict[str, bytes], part: str, marker: Path) -> dict[str, bytes]:
    """Let a part of a checkpoint be code of its own."""
    if part == "custom_generate":
        name = "custom_generate/generate.py"
        return checkpoint | {name: code_touching(marker, checkpoint[name].decode())}
    name, changes, code = {
        "model": (
            "config.json",
            {
                "model_type": "odd",
                "auto_map": {"AutoConfig": "odd.OddConfig", "AutoModelForCausalLM": "odd.OddModel"},
            },
            MODEL,
        ),
        "tokenizer": (
            "tokenizer_config.json",
            {
                "tokenizer_class": "OddTokenizer",
                "auto_map": {"AutoTokenizer": ["odd.OddTokenizer", "odd.OddTokenizer"]},
            },
            TOKENIZER,
        ),
    }[part]
    config = json.dumps(json.loads(checkpoint[name]) | changes).encode()
    return checkpoint | {name: config, "odd.py": code_touching(marker, code)}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("part", ["model", "tokenizer", "custom_generate"])
def test_code_of_a_repository_runs_only_when_the_user_says_so(hub, checkpoint, marker, capfd, part, command):
    push_files(f"nextfail/{part}_{command}", "model", with_code(checkpoint, part, marker), "x")
    name = f"nextfail/{part}_{command}"
    if part == "model":  # there is no other code for it
        assert "contains custom code" in refusal(capfd, COMMANDS[command], name)
    else:
        succeeds(COMMANDS[command], name)
    assert not marker.exists()
    trusted = "--trust_remote_code=true" if command == "finetune" else "--trust_remote_code"
    succeeds(COMMANDS[command], name, trusted, "--output_dir=trusted")
    assert marker.exists()


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_nothing_else_runs_code_of_a_repository_or_asks_whether_to(hub, checkpoint, marker, part, capfd):
    push_files("nextfail/x", "model", with_code(checkpoint, part, marker), "x")
    for command in (["env", "nextfail/x"], ["sample", "d2_l3_n20", "--tokenizer", "nextfail/x"]):
        with pytest.raises(SystemExit):
            nextfail(command)
    assert "[y/N]" not in "".join(capfd.readouterr())
    assert not marker.exists()


@pytest.mark.parametrize("trust", [False, True])
def test_our_own_decoding_runs_only_when_the_user_says_so(hub, checkpoint, marker, trust):
    name = f"nextfail/decoding_{trust}".lower()
    push_files(name, "model", with_code(checkpoint, "custom_generate", marker), "x")
    model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=trust)
    model.generate(**AutoTokenizer.from_pretrained(name)(["1,2/1,2="], return_tensors="pt"))
    assert marker.exists() is trust


@pytest.mark.parametrize("data", [{}, {"train.jsonl": JSONL.encode()}])
def test_the_script_of_a_dataset_is_not_run(hub, checkpoint, marker, capfd, data):
    push_files("nextfail/x", "model", checkpoint, "x")
    push_files("somebody/data", "dataset", {"data.py": code_touching(marker)} | data, "x", token="hf_other")
    line = refusal(capfd, nextfail, ["evaluate", "nextfail/x", "--dataset_name", "somebody/data"])
    assert "scripts are no longer supported" in line
    assert not marker.exists()


def test_a_recipe_is_data(hub, marker, capfd, tmp_path):
    (tmp_path / "recipe.yaml").write_text(f"seed: !!python/object/apply:os.system ['touch {marker}']\n")
    assert "cannot be read as YAML" in refusal(capfd, finetune, ["--config", str(tmp_path / "recipe.yaml")])
    assert not marker.exists()


# --- paths ---

NAMES = [
    "../../escape.txt",
    "/escape.txt",
    "..\\..\\escape.txt",
    "custom_generate/../../../escape.py",
    "additional_chat_templates/../../../../../escape.jinja",
    "additional_chat_templates/..\\..\\escape.jinja",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_repository_leads_out_of_the_cache(hub, checkpoint, capfd, tmp_path, name):
    push_files("nextfail/x", "model", checkpoint, "x")
    put_as_named(hub, "model", "nextfail/x", {name: b"{{ x }}"})
    with pytest.raises(SystemExit) as ended:
        COMMANDS["evaluate"]("nextfail/x")
    assert ended.value.code in (0, 2)  # without the file, or refused for it
    assert "Traceback" not in capfd.readouterr().err
    assert not [path for path in files_below(Path(os.environ["HF_HOME"]), tmp_path) if path.name.startswith("escape")]
    assert not Path("/escape.txt").exists()


def test_an_index_of_shards_leads_nowhere_else(hub, checkpoint, capfd):
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": "../../escape.safetensors"}}
    files = checkpoint | {"model.safetensors.index.json": json.dumps(index).encode()}
    weights = files.pop("model.safetensors")
    push_files("nextfail/x", "model", files, "x")
    put_as_named(hub, "model", "nextfail/x", {"../../escape.safetensors": weights})
    assert "escape.safetensors" in refusal(capfd, COMMANDS["evaluate"], "nextfail/x")
    assert not [path for path in files_below(Path(os.environ["HF_HOME"])) if "escape" in path.name]


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(JSONL)
            files.addfile(entry, io.BytesIO(JSONL.encode()))
    return packed.getvalue()


@pytest.mark.parametrize("attack", ["archive", "names", "data_files", "data_files_beside"])
def test_a_dataset_neither_writes_nor_reads_elsewhere(hub, checkpoint, capfd, tmp_path, opened, attack):
    private = tmp_path / "work/private.jsonl"
    private.write_text(JSONL)
    opened.clear()
    place = private.name if attack.endswith("beside") else private
    files = {"README.md": f"---\nconfigs:\n- config_name: default\n  data_files: {place}\n---\n".encode()}
    if attack == "archive":
        files = {"train.tar.gz": archive("train.jsonl", "../../../escape.txt", str(tmp_path / "escape.txt"))}
    push_files("nextfail/x", "model", checkpoint, "x")
    push_files(f"somebody/{attack}", "dataset", {} if attack == "names" else files, "x", token="hf_other")
    if attack == "names":
        names = [name.replace(".txt", ".jsonl") for name in NAMES]
        put_as_named(hub, "dataset", f"somebody/{attack}", dict.fromkeys(names, JSONL.encode()))
    refusal(capfd, nextfail, ["evaluate", "nextfail/x", "--dataset_name", f"somebody/{attack}"])
    assert files_below(tmp_path) == {private}
    assert not [path for path in files_below(Path(os.environ["HF_HOME"])) if path.name.startswith("escape")]
    assert not Path("/escape.jsonl").exists()
    assert str(private) not in opened and private.name not in opened


def test_the_results_of_a_downloaded_model_do_not_choose_what_is_read_here(hub, checkpoint, tmp_path, opened):
    (tmp_path / "work/private.jsonl").write_text(JSONL)
    opened.clear()
    for number, name in enumerate((str(tmp_path / "work/private.jsonl"), "private.jsonl", "~/private.jsonl")):
        record = diagnosed_record("teacherless")
        record["run"] |= {"dataset_name": name, "dataset_config": "../../../x"}
        results = json.dumps(record).encode()
        push_files(f"nextfail/x{number}", "model", checkpoint | {"results.json": results}, "x")
        succeeds(COMMANDS["evaluate"], f"nextfail/x{number}")
        [written] = tmp_path.rglob(f"nextfail--x{number}/*/results.json")
        assert json.loads(written.read_text())["run"]["dataset_name"] == "nextfail/star_graph"
        assert written.is_relative_to(tmp_path / "work/runs/evaluate")
    assert not [name for name in opened if Path(name).name == "private.jsonl"]


@pytest.mark.parametrize("config", ["../../x", 5, ["d2_l3_n20"], {}])
def test_nor_where_something_is_written(hub, checkpoint, tmp_path, config):
    record = diagnosed_record("teacherless")
    record["run"]["dataset_config"] = config
    results = json.dumps(record).encode()
    push_files("nextfail/x", "model", checkpoint | {"results.json": results}, "x")
    with pytest.raises(SystemExit) as ended:
        nextfail(["evaluate", "nextfail/x", "--num_rows", "5"])
    assert ended.value.code == 2
    assert files_below(tmp_path) == set()


EVIL_NAMES = ["../../escape", "/escape", "..\\..\\escape", "<script>alert(1)</script>", "a/../../../escape", "a\nb"]


def test_a_report_writes_into_its_folder_alone(hub, tmp_path):
    for number, name in enumerate(EVIL_NAMES):  # several, so that pictures are named after their runs
        record = diagnosed_record("teacher_forced")
        record["run"] |= {"name": name, "title": name, "model": name, "dataset_config": name}
        record["test_file"] = {"path": name, "train_share": 0.5}
        record["results"]["test_file_accuracy"] = record["results"]["accuracy"]
        record["history"] = []  # whose pictures are of all runs, and take their time
        (tmp_path / f"runs/{number}").mkdir(parents=True)
        (tmp_path / f"runs/{number}/results.json").write_text(json.dumps(record))
    before = files_below(tmp_path)
    succeeds(nextfail, ["report", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "out/report")])
    written = files_below(tmp_path) - before
    assert {path.parent for path in written} == {tmp_path / "out/report"}
    assert {"report.md", "report.html"} < {path.name for path in written}
    assert len([path for path in written if path.name.startswith("graph")]) == 2 * len(EVIL_NAMES)
    assert "<script>" not in (tmp_path / "out/report/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "option",
    ["config", "help", "deepspeed", "fsdp_config", "accelerator_config", "test_file", "tokenizer_name_or_path"],
)
def test_the_recipe_of_a_record_names_no_file_to_read(hub, tmp_path, opened, option):
    private = tmp_path / "work/private.json"  # also what is left of the name when its folder is cut off
    private.write_text("{}")
    opened.clear()
    record = diagnosed_record("teacherless")
    record["run"]["name"] = "star_graph/teacherless/smoke"
    record["recipe"] = {"objective": "teacherless", "fsdp": "full_shard", option: str(private)}
    (tmp_path / "results.json").write_text(json.dumps(record))
    succeeds(nextfail, ["report", str(tmp_path / "results.json"), "--output_dir", "report"])
    assert (tmp_path / "work/report/report.html").is_file()
    assert str(tmp_path / "results.json") in opened
    assert not [name for name in opened if Path(name).name == "private.json"]


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_a_pushed_run_with_an_evil_name_pushes_its_own_files(hub, checkpoint, tmp_path, name, capfd):
    (tmp_path / "private.txt").write_text("private")
    record = diagnosed_record("teacherless")
    record["run"] |= {"name": name, "title": name, "model": name}
    record["recipe"] = {"test_file": str(tmp_path / "private.txt"), "objective": name}
    folder = tmp_path / "run"
    folder.mkdir()
    for path in ("config.json", "model.safetensors"):
        (folder / path).write_bytes(checkpoint[path])
    (folder / "results.json").write_text(json.dumps(record))
    before = files_below(tmp_path)
    succeeds(nextfail, ["push-model", str(folder), "--repo", "nextfail/x"])
    files = hub.files("model", "nextfail/x")
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path) and ".." not in path for path in files)
    assert not [path for path, data in files.items() if b"private\n" in data or str(tmp_path).encode() in data]
    assert files_below(tmp_path) == before
    record["run"]["dataset_config"] = name
    (folder / "results.json").write_text(json.dumps(record))
    assert "not what a run writes" in refusal(capfd, nextfail, ["push-model", str(folder), "--repo", "nextfail/x"])


# --- tokens ---

TOKEN = "hf_" + "Secret" * 5


@pytest.mark.parametrize("given", ["HF_TOKEN", "--hub_token", "recipe"])
@pytest.mark.parametrize("push", ["comes through", "fails"])
def test_a_token_stands_nowhere(hub, tmp_path, monkeypatch, capfd, caplog, given, push):
    monkeypatch.setitem(hub.tokens, TOKEN, Account("nextfail"))
    monkeypatch.setenv("HF_TOKEN", TOKEN if given == "HF_TOKEN" else "hf_other")
    (tmp_path / "own.yaml").write_text(f"objective: teacherless\nhub_token: {TOKEN}\ndataset_config: d2_l3_n20\n")
    options = ["--hub_token", TOKEN] if given == "--hub_token" else []
    options += ["--config", str(tmp_path / "own.yaml")] if given == "recipe" else []
    options += ["--push_to_hub=true", "--hub_model_id=nextfail/x", "--save_strategy=steps", "--save_steps=1"]
    options += ["--report_to", "tensorboard", "--output_dir", "runs", "--log_level=debug"]
    if push == "fails":
        hub.faults = [Fault("POST", "/commit/", 1000, drop_after=20)]
        with pytest.raises(SystemExit) as ended:
            finetune(over([*SMALL, *tiny_options()], options))
        assert ended.value.code == 1
    else:
        succeeds(finetune, over([*SMALL, *tiny_options()], options))
        assert "End of training" in hub.commits("model", "nextfail/x")
    seen = capfd.readouterr()
    assert TOKEN not in seen.out + seen.err + caplog.text
    written = files_below(tmp_path / "work")
    kinds = {"training_args.bin", "results.json", "recipe.yaml", "README.md", "trainer_state.json"}
    assert kinds <= {path.name for path in written}
    assert [path for path in written if "tfevents" in path.name]
    pushed = hub.files("model", "nextfail/x")
    places = [(path, path.read_bytes()) for path in written] + list(pushed.items())
    assert [path for path, data in places if TOKEN.encode() in data] == []


@pytest.mark.parametrize("role", ["read", None])
def test_a_traceback_holds_no_token(hub, tmp_path, monkeypatch, capfd, role):
    if role is not None:
        monkeypatch.setitem(hub.tokens, TOKEN, Account("nextfail", role))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push = ["--push_to_hub=true", "--hub_model_id=nextfail/x"]
    for command, arguments in (
        (finetune, [*SMALL, *tiny_options(), *push, "--hub_token", TOKEN, "--debug"]),
        (nextfail, ["push-model", str(tmp_path), "--repo", "nextfail/x", "--debug"]),
    ):
        with pytest.raises(SystemExit) as ended:
            command(arguments)
        assert ended.value.code == 2
        seen = capfd.readouterr()
        assert "Traceback" in seen.err
        assert TOKEN not in seen.out + seen.err


@pytest.mark.parametrize("wrong", [f"{TOKEN}\n", f"{TOKEN} ", f"{TOKEN}\u00e9"])
def test_a_token_that_cannot_be_sent_is_not_shown(hub, wrong):
    with pytest.raises(HubError, match="holds a blank, a line break or the like") as refused:
        check_access("nextfail/x", wrong)
    assert TOKEN not in str(refused.value)
    assert hub.log == []


# --- sources ---

FORBIDDEN = {
    "a pickle": r"\b(pickle|dill|joblib|cloudpickle)\s*\.",
    "torch.load of anything": r"torch\.load\((?!.*weights_only=True)",
    "eval": r"(?<![\w.])eval\(",
    "exec": r"(?<![\w.])exec\(",
    "yaml of anything": r"yaml\.(unsafe_load|full_load|load)\(|Loader\s*=",
    "trust without a word": r"trust_remote_code\s*=\s*True",
    "a shell": r"shell\s*=\s*True|os\.(system|popen)\(",
    "numpy pickles": r"allow_pickle\s*=\s*True",
}


def code_of(path: Path) -> str:
    """The code of a file, less its comments and texts (documentation shows `trust_remote_code=True`)."""
    with path.open("rb") as source:
        kinds = (tokenize.COMMENT, tokenize.STRING)
        tokens = [(token.type, token.string) for token in tokenize.tokenize(source.readline)]
    return re.sub(r" ?([.(=]) ?", r"\1", " ".join(text for kind, text in tokens if kind not in kinds))


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_the_package_has_no_such_thing(hub, kind):
    sources = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "recipes").rglob("*.py")]
    assert len(sources) > 40
    assert [path.name for path in sources if re.search(FORBIDDEN[kind], code_of(path))] == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a pickle", "x = pickle.load(f)"),
        ("torch.load of anything", "torch.load(path)"),
        ("eval", "eval(text)"),
        ("exec", "exec(text)"),
        ("yaml of anything", "yaml.load(text, Loader=yaml.Loader)"),
        ("trust without a word", "f(trust_remote_code=True)"),
        ("a shell", "run(command, shell=True)"),
        ("numpy pickles", "np.load(path, allow_pickle=True)"),
    ],
)
def test_the_search_itself(hub, tmp_path, kind, line):
    (tmp_path / "source.py").write_text(f"{line}\n")
    assert re.search(FORBIDDEN[kind], code_of(tmp_path / "source.py"))
    (tmp_path / "source.py").write_text(f'"""{line}"""\n# {line}\nmodel.eval()\n')
    assert not re.search(FORBIDDEN[kind], code_of(tmp_path / "source.py"))
