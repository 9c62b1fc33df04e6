"""What ends a training before its end, and what is left then."""

import json
import math
import re
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from datasets import load_dataset
from safetensors.torch import load_file
from tiny_models import TINY_GPT2, tiny_gpt2

from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, numeral_tokenizer
from hf_nextfail.commands.finetune import main
from hf_nextfail.errors import TrainingError
from hf_nextfail.objectives import TeacherForcedObjective
from hf_nextfail.training.checkpoints import SEAL, last_whole_checkpoint

TOKENIZER = numeral_tokenizer(num_nodes=20)


class NoisyObjective(TeacherForcedObjective):
    """Show other tokens in some places of the completion."""

    name = "noisy"

    def encode(self, rows, generator=None):
        noise = torch.randint(20, rows.completion_ids.shape, generator=generator)
        noisy = torch.rand(noise.shape, generator=generator) < 0.3
        return rows.lay_out(torch.where(noisy, noise, rows.completion_ids), self.pad_token_id)


class Exploding(TeacherForcedObjective):
    """Have a loss that is not finite from a certain batch on."""

    batches = 0

    def loss(self, outputs, batch):
        self.batches += 1
        (loss,) = super().loss(outputs, batch).values()
        return {"next_token": loss * (math.inf if self.batches > 6 else 1)}


def trainer_of(folder: Path, objective=None, seed: int = 3, **options) -> NextFailTrainer:
    model = tiny_gpt2(TOKENIZER)
    options = {"max_steps": 12, "per_device_train_batch_size": 8, "save_steps": 4, "disable_tqdm": True} | options
    rows = load_dataset("nextfail/star_graph", "d2_l3_n20", num_train=40, num_validation=20, num_test=1)
    return NextFailTrainer(
        model,
        NextFailTrainingArguments(str(folder), seed=seed, precision="fp32", **options),
        objective=objective,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=TOKENIZER,
    )


def weights_of(trainer: NextFailTrainer) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stochastic_objective_draws_the_same_after_resuming(tmp_path, workers):
    def trained(checkpoint=None, seed=3):
        trainer = trainer_of(tmp_path, NoisyObjective(TOKENIZER), seed=seed, dataloader_num_workers=workers)
        trainer.train(resume_from_checkpoint=checkpoint)
        return weights_of(trainer)

    whole = trained()
    for step in (4, 8):  # in the first epoch of five steps, and in the second
        assert torch.equal(trained(str(tmp_path / f"checkpoint-{step}")), whole)
    assert not torch.equal(trained(seed=4), whole)


@pytest.mark.parametrize("options", [{"dataloader_num_workers": 2}, {"eval_strategy": "steps", "eval_steps": 5}])
def test_weights_do_not_depend_on_how_rows_are_loaded_or_when_they_are_evaluated(tmp_path, options):
    def trained(**options):
        trainer = trainer_of(tmp_path, save_strategy="no", **options)
        trainer.train()
        return weights_of(trainer)

    assert torch.equal(trained(), trained(**options))


def test_going_on_from_the_last_step_makes_no_further_one(tmp_path):
    trainer_of(tmp_path).train()
    again = trainer_of(tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    assert again.state.global_step == 12


@pytest.mark.parametrize("options", [{}, {"eval_strategy": "steps", "eval_steps": 7}, {"max_steps": 7}])
def test_a_loss_that_is_not_finite_ends_the_training_at_its_step(tmp_path, options):
    trainer = trainer_of(tmp_path, Exploding(TOKENIZER), **options)
    with pytest.raises(TrainingError, match="the loss of step 7 is not a finite number") as failure:
        trainer.train()
    assert f"The last checkpoint is {tmp_path / 'checkpoint-4'}" in str(failure.value)
    good = last_whole_checkpoint(tmp_path)
    assert good.name == "checkpoint-4"
    state = torch.load(good / "optimizer.pt", weights_only=True)["state"]
    assert all(value.isfinite().all() for moments in state.values() for value in moments.values())


class NoGradient(TeacherForcedObjective):
    """Have a finite loss whose gradient is none from a certain batch on."""

    batches = 0

    def loss(self, outputs, batch):
        self.batches += 1
        (loss,) = super().loss(outputs, batch).values()
        # sqrt has no gradient at 0
        return {"next_token": loss + (loss.detach() - loss).sqrt() if self.batches > 7 else loss}


@pytest.mark.parametrize("options", [{}, {"max_steps": 8, "save_strategy": "no"}, {"save_steps": 8}])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, options):
    trainer = trainer_of(tmp_path, NoGradient(TOKENIZER), **options)
    with pytest.raises(TrainingError, match=r"not (a )?finite"):
        trainer.train()
    for checkpoint in tmp_path.glob("checkpoint-*"):
        weights = load_file(checkpoint / "model.safetensors").values()
        assert all(weight.isfinite().all() for weight in weights)


def test_a_trainer_can_be_used_again_after_it_failed(tmp_path):
    trainer = trainer_of(tmp_path, Exploding(TOKENIZER))
    with pytest.raises(TrainingError):
        trainer.train()
    trainer.objective = TeacherForcedObjective(TOKENIZER)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert trainer.state.global_step == 12


def test_without_checkpoints_a_loss_that_is_not_finite_leaves_none(tmp_path):
    trainer = trainer_of(tmp_path, Exploding(TOKENIZER), save_strategy="no")
    with pytest.raises(TrainingError, match="No checkpoint was written before it"):
        trainer.train()


def test_the_command_says_that_a_training_failed_in_one_line(tmp_path, capfd):
    recipe = {
        "dataset_config": "d2_l3_n20",
        "num_train": 100,
        "num_validation": 20,
        "num_test": 20,
        "model_type": "gpt2",
        "config_overrides": TINY_GPT2,
        "learning_rate": 1e30,
        "max_steps": 9,
        "save_steps": 1,
        "precision": "fp32",
    }
    (tmp_path / "wild.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(SystemExit) as exit:
        main(["--config", str(tmp_path / "wild.yaml"), "--output_dir", str(tmp_path)])
    assert exit.value.code == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert re.search(
        r"finetune.py: error: .*the loss of step \d is not a finite number.*lower learning_rate", errors[0]
    )
    assert not (tmp_path / "wild/results.json").exists()


def test_the_best_checkpoint_is_kept_and_known(tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 4, "save_total_limit": 1}
    trainer = trainer_of(tmp_path, load_best_model_at_end=True, metric_for_best_model="loss", **options)
    trainer.train()
    state = json.loads((last_whole_checkpoint(tmp_path) / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / f"checkpoint-{state['best_global_step']}")
    assert Path(state["best_model_checkpoint"]).is_dir()
    assert len(list(tmp_path.glob("checkpoint-*"))) <= 2


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, with room for two checkpoints of three."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of its own needs the right to mount one")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_training_and_leaves_the_last_checkpoint(small_disk):
    trainer = trainer_of(small_disk)
    with pytest.raises(
        TrainingError, match=r"the checkpoint of step \d+ could not be written: .*make room"
    ) as failure:
        trainer.train()
    last = last_whole_checkpoint(small_disk)
    assert str(last) in str(failure.value)
    assert not [path for path in small_disk.glob("checkpoint-*") if not (path / SEAL).is_file()]
    for path in small_disk.glob("checkpoint-*"):
        if path != last:  # room enough to end
            subprocess.run(["rm", "-r", path], check=True)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    again = trainer_of(small_disk)
    again.train(resume_from_checkpoint=str(last))
    assert again.state.global_step == 12
