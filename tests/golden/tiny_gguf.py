"""Writes a transformers model as a GGUF file of F32 tensors, in the conventions of llama.cpp."""

import math

import gguf
import numpy as np

import tiny_vocabulary


def rotary_pairs(weight, heads):
    """Reorders the rows of a q or k projection from halves (transformers) to neighbouring pairs (arch llama)."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return rows.swapaxes(1, 2).reshape(weight.shape)


def llama3_divisors(rope, head_dim):
    """What Llama 3 divides each rotary frequency by; the file stores it as the tensor rope_freqs.weight."""
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    original = rope["original_max_position_embeddings"]
    divisors = []
    for i in range(0, head_dim, 2):
        turns = original / (2 * math.pi * rope["rope_theta"] ** (i / head_dim))  # within the trained positions
        share = min(max((turns - low) / (high - low), 0.0), 1.0)  # 1: kept as it is
        divisors.append(1.0 / ((1.0 - share) / factor + share))
    return np.array(divisors, dtype=np.float32)


def add_rope(writer, config, arch, head_dim):
    rope = config.rope_parameters
    writer.add_rope_dimension_count(head_dim)
    if arch == "gemma3":
        writer.add_rope_freq_base(rope["full_attention"]["rope_theta"])
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        return
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    elif rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(rope, head_dim))


def write(model, tiny, path):
    config, arch = model.config, tiny.gguf_arch
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads

    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("tiny random model")  # llama.cpp expects certain tokens of names with "phi3"
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if arch == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    elif arch == "phi3":
        writer.add_sliding_window(0)
    add_rope(writer, config, arch, head_dim)
    tiny_vocabulary.add_to_gguf(writer)

    arch_id = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == arch)
    names = gguf.get_tensor_name_map(arch_id, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = tensor.numpy().astype(np.float32)
        if arch == "llama" and ".q_proj." in name:
            data = rotary_pairs(data, heads)
        elif arch == "llama" and ".k_proj." in name:
            data = rotary_pairs(data, kv_heads)
        elif arch == "gemma3" and name.endswith("norm.weight"):
            data = data + np.float32(1)  # llama.cpp keeps 1 + w
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
