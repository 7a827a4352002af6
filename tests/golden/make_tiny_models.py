"""Makes tests/data/tiny_models: random models of every supported family with transformers' f32 results.

    .peers/bin/python tests/golden/make_tiny_models.py            # writes the folder
    .peers/bin/python tests/golden/make_tiny_models.py --check    # compares llama.cpp's logits with the stored ones

Each folder holds config.json (as transformers 5 writes it), config_v4.json where transformers 4 spelled it differently
(same model), model.safetensors (one of them sharded), tokenizer.json, model.gguf where llama.cpp knows the option, and
golden.safetensors:

    ids.<i> [T]   logits.<i> [T, vocab]   greedy.<i> [16]: the greedy continuation, each step computed from scratch
    hidden.<i> [layers + 1, T, hidden]: the embeddings, each layer's output, and at last the output after the final norm
    batch_left.*, batch_right.*: ids [B, T], mask [B, T] (1: a token, 0: padding), logits [B, T, vocab], zero at padding
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

import tiny_gguf
import tiny_vocabulary
from tiny_models import EOS, MODELS, PAD

ROOT = Path(__file__).resolve().parent.parent / "data" / "tiny_models"
GREEDY = 16
SMALLEST_GAP = 2e-3  # between the best two logits of every greedy step: another summation order must not change it


def random_model(tiny):
    generator = torch.Generator().manual_seed(100 + tiny.seed)
    tiny.config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(tiny.config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "norm" in name:
                value.copy_(0.2 * noise + (0.0 if tiny.config.model_type == "gemma3_text" else 1.0))
            elif name.endswith("bias"):
                value.copy_(0.5 * noise)
            elif "embed_tokens" in name:
                value.copy_(0.5 * noise)
            else:
                value.copy_(noise * (1.5 / value.shape[1] ** 0.5))
    return model


@torch.no_grad()
def run(model, ids, **kwargs):
    """A pass from position 0 that keeps nothing of earlier passes (dynamic RoPE remembers the longest text)."""
    rotary = model.model.rotary_emb
    if getattr(rotary, "rope_type", None) == "dynamic":
        rotary.max_seq_len_cached = rotary.original_max_seq_len
        rotary.inv_freq = rotary.original_inv_freq.clone()
    return model(torch.tensor(ids), use_cache=False, **kwargs)


def greedy(model, ids):
    ids, gaps = list(ids), []
    for _ in range(GREEDY):
        best = run(model, [ids]).logits[0, -1].topk(2)
        gaps.append((best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[-GREEDY:], min(gaps)


def padded_batch(model, rows, left):
    width = max(len(row) for row in rows)
    fill = [[PAD] * (width - len(row)) for row in rows]
    ids = [pad + row if left else row + pad for row, pad in zip(rows, fill)]
    mask = [[0] * len(pad) + [1] * len(row) if left else [1] * len(row) + [0] * len(pad) for row, pad in zip(rows, fill)]
    mask = torch.tensor(mask)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = run(model, ids, attention_mask=mask, position_ids=positions).logits
    return {"ids": torch.tensor(ids), "mask": mask, "logits": logits * mask[..., None]}


def golden(model, tiny):
    generator = torch.Generator().manual_seed(7)
    result, rows = {}, []
    for index, length in enumerate(tiny.lengths):
        while True:
            ids = torch.randint(0, EOS - 1, (length,), generator=generator).tolist()
            continuation, gap = greedy(model, ids)
            if gap > SMALLEST_GAP:
                break
        output = run(model, [ids], output_hidden_states=tiny.hidden_states)
        result[f"ids.{index}"] = torch.tensor(ids)
        result[f"logits.{index}"] = output.logits[0]
        result[f"greedy.{index}"] = torch.tensor(continuation)
        if tiny.hidden_states and length < 16:
            result[f"hidden.{index}"] = torch.cat(output.hidden_states)
        rows.append(ids[:12])
    if tiny.batch:
        for side in ("left", "right"):
            for key, value in padded_batch(model, rows, side == "left").items():
                result[f"batch_{side}.{key}"] = value
    return {key: value.contiguous() for key, value in result.items()}


def as_version_4(config):
    """The same configuration in the keys that transformers 4 wrote, or None where nothing differs."""
    config = dict(config)
    config["torch_dtype"] = config.pop("dtype")
    rope = config.pop("rope_parameters")
    if config["model_type"] == "gemma3_text":
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
        del config["_sliding_window_pattern"]
        config["sliding_window_pattern"] = config.pop("layer_types").index("full_attention") + 1
    config["rope_theta"] = rope["rope_theta"]
    scaling = {key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")}
    config["rope_scaling"] = None if scaling["rope_type"] == "default" else scaling
    config["transformers_version"] = "4.51.0"
    return config


def check_version_4(model, folder, scratch):
    scratch.mkdir()
    for file in folder.glob("*.safetensors*"):
        shutil.copy(file, scratch)
    shutil.copy(folder / "config_v4.json", scratch / "config.json")
    other = AutoModelForCausalLM.from_pretrained(scratch, dtype=torch.float32, attn_implementation="eager").eval()
    shutil.rmtree(scratch)
    ids = [[5 * i % 100 for i in range(40)]]
    assert torch.equal(run(model, ids).logits, run(other, ids).logits), f"{folder.name}: config_v4.json is another model"


def make(tiny):
    folder = ROOT / tiny.name
    shutil.rmtree(folder, ignore_errors=True)
    model = random_model(tiny)
    model.save_pretrained(folder, **({"max_shard_size": tiny.shard_bytes} if tiny.shard_bytes else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    # Reloaded, so that the results belong to the files.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config_v4.json").write_text(json.dumps(as_version_4(config), indent=2) + "\n")
    check_version_4(model, folder, folder / "scratch")
    tiny_vocabulary.write_tokenizer_json(folder / "tokenizer.json")
    if tiny.gguf_arch:
        tiny_gguf.write(model, tiny, folder / "model.gguf")
    values = golden(model, tiny)
    save_file(values, folder / "golden.safetensors")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)
    logits = values[f"logits.{len(tiny.lengths) - 1}"]
    print(f"{tiny.name:20} logits std {logits.std():.2f}, largest {logits.abs().max():.2f}")


def check(tiny):
    from llama_logits import llama_cpp_logits

    values = load_file(ROOT / tiny.name / "golden.safetensors")
    for index in range(len(tiny.lengths)):
        expected = values[f"logits.{index}"]
        actual = torch.tensor(llama_cpp_logits(ROOT / tiny.name / "model.gguf", values[f"ids.{index}"].tolist()))
        error = (actual - expected).abs().max() / expected.abs().max()
        # Gemma differs by 1e-4, probably by llama.cpp's table of f16 values for GELU; the others by 1e-6.
        print(f"{tiny.name:20} {len(expected):3} tokens: llama.cpp differs by {error:.2e} of the largest logit")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for number, entry in enumerate(MODELS):
        entry.seed = number
        if not arguments.check:
            make(entry)
        elif entry.gguf_arch:
            check(entry)
