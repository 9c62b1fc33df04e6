"""Our checkpoints, as they come, in the Trainers and harnesses of others; a test skips where its client is missing.

Public reports said that lm-eval, TRL and inspect-ai broke at a tokenizer without an end token and an unknown token.
"""

import re
import runpy
from pathlib import Path

import pytest
import torch
from datasets import Dataset, load_dataset
from small_tokenizers import split_digits
from tiny_models import NO_DROPOUT, tiny_gpt2
from transformers import AutoModelForCausalLM, AutoTokenizer

import hf_nextfail.harnesses.lm_eval
from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import load_tokenizer
from hf_nextfail.decoding import find_decoding
from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.reporting.rewards import Rewards
from hf_nextfail.runs.ask_checkpoint import ask_checkpoint
from hf_nextfail.tasks import StarGraph

TASK = StarGraph(degree=2, path_length=3, num_nodes=20, reverse=True)
CHAT = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
LENGTH = 3  # of a completion, in tokens
SIZES = {"num_train": 2_000, "num_validation": 1, "num_test": 60}


@pytest.fixture(scope="module")
def data():
    return load_dataset("nextfail/star_graph", "d2_l3_n20_rev", **SIZES)


@pytest.fixture(scope="module", params=["teacher_forced", "teacherless"])
def checkpoint(request, data, tmp_path_factory):
    """A folder with a model that gets some rows right and others wrong."""
    tokenizer, folder = numeral_tokenizer(num_nodes=20), tmp_path_factory.mktemp(request.param)
    arguments = NextFailTrainingArguments(
        str(folder / "run"),
        objective=request.param,
        max_steps=250,
        per_device_train_batch_size=64,
        learning_rate=1e-2,
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
        precision="fp32",
    )
    trainer = NextFailTrainer(
        tiny_gpt2(tokenizer, **NO_DROPOUT, n_embd=32),
        arguments,
        train_dataset=data["train"],
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model(str(folder / "checkpoint"))
    return folder / "checkpoint"


@pytest.fixture
def forced(checkpoint):
    if checkpoint.parent.name.startswith("teacherless"):
        pytest.skip("written token by token")
    return checkpoint


def written(checkpoint, rows):
    """What this package writes."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    ids = find_decoding(None, model, tokenizer).write(
        model, RowStore.of(rows, tokenizer).take(torch.arange(len(rows))), LENGTH
    )
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


def accuracy(texts, rows):
    return sum(TASK.score(text, row) for text, row in zip(texts, rows, strict=True)) / len(texts)


# lm-eval


def run_lm_eval(checkpoint, task, rows, model_args=(), **options):
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(Path(hf_nextfail.harnesses.lm_eval.__file__).parent), metadata=rows)
    options |= {"device": "cpu", "batch_size": 7, "bootstrap_iters": 0, "task_manager": manager}
    model_args = {"pretrained": str(checkpoint), **dict(model_args)}
    results = lm_eval.simple_evaluate(model="hf", model_args=model_args, tasks=[task], metadata=rows, **options)
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    return results["results"][task], [sample["filtered_resps"] for sample in samples]


def test_lm_eval_generates_what_we_write_and_counts_the_same(checkpoint, data):
    rows = {"dataset_config": TASK.config_name, "num_test": 60}
    results, texts = run_lm_eval(
        checkpoint, "nextfail_answer", rows, {"trust_remote_code": True}, gen_kwargs={"max_gen_toks": LENGTH}
    )
    ours = written(checkpoint, data["test"])
    assert [text for (text,) in texts] == ours
    assert results["accuracy,none"] == pytest.approx(accuracy(ours, data["test"]))
    assert 0 < results["accuracy,none"] < 1


def test_lm_eval_chooses_the_likelier_first_step(forced):
    rows = {"dataset_config": "d3_l3_n20", "num_test": 60}
    results, answers = run_lm_eval(forced, "nextfail_first_step", rows)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(forced), AutoTokenizer.from_pretrained(forced)
    right = 0
    test = load_dataset("nextfail/star_graph", "d3_l3_n20", num_train=1, num_validation=0, num_test=60)["test"]
    for row, answer in zip(test, answers, strict=True):
        steps = sorted(f"{target}," for source, target in row["edges"] if source == row["start"])
        with torch.no_grad():
            asked = tokenizer(f"{row['prompt']}{row['start']},", return_tensors="pt")
            logits = model(**asked).logits[0, -1].log_softmax(dim=-1)
        by_hand = [logits[int(step.strip(","))].item() for step in steps]
        assert [score for score, _ in answer] == pytest.approx(by_hand, abs=1e-4)
        right += steps[by_hand.index(max(by_hand))] == f"{row['path'][1]},"
    assert results["acc,none"] == pytest.approx(right / 60)
    assert 0 < right < 60


def test_lm_eval_asks_in_english_what_we_ask(tmp_path):
    pytest.importorskip("lm_eval")
    tokenizer = split_digits()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(tmp_path)
    tiny_gpt2(load_tokenizer(str(tmp_path)), n_positions=2048, n_embd=32).save_pretrained(tmp_path)
    rows = {"dataset_config": "d3_l3_n20_instruct", "num_test": 40}
    for asked, theirs in (
        ({"chat": True}, {"apply_chat_template": True}),
        ({"num_shots": 2}, {"num_fewshot": 2}),
    ):
        ours = ask_checkpoint(
            str(tmp_path), dataset_config="d3_l3_n20", num_rows=40, progress=False, max_new_tokens=3, **asked
        )
        results, _ = run_lm_eval(tmp_path, "nextfail_first_step", rows, **theirs)
        assert results["acc,none"] == pytest.approx(ours.results["choice_accuracy"]["value"]), asked


# inspect-ai


def test_inspect_ai_generates_what_we_write_and_scores_the_same(checkpoint, data, tmp_path):
    ours = written(checkpoint, data["test"])

    pytest.importorskip("inspect_ai")
    from inspect_ai import eval
    from inspect_ai.model import get_model

    from hf_nextfail.harnesses.inspect_ai import answer

    options = {"do_sample": False, "device": "cpu", "trust_remote_code": True}
    model = get_model("hf/local", model_path=str(checkpoint), **options)
    task = answer(dataset_config=TASK.config_name, num_test=60)
    (log,) = eval(task, model=model, max_tokens=LENGTH, log_dir=str(tmp_path), display="none")
    if checkpoint.parent.name.startswith("teacherless"):
        assert "cannot do return_dict_in_generate" in str(log.error)  # which inspect always asks for
        return
    assert log.status == "success", log.error
    ours = written(checkpoint, data["test"])
    assert [sample.output.completion for sample in log.samples] == ours
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(accuracy(ours, data["test"]))
    assert 0 < accuracy(ours, data["test"]) < 1


# reasoning-gym


def test_the_verifier_of_reasoning_gym_agrees(checkpoint):
    gym = pytest.importorskip("reasoning_gym")
    # Its paths leave the start out, and it writes spaces for our commas.
    options = {"degree": 2, "min_path_length": 2, "max_path_length": 2, "node_range": 20, "reversed": False}
    theirs = gym.create_dataset("path_star", size=60, seed=0, **options)
    entries = list(theirs)
    prompts = [
        entry["question"].strip().splitlines()[-1].strip(" |").replace(" = ", "=").replace(" =", "=").replace(" ", ",")
        for entry in entries
    ]
    golds = [entry["answer"].replace(" ", ",") for entry in entries]
    task = StarGraph(degree=2, path_length=LENGTH, num_nodes=20)
    rows = [task.parse(prompt + gold) for prompt, gold in zip(prompts, golds, strict=True)]
    assert [task.score(gold, row) for gold, row in zip(golds, rows, strict=True)] == [1.0] * len(rows)
    pairs = [{"prompt": prompt, "completion": gold} for prompt, gold in zip(prompts, golds, strict=True)]
    texts = written(checkpoint, Dataset.from_list(pairs))
    for text, gold, entry, row in zip(texts, golds, entries, rows, strict=True):
        for answer in (text, gold, gold[::-1]):
            assert theirs.score_answer(answer.replace(",", " "), entry) == task.score(answer, row)


# TRL


TRL = {"max_steps": 2, "per_device_train_batch_size": 4, "report_to": [], "use_cpu": True, "bf16": False, "seed": 0}
TRL |= {"save_strategy": "no", "disable_tqdm": True, "logging_steps": 1, "learning_rate": 1e-2}


def test_trl_fine_tunes_a_checkpoint(forced, data, tmp_path):
    trl = pytest.importorskip("trl")
    rows = data["train"].select_columns(["prompt", "completion"])
    trainer = trl.SFTTrainer(str(forced), trl.SFTConfig(str(tmp_path), **TRL), train_dataset=rows)
    trainer.train()
    assert len([entry for entry in trainer.state.log_history if "loss" in entry]) == 2
    tokenizer = trainer.processing_class
    row = next(iter(trainer.get_train_dataloader()))
    assert tokenizer.eos_token_id in row["labels"]  # it ends every completion, which is its own to decide


def test_trl_reinforces_a_checkpoint_with_our_verifier(forced, data, tmp_path):
    trl = pytest.importorskip("trl")
    seen, verifier = [], hf_nextfail.reward(TASK)

    def verified(completions, **columns):
        rewards = verifier(completions=completions, **columns)
        seen.extend(zip(completions, rewards, strict=True))
        return rewards

    arguments = trl.GRPOConfig(str(tmp_path), num_generations=4, max_completion_length=LENGTH, **TRL)
    trainer = trl.GRPOTrainer(str(forced), reward_funcs=verified, args=arguments, train_dataset=data["train"])
    trainer.train()
    assert len(seen) == 8
    assert all(len(text.split(",")) == LENGTH for text, _ in seen)
    assert len([entry for entry in trainer.state.log_history if "reward" in entry]) == 2


def test_the_recipe_reinforces_a_checkpoint(checkpoint, tmp_path, monkeypatch, capsys):
    pytest.importorskip("trl")
    recipe = runpy.run_path(str(shipped_folder("recipes") / "grpo.py"))["main"]
    options = {"model_name_or_path": checkpoint, "dataset_config": TASK.config_name, "output_dir": tmp_path}
    options |= {"num_train": 2_000, "num_test": 60, "max_steps": 2, "per_device_train_batch_size": 8, "use_cpu": True}
    options |= {"logging_steps": 1, "picture": tmp_path / "pictures/rewards.png"}
    monkeypatch.setattr("sys.argv", ["grpo.py", *(f"--{name}={value}" for name, value in options.items())])
    if checkpoint.parent.name.startswith("teacherless"):
        with pytest.raises(UsageError, match=r"TRL draws token by token, and .* decodes parallel"):
            recipe()
        return
    recipe()
    rows = load_dataset("nextfail/star_graph", TASK.config_name, **SIZES)["test"]
    before, after = (accuracy(written(folder, rows), rows) for folder in (checkpoint, tmp_path))
    shown = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        rf"accuracy on 60 test rows of .*: {before:.3f} ± .* before, {after:.3f} ± .* after; .*", shown
    )
    rewards = Rewards.read(tmp_path / "rewards.csv")
    assert (rewards.start, rewards.seed, rewards.chance) == ("checkpoint", 42, None)
    assert [(point.step, point.accuracy and round(point.accuracy, 3)) for point in rewards.points] == [
        (0, round(before, 3)),
        (1, None),
        (2, round(after, 3)),
    ]
    assert all(0 <= point.reward <= 1 and 0 <= point.alike <= 1 for point in rewards.points[1:])
    assert (tmp_path / "pictures/rewards.png").is_file()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--picture=rewards.pdf"], "--picture must end in .png or .svg, got 'rewards.pdf'"),
        (["--beside", "gone"], "--beside names runs for a picture: give --picture FILE.png, too"),
        (["--picture=a.png", "--beside", "gone"], "gone/rewards.csv: not the rewards.csv of a run of recipes/grpo.py"),
    ],
)
def test_a_picture_that_cannot_be_drawn_ends_the_recipe_before_it_begins(options, line, monkeypatch):
    pytest.importorskip("trl")
    recipe = runpy.run_path(str(shipped_folder("recipes") / "grpo.py"))["main"]
    monkeypatch.setattr("sys.argv", ["grpo.py", "--model_name_or_path=gone", "--use_cpu", *options])
    with pytest.raises(UsageError, match=re.escape(line)):
        recipe()
