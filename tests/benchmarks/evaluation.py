"""Exact match by one pass, and by writing every path with `generate`; in a process of its own: see `Child`."""

from typing import Any

import numpy as np
import torch
from contestants import our_run
from datasets import Dataset
from measuring import BenchmarkError, Figure, Parent, Settings, Table, alternate
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_nextfail import evaluate
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.runs.run import prepare

GENERATE = "model.generate with its cache, texts compared"
#: What `per_device_eval_batch_size` of transformers is, unless somebody says otherwise.
FEW = 8


@torch.no_grad()
def right_by_generate(
    model: PreTrainedModel, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> np.ndarray:
    """Write the completion of every row, as one does without this package; all prompts have one length."""
    right = []
    length = len(dataset[0][COMPLETION_IDS])
    model.eval()
    for first in range(0, len(dataset), batch_size):
        rows = dataset[first : first + batch_size]
        prompts = torch.tensor(rows[PROMPT_IDS], device=model.device)
        mask = torch.ones_like(prompts)
        written = model.generate(prompts, attention_mask=mask, max_new_tokens=length, do_sample=False, use_cache=True)
        texts = tokenizer.batch_decode(written[:, prompts.shape[1] :], skip_special_tokens=True)
        right += [text == reference for text, reference in zip(texts, rows["completion"], strict=True)]
    return np.array(right)


def measure(
    parent: Parent, settings: Settings, recipe: str, options: dict[str, Any], train_steps: int, num_rows: int
) -> None:
    """Train for a while, make sure that the ways agree on every row in fp32, and answer a table."""
    parent.say(f"training {train_steps} steps of {recipe}")
    sizes = {"num_train": 256 * train_steps, "num_validation": 1, "num_test": num_rows}
    run = our_run(recipe, {"max_steps": train_steps, **sizes, **options}, settings.scratch)
    trainer, evaluated = prepare(run)
    trainer.train()
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)  # fp32, like its weights
    tokenizer, objective, dataset = trainer.processing_class, trainer.objective, evaluated[""]
    batch_size = run.training.eval_batch_size

    generated = right_by_generate(model, dataset, tokenizer, batch_size)
    inference = Inference(model, objective, tokenizer, batch_size, description=None, shared=False)
    by_one_pass = inference.score(RowStore.of(dataset, tokenizer)).correct.all(dim=1).numpy()
    differing = np.flatnonzero(generated != by_one_pass)
    if len(differing):
        raise BenchmarkError(f"one pass and generate disagree on {len(differing)} rows, the first {differing[:5]}")
    results = evaluate(model, dataset, objective, tokenizer, run.data.task, batch_size)
    accuracy = generated.mean().item()
    if abs(results["accuracy"]["value"] - accuracy) > 1e-9:
        raise BenchmarkError(f"evaluate says {results['accuracy']['value']} and generate {accuracy}")

    ways = {
        GENERATE: lambda: right_by_generate(model, dataset, tokenizer, batch_size),
        f"the same, {FEW} rows a batch, as the Trainer evaluates": lambda: right_by_generate(
            model, dataset, tokenizer, FEW
        ),
        "evaluate(per_part=False)": lambda: evaluate(
            model, dataset, objective, tokenizer, run.data.task, batch_size, per_part=False
        ),
        "evaluate(): also the numbers per node": lambda: evaluate(
            model, dataset, objective, tokenizer, run.data.task, batch_size
        ),
    }
    seconds = alternate(ways, settings.repeat, parent.say)
    table = Table(
        f"Evaluation: {num_rows:,} rows of {run.data.dataset_config}, {batch_size:,} a batch, fp32",
        [
            {
                "way": name,
                "milliseconds": Figure.of(second * 1e3 for second in seconds[name]),
                "rows/s": Figure.of(num_rows / second for second in seconds[name]),
                "times generate": Figure.of_ratios(seconds[GENERATE], seconds[name]),
            }
            for name in ways
        ],
        [
            f"After {train_steps} steps of {recipe}: accuracy {accuracy:.3f}; the ways agree on every row. Numbers "
            "per node decode the rows that are not exactly right.",
        ],
    )
    parent.answer(table)
