"""Trainings that run a few steps at a time, as they are asked to. Each is in a process of its own: see `Child`."""

import json
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import torch
from datasets import Dataset, load_dataset
from measuring import Parent, peak_megabytes
from torch.nn.utils import clip_grad_norm_
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_nextfail import numeral_tokenizer
from hf_nextfail.data.rows import IGNORED
from hf_nextfail.models.completion_logits import completion_outputs
from hf_nextfail.runs.recipes import Run, parse_runs
from hf_nextfail.runs.run import prepare
from hf_nextfail.training.trainer import NextFailTrainer

WARM_UP_STEPS = 3
ENDLESS = 10**6
PREMADE_BATCHES = 20


def wait_for_device() -> None:
    """Wait until an accelerator, if there is one, has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


class Gate(TrainerCallback):
    """Hold a training up after every few steps, until it is asked for more.

    Args:
        parent (`Parent`): asks for a number of steps, and hears how long they took.
        facts (`dict`): the first answer, after the warm-up.
    """

    def __init__(self, parent: Parent, facts: dict[str, Any]):
        self.parent, self.facts = parent, facts
        self.left = WARM_UP_STEPS
        self.began: tuple[float, float] | None = None  # on the clock, and of the processor

    def step_done(self) -> None:
        """Count a step; after the last one that was asked for, answer and wait."""
        self.left -= 1
        if self.left:
            return
        wait_for_device()
        if self.began is None:
            self.parent.answer(self.facts)
        else:
            seconds, of_processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
            measured = {"seconds": seconds, "processor_seconds": of_processor, "peak_megabytes": peak_megabytes()}
            self.parent.answer(measured)
        self.left = self.parent.request()
        self.began = time.perf_counter(), time.process_time()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Count it."""
        self.step_done()


def facts_of(model: torch.nn.Module, batch: dict[str, torch.Tensor], args: TrainingArguments) -> dict[str, Any]:
    """Say what is trained, with what."""
    rows, tokens = batch["input_ids"].shape
    return {
        "num_parameters": model.num_parameters(),
        "attention": model.config._attn_implementation,
        "rows": rows,
        "tokens": tokens,
        "precision": "bf16" if args.bf16 else "fp32",
        "device": str(args.device),
        "threads": torch.get_num_threads(),
    }


def stack(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Collate as one writes it when all rows have one length."""
    return {name: torch.tensor([example[name] for example in examples]) for name in ("input_ids", "labels")}


def rows_of(dataset: Dataset, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, list[int]]]:
    """Tokenize rows and lay them out in advance, as lists."""
    rows: list[dict[str, list[int]]] = []
    for batch in dataset.iter(10_000):  # all at once would take memory that has nothing to do with training
        prompts, completions = (tokenizer(batch[name])["input_ids"] for name in ("prompt", "completion"))
        rows += [
            {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
    return rows


def gpt2_of(tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Build the small GPT-2 of the recipes without our help."""
    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "n_positions": 64, "vocab_size": len(tokenizer)}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": tokenizer.pad_token_id}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **sizes, **no_dropout, **special))


def stock(parent: Parent, config_name: str, num_train: int, batch_size: int, folder: str, bf16: bool = False) -> None:
    """Train GPT-2 by the Trainer of transformers as it comes, on rows that are tokenized and laid out in advance."""
    dataset = load_dataset("nextfail/star_graph", config_name, split="train", num_train=num_train)
    tokenizer = numeral_tokenizer(int(config_name.removesuffix("_rev").rpartition("n")[2]))
    rows = rows_of(dataset, tokenizer)
    set_seed(0)
    model = gpt2_of(tokenizer)
    precision = {"bf16": True, "use_cpu": not torch.accelerator.is_available()} if bf16 else {}
    args = TrainingArguments(
        folder, max_steps=ENDLESS, per_device_train_batch_size=batch_size, save_strategy="no", **precision
    )
    gate = Gate(parent, facts_of(model, stack(rows[:batch_size]), args))
    Trainer(model, args, data_collator=stack, train_dataset=rows, callbacks=[gate]).train()


def our_run(recipe: str, options: dict[str, Any], folder: str) -> Run:
    """Parse a shipped recipe as `recipes/finetune.py` does, for a training without end and evaluations.

    `options` stand for the command line; `config_overrides` among them join those of the recipe.
    """
    options = {
        "max_steps": ENDLESS,
        "eval_strategy": "no",
        "eval_on_start": "false",
        "num_diagnosed": 0,
        "save_strategy": "no",
        "output_dir": folder,
    } | options
    overrides = options.pop("config_overrides", {})
    argv = ["--config", recipe, *(f"--{name}={value}" for name, value in options.items())]
    run = parse_runs(argv)[0]
    if overrides:
        run = parse_runs([*argv, f"--config_overrides={json.dumps(run.model.overrides | overrides)}"])[0]
    return run


def our_trainer(recipe: str, options: dict[str, Any], folder: str) -> NextFailTrainer:
    """Prepare a run as `recipes/finetune.py` does."""
    return prepare(our_run(recipe, options, folder))[0]


def first_batch(trainer: NextFailTrainer) -> dict[str, torch.Tensor]:
    """Collate the first rows; the order of the training stays as it is."""
    rows = trainer.train_dataset.select(range(trainer.args.train_batch_size))
    return trainer.data_collator([{name: row[name] for name in ("prompt_ids", "completion_ids")} for row in rows])


def ours(parent: Parent, recipe: str, options: dict[str, Any], folder: str) -> None:
    """Train by our Trainer, as a recipe says."""
    trainer = our_trainer(recipe, options, folder)
    facts = facts_of(trainer.model, first_batch(trainer), trainer.args) | {"fast_path": trainer.fast_path}
    trainer.add_callback(Gate(parent, facts))
    trainer.train()


def bare(parent: Parent, recipe: str, options: dict[str, Any], folder: str) -> None:
    """Train our model by a loop of PyTorch, on batches that lie on the device: the same arithmetic, nothing else."""
    trainer = our_trainer(recipe, options, folder)
    args, objective = trainer.args, trainer.objective
    model = trainer.model.to(args.device).train()
    batches = [
        {name: tensor.to(args.device) for name, tensor in batch.items() if isinstance(tensor, torch.Tensor)}
        for batch in islice(trainer.get_train_dataloader(), PREMADE_BATCHES)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), args.learning_rate, weight_decay=args.weight_decay, fused=True)
    gate = Gate(parent, facts_of(model, batches[0], args))
    for batch in cycle(batches):
        with torch.autocast(args.device.type, torch.bfloat16, enabled=args.bf16):
            outputs = completion_outputs(model, batch)
            (total,) = objective.loss(outputs, batch).values()
            loss = total / (outputs.labels != IGNORED).sum()
        loss.backward()
        clip_grad_norm_(model.parameters(), args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        gate.step_done()


def loader(parent: Parent, recipe: str, options: dict[str, Any], folder: str) -> None:
    """Make the batches of our Trainer and do nothing with them."""
    trainer = our_trainer(recipe, options, folder)
    gate = Gate(parent, facts_of(trainer.model, first_batch(trainer), trainer.args))
    for _ in endless_batches(trainer):
        gate.step_done()


def endless_batches(trainer: NextFailTrainer) -> Iterator[Any]:
    """Go through the data again and again."""
    batches = trainer.get_train_dataloader()
    while True:
        yield from batches


class FirstStep(TrainerCallback):
    """Note when the first step begins, and stop."""

    def __init__(self):
        self.at: float | None = None

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Note the time: there is a batch."""
        if self.at is None:
            self.at = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One is enough."""
        control.should_training_stop = True


def start_up(parent: Parent, began: float, recipe: str, options: dict[str, Any], folder: str) -> None:
    """Train one step and answer the seconds of what comes before it; `began` is when this process was asked for."""
    imported = time.time()
    trainer = our_trainer(recipe, options, folder)
    prepared = time.time()
    callback = FirstStep()
    trainer.add_callback(callback)
    trainer.train()
    parent.answer(
        {
            "imports": imported - began,
            "prepare": prepared - imported,
            "to first batch": callback.at - prepared,
            "all": callback.at - began,
        }
    )
