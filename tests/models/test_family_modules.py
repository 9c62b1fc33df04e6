"""Multi-token modules that transformers loads and generates with, and, family by family, what keeps it from others.

Where a test here fails with a newer transformers, that may have been mended: see the docstring of `ds_mtp`.
"""

import pytest
import torch
from datasets import load_dataset
from families import EXPERTS, FAMILIES, HEADS, TOKENIZER, build
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import MtpModel

from hf_nextfail import NextFailTrainer, NextFailTrainingArguments, numeral_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.family_modules import FamilyModules, check_family_modules, num_family_modules
from hf_nextfail.models.with_heads import HEADS_FILE
from hf_nextfail.objectives import DsMtpObjective

MIXTURE = HEADS | EXPERTS | {"moe_intermediate_size": 32}
MELLUM = MIXTURE | {"num_mtp_layers": 1, "mtp_layer_types": ["full_attention"]}


def make(family, sizes, num_modules=1, tokenizer=TOKENIZER):
    torch.manual_seed(0)
    model = build_model(tokenizer, model_type=family, config_overrides=sizes)
    model.config.num_mtp_layers = num_modules  # not every family that can has it among its own fields
    return model


def mellum(tokenizer=TOKENIZER, **sizes):
    return make("mellum", MELLUM | sizes, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def rows():
    return load_dataset("nextfail/star_graph", "d2_l3_n20", num_train=48, num_validation=8, num_test=1)


def trained(model, tokenizer, folder, rows, **options):
    objective = DsMtpObjective(tokenizer, depth=model.config.num_mtp_layers)
    options = {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "save_steps": 2} | options
    trainer = NextFailTrainer(
        model,
        NextFailTrainingArguments(str(folder), precision="fp32", disable_tqdm=True, **options),
        objective=objective,
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(("family", "num_modules"), [("mellum", 1), ("ernie4_5_moe", 2)])
def test_transformers_generates_with_the_modules_that_were_trained(family, num_modules, rows, tmp_path, monkeypatch):
    tokenizer = numeral_tokenizer(num_nodes=20)
    model = make(family, MELLUM if family == "mellum" else FAMILIES[family], num_modules, tokenizer)
    trainer = trained(model, tokenizer, tmp_path, rows)
    trainer.save_model()
    modules = trainer.heads.heads
    assert (tmp_path / "checkpoint-4" / HEADS_FILE).is_file()  # to go on from
    for folder in (tmp_path, tmp_path / "checkpoint-4"):
        loaded, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(loading.values())
        drafted, forward = [], MtpModel.forward

        def watched(self, *args, forward=forward, drafted=drafted, **kwargs):
            drafted.append((self, *forward(self, *args, **kwargs)))
            return drafted[-1][1:]

        monkeypatch.setattr(MtpModel, "forward", watched)
        prompt = tokenizer(rows["validation"]["prompt"][0], return_tensors="pt").input_ids
        options = {"do_sample": False, "max_new_tokens": 6}
        written = loaded.generate(prompt, **options)
        assert not drafted
        assert torch.equal(loaded.generate(prompt, use_mtp=True, **options), written)
        monkeypatch.undo()
        used, tokens, logits, _ = drafted[0]
        state = used.state_dict()
        assert all(torch.equal(state[name], weight) for name, weight in modules.state_dict().items())
        # The first draft is what the modules, as they were trained, say behind the prompt and the first token.
        ids = torch.cat([written[:, : prompt.shape[1] + 1], tokens], dim=1)
        with torch.no_grad():
            states = model.eval()(prompt, output_hidden_states=True).hidden_states[-1]
            said = modules(states, ids, num_kept=1)
        torch.testing.assert_close(torch.cat(said, dim=1), logits, rtol=1e-4, atol=1e-4)


def test_the_modules_of_the_best_model_are_saved_with_it(rows, tmp_path):
    tokenizer = numeral_tokenizer(num_nodes=20)
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": False}
    best |= {"eval_strategy": "steps", "eval_steps": 2}
    trainer = trained(mellum(tokenizer), tokenizer, tmp_path, rows, **best)
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-2")
    kept = load_file(tmp_path / "checkpoint-2" / HEADS_FILE)
    assert all(torch.equal(weight, kept[name]) for name, weight in trainer.heads.heads.state_dict().items())


def test_experts_begin_as_those_of_the_family():
    model = mellum(initializer_range=0.02)
    [layer] = FamilyModules(model).layers
    assert layer.mtp_block.mlp.experts.gate_up_proj.std().item() == pytest.approx(0.02, rel=0.1)


def test_adapters_and_families_without_modules_have_blocks_of_ours(caplog):
    assert num_family_modules(build("llama")) == num_family_modules(torch.nn.Linear(1, 1)) == 0
    assert num_family_modules(mellum()) == 1
    check_family_modules(build("llama"), depth=2)
    assert "num_mtp_layers" not in caplog.text
    adapter = get_peft_model(mellum(), LoraConfig(target_modules=["q_proj"]))
    assert num_family_modules(adapter) == 0
    check_family_modules(adapter, depth=2)
    assert "num_mtp_layers is 1, and transformers finds no modules of this model" in caplog.text


def test_modules_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="depth must be the num_mtp_layers of the model, 1, got 2"):
        DsMtpObjective(TOKENIZER).check(mellum())
    reason = "mtp_layer_types must be among .* of the model, full_attention, .*, got sliding_attention"
    with pytest.raises(ValueError, match=reason):
        check_family_modules(mellum(mtp_layer_types=["sliding_attention"]), depth=1)
    check_family_modules(mellum(mtp_layer_types=["sliding_attention"], layer_types=["sliding_attention"] * 2), depth=1)


# What stands in the way in transformers 5.24


def save_behind_the_layers(model, folder):
    """Save a model with a module where the released checkpoints of its family have one."""
    state = MtpModel(model, 1).layers[0].state_dict()
    names = {name: f"model.layers.2.{name.removeprefix('mtp_block.')}" for name in state}
    model.save_pretrained(folder, state_dict=model.state_dict() | {names[name]: state[name] for name in state})


GLM = MIXTURE | {"n_routed_experts": 4, "first_k_dense_replace": 1}
SARVAM = GLM | {"n_group": 2, "topk_group": 1}
del GLM["num_experts"], GLM["head_dim"], SARVAM["num_experts"]


@pytest.mark.parametrize(
    ("family", "sizes", "reason"),
    [
        ("deepseek_v3", FAMILIES["deepseek_v3"], "MtpModel weights are missing from .* not matching the conversion"),
        ("glm4_moe", GLM, "MtpModel weights are missing from .* not matching the conversion"),
        ("sarvam_moe", SARVAM, "does not seem to register any known MTP layer patterns|weights are missing"),
    ],
)
def test_where_modules_are_is_written_down_for_the_released_models_alone(family, sizes, reason, tmp_path):
    model = make(family, sizes)
    assert num_family_modules(model) == 0
    save_behind_the_layers(model, tmp_path)
    loaded, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert "model.layers.2.enorm.weight" in loading["unexpected_keys"]
    with pytest.raises((RuntimeError, ValueError), match=reason):
        loaded.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=2, do_sample=False, use_mtp=True)


def test_a_deepseek_of_as_many_layers_as_the_released_one_has_a_module():
    model = make("deepseek_v3", FAMILIES["deepseek_v3"] | {"num_hidden_layers": 61})
    assert num_family_modules(model) == 1
    model.config.num_mtp_layers = 2
    assert num_family_modules(model) == 0


def test_drafts_are_refused_for_recurrent_states():
    model = build("qwen3_next")
    model.config.num_mtp_layers = 1
    assert num_family_modules(model) == 0
    with pytest.raises(ValueError, match="assisted generation is not supported with stateful models"):
        model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=2, do_sample=False, use_mtp=True)


def test_more_modules_than_layers_are_taken_for_layers_behind_those_of_the_model():
    two, three = (make("ernie4_5_moe", FAMILIES["ernie4_5_moe"], number) for number in (2, 3))
    assert (num_family_modules(two), num_family_modules(three)) == (2, 0)
    renamed = MtpModel(three, 3).get_weight_conversions(three)[0].rename_source_key("mtp.layers.2.enorm.weight")[0]
    assert renamed == "mtp.layers.0.mtp_block.enorm.weight"


def test_an_inkling_would_learn_nothing_from_modules_in_its_embedding():
    sliding = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8}
    sizes = MIXTURE | sliding | {"n_routed_experts": 4}
    del sizes["num_experts"]
    model = make("inkling_text", sizes)
    assert num_family_modules(model) == 0
    assert MtpModel(model, 1).embed_tokens is not model.get_input_embeddings()


def test_the_rotary_embeddings_of_a_default_mellum_lack_those_of_its_modules():
    model = make("mellum", MIXTURE | {"num_mtp_layers": 1})
    with pytest.raises(KeyError, match="sliding_attention"):
        MtpModel(model, 1).forward_layer(
            0, torch.zeros(1, 2, 32), torch.arange(1, 3)[None], None, torch.ones(1, 2).long()
        )


def test_a_mtp_model_cannot_be_trained_by_its_own_loss():
    ids, positions = torch.ones(1, 2).long(), torch.arange(1, 3)[None]
    with pytest.raises(TypeError, match="unsupported operand type"):
        MtpModel(mellum(), 1)(ids, torch.zeros(1, 2, 32), None, positions, None, labels=ids)
