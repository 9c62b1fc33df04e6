import json

import pytest

from hf_nextfail.runs.options import DataArguments, ModelArguments

ROWS = [{"prompt": f"{i} + 1 =", "completion": f" {i + 1}"} for i in range(300)]


def test_generated_data_has_a_task_and_the_sizes_asked_for():
    options = DataArguments(dataset_config="d2_l3_n20_rev", num_train=30, num_validation=4, num_test=5)
    assert options.generated.reverse
    assert {split: len(rows) for split, rows in options.load().items()} == {"train": 30, "validation": 4, "test": 5}
    assert len(options.load(num_train=3)["train"]) == 3


def test_without_a_configuration_it_is_the_default_one():
    assert DataArguments().dataset_config == "d2_l5_n50"


def test_own_data_has_no_task_and_at_most_the_sizes_asked_for(tmp_path):
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, ROWS)))
    whole = DataArguments(dataset_name=str(tmp_path / "rows.json"))
    assert whole.generated is None
    assert sum(map(len, whole.load().values())) == len(ROWS)
    few = DataArguments(dataset_name=str(tmp_path / "rows.json"), num_train=10, num_test=10**6).load()
    assert len(few["train"]) == 10
    assert few["test"].to_list() == whole.load()["test"].to_list()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_peft": True, "model_type": "gpt2"}, "use_peft adapts a pretrained model"),
        ({"lora_r": 0, "model_type": "gpt2"}, "lora_r must be"),
        ({"lora_dropout": 1.0, "model_type": "gpt2"}, "lora_dropout must be from 0 to below 1, got 1.0"),
        (
            {"fast_path": ["gelu", "atention"], "model_type": "gpt2"},
            "fast_path must be some of attention, gelu,.*'atention'",
        ),
        ({"fast_path": ["none", "gelu"], "model_type": "gpt2"}, "got 'none'"),
        ({"config_overrides": "[1]", "model_type": "gpt2"}, "must be a JSON object"),
        ({}, "give either model_name_or_path"),
    ],
)
def test_models_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ModelArguments(**fields)
