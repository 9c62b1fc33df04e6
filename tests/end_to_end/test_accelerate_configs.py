import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from tiny_models import tiny_options

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "recipes/accelerate_configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
KINDS = {
    "cpu": (DistributedType.NO, True, 1),
    "multi_cpu": (DistributedType.MULTI_GPU, True, 2),
    "one_process": (DistributedType.NO, False, 1),
    "multi_gpu": (DistributedType.MULTI_GPU, False, 2),
    "fsdp2": (DistributedType.FSDP, False, 2),
    "zero3": (DistributedType.DEEPSPEED, False, 2),
}
CUT_SHORT = [
    *("--config", "star_graph/teacher_forced/smoke.yaml", "--disable_tqdm=true", *tiny_options()),
    *("--num_train=64", "--num_validation=20", "--num_test=30", "--max_steps=2", "--per_device_train_batch_size=4"),
]

every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


def load(path):
    return load_config_from_file(str(path))


def as_launched(path):
    """The options that `accelerate launch` makes of a file."""
    options, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(path), "script.py"])
    )
    return options


def test_there_is_a_config_for_each_kind_of_machine():
    assert {path.stem for path in CONFIGS} == set(KINDS)


@every_config
def test_a_config_is_what_its_name_says(path):
    config = load(path)
    assert (config.distributed_type, config.use_cpu, config.num_processes) == KINDS[path.stem]
    assert config.num_machines == 1


@every_config
def test_precision_is_left_to_the_recipe(path):
    assert load(path).mixed_precision == "no"


@every_config
def test_two_runs_on_one_machine_do_not_ask_for_the_same_port(path):
    config = load(path)
    assert config.num_processes == 1 or config.main_process_port == 0


@every_config
def test_nothing_names_a_machine(path):
    config = load(path)
    assert config.main_process_ip is None
    assert config.gpu_ids in (None, "-1,-1")
    assert not re.search(r"/home|/tmp|cuda|\d+\.\d+\.\d+\.\d+", path.read_text())


@every_config
def test_the_first_two_lines_say_when_and_how_to_use_it(path):
    when, how, key = path.read_text().splitlines()[:3]
    assert re.fullmatch(r"# [A-Z].*", when)
    assert how == f"# accelerate launch --config_file recipes/accelerate_configs/{path.name} recipes/finetune.py"
    assert not key.startswith("#")


def test_the_launcher_has_nothing_to_say_about_one_process(caplog):
    with caplog.at_level("WARNING"):
        as_launched(FOLDER / "one_process.yaml")
        assert not caplog.records
        _validate_launch_command(launch_command_parser().parse_args(["--cpu", "script.py"]))
    assert "defaults used instead" in caplog.text


def test_fsdp2_shards_by_block_and_gathers_what_it_saves():
    options = as_launched(FOLDER / "fsdp2.yaml")
    assert (options.use_fsdp, options.fsdp_version, options.fsdp_reshard_after_forward) == (True, 2, True)
    assert options.fsdp_auto_wrap_policy == "TRANSFORMER_BASED_WRAP"
    assert options.fsdp_state_dict_type == "FULL_STATE_DICT"


def test_zero3_shards_parameters_and_gathers_what_it_saves():
    options = as_launched(FOLDER / "zero3.yaml")
    assert (options.use_deepspeed, options.zero_stage, options.zero3_save_16bit_model) == (True, 3, True)


def test_the_config_of_a_cpu_runs_one_process(tmp_path):  # test_distributed.py runs two with the other
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", FOLDER / "cpu.yaml"),
        *(REPOSITORY / "recipes/finetune.py", *CUT_SHORT),
    ]
    done = subprocess.run(map(str, command), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "runs/star_graph/teacher_forced/d2_l3_n20-gpt2/results.json").read_text())["run"]
    assert (run["steps"], run["examples"]) == (2, 2 * 4)
    assert run["device"].startswith("cpu")
