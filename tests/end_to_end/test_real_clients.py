"""Our checkpoints, as they come, in the Trainers and harnesses of others; a test skips where its client is missing.

Public reports said that lm-eval, TRL and inspect-ai broke at a tokenizer without an end token and an unknown token.
"""

import pytest
import torch
from datasets import Dataset, load_dataset
from tiny_models import NO_DROPOUT, tiny_gpt2
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, numeral_tokenizer
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.decoding import find_decoding
from hf_nextfail.tasks import StarGraph

TASK = StarGraph(degree=2, path_length=3, num_nodes=20, reverse=True)
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


def lm_eval_task(name, **options):
    """A task for lm-eval, whose own defaults put a space between prompt and answer."""
    return {
        "task": name,
        "dataset_path": "nextfail/star_graph",
        "dataset_name": "d2_l3_n20_rev",
        "dataset_kwargs": dict(SIZES),
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "target_delimiter": "",
        **options,
    }


def run_lm_eval(checkpoint, task, **model_args):
    lm_eval = pytest.importorskip("lm_eval")
    model_args |= {"pretrained": str(checkpoint)}
    options = {"device": "cpu", "batch_size": 7, "bootstrap_iters": 0}
    results = lm_eval.simple_evaluate(model="hf", model_args=model_args, tasks=[task], **options)
    samples = sorted(results["samples"][task["task"]], key=lambda sample: sample["doc_id"])
    return results["results"][task["task"]], [sample["filtered_resps"] for sample in samples]


@pytest.mark.parametrize("until", [["\n"], []])
def test_lm_eval_generates_what_we_write_and_counts_the_same(checkpoint, data, until):
    task = lm_eval_task(
        "path",
        output_type="generate_until",
        doc_to_target="{{completion}}",
        generation_kwargs={"until": until, "max_gen_toks": LENGTH, "do_sample": False},
        metric_list=[{"metric": "exact_match"}],
    )
    results, texts = run_lm_eval(checkpoint, task, trust_remote_code=True)
    ours = written(checkpoint, data["test"])
    assert [text for (text,) in texts] == ours
    assert results["exact_match,none"] == pytest.approx(accuracy(ours, data["test"]))
    assert 0 < results["exact_match,none"] < 1


def test_lm_eval_chooses_the_likelier_first_step(forced, data):
    def first_nodes(row):
        """The two ends of the graph, with one of which the answer, written backwards, begins."""
        tails, heads = ({edge[end] for edge in row["edges"]} for end in (0, 1))
        return [str(node) for node in sorted(heads - tails)]

    task = lm_eval_task(
        "first_step",
        output_type="multiple_choice",
        doc_to_choice=first_nodes,
        doc_to_target=lambda row: first_nodes(row).index(str(row["goal"])),
        metric_list=[{"metric": "acc"}],
    )
    results, answers = run_lm_eval(forced, task)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(forced), AutoTokenizer.from_pretrained(forced)
    right = 0
    for row, answer in zip(data["test"], answers, strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(row["prompt"], return_tensors="pt")).logits[0, -1].log_softmax(dim=-1)
        by_hand = [logits[int(node)].item() for node in first_nodes(row)]
        assert [score for score, _ in answer] == pytest.approx(by_hand, abs=1e-4)
        right += first_nodes(row)[by_hand.index(max(by_hand))] == str(row["goal"])
    assert results["acc,none"] == pytest.approx(right / len(answers))


# inspect-ai


def test_inspect_ai_generates_what_we_write_and_scores_the_same(forced, data, tmp_path):
    pytest.importorskip("inspect_ai")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    samples = [Sample(row["prompt"], target=row["completion"], id=n) for n, row in enumerate(data["test"])]
    model = get_model("hf/local", model_path=str(forced), do_sample=False, device="cpu")
    config = GenerateConfig(max_tokens=LENGTH)
    task = Task(MemoryDataset(samples), solver=generate(), scorer=match("exact"), config=config)
    (log,) = eval(task, model=model, log_dir=str(tmp_path), display="none")
    assert log.status == "success", log.error
    ours = written(forced, data["test"])
    assert [sample.output.completion for sample in log.samples] == ours
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(accuracy(ours, data["test"]))


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
    seen = []

    def verified(completions, path, **columns):
        seen.extend(completions)
        return [TASK.score(text, {"path": nodes}) for text, nodes in zip(completions, path, strict=True)]

    arguments = trl.GRPOConfig(str(tmp_path), num_generations=4, max_completion_length=LENGTH, **TRL)
    rows = data["train"].select_columns(["prompt", "path"])
    trainer = trl.GRPOTrainer(str(forced), reward_funcs=verified, args=arguments, train_dataset=rows)
    trainer.train()
    assert len(seen) == 8
    assert all(len(text.split(",")) == LENGTH for text in seen)
    assert len([entry for entry in trainer.state.log_history if "reward" in entry]) == 2
