import pytest
import torch
from tiny_models import tiny_gpt2

from hf_nextfail import __version__
from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.runs.environment import describe_machine, explain_code_path
from hf_nextfail.training.hardware import fast_bf16


def test_the_machine_is_described_as_it_is():
    machine = describe_machine()
    assert machine["hf_nextfail"] == __version__
    assert machine["torch"] == torch.__version__
    assert machine["threads"] == str(torch.get_num_threads())
    assert machine["precision auto"] == ("bf16" if fast_bf16() else "fp32")


def test_a_kernel_that_is_missing_is_named_and_one_that_is_there_is_not(monkeypatch):
    installed = {"mamba_ssm"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    assert explain_code_path("mamba").endswith("not installed: causal_conv1d")
    installed.add("causal_conv1d")
    assert explain_code_path("mamba").startswith("mamba: the official kernels")
    assert "kernels" not in explain_code_path("gpt2")


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("falcon_mamba", "the scan of hf_nextfail on a CPU"),
        ("mamba2", "by chunks"),
        ("llama", "the code of transformers"),
    ],
)
def test_families_take_their_ways(family, words):
    assert words in explain_code_path(family)


def test_a_folder_is_told_by_its_family(tmp_path):
    tiny_gpt2(numeral_tokenizer(10)).save_pretrained(tmp_path)
    assert explain_code_path(str(tmp_path)) == explain_code_path("gpt2")
