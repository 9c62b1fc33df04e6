"""One training as one writes it with the stock Trainer: a script that a shell loops over.

`python stock_script.py CONFIG STEPS SEED FOLDER` trains GPT-2 and prints the accuracy of `generate` on the test rows.
"""

import sys

import torch
from contestants import gpt2_of, rows_of, stack
from datasets import load_dataset
from transformers import GenerationConfig, Trainer, TrainingArguments, set_seed

from hf_nextfail import numeral_tokenizer

BATCH_SIZE = 256


def main(config_name: str, num_steps: int, seed: int, folder: str) -> None:
    """Train and evaluate."""
    splits = load_dataset("nextfail/star_graph", config_name)
    tokenizer = numeral_tokenizer(int(config_name.rpartition("n")[2]))
    train, test = (rows_of(splits[name], tokenizer) for name in ("train", "test"))
    set_seed(seed)
    model = gpt2_of(tokenizer)
    args = TrainingArguments(
        folder,
        max_steps=num_steps,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=1e-3,
        save_strategy="no",
        seed=seed,
        disable_tqdm=True,
    )
    Trainer(model, args, data_collator=stack, train_dataset=train).train()
    model.save_pretrained(folder)
    print("accuracy", accuracy(model.eval(), test))


@torch.inference_mode()
def accuracy(model: torch.nn.Module, rows: list[dict[str, list[int]]]) -> float:
    """Return the share of rows whose completion `generate` writes; all rows have one length."""
    right = 0
    for begin in range(0, len(rows), BATCH_SIZE):
        batch = {name: tensor.to(model.device) for name, tensor in stack(rows[begin : begin + BATCH_SIZE]).items()}
        num_prompt = int((batch["labels"][0] < 0).sum())
        prompts, completions = batch["input_ids"].tensor_split([num_prompt], dim=1)
        config = GenerationConfig(do_sample=False, max_new_tokens=completions.shape[1], pad_token_id=0)
        written = model.generate(
            prompts, attention_mask=torch.ones_like(prompts), generation_config=config, eos_token_id=None
        )
        right += int((written[:, num_prompt:] == completions).all(dim=1).sum())
    return right / len(rows)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
