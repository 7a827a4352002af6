"""Makes tests/data/default_model_golden.{json,safetensors}: f32 results of transformers for the default model.

    STENO_DATA=... .peers/bin/python tests/golden/make_default_model_golden.py prompts   # token ids, by llama.cpp
    .peers/bin/python tests/golden/make_default_model_golden.py weights                  # compares the weights
    .peers/bin/python tests/golden/make_default_model_golden.py results                  # a few minutes

The weights are those of the GGUF file as transformers dequantises them to f32, attention is "eager", the batch is 1.
For prompt <p> of T tokens:

    <p>.ids [T]            <p>.positions [4]: 0, T/4, T/2 and T - 1 (fewer where they coincide)
    <p>.logits [4, 3072]   every 16th entry of the vocabulary at these positions
    <p>.argmax, <p>.max, <p>.logsumexp [4]: over the whole vocabulary
    <p>.greedy [64]        the continuation, never stopped; <p>.gap [64]: distance of its two best logits at each step

The JSON names the prompts with their lengths and lists the greedy steps with a gap below 1e-4: from the first such step
on, another order of summation may continue otherwise.
"""

import argparse
import json
from pathlib import Path

import gguf
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from default_model_prompts import make_prompts
from tiny_gguf import rotary_pairs

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
VALUES = ROOT / "tests" / "data" / "default_model_golden.safetensors"
NOTES = VALUES.with_suffix(".json")
STRIDE, GREEDY, TINY_GAP = 16, 64, 1e-4


def load_model():
    return AutoModelForCausalLM.from_pretrained(
        MODEL.parent, gguf_file=MODEL.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def check_weights():
    model = load_model()
    config, state = model.config, model.state_dict()
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(MODEL).tensors}
    seen = set()
    for name, value in state.items():
        key = names.get_name(name, try_suffixes=(".weight",))
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        value = value.numpy()
        if ".q_proj." in name or ".k_proj." in name:
            heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
            value = rotary_pairs(value, heads)
        reference = gguf.dequantize(stored[key].data, stored[key].tensor_type)
        assert (reference.reshape(value.shape) == value).all(), f"{name} differs from {key}"
        seen.add(key)
    assert seen == set(stored), f"not compared: {set(stored) - seen}"
    print(f"{len(seen)} tensors equal gguf's dequantisation exactly")


@torch.no_grad()
def results(model, ids):
    output = model(torch.tensor([ids]), use_cache=True)
    positions = sorted({0, len(ids) // 4, len(ids) // 2, len(ids) - 1})
    logits = output.logits[0, positions]
    best = logits.max(-1)
    greedy, gaps, step = [], [], output
    for _ in range(GREEDY):
        top = step.logits[0, -1].topk(2)
        greedy.append(top.indices[0].item())
        gaps.append((top.values[0] - top.values[1]).item())
        step = model(top.indices[:1].view(1, 1), past_key_values=step.past_key_values, use_cache=True)
    return {
        "ids": torch.tensor(ids, dtype=torch.int32),
        "positions": torch.tensor(positions),
        "logits": logits[:, ::STRIDE].contiguous(),
        "argmax": best.indices,
        "max": best.values,
        "logsumexp": logits.logsumexp(-1),
        "greedy": torch.tensor(greedy, dtype=torch.int32),
        "gap": torch.tensor(gaps),
    }


def make_results():
    prompts = {key[: -len(".ids")]: value for key, value in load_file(VALUES).items() if key.endswith(".ids")}
    model = load_model()
    tensors, notes = {}, {}
    for name in json.loads(NOTES.read_text())["prompts"]:
        values = results(model, prompts[name].tolist())
        tensors.update({f"{name}.{key}": value for key, value in values.items()})
        gaps = values["gap"].tolist()
        notes[name] = {"tokens": len(values["ids"]), "uncertain_steps": [i for i, gap in enumerate(gaps) if gap < TINY_GAP]}
        print(f"{name:16} {len(values['ids']):5} tokens, smallest gap {min(gaps):.2e} at step {gaps.index(min(gaps))}")
    save(tensors, notes)


def save(tensors, prompts):
    save_file(tensors, VALUES)
    VALUES.chmod(0o644)
    about = {"model": MODEL.name, "stride": STRIDE, "greedy": GREEDY, "made_by": "tests/golden/make_default_model_golden.py"}
    NOTES.write_text(json.dumps({**about, "prompts": prompts}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prompts", "weights", "results"])
    step = parser.parse_args().step
    logging.disable_progress_bar()
    if step == "prompts":
        ids = make_prompts(MODEL)
        save({f"{name}.ids": torch.tensor(value, dtype=torch.int32) for name, value in ids.items()},
             {name: {"tokens": len(value)} for name, value in ids.items()})
        print({name: len(value) for name, value in ids.items()})
    elif step == "weights":
        check_weights()
    else:
        make_results()
