"""Makes tests/data/stories260K: the llama2.c checkpoint stories260K as a Hugging Face folder that steno and transformers
load.

    .peers/bin/python tests/golden/make_stories260k.py MODELS/stories260K

The folder given holds stories260K.bin (llama2.c version 0: seven int32, then float32 weights) and tok512.bin (int32,
then score, length and bytes of every piece). The result is checked with transformers before it is left there.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

OUT = Path(__file__).resolve().parent.parent / "data" / "stories260K"
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball."
)
SPECIAL = {0: "<unk>", 1: "<s>", 2: "</s>"}


def half_rotation(weight, heads):
    """llama2.c rotates neighbouring rows of a head, the Hugging Face layout rows half a head apart."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).transpose(0, 2, 1, 3).reshape(rows, width)


def read_checkpoint(path):
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", data[:28])
    assert vocab > 0, "a negative vocabulary would mean an output head of its own"
    floats = np.frombuffer(data, "<f4", offset=28)
    kv_dim, head_dim = dim // heads * kv_heads, dim // heads
    used = 0

    def take(*shape):
        nonlocal used
        count = int(np.prod(shape))
        used += count
        return floats[used - count : used].reshape(shape)

    embedding = take(vocab, dim)
    stacked = {
        "input_layernorm": take(layers, dim),
        "self_attn.q_proj": take(layers, dim, dim),
        "self_attn.k_proj": take(layers, kv_dim, dim),
        "self_attn.v_proj": take(layers, kv_dim, dim),
        "self_attn.o_proj": take(layers, dim, dim),
        "post_attention_layernorm": take(layers, dim),
        "mlp.gate_proj": take(layers, hidden, dim),
        "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }
    norm = take(dim)
    take(2, context, head_dim // 2)  # tables of cosines and sines
    assert used == len(floats), f"{len(floats) - used} numbers are left over"

    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": norm}
    for name, values in stacked.items():
        for i in range(layers):
            value = values[i]
            if name.endswith(("q_proj", "k_proj")):
                value = half_rotation(value, heads if name.endswith("q_proj") else kv_heads)
            tensors[f"model.layers.{i}.{name}.weight"] = value
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    return {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}, config


def read_pieces(path):
    data, at, pieces = path.read_bytes(), 4, []
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        pieces.append((score, data[at + 8 : at + 8 + length].decode("utf-8")))
        at += 8 + length
    return pieces


def tokenizer_json(pieces):
    tokens = [SPECIAL.get(i, text.replace(" ", "▁")) for i, (_, text) in enumerate(pieces)]
    vocab = {token: i for i, token in enumerate(tokens)}
    assert len(vocab) == len(tokens)
    # Two neighbours are merged when together they are a piece, the piece with the best score first.
    merges = []
    for i in sorted(range(259, len(tokens)), key=lambda i: -pieces[i][0]):
        token = tokens[i]
        merges += [[token[:cut], token[cut:]] for cut in range(1, len(token)) if {token[:cut], token[cut:]} <= vocab.keys()]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i, token in SPECIAL.items()
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                  "ignore_merges": False, "vocab": vocab, "merges": merges},
    }  # fmt: skip


def main():
    source = Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    tensors, config = read_checkpoint(source / "stories260K.bin")
    save_file(tensors, OUT / "model.safetensors", metadata={"format": "pt"})
    names = {"config.json": config, "tokenizer.json": tokenizer_json(read_pieces(source / "tok512.bin")),
             "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                                       "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": 512}}  # fmt: skip
    for name, value in names.items():
        (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    model = AutoModelForCausalLM.from_pretrained(OUT, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(OUT)
    ids = model.generate(torch.tensor([[1]]), max_new_tokens=200, do_sample=False)[0]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    print(text)
    assert text.startswith(STORY), "the model does not tell its story"
    known = tokenizer(STORY)["input_ids"]
    assert ids[: len(known)].tolist() == known, "the tokenizer cuts the story into other pieces than the model wrote"


if __name__ == "__main__":
    main()
