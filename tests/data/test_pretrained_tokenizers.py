"""Checkpoints with tokenizers of their own, from a folder to an evaluated, reloaded and pushed checkpoint."""

import json

import pytest
import torch
from datasets import Dataset, load_dataset
from run_folders import only_run, repository_of
from small_tokenizers import TOKENIZERS
from tiny_models import tiny_gpt2, tiny_options
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_nextfail import StarGraph, build_model, evaluate, generate_teacherless, load_tokenizer
from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.data.tokenization import tokenize_dataset
from hf_nextfail.decoding import DECODINGS, Decoding, ParallelDecoding

POSITIONS = {"n_positions": 96}  # some tokenizers write a label in several tokens
STEPS = {
    "max_steps": 4,
    "eval_steps": 2,
    "per_device_train_batch_size": 16,
    "precision": "fp32",
    "disable_tqdm": "true",
}
ROWS = {"num_train": 200, "num_validation": 30, "num_test": 40}


@pytest.fixture(scope="module", params=TOKENIZERS)
def checkpoint(request, tmp_path_factory):
    """A GPT-2 as somebody else publishes it: an embedding for each token and no dummy."""
    tokenizer = TOKENIZERS[request.param]()
    model = tiny_gpt2(tokenizer, initializer_range=0.3, **POSITIONS)
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def star_graphs(config="d2_l3_n20", rows=40):
    return load_dataset("nextfail/star_graph", config, split="test", num_train=0, num_validation=0, num_test=rows)


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless"])
def test_a_checkpoint_goes_from_its_folder_to_the_hub(hub, checkpoint, tmp_path, training, fresh):
    options = {**STEPS, **ROWS, "model_name_or_path": checkpoint, "output_dir": tmp_path, "learning_rate": 0.01}
    recipe = f"star_graph/{training}/smoke.yaml"
    finetune(["--config", recipe, "--push_to_hub=true", *(f"--{name}={value}" for name, value in options.items())])
    folder = only_run(tmp_path)
    trained = json.loads((folder / "results.json").read_text())
    assert str(tmp_path) not in hub.files("model", repository_of(folder, tmp_path))["README.md"].decode()

    # The dummy token is one more than before, trained where it is shown, and reloaded.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before, after = (AutoModelForCausalLM.from_pretrained(path) for path in (checkpoint, folder))
    old = before.get_input_embeddings().weight
    new = after.get_input_embeddings().weight
    assert tokenizer.dummy_token_id == len(old)
    assert len(new) == after.config.vocab_size == len(old) + 1
    assert new.data_ptr() == after.get_output_embeddings().weight.data_ptr()
    assert not torch.equal(new[: len(old)], old)

    name = repository_of(folder, tmp_path)
    done = fresh(["-m", "hf_nextfail.commands.main", "evaluate", name, "--num_rows", "40"], cwd=tmp_path)
    [path] = (tmp_path / "runs").rglob("results.json")
    measured = json.loads(path.read_text())["results"]
    assert measured.pop("loss")["value"] == pytest.approx(trained["results"]["loss"]["value"], abs=1e-4)
    assert measured == {key: trained["results"][key] for key in measured}
    assert f"{measured['accuracy']['value']:.3f}" in done.stdout


def test_the_row_of_the_dummy_begins_at_the_mean(checkpoint):
    tokenizer = load_tokenizer(str(checkpoint))
    torch.manual_seed(0)
    model = build_model(tokenizer, str(checkpoint))
    rows = model.get_input_embeddings().weight
    assert torch.allclose(rows[-1], rows[:-1].mean(dim=0), atol=1e-2)
    assert torch.equal(rows[:-1], AutoModelForCausalLM.from_pretrained(checkpoint).get_input_embeddings().weight)
    assert rows.data_ptr() == model.get_output_embeddings().weight.data_ptr()


@pytest.mark.parametrize("decoding", DECODINGS)
def test_every_row_can_be_told_apart_from_its_padding(checkpoint, decoding):
    # Labels take one or two tokens, so that prompts and completions differ in length.
    tokenizer = load_tokenizer(str(checkpoint))
    model = build_model(tokenizer, str(checkpoint)).eval()
    dataset = star_graphs(rows=12)
    together = evaluate(model, dataset, decoding, tokenizer, StarGraph(2, 3, 20), batch_size=12)
    alone = evaluate(model, dataset, decoding, tokenizer, StarGraph(2, 3, 20), batch_size=1)
    if DECODINGS[decoding].scores_tokens:
        assert together.pop("loss")["value"] == pytest.approx(alone.pop("loss")["value"], abs=1e-5)
    assert together == alone


class Told(Decoding):
    """Write what one was told, whatever the model: a way to measure texts."""

    name, shows_true_tokens, one_pass_exact = "told", False, True

    def __init__(self, tokenizer, texts):
        super().__init__(tokenizer)
        rows = tokenize_dataset(Dataset.from_dict({"prompt": ["="] * len(texts), "completion": texts}), tokenizer)
        self.rows = iter(rows["completion_ids"])

    def view(self, rows):
        return rows.lay_out(torch.full_like(rows.completion_ids, self.pad_token_id), self.pad_token_id)

    def write(self, model, rows, num_tokens):
        told = [next(self.rows)[:num_tokens] for _ in range(len(rows))]
        return torch.tensor([row + [self.pad_token_id] * (num_tokens - len(row)) for row in told])


def test_numbers_per_node_count_nodes_whatever_a_node_takes_and_agree_between_tokenizers():
    dataset = star_graphs(rows=30)
    nodes = [text.split(",") for text in dataset["completion"]]
    # A wrong first step, a wrong end, a swapped pair, and right ones: each the same text for every tokenizer.
    told = [
        ",".join([[a, "7", c], [a, b, "13"], [b, a, c], [a, b, c]][row % 4]) for row, (a, b, c) in enumerate(nodes)
    ]
    measured = []
    for make in TOKENIZERS.values():
        tokenizer = make()
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model = tiny_gpt2(tokenizer, **POSITIONS).eval()
        results = evaluate(model, dataset, Told(tokenizer, told), tokenizer, StarGraph(2, 3, 20))
        measured.append((results["token_accuracy"], results["hard_token_accuracy"]))
    written = [text.split(",") for text in told]
    expected = [sum(w[i] == n[i] for w, n in zip(written, nodes, strict=True)) / 30 for i in range(3)]
    assert all(per_node["value"] == pytest.approx(expected) for per_node, _ in measured)
    assert all(hard["value"] == pytest.approx(expected[1]) for _, hard in measured)


def test_a_teacherless_checkpoint_writes_no_longer_than_in_training_and_stops_at_its_end(checkpoint):
    tokenizer = load_tokenizer(str(checkpoint))
    model = build_model(tokenizer, str(checkpoint)).eval()
    model.generation_config = ParallelDecoding(tokenizer).generation_config(max_new_tokens=9)
    model.generation_config.eos_token_id = None
    inputs = tokenizer(["1,2|3,14/1,2=", "17,8/17,8="], return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    free = model.generate(**inputs, custom_generate=generate_teacherless)[:, inputs["input_ids"].shape[1] :]
    assert free.shape == (2, 9)
    for end in set(free.flatten().tolist()) - {tokenizer.pad_token_id}:
        model.generation_config.eos_token_id = end
        written = model.generate(**inputs, custom_generate=generate_teacherless)[:, inputs["input_ids"].shape[1] :]
        for row, unbounded in zip(written.tolist(), free.tolist(), strict=True):
            stop = unbounded.index(end) + 1 if end in unbounded else 9
            assert row == unbounded[:stop] + [tokenizer.pad_token_id] * (9 - stop)


@pytest.mark.parametrize("training", ["teacher_forced", "teacherless"])
def test_own_data_has_no_numbers_that_need_a_graph(hub, checkpoint, tmp_path, monkeypatch, training, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{a} + {b} =", "completion": f" {a + b}"} for a in range(20) for b in range(20)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = {**STEPS, "dataset_name": tmp_path / "sums.jsonl", "model_name_or_path": checkpoint, "num_test": 20}
    options |= {"objective": training, "output_dir": tmp_path / "out", "stop_at_accuracy": 0.9}
    (tmp_path / "sums.yaml").write_text("eval_strategy: steps\n")
    finetune(
        ["--config", "sums.yaml", "--push_to_hub=true", *(f"--{name}={value}" for name, value in options.items())]
    )
    record = json.loads((only_run(tmp_path / "out") / "results.json").read_text())
    assert record["results"].keys() == {"loss", "accuracy", "train_loss", "train_accuracy"}
    assert record["results"]["accuracy"]["n"] == 20
    assert (record["run"]["hard_node"], record["chance"]["hard_token_accuracy"]) == (None, None)
    files = hub.files("model", repository_of(only_run(tmp_path / "out"), tmp_path / "out"))
    assert "`sums.jsonl`" in files["README.md"].decode()
    assert not [path for path, data in files.items() if str(tmp_path).encode() in data or "eval_results" in path]

    with pytest.raises(SystemExit) as exit:
        nextfail(["evaluate", str(only_run(tmp_path / "out")), "--num_rows", "20"])
    assert exit.value.code == 0
    [path] = (tmp_path / "runs").rglob("results.json")
    measured = json.loads(path.read_text())
    assert measured["results"]["accuracy"] == record["results"]["accuracy"]
    assert measured["run"]["dataset_name"] == str(tmp_path / "sums.jsonl")


def test_a_model_from_scratch_takes_a_tokenizer_of_its_own(checkpoint, tmp_path):
    options = {**STEPS, **ROWS, "tokenizer_name_or_path": checkpoint, "output_dir": tmp_path}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    finetune(["--config", "star_graph/teacherless/smoke.yaml", *arguments, *tiny_options(**POSITIONS)])
    folder = only_run(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == len(AutoTokenizer.from_pretrained(checkpoint)) + 1
