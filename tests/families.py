"""The families of causal LMs that tests run over, one line each, as small as they come."""

import torch

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.models import build_model

TOKENIZER = numeral_tokenizer(num_nodes=10)
PAD = TOKENIZER.pad_token_id

# Weights far from 0, where a family lets us: the logits depend on the input as much as those of a trained model.
GPT = {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": 32, "initializer_range": 0.2}
WIDTH = {"num_hidden_layers": 2, "hidden_size": 32}
SIZES = WIDTH | {"intermediate_size": 64, "num_attention_heads": 4}
LLAMA = SIZES | {"num_key_value_heads": 2, "initializer_range": 0.2}
HEADS = LLAMA | {"head_dim": 8}
MAMBA = WIDTH | {"state_size": 8, "initializer_range": 0.2}
MAMBA2 = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
DECODER = {"decoder_layers": 2, "d_model": 32, "decoder_ffn_dim": 64, "decoder_attention_heads": 4}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
NO_TOKENS = {"bos_token_id": PAD, "eos_token_id": PAD}  # of families that cannot do without them
FAMILIES = {
    # Transformers
    "bart": DECODER | {"encoder_layers": 2},
    "biogpt": SIZES | {"initializer_range": 0.2},
    "bloom": {"n_layer": 2, "n_head": 4, "hidden_size": 32, "initializer_range": 0.2},
    "codegen": GPT | {"rotary_dim": 4},
    "cohere": LLAMA,
    "ctrl": GPT,
    "cwm": HEADS | NO_TOKENS,
    "falcon": WIDTH | {"num_attention_heads": 4, "initializer_range": 0.2},
    "gemma": HEADS,
    "gemma2": HEADS,
    "gemma3_text": HEADS,
    "glm4": HEADS,
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_neo": WIDTH | {"attention_types": [[["global", "local"], 1]], "num_heads": 4, "initializer_range": 0.2},
    "gpt_neox": SIZES | {"initializer_range": 0.2},
    "gptj": GPT | {"rotary_dim": 4},
    "granite": LLAMA,
    "llama": LLAMA,
    "mistral": HEADS,
    "modernbert-decoder": SIZES | NO_TOKENS | {"cls_token_id": PAD, "sep_token_id": PAD},
    "mpt": {"n_layers": 2, "n_heads": 4, "d_model": 32, "initializer_range": 0.2},
    "nemotron": HEADS | {"num_key_value_heads": 4},
    "olmo": LLAMA,
    "olmo2": LLAMA,
    "openai-gpt": GPT,
    "opt": WIDTH | {"ffn_dim": 64, "num_attention_heads": 4, "init_std": 0.1, "word_embed_proj_dim": 32},
    "phi": LLAMA,
    "phi3": LLAMA,
    "qwen2": LLAMA,
    "qwen3": HEADS,
    "smollm3": LLAMA,
    "stablelm": LLAMA,
    "starcoder2": LLAMA,
    "trocr": DECODER,
    "whisper": DECODER | {"encoder_layers": 2},
    "xglm": {"num_layers": 2, "attention_heads": 4, "d_model": 32, "ffn_dim": 64, "init_std": 0.1},
    # Mixtures of experts
    "deepseek_v3": LLAMA
    | {"num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
    | {"moe_intermediate_size": 32, "q_lora_rank": 16, "kv_lora_rank": 16, "first_k_dense_replace": 1}
    | {"qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
    "ernie4_5_moe": LLAMA | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32},
    "gpt_oss": HEADS | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "mixtral": LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": LLAMA | EXPERTS,
    "qwen3_moe": LLAMA | EXPERTS | {"moe_intermediate_size": 32},
    # Recurrent, and hybrids
    "bamba": LLAMA | MAMBA2 | {"attn_layer_indices": [1]},
    "falcon_mamba": MAMBA,
    "granitemoehybrid": LLAMA
    | MAMBA2
    | {"layer_types": ["mamba", "attention"], "num_local_experts": 4, "shared_intermediate_size": 64},
    "jamba": LLAMA | {"attn_layer_offset": 1, "attn_layer_period": 2, "num_experts": 4, "mamba_d_state": 8},
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"]},
    "mamba": MAMBA,
    "mamba2": MAMBA | {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    "qwen3_next": HEADS | LINEAR | EXPERTS | {"moe_intermediate_size": 32},
    "recurrent_gemma": SIZES | {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8},
    "rwkv": WIDTH | {"intermediate_size": 64},
    "xlstm": {"num_blocks": 2, "hidden_size": 64, "num_heads": 2, "qk_dim_factor": 1.0, "chunk_size": 16},
}


def build(family, attention=None):
    torch.manual_seed(0)
    return build_model(TOKENIZER, model_type=family, config_overrides=FAMILIES[family], attn_implementation=attention)
