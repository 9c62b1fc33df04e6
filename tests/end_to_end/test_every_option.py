"""Odd values of every option: a run does what it is asked, or ends with one line, before anything is written.

As slow as it is long: `pytest -m slow tests/end_to_end/test_every_option.py`.
"""

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState
from command_lines import over
from tiny_models import tiny_options

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.runs.recipes import RecipeParser

pytestmark = pytest.mark.slow

USUAL = [
    *("--config=star_graph/teacher_forced/smoke", "--num_train=64", "--num_validation=16", "--num_test=16"),
    *("--max_steps=2", "--per_device_train_batch_size=8", "--precision=fp32", "--eval_strategy=no"),
    *("--eval_on_start=false", "--save_strategy=no", "--logging_steps=1", "--disable_tqdm=true", "--num_diagnosed=0"),
    *tiny_options(),
]
VALUES = {
    "int": ["-1", "0", "7", "1e9"],
    "float": ["-1", "0", "0.5", "1e30", "nan"],
    "str": ["nonsense", "{}", "1", '{"a": 1}'],
    "string_to_bool": ["true", "false"],
    "word_or_truth": ["all", "non_padding", "maybe"],
}
# What says where a run goes, how long it takes, or asks for a network or for help.
LEFT_OUT = {
    *("help", "config", "output_dir", "run_name", "resume_from_checkpoint", "push_to_hub", "hub_token", "deepspeed"),
    *("model_type", "config_overrides", "max_steps", "num_train_epochs", "num_train", "num_validation", "num_test"),
    *("dataloader_num_workers", "local_rank"),
}
# Numbers that break a training which has begun: it says so in one line, and ends with code 1.
BREAKS = {"neftune_noise_alpha", "learning_rate", "max_grad_norm", "weight_decay", "warmup_steps"}
ACTIONS = {action.dest: action for action in RecipeParser()._actions}


def values_of(option):
    action = ACTIONS[option]
    if action.choices:
        return [str(getattr(choice, "value", choice)) for choice in action.choices]
    return VALUES.get(getattr(action.type, "__name__", ""), ["nonsense"])


@pytest.mark.parametrize("option", sorted(ACTIONS.keys() - LEFT_OUT))
def test_every_option(option, tmp_path, monkeypatch, capfd):
    for number, value in enumerate(values_of(option)):
        for state in (AcceleratorState, PartialState, GradientState):
            state._reset_state()
        folder = tmp_path / str(number)
        try:
            finetune(over([*USUAL, f"--output_dir={folder}"], [f"--{option}={value}"]))
        except SystemExit as exit:
            lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("finetune.py: error: ")]
            assert len(lines) == 1, (option, value)
            assert exit.code == 2 or (exit.code == 1 and option in BREAKS), (option, value, lines)
            assert exit.code == 1 or not folder.exists(), (option, value, lines)
        else:
            assert list(folder.rglob("results.json")), (option, value)
