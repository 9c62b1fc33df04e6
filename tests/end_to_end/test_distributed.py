"""Two processes on the CPU train as one does whose batches are as large as theirs together."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from datasets import load_dataset
from safetensors.torch import load_file
from tiny_models import NO_DROPOUT, TINY_GPT2, tiny_gpt2
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from hf_nextfail import StarGraph, evaluate, load_tokenizer
from hf_nextfail.commands.finetune import main
from hf_nextfail.models.with_heads import HEADS_FILE

REPOSITORY = Path(__file__).parents[2]
TWO_CPU_PROCESSES = REPOSITORY / "recipes/accelerate_configs/multi_cpu.yaml"
SIZES = {"num_train": 192, "num_validation": 100, "num_test": 101}
STEPS = 6
GLOBAL_BATCH_SIZE = 32
BASE = SIZES | {
    "objective": "teacherless",
    "dataset_config": "d2_l3_n20",
    "precision": "fp32",
    "learning_rate": 0.01,
    "max_steps": STEPS,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 3,
    "eval_on_start": True,
    "per_device_eval_batch_size": 500,
    "save_steps": STEPS,
    "disable_tqdm": True,
}
NUMERALS = {"model_type": "gpt2", "config_overrides": TINY_GPT2 | NO_DROPOUT}
# A second head, for the token after the next.
HEADS = NUMERALS | {"objective": f"{REPOSITORY / 'tests/own_code/after_next.py'}:AfterNext"}
# Heads that call both embeddings of the model, one of them without its gradient.
BORROWING = NUMERALS | {"objective": "nextlat"}
# Heads whose blocks are layers of the family, and that are a part of the model's checkpoint.
MELLUM = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
MELLUM |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
MELLUM |= {"num_mtp_layers": 1, "mtp_layer_types": ["full_attention"]}
OF_FAMILY = {"model_type": "mellum", "config_overrides": MELLUM, "objective": "ds_mtp"}
OF_FAMILY |= {"objective_options": {"depth": 1}}
HALVED = {"per_device_train_batch_size": GLOBAL_BATCH_SIZE // 2}
ACCUMULATED = {"per_device_train_batch_size": GLOBAL_BATCH_SIZE // 4, "gradient_accumulation_steps": 2}
# The command, with its pictures sketched as those of trainings in the process of the tests are.
COMMAND = f"""
import sys
import hf_nextfail.runs.run
from hf_nextfail.commands.finetune import main

sys.path.append({str(REPOSITORY / "tests")!r})
from sketched_pictures import sketch_pictures

hf_nextfail.runs.run.draw_pictures = sketch_pictures
"""
# accelerate 1.15 shards models on accelerators only, and silently trains whole copies on CPUs.
SHARD_ON_CPU = """
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from hf_nextfail.training.trainer import NextFailTrainer

init, train = PartialState.__init__, NextFailTrainer.train


def init_as_accelerator(self, *args, **kwargs):
    init(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def train_and_look(self, *args, **kwargs):
    train(self, *args, **kwargs)
    for weight in [*self.model.parameters(), *(self.heads.heads.parameters() if self.heads else [])]:
        assert weight.to_local().numel() < weight.numel(), "not sharded"


PartialState.__init__ = init_as_accelerator
NextFailTrainer.train = train_and_look
"""


DIE_AT_STEP_4 = """
import os
import signal
from hf_nextfail.training.trainer import NextFailTrainer

step = NextFailTrainer.training_step


def step_or_die(self, *args, **kwargs):
    if self.state.global_step == 4 and self.args.process_index == {victim}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)


NextFailTrainer.training_step = step_or_die
"""


@pytest.fixture(scope="module")
def ragged_rows(tmp_path_factory) -> dict[str, str]:
    """Options for a model that reads labels digit by digit, so that rows differ in length."""
    folder = tmp_path_factory.mktemp("ragged")
    signs = ["<eos>", "<pad>", *"0123456789,|/="]
    digits = Tokenizer(models.WordLevel({sign: i for i, sign in enumerate(signs)}))
    digits.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    digits.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=digits, eos_token="<eos>", pad_token="<pad>").save_pretrained(folder)
    tokenizer = load_tokenizer(str(folder))
    tokenizer.save_pretrained(folder)
    tiny_gpt2(tokenizer, **NO_DROPOUT).save_pretrained(folder)
    return {"model_name_or_path": str(folder)}


def write_recipes(folder: Path, recipes: dict[str, dict]) -> list[str]:
    """Write recipes and return the command line that runs them all."""
    folder.mkdir(exist_ok=True)
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(BASE | {"run_name": name} | recipe))
    return ["--config", *(str(folder / f"{name}.yaml") for name in recipes), "--output_dir", str(folder / "runs")]


def runs_in(folder: Path) -> dict[str, Path]:
    """The folders of runs, by the names of their recipes."""
    return {path.name: path for path in (folder / "runs").glob("*/*/*")}


def run_on_one(folder: Path, recipes: dict[str, dict]) -> dict[str, Path]:
    batch = {"per_device_train_batch_size": GLOBAL_BATCH_SIZE}
    main(write_recipes(folder, {name: recipe | batch for name, recipe in recipes.items()}))
    return runs_in(folder)


def launch_two(
    folder: Path,
    recipes: dict[str, dict],
    *options: str,
    config_file: Path = TWO_CPU_PROCESSES,
    changes: str = "",
    look_every: float = 0.1,
) -> subprocess.CompletedProcess:
    """Launch the command in two processes, changed by some code; the launcher looks after them every few seconds."""
    arguments, script = write_recipes(folder, recipes), folder / "script.py"
    script.write_text(f"{COMMAND}{changes}\nmain()\n")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config_file]
    launch += ["--monitor_interval", look_every]
    command = [*launch, script, *arguments, *options]
    return subprocess.run(map(str, command), cwd=folder, capture_output=True, text=True, timeout=300)


def run_on_two(folder: Path, recipes: dict[str, dict], *options: str, **how: Path | str) -> dict[str, Path]:
    done = launch_two(folder, recipes, *options, **how)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.count("Checkpoint, recipe, pictures and results.json: ") == len(recipes)  # one process speaks
    return runs_in(folder)


def record_of(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def training_losses(run: Path) -> list[float]:
    state = json.loads((run / f"checkpoint-{STEPS}/trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def evaluation_losses(run: Path) -> list[float]:
    record = record_of(run)
    return [point["loss"] for point in record["history"]] + [record["results"]["loss"]["value"]]


def assert_same_training(one: Path, two: Path) -> None:
    assert record_of(two)["run"]["examples"] == record_of(one)["run"]["examples"] == STEPS * GLOBAL_BATCH_SIZE
    assert len(training_losses(one)) == STEPS
    assert training_losses(one)[-1] < training_losses(one)[0] - 0.01
    assert training_losses(two) == pytest.approx(training_losses(one), abs=1e-5)
    assert len(evaluation_losses(one)) == 4
    assert evaluation_losses(two) == pytest.approx(evaluation_losses(one), abs=1e-5)


def assert_checkpoint_gives_its_numbers(run: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run)
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20", split="test", **SIZES)
    again = evaluate(model, rows, None, tokenizer, StarGraph.from_config_name("d2_l3_n20"))
    results = record_of(run)["results"]
    for name in ("loss", "accuracy", "token_accuracy"):
        assert again[name]["n"] == results[name]["n"] == SIZES["num_test"]
        assert again[name]["value"] == pytest.approx(results[name]["value"], abs=1e-6)
        assert again[name]["standard_error"] == pytest.approx(results[name]["standard_error"], abs=1e-6)


def heads_of(checkpoint: Path) -> torch.Tensor:
    return load_file(checkpoint / HEADS_FILE)["weight"]


def assert_nothing_is_left_half_written(runs: Path) -> None:
    assert not [path for path in runs.rglob("*") if "partial" in path.name or "tmp" in path.name]


def test_two_processes_train_and_evaluate_as_one(ragged_rows, tmp_path):
    recipes = {"rows": NUMERALS, "stream": NUMERALS | {"streaming": True}, "ragged": ragged_rows, "heads": HEADS}
    recipes |= {"borrowing": BORROWING, "ragged_borrowing": ragged_rows | {"objective": "jtp"}, "of_family": OF_FAMILY}
    # Two shards of rows of all lengths, each of which one process could read.
    recipes["ragged_stream"] = ragged_rows | {"streaming": True, "num_train": 20_000}
    one = run_on_one(tmp_path / "one", recipes)
    halved = {f"{name}_halved": recipe | HALVED for name, recipe in recipes.items()}
    accumulated = {f"{name}_accumulated": recipe | ACCUMULATED for name, recipe in recipes.items()}
    del accumulated["ragged_stream_accumulated"]
    two = run_on_two(tmp_path / "two", halved | accumulated)
    for run in halved | accumulated:
        assert_same_training(one[run.rpartition("_")[0]], two[run])
        assert_checkpoint_gives_its_numbers(two[run])
    assert_nothing_is_left_half_written(tmp_path / "two")


def test_a_sharded_model_trains_as_a_whole_one_and_is_saved_whole(ragged_rows, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    sharded = {"config_file": TWO_CPU_PROCESSES.with_name("fsdp2.yaml"), "changes": SHARD_ON_CPU}
    recipes = {"ragged": ragged_rows, "heads": HEADS | {"save_steps": STEPS // 2}}
    recipes |= {"borrowing": BORROWING, "ragged_borrowing": ragged_rows | {"objective": "jtp"}}
    halved = {name: recipe | HALVED for name, recipe in recipes.items()}
    one = run_on_one(tmp_path / "one", recipes)
    two = run_on_two(tmp_path / "two", halved, **sharded)
    for run in recipes:
        assert_same_training(one[run], two[run])
        assert_checkpoint_gives_its_numbers(two[run])
    assert_nothing_is_left_half_written(tmp_path / "two")

    last = two["heads"] / f"checkpoint-{STEPS}"
    whole = heads_of(last)
    torch.testing.assert_close(whole, heads_of(one["heads"] / last.name), rtol=0, atol=1e-5)
    shutil.rmtree(last)
    (two["heads"] / "results.json").unlink()
    run_on_two(tmp_path / "two", {"heads": halved["heads"]}, "--resume_from_checkpoint", "true", **sharded)
    assert torch.equal(heads_of(last), whole)


def test_when_one_of_two_processes_dies_the_other_ends_and_the_run_can_go_on(tmp_path):
    # With dropout, so that each process has a state of its own to go on from.
    overrides = TINY_GPT2 | NO_DROPOUT | {"resid_pdrop": 0.1}
    recipe = NUMERALS | HALVED | {"save_steps": 2, "config_overrides": overrides}
    for victim in (0, 1):
        # A launcher that sees the dead one first ends the other before that can say a word.
        how = {"changes": DIE_AT_STEP_4.format(victim=victim), "look_every": 5}
        died = launch_two(tmp_path / "died", {f"victim_{victim}": recipe}, **how)
        assert died.returncode != 0
        assert "finetune.py: error: another process of this run has ended" in died.stderr
        left = runs_in(tmp_path / "died")[f"victim_{victim}"]
        assert {path.name for path in left.glob("*checkpoint-*")} == {"checkpoint-2", "checkpoint-4"}
    recipes = dict.fromkeys(("victim_0", "victim_1", "whole"), recipe)
    runs = run_on_two(tmp_path / "died", recipes, "--resume_from_checkpoint", "true")
    whole, *resumed = (record_of(runs[name]) for name in ("whole", "victim_0", "victim_1"))
    for record in resumed:
        assert record["run"] == whole["run"] | {"name": record["run"]["name"]}
        for part in ("results", "history", "diagnosis"):
            assert record[part] == whole[part]
    assert_nothing_is_left_half_written(tmp_path / "died")
