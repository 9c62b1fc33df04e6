"""Reinforce a checkpoint by the verifier of its task: `python recipes/grpo.py --model_name_or_path FOLDER`.

It takes every option of TRL's `GRPOConfig` (`pip install -e ".[rl]"`), with defaults for checkpoints as small as ours.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from datasets import load_dataset
from transformers import HfArgumentParser
from trl import GRPOConfig, GRPOTrainer

import hf_nextfail
from hf_nextfail.commands.terminal import one_line_at_the_end
from hf_nextfail.data.tokenization import COMPLETION_IDS
from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.pictures import check_picture, plot_rewards
from hf_nextfail.reporting.rewards import Reward, Rewards
from hf_nextfail.runs.measure_checkpoint import load_subject

DEFAULTS = {
    "output_dir": "runs/grpo",
    "max_steps": 200,
    "per_device_train_batch_size": 128,  # completions: 16 prompts with 8 each
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "max_completion_length": None,
    "gradient_checkpointing": False,
    "bf16": False,
    "report_to": ["none"],
    "save_strategy": "no",
}


@dataclass
class Subject:
    """What is reinforced, and on which rows.

    Args:
        model_name_or_path (`str`): a checkpoint that writes token by token.
        dataset_name, dataset_config (`str`, *optional*): of ours; by default what the checkpoint was trained on.
        num_train (`int`, >= 1): training rows.
        num_test (`int`, >= 1): test rows on which it is measured before and after.
        picture (`str`, *optional*): a .png or .svg file, to draw the rewards into.
        beside (list of `str`, *optional*): output folders of other runs, to draw in the same picture, first.
    """

    model_name_or_path: str
    dataset_name: str | None = None
    dataset_config: str | None = None
    num_train: int = 10_000
    num_test: int = 1_000
    picture: str | None = None
    beside: list[str] = field(default_factory=list)


def main() -> None:
    """Measure a checkpoint, reinforce it, measure it again, save it, and write what it earned."""
    parser = HfArgumentParser((Subject, GRPOConfig))
    parser.set_defaults(**DEFAULTS)
    asked, training = parser.parse_args_into_dataclasses()
    if asked.picture is not None:
        check_picture(asked.picture)
    elif asked.beside:
        raise UsageError("--beside names runs for a picture: give --picture FILE.png, too")
    beside = [Rewards.read(Path(folder) / "rewards.csv") for folder in asked.beside]
    subject = load_subject(asked.model_name_or_path, asked.dataset_name, asked.dataset_config, "test", asked.num_test)
    if subject.decoding.name != "autoregressive":
        raise UsageError(f"TRL draws token by token, and {asked.model_name_or_path} decodes {subject.decoding.name}")
    if subject.task is None:
        raise UsageError(f"{subject.run['dataset_name']} has no verifier: give --dataset_name nextfail/<task>")
    test, config = subject.datasets[""], subject.run["dataset_config"]
    if training.max_completion_length is None:
        training.max_completion_length = max(map(len, test[COMPLETION_IDS]))
    trainer = GRPOTrainer(
        asked.model_name_or_path,
        reward_funcs=hf_nextfail.reward(subject.task),
        args=training,
        train_dataset=load_dataset(
            subject.run["dataset_name"],
            config,
            split="train",
            num_train=asked.num_train,
            seed=subject.run["dataset_seed"],
        ),
    )

    def measure(step: int, **numbers: float) -> Reward:
        result = hf_nextfail.evaluate(
            trainer.model.eval(), test, "autoregressive", subject.tokenizer, task=subject.task, per_part=False
        )["accuracy"]
        return Reward(step, accuracy=result["value"], standard_error=result["standard_error"], **numbers)

    before = measure(0)
    trainer.train()
    trainer.save_model()
    logged = {e["step"]: (e["reward"], e["frac_reward_zero_std"]) for e in trainer.state.log_history if "reward" in e}
    last, numbers = trainer.state.global_step, logged.pop(trainer.state.global_step, (None, None))
    after = measure(last, reward=numbers[0], alike=numbers[1])
    points = (before, *(Reward(step, *numbers) for step, numbers in logged.items()), after)
    start = subject.run["objective"] or Path(asked.model_name_or_path).name
    chance = subject.task.chance.get("accuracy", subject.task.chance.get("hard_token_accuracy"))
    rewards = Rewards(subject.task.title, start, training.seed, chance, points)
    rewards.write(Path(training.output_dir) / "rewards.csv")
    if asked.picture is not None:
        Path(asked.picture).parent.mkdir(parents=True, exist_ok=True)
        plot_rewards([*beside, rewards], asked.picture)
    told = " before, ".join(f"{point.accuracy:.3f} ± {point.standard_error:.3f}" for point in (before, after))
    print(f"accuracy on {len(test):,} test rows of {config}: {told} after; {training.output_dir}")


if __name__ == "__main__":
    with one_line_at_the_end("grpo.py", "--debug" in sys.argv, "nothing was saved"):
        main()
