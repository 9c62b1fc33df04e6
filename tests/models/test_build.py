import pytest
import torch
from small_tokenizers import numerals_that_end
from tiny_models import TINY_GPT2
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models import build_model
from hf_nextfail.models.checks import UNSUPPORTED, check_layout, check_model_source

TOKENIZER = numeral_tokenizer(num_nodes=15)
NUM_TOKENS = len(TOKENIZER)
SMALL_LLAMA = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


def save_checkpoint(folder, seed=0, tokenizer=TOKENIZER, **overrides):
    torch.manual_seed(seed)
    model = build_model(tokenizer, model_type="gpt2", config_overrides=TINY_GPT2 | overrides)
    model.save_pretrained(folder)
    return model


def bigger_tokenizer(num_tokens):
    tokenizer = numeral_tokenizer(num_nodes=15)
    tokenizer.add_tokens([f"<|extra_{i}|>" for i in range(num_tokens)], special_tokens=True)
    return tokenizer


# From scratch


def test_untrained_model_fits_the_tokenizer():
    model = build_model(TOKENIZER, model_type="gpt2", config_overrides=TINY_GPT2)
    assert isinstance(model, GPT2LMHeadModel)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == NUM_TOKENS
    assert (model.config.bos_token_id, model.config.eos_token_id) == (None, None)
    assert model.config.pad_token_id == TOKENIZER.pad_token_id
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_end_token_of_an_untrained_model_is_that_of_the_tokenizer():
    tokenizer = numerals_that_end(num_nodes=15, end=9)
    assert build_model(tokenizer, model_type="gpt2", config_overrides=TINY_GPT2).config.eos_token_id == 9


def test_overrides_reach_the_configuration_and_the_weights():
    model = build_model(TOKENIZER, model_type="gpt2", config_overrides=TINY_GPT2 | {"attn_pdrop": 0.25})
    config = model.config.to_dict()
    assert config["attn_pdrop"] == 0.25
    assert {name: config[name] for name in TINY_GPT2} == TINY_GPT2
    assert len(model.transformer.h) == TINY_GPT2["n_layer"]
    assert model.transformer.wpe.weight.shape == (TINY_GPT2["n_positions"], TINY_GPT2["n_embd"])


def test_overrides_by_the_common_names_of_fields():
    common = {
        "n_layer": "num_hidden_layers",
        "n_embd": "hidden_size",
        "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings",
    }
    overrides = {common[name]: value for name, value in TINY_GPT2.items()}
    config = build_model(TOKENIZER, model_type="gpt2", config_overrides=overrides).config.to_dict()
    assert {name: config[name] for name in TINY_GPT2} == TINY_GPT2


def test_other_families():
    model = build_model(TOKENIZER, model_type="llama", config_overrides=SMALL_LLAMA)
    assert isinstance(model, LlamaForCausalLM)
    assert model.config.eos_token_id is None  # Llama's own is 2, a label here


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_implementation_is_the_one_asked_for(attention, tmp_path):
    options = {"attn_implementation": attention}
    model = build_model(TOKENIZER, model_type="gpt2", config_overrides=TINY_GPT2, **options)
    assert model.config._attn_implementation == attention
    model.save_pretrained(tmp_path)
    assert build_model(TOKENIZER, str(tmp_path), **options).config._attn_implementation == attention


def test_weights_repeat_with_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return build_model(TOKENIZER, model_type="gpt2", config_overrides=TINY_GPT2).state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])


# Refused


@pytest.mark.parametrize("sources", [{}, {"name_or_path": "gpt2", "model_type": "gpt2"}], ids=["none", "both"])
def test_exactly_one_source_is_needed(sources):
    with pytest.raises(ValueError, match="either model_name_or_path, a checkpoint, or model_type"):
        build_model(TOKENIZER, **sources)


def test_unknown_model_type_is_named_beside_the_near_one():
    with pytest.raises(ValueError, match=r"model_type 'gtp2' is not a causal LM .*did you mean 'gpt2'"):
        build_model(TOKENIZER, model_type="gtp2")


def test_model_type_that_is_no_causal_lm_is_refused():
    with pytest.raises(ValueError, match="model_type 't5' is not a causal LM"):
        build_model(TOKENIZER, model_type="t5")


def test_unknown_field_is_named_beside_the_near_one():
    with pytest.raises(ValueError, match=r"gpt2 has no 'n_layers' \(did you mean 'n_layer'\?\)"):
        build_model(TOKENIZER, model_type="gpt2", config_overrides={"n_layers": 2})


def test_vocab_size_is_refused():
    with pytest.raises(ValueError, match="the tokenizer decides vocab_size"):
        build_model(TOKENIZER, model_type="gpt2", config_overrides={"vocab_size": 20})


def test_overrides_of_a_checkpoint_are_refused(tmp_path):
    save_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="a checkpoint keeps its own configuration"):
        build_model(TOKENIZER, str(tmp_path), config_overrides={"n_layer": 1})


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"there is no folder {tmp_path / 'missing'}"):
        build_model(TOKENIZER, str(tmp_path / "missing"))


def test_pickled_weights_are_refused(tmp_path):
    model = save_checkpoint(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    build_model(TOKENIZER, str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    assert AutoModelForCausalLM.from_pretrained(tmp_path)  # which transformers itself would load
    with pytest.raises(ValueError, match="safetensors"):
        build_model(TOKENIZER, str(tmp_path))


def causal_lm(model_type, **fields):
    fields = SMALL_LLAMA | {"num_key_value_heads": 2, "vocab_size": 20, "pad_token_id": 19} | fields
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **fields)).eval()


@torch.no_grad()
def change_of_earlier_logits(model):
    """How much the logits of earlier positions change with the last token."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 9]])
    one, other = model(ids).logits[:, :-1]
    return (one - other).abs().max()


@pytest.mark.parametrize("model_type", UNSUPPORTED)
def test_unsupported_family_is_refused_with_the_reason(model_type):
    assert CONFIG_MAPPING[model_type] in MODEL_FOR_CAUSAL_LM_MAPPING  # or else it is refused as none anyway
    with pytest.raises(ValueError) as refused:
        check_model_source(None, model_type, {})
    assert str(refused.value).startswith(f"model_type {model_type!r} is not supported: {UNSUPPORTED[model_type]}; ")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("model_type", ["bert", "electra", "megatron-bert", "rembert", "roberta", "roformer"])
def test_unsupported_encoders_see_later_tokens(model_type):
    assert change_of_earlier_logits(causal_lm(model_type)) > 1e-4
    assert change_of_earlier_logits(causal_lm("llama")) < 1e-6


@torch.no_grad()
def test_unsupported_roberta_generates_at_other_positions_than_it_trains():
    torch.manual_seed(0)
    model = causal_lm("roberta", is_decoder=True, initializer_range=0.2)
    assert change_of_earlier_logits(model) < 1e-6
    prompt = torch.tensor([[1, 2, 3]])
    options = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    generated = model.generate(prompt, **options).logits[0]
    assert (generated - model(prompt).logits[:, -1]).abs().max() > 0.1


def test_checkpoint_of_an_unsupported_family_is_refused(tmp_path):
    causal_lm("bert").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model_type 'bert' is not supported: it is an encoder"):
        build_model(TOKENIZER, str(tmp_path))


def test_checkpoint_that_is_no_causal_lm_is_refused_in_one_line(tmp_path):
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is not a causal LM: .*T5Config") as refused:
        build_model(TOKENIZER, str(tmp_path))
    assert len(str(refused.value).splitlines()) == 1
    assert "LlamaConfig" not in str(refused.value)


def test_checkpoint_with_a_wrong_configuration_is_refused(tmp_path):
    save_checkpoint(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"n_layer": 2', '"n_layer": "two"'))
    with pytest.raises(ValueError, match=r"(?s)cannot be loaded: .*'n_layer' expected int, got str"):
        build_model(TOKENIZER, str(tmp_path))


@pytest.mark.parametrize(
    ("model_type", "field", "value"),
    [("llama", "is_causal", False), ("gemma", "use_bidirectional_attention", True)],
)
def test_checkpoint_without_a_causal_mask_is_refused(model_type, field, value, tmp_path):
    model = causal_lm(model_type, **{field: value})
    assert change_of_earlier_logits(model) > 1e-4
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"the model is not a causal LM: its configuration sets {field} to {value}"):
        build_model(TOKENIZER, str(tmp_path))


def test_untrained_model_without_a_causal_mask_is_refused():
    with pytest.raises(ValueError, match="sets use_bidirectional_attention to True"):
        build_model(TOKENIZER, model_type="gemma", config_overrides={"use_bidirectional_attention": True})


@pytest.mark.parametrize(("model_type", "part"), [("gemma3", "gemma3_text"), ("got_ocr2", "qwen2"), ("emu3", "llama")])
def test_family_with_a_language_model_as_a_part_is_refused(model_type, part):
    with pytest.raises(ValueError, match=f"name the family of that part, such as '{part}'"):
        build_model(TOKENIZER, model_type=model_type)


@pytest.mark.parametrize(
    ("model_type", "overrides", "reason"),
    [
        ("llama", SMALL_LLAMA | {"num_attention_heads": 3}, r"not a multiple of the number of attention heads \(3\)"),
        ("llama", SMALL_LLAMA | {"hidden_act": "nope"}, "llama cannot be built: KeyError: 'nope'"),
        ("gpt2", TINY_GPT2 | {"n_layer": "2"}, "Field 'n_layer' expected int, got str"),
        ("reformer", {}, "make sure that `is_decoder=True`"),
        ("cwm", {}, "Field 'bos_token_id' expected int, got NoneType"),  # which the tokenizer does not have
        ("xlstm", {"v_head_dim": 8}, "xlstm does not accept this configuration: property 'v_head_dim'"),
    ],
)
def test_overrides_that_do_not_fit_are_refused_with_the_words_of_the_family(model_type, overrides, reason):
    with pytest.raises(ValueError, match=reason):
        build_model(TOKENIZER, model_type=model_type, config_overrides=overrides)


def test_field_that_differs_between_layers_is_a_field():
    check_model_source(None, "gemma4_text", {"head_dim": 8})


# From a checkpoint


def test_checkpoint_comes_back_in_float32_and_training_mode(tmp_path):
    model = save_checkpoint(tmp_path / "float32")
    loaded = build_model(TOKENIZER, str(tmp_path / "float32"))
    assert loaded.training
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())
    model.to(torch.bfloat16).save_pretrained(tmp_path / "bfloat16")
    loaded = build_model(TOKENIZER, str(tmp_path / "bfloat16"))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("num_new", [1, 3])
def test_embeddings_grow_by_rows_near_the_mean(tmp_path, tied, num_new):
    original = save_checkpoint(tmp_path, initializer_range=1.0, tie_word_embeddings=tied)
    loaded = build_model(bigger_tokenizer(num_new), str(tmp_path))
    assert loaded.config.vocab_size == NUM_TOKENS + num_new
    assert (loaded.lm_head.weight is loaded.transformer.wte.weight) == tied
    for old, new in [
        (original.transformer.wte.weight, loaded.transformer.wte.weight),
        (original.lm_head.weight, loaded.lm_head.weight),
    ]:
        assert new.shape == (NUM_TOKENS + num_new, TINY_GPT2["n_embd"])
        assert torch.equal(new[:NUM_TOKENS], old)
        # transformers draws them around the mean, with a billionth of the covariance of the old rows
        torch.testing.assert_close(new[NUM_TOKENS:], old.mean(dim=0).expand(num_new, -1), rtol=0.0, atol=1e-3)
    assert original.transformer.wte.weight.mean(dim=0).abs().max() > 0.1  # which is not nearly 0


def test_embeddings_that_are_large_enough_stay(tmp_path):
    original = save_checkpoint(tmp_path, tokenizer=bigger_tokenizer(5))
    loaded = build_model(TOKENIZER, str(tmp_path))
    assert torch.equal(loaded.transformer.wte.weight, original.transformer.wte.weight)


def test_a_mamba_from_scratch_and_from_a_checkpoint_runs_by_our_functions(tmp_path):
    from transformers.models.mamba import modeling_mamba

    stock = getattr(modeling_mamba.mamba_selective_scan, "stock", modeling_mamba.mamba_selective_scan)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}
    tokenizer = numeral_tokenizer(num_nodes=10)
    model = build_model(tokenizer, model_type="mamba", config_overrides=sizes)
    assert modeling_mamba.mamba_selective_scan.stock is stock
    model.save_pretrained(tmp_path)
    modeling_mamba.mamba_selective_scan = stock
    build_model(tokenizer, str(tmp_path))
    assert modeling_mamba.mamba_selective_scan.stock is stock


def test_a_checkpoint_in_the_layout_of_mamba_ssm_is_refused_naming_the_converted_one(tmp_path):
    (tmp_path / "config.json").write_text('{"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}}')
    with pytest.raises(ValueError, match=rf"take the converted {tmp_path}-hf"):
        check_layout(str(tmp_path))
    save_checkpoint(tmp_path)
    check_layout(str(tmp_path))
    check_layout("nobody/nothing")
