"""The list of tiny random models: one for every supported family and option."""

from dataclasses import dataclass, field

from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig, Phi3Config, Qwen2Config, Qwen3Config

VOCAB = 104  # 96 byte symbols, 5 merges, <s>, </s>, <pad>: see tiny_vocabulary.py
BOS, EOS, PAD = 101, 102, 103

SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=BOS,
    eos_token_id=EOS,
    pad_token_id=PAD,
)


@dataclass
class TinyModel:
    name: str
    config: object
    gguf_arch: str | None = None  # None: llama.cpp's form of the family cannot say this option
    lengths: tuple = (1, 7, 40)  # golden sequences, in tokens
    hidden_states: bool = False  # keep the hidden states of one sequence
    batch: bool = False  # keep a batch padded on the left and one padded on the right
    shard_bytes: int | None = None
    seed: int = field(default=0)


def llama(**options):
    return LlamaConfig(**{**SIZES, "tie_word_embeddings": False, "rms_norm_eps": 1e-5, **options})


def rope(kind, theta=1000.0, **options):
    return {"rope_type": kind, "rope_theta": theta, **options}


def gemma3(layers, **options):
    base = dict(num_hidden_layers=layers, sliding_window=8, head_dim=16, intermediate_size=32)
    return Gemma3TextConfig(**{**SIZES, **base, **options})


GEMMA_ROPE = {"sliding_attention": rope("default", 10000.0), "full_attention": rope("default", 1000000.0)}
GEMMA_ROPE_LINEAR = {**GEMMA_ROPE, "full_attention": rope("linear", 1000000.0, factor=8.0)}

MODELS = [
    TinyModel("llama_tied", llama(tie_word_embeddings=True, rope_parameters=rope("default", 10000.0)), "llama",
              hidden_states=True, batch=True),
    # Head dimension unlike hidden / heads; in shards.
    TinyModel("llama_untied", llama(hidden_size=40, intermediate_size=64, head_dim=16), "llama",
              shard_bytes=60_000),
    TinyModel("llama_rope_linear", llama(rope_parameters=rope("linear", factor=4.0)), "llama"),
    TinyModel("llama_rope_dynamic", llama(rope_parameters=rope("dynamic", factor=4.0), max_position_embeddings=24)),
    TinyModel("llama_rope_yarn", llama(head_dim=16, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=64), max_position_embeddings=256), "llama", (1, 7, 80)),
    TinyModel("llama_rope_llama3", llama(head_dim=16, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
        max_position_embeddings=512), "llama", (1, 7, 80)),
    TinyModel("llama_bias", llama(attention_bias=True), "llama"),
    TinyModel("mistral", MistralConfig(**SIZES, sliding_window=None), "llama"),
    TinyModel("mistral_window", MistralConfig(**SIZES, sliding_window=6)),
    TinyModel("qwen2", Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters=rope("default", 1000000.0)), "qwen2"),
    TinyModel("qwen3", Qwen3Config(**SIZES, head_dim=16, rope_parameters=rope("default", 1000000.0)), "qwen3"),
    # Six layers: the file format of llama.cpp knows the pattern of five local layers and one global layer only.
    TinyModel("gemma3", gemma3(6, hidden_size=24, head_dim=8, query_pre_attn_scalar=8, rope_parameters=GEMMA_ROPE), "gemma3", lengths=(1, 7, 24)),
    TinyModel("gemma3_scaled", gemma3(3, query_pre_attn_scalar=40, rope_parameters=GEMMA_ROPE_LINEAR, layer_types=[
        "sliding_attention", "sliding_attention", "full_attention"])),
    TinyModel("phi3", Phi3Config(**SIZES, rope_parameters=rope("default", 10000.0)), "phi3"),
]
