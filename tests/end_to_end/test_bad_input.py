"""Every foreseeable bad input ends a command with one line that names the thing and the way out, and writes nothing.

A case is a command line, run in a folder that holds `GOOD` and whatever `broken_things` makes of it, and words that
must stand in the line.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_lines import over
from datasets import Dataset, DatasetDict
from tiny_models import TINY_GPT2, tiny_gpt2, tiny_options

from hf_nextfail import build_model, numeral_tokenizer
from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.commands.main import main as nextfail
from hf_nextfail.errors import alone_in
from hf_nextfail.models.lora import add_lora

REPOSITORY = Path(__file__).parents[2]
SMOKE = ["--config=star_graph/teacher_forced/smoke", "--output_dir=out", "--max_steps=1", "--disable_tqdm=true"]
SMALL = ["--num_train=50", "--num_validation=20", "--num_test=20", "--precision=fp32"]
FEW_POSITIONS = {"n_positions": 32}  # so that a row can be too long
SCRATCH = tiny_options(**FEW_POSITIONS)

# Name of the damaged copy of GOOD -> the file at fault, and what becomes of it; `None` for deleted.
HALF = object()
DAMAGED = {
    "cut_weights": ("model.safetensors", HALF),
    "empty_weights": ("model.safetensors", ""),
    "no_weights": ("model.safetensors", None),
    "pickled": ("model.safetensors", None),
    "no_shard": ("model.safetensors", None),
    "cut_config": ("config.json", HALF),
    "list_config": ("config.json", "[]"),
    "latin_config": ("config.json", b'{"model_type": "\xff"}'),
    "no_config": ("config.json", None),
    "typo_family": ("config.json", '{"model_type": "gpt22"}'),
    "encoder": ("config.json", '{"model_type": "bert"}'),
    "pictures": ("config.json", '{"model_type": "vit"}'),
    "wrong_field": ("config.json", {"n_head": "two"}),
    "more_layers": ("config.json", {"n_layer": TINY_GPT2["n_layer"] + 1}),
    "wider": ("config.json", {"n_embd": 2 * TINY_GPT2["n_embd"]}),
    "cut_generation": ("generation_config.json", HALF),
    "cut_tokenizer": ("tokenizer.json", HALF),
    "empty_tokenizer": ("tokenizer.json", ""),
    "no_such_tokenizer": ("tokenizer.json", "{}"),
    "cut_tokenizer_config": ("tokenizer_config.json", HALF),
    "cut_results": ("results.json", '{"run": '),
}
DAMAGED_ADAPTERS = {
    "adapter_cut": ("adapter_model.safetensors", HALF),
    "adapter_pickled": ("adapter_model.safetensors", None),
    "adapter_config_cut": ("adapter_config.json", HALF),
    "adapter_of_nothing": ("adapter_config.json", "{}"),
    "adapter_of_gone": ("adapter_config.json", {"base_model_name_or_path": "./gone"}),
    "adapter_of_no_kind": ("adapter_config.json", {"peft_type": "LORAX"}),
}
PROBLEM = "7,3|3,15|7,9|9,1/7,15=7,3,15\n"
ROWS = [{"prompt": f"{i % 20},{i % 7}=", "completion": f"{i % 20},2"} for i in range(300)]


def lines(rows: list[dict]) -> str:
    return "\n".join(map(json.dumps, rows)) + "\n"


FILES = {
    "file": "a file\n",
    # Data of one's own.
    "rows.jsonl": lines(ROWS),
    "cut.jsonl": lines(ROWS)[:-9],
    "cut.json": json.dumps(ROWS)[:-9],
    "latin.jsonl": lines(ROWS).encode().replace(b'"13,6="', b'"13,6=\xff"'),
    "empty.jsonl": "",
    "no_rows.json": "[]",
    "number.json": "3",
    "words.json": "hello world",
    "other_columns.jsonl": lines([{"prompt": "1=", "answer": "2"}] * 9),
    "numbers.jsonl": lines([{"prompt": "1=", "completion": 2}] * 9),
    "mixed.jsonl": lines([{"prompt": "1=", "completion": "2"}, {"prompt": "1=", "completion": 2}]),
    "nulls.jsonl": lines([*ROWS, {"prompt": "1=", "completion": None}]),
    "few.jsonl": lines(ROWS[:2]),
    "silent.jsonl": lines([*ROWS, {"prompt": "3,1=", "completion": ""}]),
    "commas.jsonl": lines([*ROWS, {"prompt": "3,1=", "completion": ",,"}]),
    "unasked.jsonl": lines([*ROWS, {"prompt": "", "completion": "1"}]),
    "long.jsonl": lines([*ROWS, {"prompt": "1," * 40, "completion": "2"}]),
    "label.jsonl": lines([*ROWS, {"prompt": "99=", "completion": "1"}]),
    "words.parquet": "hello world, this is no table",
    "empty.parquet": "",
    "rows.xls": "prompt,completion\n1,2\n",
    # The paper's text file.
    "latin.txt": PROBLEM.encode() + b"\xff\xfe\n",
    "cut.txt": (PROBLEM * 3)[:-6],
    "empty.txt": "",
    "label.txt": PROBLEM.replace("15", "49"),
    "longer.txt": "1,2|2,3|3,6|1,4|4,5|5,7/1,6=1,2,3,6\n",
    "wrong_path.txt": PROBLEM.replace("=7,3,15", "=7,9,1"),
    # Recipes.
    "list.yaml": "- seed: 1\n",
    "empty.yaml": "",
    "open.yaml": "a: [1\n",
    "tab.yaml": "seed:\n\t- 1\n",
    "latin.yaml": b"run_name: \xff\n",
    "typo.yaml": "learning_rat: 1\n",
    "word.yaml": "model_type: gpt2\nseed: first\n",
    "two_seeds.yaml": "model_type: gpt2\nseed: [1, 2]\n",
    "mapping.yaml": "model_type: gpt2\nlearning_rate: {a: 1}\n",
    "date.yaml": "model_type: gpt2\nlr_scheduler_kwargs: {begin: 2020-01-01}\n",
    "nested.yaml": "config: other.yaml\n",
    "deep.yaml": "[" * 2000,
    "debug.yaml": "model_type: gpt2\ndebug: underflow\n",
    # Reported in public: of two values of one key the last one counted, and 1e-5 was taken for a text.
    "twice.yaml": "model_type: gpt2\nlearning_rate: 1.0e-3\nseed: 1\nlearning_rate: 1.0e-5\n",
    "twice_inside.yaml": "model_type: gpt2\nconfig_overrides: {n_layer: 1, n_layer: 2}\n",
    "text_rate.yaml": "model_type: gpt2\nlr_scheduler_type: polynomial\nlr_scheduler_kwargs: {lr_end: 1e5}\n",
    "no_model.yaml": "num_test: 5\n",
    "fp32.yaml": "model_type: gpt2\nprecision: fp32\nrun_name: fp32\n",
    "bf16.yaml": "model_type: gpt2\nbf16: true\nrun_name: bf16\n",
    # Results.
    "cut_record.json": '{"schema_version": 1, "run": ',
    "no_record.json": '{"schema_version": 1}',
    "old_record.json": '{"schema_version": 0}',
}


def damage(path: Path, content: object) -> None:
    if content is None:
        path.unlink()
    elif content is HALF:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(scope="module")
def broken_things(tmp_path_factory) -> Path:
    """A folder with a checkpoint, an adapter on it, good rows, and one broken thing of each kind."""
    folder = tmp_path_factory.mktemp("broken_things")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenizer = numeral_tokenizer(num_nodes=20)
        tiny_gpt2(tokenizer, **FEW_POSITIONS).save_pretrained("GOOD")
        tokenizer.save_pretrained("GOOD")
        add_lora(build_model(tokenizer, "GOOD"), tokenizer).save_pretrained("ADAPTER")
        tokenizer.save_pretrained("ADAPTER")
        for original, damages in (("GOOD", DAMAGED), ("ADAPTER", DAMAGED_ADAPTERS)):
            for name, (file, content) in damages.items():
                shutil.copytree(original, name)
                damage(Path(name, file), content)
        for name in ("pickled/pytorch_model.bin", "adapter_pickled/adapter_model.bin"):
            torch.save({}, name)
        Path("no_shard/model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1-of-2.safetensors"}}')
        shutil.copytree("GOOD", "no_tokenizer")
        for path in Path("no_tokenizer").glob("tokenizer*"):
            path.unlink()
        for name in ("EMPTY", "folder.yaml", "folder.txt"):
            Path(name).mkdir()
        for name, content in FILES.items():
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        rows = Dataset.from_list(ROWS)
        rows.to_parquet("rows.parquet")
        shutil.copy("rows.parquet", "cut.parquet")
        damage(Path("cut.parquet"), HALF)
        rows.select([]).to_parquet("no_rows.parquet")
        DatasetDict(train=rows, validation=rows.remove_columns("completion"), test=rows).save_to_disk("half_columns")
        DatasetDict(test=rows).save_to_disk("only_test")
        long = Dataset.from_list([{"prompt": "1," * 40, "completion": "2"}])
        for split, table in (("train", rows), ("validation", long), ("test", rows)):
            table.to_parquet(f"long_validation/{split}.parquet")
        shutil.copytree("only_test", "cut_saved")
        damage(Path("cut_saved/dataset_dict.json"), HALF)
    return folder


@pytest.fixture
def place(broken_things, monkeypatch) -> Path:
    monkeypatch.chdir(broken_things)
    return broken_things


def everything_in(folder: Path) -> dict[str, tuple]:
    return {str(path): (path.is_dir() or path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def error_of(command: Callable, argv: list[str], place: Path, capfd, code: int = 2) -> str:
    """Run a command in process; return its one line of error without the command's name."""
    before = everything_in(place)
    with pytest.raises(SystemExit) as exit:
        command(argv)
    printed = capfd.readouterr()
    program = "finetune.py" if command is finetune else "nextfail"
    found = [line for line in printed.err.splitlines() if ": error: " in line]
    assert exit.value.code == code, printed.err
    assert len(found) == 1
    assert printed.err.rstrip().splitlines()[-1] == found[0]
    assert found[0].startswith(f"{program}: error: ")
    assert "Traceback" not in printed.err + printed.out
    assert everything_in(place) == before
    return found[0]


def check_words(line: str, words: str) -> None:
    """Make sure that words, between which `...` stands for others, stand in a line in this order."""
    assert re.search(".*".join(map(re.escape, words.split("..."))), line), line


# Options of the training of a model from scratch -> words of the line.
OPTIONS = {
    # wrong types
    "--num_test 2.5": "--num_test...invalid int value: '2.5'",
    "--learning_rate fast": "--learning_rate...invalid float value: 'fast'",
    "--streaming perhaps": "--streaming: Truthy value expected: got perhaps",
    '--config_overrides \'{"n_layer": "four"}\'': "Field 'n_layer' expected int, got str (value: 'four')",
    "--config_overrides '[2]'": 'config_overrides must be a JSON object such as {"n_layer": 4}, got [2]',
    "--config_overrides '{\"n_layer\": 2'": "config_overrides must be JSON such as",
    "--lr_scheduler_kwargs min_lr": "lr_scheduler_kwargs must be a JSON object, got 'min_lr'",
    "--lr_scheduler_kwargs '{\"min_lr\": '": "lr_scheduler_kwargs must be a JSON object, got",
    # out of range
    "--seed -1": "seed must be an integer from 0 to 4294967295, got -1",
    "--data_seed 99999999999": "data_seed must be an integer from 0 to 4294967295, got 99999999999",
    "--dataset_seed -1": "seed must be an integer >= 0, got -1",
    "--num_train 0": "num_train must be at least 1, got 0",
    "--num_diagnosed -1": "num_diagnosed must be at least 0, got -1",
    "--per_device_train_batch_size 0": "per_device_train_batch_size must be above 0 and finite, got 0",
    "--learning_rate nan": "learning_rate must be above 0 and finite, got nan",
    "--learning_rate inf": "learning_rate must be above 0 and finite, got inf",
    "--num_train_epochs inf": "num_train_epochs must be above 0 and finite, got inf",
    "--max_steps 0": "max_steps must be at least 1, or -1 for num_train_epochs to decide, got 0",
    "--weight_decay -1": "weight_decay must be at least 0 and finite, got -1.0",
    "--max_grad_norm nan": "max_grad_norm must be at least 0 and finite, got nan",
    "--warmup_steps -1": "warmup_steps must be at least 0 and finite, got -1.0",
    "--eval_steps -5": "eval_steps must be at least 0 and finite, got -5.0",
    "--save_steps -5": "save_steps must be at least 0 and finite, got -5.0",
    "--adam_beta1 2": "adam_beta1 must be from 0 to below 1, got 2.0",
    "--dataloader_num_workers -1": "dataloader_num_workers must be at least 0 and finite, got -1",
    "--stop_at_accuracy 90": "stop_at_accuracy must be above 0 and at most 1, got 90.0",
    "--lora_r 0": "lora_r must be an integer >= 1, got 0",
    "--lora_dropout nan": "lora_dropout must be from 0 to below 1, got nan",
    "--config_overrides '{\"n_layer\": 0}'": "config_overrides: n_layer must be at least 1, got 0",
    '--config_overrides \'{"n_layer": 1, "n_embd": 10, "n_head": 3}\'': "gpt2 cannot be built: ValueError: ",
    '--config_overrides \'{"n_positions": 8, "n_embd": 12}\'': "a row has 18 tokens, but the model has 8 positions",
    "--dataset_config d2_l3_n4": "num_nodes must be an integer from 5 to",
    # unknown, with the near one
    "--learning_rat 1": "there is no option --learning_rat (did you mean 'learning_rate'?)",
    "--objective teacherles": "objective must be...got 'teacherles' (did you mean 'teacherless'?)",
    "--optim adamw_troch": "--optim: invalid choice: 'adamw_troch' (choose from 'adamw_torch'",
    "--fast_path gelu atention": "fast_path must be some of...got 'atention' (did you mean 'attention'?)",
    "--report_to wandbb": "report_to must be some of...got 'wandbb' (did you mean 'wandb'?)",
    "--report_to clearml": "report_to: clearml is not installed; pip install clearml, or report_to none",
    "--optim adamw_bnb_8bit": "optim adamw_bnb_8bit...need to install `bitsandbytes`",
    "--model_type gpt22": "model_type 'gpt22' is not a causal LM of transformers (did you mean 'gpt2'?)",
    "--model_type bert": "model_type 'bert' is not supported: it is an encoder",
    "--config_overrides '{\"n_layers\": 2}'": "gpt2 has no 'n_layers' (did you mean 'n_layer'?)",
    '--config_overrides \'{"activation_function": "gleu"}\'': "gpt2 cannot be built: KeyError: 'gleu'",
    "--attn_implementation spda": '`attn_implementation="spda"` is not supported',
    "--dataset_name nextfail/stars": "there is no dataset nextfail/stars, only nextfail/star_graph",
    "--dataset_name star_graph": "there is no dataset star_graph (did you mean 'nextfail/star_graph'?)",
    # twice: a public report of a second --config that took the place of the first
    "--seed 1 --seed 2": "--seed is given twice: give it once",
    "--learning_rate=1e-3 --learning_rate 1e-4": "--learning_rate is given twice",
    "--streaming --streaming false": "--streaming is given twice",
    # without effect
    "--do_train false": "--do_train false has no effect: each run trains",
    "--do_eval=false": "--do_eval false has no effect",
    "--prediction_loss_only true": "--prediction_loss_only has no effect: evaluation is hf_nextfail's own",
    "--eval_accumulation_steps 3": "--eval_accumulation_steps has no effect",
    "--include_for_metrics inputs": "--include_for_metrics has no effect",
    "--no_eval_do_concat_batches": "--eval_do_concat_batches has no effect",
    "--include_num_input_tokens_seen maybe": "must be all, non_padding or no, got 'maybe'",
    # what the Trainer builds when training begins
    "--lr_scheduler_kwargs '{\"min_lrr\": 1}'": "the schedule constant_with_warmup has no min_lrr; it has no options",
    "--lr_scheduler_type polynomial --lr_scheduler_kwargs '{\"lr_ent\": 1}'": "has no lr_ent (did you mean 'lr_end'?)",
    "--lr_scheduler_type polynomial --lr_scheduler_kwargs '{\"lr_end\": 1}'": "lr_end (1) must be smaller than",
    "--lr_scheduler_type warmup_stable_decay": "lr_scheduler_type warmup_stable_decay...'num_decay_steps'",
    "--lr_scheduler_type cosine_with_min_lr": "lr_scheduler_type cosine_with_min_lr...min_lr or min_lr_rate",
    "--optim_args rank=3": "optim_args rank=3: this optimizer does not look at them: leave",
    "--optim galore_adamw": "optim galore_adamw...install `galore_torch`",
    "--use_liger_kernel true": "use_liger_kernel needs the package liger-kernel: pip install liger-kernel",
    "--torch_compile true --torch_compile_mode fast": "torch_compile_mode fast: RuntimeError: Unrecognized mode=fast",
    "--neftune_noise_alpha -1": "neftune_noise_alpha must be at least 0 and finite, got -1.0",
    "--dataloader_persistent_workers true": "dataloader_persistent_workers needs dataloader_num_workers above 0",
    "--dataloader_multiprocessing_context fork": "dataloader_multiprocessing_context needs dataloader_num_workers",
    # more than there is room for
    "--num_test 99999999999": "100,000,000,069 rows of star_graph d2_l3_n20 need about...more than 50% of the",
    # contradictions
    "--model_name_or_path GOOD": "give either model_name_or_path, a checkpoint, or model_type, a family",
    "--use_peft true": "use_peft adapts a pretrained model: give model_name_or_path",
    "--lora_r 4": "lora_r goes with use_peft true: give that, or leave lora_r out",
    "--label_smoothing_factor 0.1": "label_smoothing_factor must be 0, got 0.1: the loss is the objective's",
    "--config fp32.yaml bf16.yaml": "bf16 computes in bf16, and star_graph/teacher_forced/fp32 in fp32",
    "--config_overrides '{\"vocab_size\": 9}'": "the tokenizer decides vocab_size; leave it out",
    "--fp16 true --bf16 true": "At most one of fp16 and bf16",
    "--dataloader_prefetch_factor 2": "--dataloader_prefetch_factor can only be set when",
    "--dataset_name rows.jsonl": "rows.jsonl needs a tokenizer: give model_name_or_path, or tokenizer_name_or_path",
    "--dataset_name rows.jsonl --streaming true": "streaming goes with rows that are generated, not with",
    "--hub_strategy checkpoint --push_to_hub true": "hub_strategy must be end or every_save: whole checkpoints hold",
    "--metric_for_best_model eval_acuracy --load_best_model_at_end true --save_strategy steps --save_steps 100": (
        "metric_for_best_model must be eval_accuracy or eval_loss, got 'eval_acuracy' (did you mean 'eval_accuracy'?)"
    ),
    # missing files, folders for files, files for folders
    "--accelerator_config gone.json": "accelerator_config must be a JSON object or a file of one; there is no file",
    "--config gone": "--config: there is no file and no recipe gone",
    "--config smoke": "no recipe smoke; ours are circle_construction/",
    "--config star_graph/teacherless/smok": "no recipe star_graph/teacherless/smok (did you mean",
    "--config folder.yaml": "--config: folder.yaml is a folder; name a YAML file in it",
    "--test_file gone.txt": "test_file: there is no file gone.txt",
    "--test_file folder.txt": "test_file: there is no file folder.txt",
    "--output_dir file": "--output_dir file/star_graph/teacher_forced/d2_l3_n20-gpt2:...is a file; name a folder",
    "--output_dir /proc/nothing": "/proc/nothing",
    "--resume_from_checkpoint gone": "--resume_from_checkpoint must be true or a checkpoint folder; there is no",
    # files of the paper
    "--test_file latin.txt": "latin.txt, line 2: not of the form",
    "--test_file cut.txt": "cut.txt, line 3: not of the form",
    "--test_file empty.txt": "empty.txt: the file is empty",
    "--test_file longer.txt": "test_file longer.txt holds graphs G(2,4), but is measured beside G(2,3), 20 labels",
    "--test_file wrong_path.txt": "wrong_path.txt, line 1: the path 7,9,1 does not follow the edges",
    "--test_file label.txt": "the tokenizer of 25 tokens cannot express '7,3|3,49|7,9|9,1/7,49='",
    # tokenizers
    "--tokenizer_name_or_path GOOD --dataset_config d2_l3_n50": "the tokenizer of 25 tokens cannot express",
    "--tokenizer_name_or_path EMPTY": "no tokenizer can be loaded from EMPTY: the folder has no tokenizer files",
    "--tokenizer_name_or_path file": "no tokenizer can be loaded from file: it is a file; name its folder",
    "--tokenizer_name_or_path gone": "no tokenizer can be loaded from gone: there is no such folder here",
    "--tokenizer_name_or_path cut_tokenizer": "cut_tokenizer/tokenizer.json is damaged: it is not JSON",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options, place, capfd):
    line = error_of(finetune, over([*SMOKE, *SMALL, *SCRATCH], shlex.split(options)), place, capfd)
    check_words(line, OPTIONS[options])


# Recipe -> words of the line, which names the file.
RECIPES = {
    "list.yaml": "list.yaml: a recipe is a mapping of options, such as 'learning_rate: 1.0e-3'",
    "empty.yaml": "empty.yaml: a recipe is a mapping",
    "open.yaml": "open.yaml: cannot be read as YAML",
    "tab.yaml": "tab.yaml: cannot be read as YAML...line 2",
    "latin.yaml": "latin.yaml: cannot be read as YAML: 'utf-8' codec",
    "deep.yaml": "deep.yaml: cannot be read as YAML",
    "GOOD/model.safetensors": "GOOD/model.safetensors: cannot be read as YAML",
    "typo.yaml": "typo.yaml: there is no option learning_rat (did you mean 'learning_rate'?)",
    "word.yaml": "word.yaml: --seed: invalid int value: 'first'",
    "two_seeds.yaml": "two_seeds.yaml: seed must have one value and no list, got",
    "mapping.yaml": "mapping.yaml: --learning_rate...invalid float value",
    "date.yaml": "lr_scheduler_kwargs: the schedule linear has no begin; it has no options",
    "nested.yaml": "nested.yaml: there is no option config",
    "twice.yaml": "twice.yaml: cannot be read as YAML: learning_rate stands there twice, again in line 4",
    "twice_inside.yaml": "cannot be read as YAML: n_layer stands there twice, again in line 2: leave one out",
    "text_rate.yaml": "lr_end (100000.0) must be smaller than initial lr",
    "debug.yaml": "debug: underflow is not a valid DebugOption",
    "no_model.yaml": "no_model: give either model_name_or_path",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes(recipe, place, capfd):
    check_words(error_of(finetune, ["--config", recipe, "--output_dir=out"], place, capfd), RECIPES[recipe])


# Checkpoint -> words of the line, which both commands print.
CHECKPOINTS = {
    "cut_weights": "the weights of cut_weights cannot be read, the file is damaged...copy or download it again",
    "empty_weights": "the weights of empty_weights cannot be read, the file is damaged",
    "no_weights": "no_weights has no model.safetensors, so its weights are missing: copy or download it again",
    "pickled": "pickled has no model.safetensors, and hf_nextfail does not load its pickle pytorch_model.bin",
    "no_shard": "no_shard has no model-1-of-2.safetensors, so its weights are missing",
    "cut_config": "cut_config/config.json is damaged: it is not JSON",
    "list_config": "list_config/config.json is damaged: it holds no JSON object",
    "latin_config": "latin_config/config.json is damaged: it is not JSON",
    "no_config": "no_config holds no checkpoint: it has no config.json and no adapter_config.json",
    "typo_family": "typo_family: its config.json says model_type 'gpt22'...(did you mean 'gpt2'?)",
    "encoder": "model_type 'bert' is not supported: it is an encoder",
    "pictures": "pictures is not a causal LM",
    "wrong_field": "wrong_field: its config.json is not a valid configuration of gpt2:...'n_head'...'two'",
    "more_layers": "the weights of more_layers do not fit its config.json: 12 tensors are missing",  # those of a layer
    "wider": "the weights of wider do not fit its config.json",
    "cut_generation": "cut_generation/generation_config.json is damaged: it is not JSON",
    "cut_tokenizer": "cut_tokenizer/tokenizer.json is damaged: it is not JSON",
    "empty_tokenizer": "empty_tokenizer/tokenizer.json is damaged: it is not JSON",
    "no_such_tokenizer": "no tokenizer can be loaded from no_such_tokenizer",
    "cut_tokenizer_config": "cut_tokenizer_config/tokenizer_config.json is damaged: it is not JSON",
    "no_tokenizer": "no tokenizer can be loaded from no_tokenizer: the folder has no tokenizer files",
    "adapter_cut": "the adapter adapter_cut cannot be read, the file is damaged",
    "adapter_pickled": "adapter_pickled has no adapter_model.safetensors...not load its pickle adapter_model.bin",
    "adapter_config_cut": "adapter_config_cut/adapter_config.json is damaged: it is not JSON",
    "adapter_of_nothing": "adapter_of_nothing/adapter_config.json names no base_model_name_or_path",
    "adapter_of_gone": "there is no folder ./gone",
    "adapter_of_no_kind": "the adapter adapter_of_no_kind does not fit GOOD, or its adapter_config.json is damaged",
    "EMPTY": "EMPTY holds no checkpoint: it has no config.json",
    "file": "file is a file; name the folder of a checkpoint",
    "gone": "no tokenizer can be loaded from gone: there is no such folder here",
    "./gone": "there is no folder ./gone",
    "a/b/c": "a/b/c",
}


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_checkpoints(checkpoint, place, capfd):
    argv = [*SMOKE, *SMALL, "--model_name_or_path", checkpoint]
    check_words(error_of(finetune, argv, place, capfd), CHECKPOINTS[checkpoint])
    check_words(error_of(nextfail, ["evaluate", checkpoint], place, capfd), CHECKPOINTS[checkpoint])


# Data -> words of the line, which both commands print.
DATA = {
    "gone.jsonl": "there is no file gone.jsonl",
    "./gone": "there is no folder ./gone",
    "gone": "gone",
    "rows.xls": "rows.xls: a file of data must end in .csv, .json, .jsonl, .ndjson, .parquet, .tsv, and may then end",
    "cut.jsonl": "cut.jsonl cannot be read as a table of rows",
    "cut.json": "cut.json cannot be read as a table of rows",
    "latin.jsonl": "latin.jsonl, line...: not UTF-8...save the file as UTF-8",
    "empty.jsonl": "empty.jsonl: the file is empty",
    "no_rows.json": "no_rows.json holds no rows: give it some with a prompt and a completion",
    "number.json": "number.json cannot be read as a table of rows",
    "words.json": "words.json cannot be read as a table of rows",
    "other_columns.jsonl": "other_columns.jsonl has no column completion in train, only prompt, answer: rename one",
    "numbers.jsonl": "numbers.jsonl: the column completion of train must be text, and is of int64",
    "mixed.jsonl": "mixed.jsonl: the column completion of train must be text, and is of several types",
    "nulls.jsonl": "nulls.jsonl: the column completion of train has no text in 1 rows: leave them out",
    "few.jsonl": "few.jsonl has no rows in...training needs all three splits...its 2 rows have 2 different prompts",
    "half_columns": "half_columns has no column completion in validation, only prompt",
    "only_test": "only_test has no split called train, only test: rename one",
    "cut_saved": "cut_saved",
    "EMPTY": "EMPTY",
    "cut.parquet": "cut.parquet...not a parquet file",
    "words.parquet": "words.parquet...not a parquet file",
    "empty.parquet": "empty.parquet...0 bytes",
    "no_rows.parquet": "no_rows.parquet holds no rows",
}


@pytest.mark.parametrize("data", DATA)
def test_data(data, place, capfd):
    options = ["--dataset_name", data, "--num_train=1000"]
    argv = [*SMOKE, *SCRATCH, "--tokenizer_name_or_path=GOOD", *options]
    check_words(error_of(finetune, argv, place, capfd), DATA[data])
    if data not in ("only_test", "few.jsonl"):  # which can be measured
        check_words(error_of(nextfail, ["evaluate", "GOOD", *options[:2]], place, capfd), DATA[data])


# Data that can be read, and that the model cannot take -> words of the line.
ROWS_AT_FAULT = {
    "silent.jsonl": "the completion of the row {'prompt': '3,1=', 'completion': ''} has no tokens: leave such rows",
    "commas.jsonl": "the completion of the row {'prompt': '3,1=', 'completion': ',,'} has no tokens",
    "unasked.jsonl": "the prompt of the row {'prompt': '', 'completion': '1'} has no tokens",
    "long_validation": "a row has 41 tokens, but the model has 32 positions",
    "long.jsonl": "a row has 41 tokens, but the model has 32 positions; take...shorter rows",
    "label.jsonl": "the tokenizer of 25 tokens cannot express '99='",
}


@pytest.mark.parametrize("data", ROWS_AT_FAULT)
def test_rows(data, place, capfd):
    options = ["--tokenizer_name_or_path=GOOD", f"--dataset_name={data}", "--num_train=1000"]
    check_words(error_of(finetune, [*SMOKE, *SCRATCH, *options], place, capfd), ROWS_AT_FAULT[data])


# Line of the command -> words of the line of error.
COMMANDS = {
    "evalute GOOD": "Did you mean 'evaluate'?",
    "evaluate": "Missing argument",
    "evaluate GOOD --splt test": "--splt",
    "evaluate GOOD --num_rows many": "'--num_rows': Input should be a valid integer",
    "evaluate GOOD --num_rows 0": "num_rows must be at least 1, got 0",
    "evaluate GOOD --seed 3 --dataset_config d2_l3_n20": "seed goes with creative tasks",
    "evaluate GOOD --batch_size 0": "batch_size must be at least 1, got 0",
    "evaluate GOOD --split tset": "split must be train or validation or test or all...(did you mean 'test'?)",
    "evaluate GOOD --decoding paralel": "decoding must be...(did you mean 'parallel'?)",
    "evaluate GOOD --dataset_seed -1 --dataset_config d2_l3_n20": "seed must be an integer >= 0, got -1",
    "evaluate GOOD --dataset_config d2": "unknown config 'd2'",
    "evaluate GOOD --dataset_config d2_l3_n50": "cannot express...does it know all labels?",
    "evaluate GOOD --dataset_config d2_l10_n20": "a row has 67 tokens, but the model has 32 positions",
    "evaluate GOOD --dataset_name rows.jsonl --test_file cut.txt": "test_file goes with nextfail/star_graph, not with",
    "evaluate GOOD --test_file folder.txt --dataset_config d2_l3_n20": "folder.txt is a folder; name a text file",
    "evaluate GOOD --test_file latin.txt --dataset_config d2_l3_n20": "latin.txt, line 2: not of the form",
    "evaluate GOOD --push_results": "--push_results needs a repository on the Hub, and GOOD is a folder",
    "evaluate GOOD --output_dir file": "--output_dir file:...file is a file; name a folder",
    "evaluate GOOD --output_dir file/deeper": "--output_dir file/deeper:...file is a file; name a folder",
    "evaluate GOOD --num_rows 3 --dataset_config d2_l3_n20 --output_dir /proc/nothing": "--output_dir /proc/nothing",
    "evaluate cut_results": "cut_results/results.json is damaged: it is not JSON",
    "diagnose GOOD --dataset_name rows.jsonl": "rows.jsonl: a diagnosis needs the edges of star graphs",
    "diagnose GOOD --num_rows 0": "num_rows must be at least 1, got 0",
    "diagnose GOOD --test_file label.txt --dataset_config d2_l3_n20": "cannot express '7,3|3,49|7,9|9,1/7,49='",
    "diagnose GOOD --output_dir file": "--output_dir file:...file is a file; name a folder",
    "diagnose cut_weights": "the weights of cut_weights cannot be read",
    "report": "Missing argument",
    "leaderboard --protocol gone.yaml": "gone.yaml: No such file or directory; name the file of a grid",
    "report gone": "there is no file or folder gone",
    "report EMPTY": "EMPTY holds no results.json: name the folder of a run",
    "report cut_record.json": "cut_record.json: cannot be read as JSON",
    "report no_record.json": "no_record.json: not what a run writes",
    "report old_record.json": "old_record.json: schema_version must be 1 or 2, got 0",
    "report old_record.json --output_dir file": "--output_dir file:...file is a file; name a folder",
    f"report {REPOSITORY}/hub_cards/results/contrast --output_dir /proc/nothing": "/proc/nothing:",
    "evaluate runs/gone/smoke": "there is no folder runs/gone/smoke",
    "evaluate ./file": "./file is a file; name the folder of a checkpoint",
    "reproduce grid_cpuu": "there is no file and no grid grid_cpuu (did you mean 'grid_cpu'?)",
    "reproduce grid_cpu --dry_run --output_dir /proc/nothing": "--output_dir /proc/nothing:",
    "rerun gone": "there is no file or folder gone",
    "rerun cut_record.json": "cut_record.json: cannot be read as JSON",
    "sample d2_l5": "unknown config 'd2_l5'",
    "sample --index 20000": "index must be an integer from 0 to 19999",
    "sample --index -1": "index must be an integer from 0 to 19999",
    "sample --dataset_seed -1": "seed must be an integer >= 0, got -1",
    "sample --picture a.gif": "--picture must end in .png or .svg, got 'a.gif'",
    "sample --picture file/a.png": "--picture file/a.png",
    "sample --tokenizer cut_tokenizer": "cut_tokenizer/tokenizer.json is damaged",
    "sample --tokenizer GOOD": "the tokenizer of 25 tokens cannot express",
    "push-model GOOD": "Missing option '--repo'",
    "push-model cut_results --repo nextfail/x": "cut_results/results.json: cannot be read as JSON",
    "push-model adapter_config_cut --repo nextfail/x": "adapter_config_cut/adapter_config.json is damaged",
    "push-model gone --repo nextfail/x": "there is no folder gone",
    "push-model file --repo nextfail/x": "there is no folder file",
    "push-model GOOD --repo a/b/c": "'a/b/c' is not a valid name for a repository",
    "push-dataset --configs d2_l3": "unknown config 'd2_l3'",
    "push-dataset --num_train -1": "num_train must be an integer >= 0, got -1",
    "push-dataset --num_train 0 --num_validation 0 --num_test 0": "are all 0: nothing to generate",
    "push-metric valid_paths": "there is no metric 'valid_paths'...(did you mean 'valid_path_rate'?)",
    "push-metric --repo a/b/c": "'a/b/c' is not a valid name for a repository",
    "env gone": "gone is neither a family nor a checkpoint that can be read",
    "env bert": "bert is neither a family nor a checkpoint that can be read: model_type 'bert' is not supported",
    "env runs/gone/smoke": "there is no folder runs/gone/smoke",
    "env cut_config": "cut_config is neither a family nor a checkpoint that can be read",
    "env wrong_field": "wrong_field is neither a family nor a checkpoint that can be read",
    "env EMPTY": "EMPTY is neither a family nor a checkpoint that can be read",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, place, capfd):
    check_words(error_of(nextfail, shlex.split(command), place, capfd), COMMANDS[command])


@pytest.mark.parametrize("name", ["pickled", "EMPTY"])
def test_what_is_no_checkpoint_is_not_pushed(hub, name, place, capfd):
    line = error_of(nextfail, ["push-model", name, "--repo", "nextfail/x"], place, capfd)
    check_words(line, f"{name} holds no checkpoint: there is no *.safetensors in it")
    assert not any(request["method"] in ("POST", "PUT") for request in hub.log)


@pytest.mark.parametrize("command", [finetune, nextfail])
def test_a_folder_that_may_not_be_written_to(command, place, capfd, tmp_path, monkeypatch):
    access = os.access  # tests may run as the superuser, who may write anywhere
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    argv = [*SMOKE, *SMALL, *SCRATCH] if command is finetune else ["evaluate", "GOOD"]
    line = error_of(command, over(argv, ["--output_dir", str(tmp_path / "out")]), place, capfd)
    check_words(line, f"nothing may be written to {tmp_path}; name a folder of yours")


def test_two_trainings_do_not_share_a_folder(place, capfd, tmp_path):
    argv = [*SMALL, *SCRATCH, *[word for word in SMOKE if "output_dir" not in word], f"--output_dir={tmp_path}"]
    with alone_in(tmp_path / "star_graph/teacher_forced/d2_l3_n20-gpt2"):
        line = error_of(finetune, argv, place, capfd)
    check_words(line, "another command is at work in...d2_l3_n20-gpt2: wait for it, or name another --output_dir")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


FINETUNE = [sys.executable, str(REPOSITORY / "recipes/finetune.py")]
NEXTFAIL = [sys.executable, "-m", "hf_nextfail.commands.main"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([*FINETUNE, "--config", "list.yaml"], "finetune.py: error: list.yaml: a recipe is a mapping"),
        ([*NEXTFAIL, "evaluate", "pickled"], "nextfail: error: pickled: pickled has no model.safetensors"),
    ],
    ids=["recipe", "evaluate"],
)
def test_the_real_commands(argv, words, place):
    before = everything_in(place)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert done.stderr.rstrip().endswith(line)
    assert words in line
    assert "Traceback" not in done.stderr + done.stdout
    assert everything_in(place) == before


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (finetune, ["--config", "open.yaml", "--debug"]),
        (finetune, [*SMOKE, *SMALL, "--debug", "--model_name_or_path=cut_weights"]),
        (nextfail, ["--debug", "evaluate", "cut_weights"]),
        (nextfail, ["report", "gone", "--debug"]),
    ],
)
def test_debug_shows_the_same_line_below_its_traceback(command, argv, place, capfd):
    expected = error_of(command, [word for word in argv if word != "--debug"], place, capfd)
    with pytest.raises(SystemExit) as exit:
        command(argv)
    printed = capfd.readouterr().err
    assert exit.value.code == 2
    assert printed.count("Traceback (most recent call last):") >= 1
    assert printed.rstrip().splitlines()[-1] == expected


@pytest.mark.parametrize("command", [finetune, nextfail])
def test_help_says_how_to_see_the_traceback(command, capsys):
    with pytest.raises(SystemExit) as exit:
        command(["--help"])
    assert exit.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--debug" in text
    assert "Show the traceback of an error" in text


def test_debug_is_not_part_of_the_recipe(place):
    from hf_nextfail.runs.recipes import parse_runs

    (run,) = parse_runs([*SMOKE, "--debug"])
    assert "debug" not in run.recipe
    assert run.training.debug == []
