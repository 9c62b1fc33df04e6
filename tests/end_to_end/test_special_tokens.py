"""The special tokens of an objective: in its tokenizer, its model and its checkpoints, and in no others."""

import json

import pytest
from run_folders import only_run
from tiny_models import tiny_options
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_nextfail.commands.finetune import main as finetune
from hf_nextfail.runs.measure_checkpoint import evaluate_checkpoint

SMALL = [
    *("--config=star_graph/teacher_forced/smoke", "--num_train=64", "--num_validation=16", "--num_test=16"),
    *("--max_steps=2", "--per_device_train_batch_size=8", "--precision=fp32", "--eval_strategy=no"),
    *("--eval_on_start=false", "--num_diagnosed=0", "--disable_tqdm=true"),
]
TOKENS = ["<T>", "</T>"]


def trained(folder, objective, *options):
    """The folder, tokenizer and model of a run; by default of a model from scratch."""
    finetune([*SMALL, f"--objective={objective}", "--output_dir", str(folder), *(options or tiny_options())])
    run = only_run(folder)
    return run, AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run)


def test_they_are_added_for_their_objective_alone_and_stay(tmp_path):
    plain, usual, small = trained(tmp_path / "plain", "teacher_forced")
    assert (len(usual), small.config.vocab_size) == (25, 25)
    assert not set(TOKENS) & set(usual.get_vocab())

    from_scratch, tokenizer, model = trained(tmp_path / "own", "trelawney")
    further, grown, of_checkpoint = trained(tmp_path / "further", "trelawney", f"--model_name_or_path={plain}")
    _, kept, of_both = trained(tmp_path / "again", "teacher_forced", f"--model_name_or_path={further}")
    for found, learnt in ((tokenizer, model), (grown, of_checkpoint), (kept, of_both)):
        assert found.convert_tokens_to_ids(TOKENS) == [25, 26]
        assert len(found) == learnt.get_input_embeddings().num_embeddings == 27
        assert found("3,1|1,12/3,12=")["input_ids"] == usual("3,1|1,12/3,12=")["input_ids"]
        assert (found.dummy_token_id, found.pad_token_id) == (usual.dummy_token_id, usual.pad_token_id)
        assert learnt.generation_config.decoding == "autoregressive"

    for folder in (from_scratch, further):
        said = json.loads((folder / "results.json").read_text())["results"]
        measured = evaluate_checkpoint(str(folder), num_rows=16, progress=False).results
        assert measured["loss"]["value"] == pytest.approx(said["loss"]["value"], abs=1e-5)
        assert measured["accuracy"]["value"] == said["accuracy"]["value"]
