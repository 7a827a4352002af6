"""Makes tests/data/lora: adapters of the tiny model qwen2 as PEFT saves them, with transformers' f32 logits.

    .peers/bin/python tests/golden/make_lora.py                  # writes the folder; needs transformers and peft
    .peers/bin/python tests/golden/make_lora.py --check FOLDER   # loads an adapter that steno saved (lora_test.cpp)

Each of `plain` and `rslora` holds adapter_config.json, adapter_model.safetensors and golden.safetensors: ids [T],
logits [T, vocab]. FOLDER holds the same three files; --check compares PEFT's logits with those that steno stored.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

DATA = Path(__file__).resolve().parent.parent / "data"
BASE = DATA / "tiny_models" / "qwen2"
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {
    "plain": dict(r=4, lora_alpha=6, target_modules=MODULES, lora_dropout=0.1),
    "rslora": dict(r=9, lora_alpha=3, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True),
}


def base_model():
    return AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def make(name, options, seed):
    generator = torch.Generator().manual_seed(seed)
    model = get_peft_model(base_model(), LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    for key, value in model.named_parameters():
        if "lora_" in key:
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    folder = DATA / "lora" / name
    shutil.rmtree(folder, ignore_errors=True)
    # The base's place on this machine is nobody's business.
    config = model.peft_config["default"]
    config.base_model_name_or_path = "tiny_models/qwen2"
    config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    ids = torch.randint(0, 100, (20,), generator=generator)
    logits = model(ids[None]).logits[0]
    change = (logits - base_model()(ids[None]).logits[0]).abs().max() / logits.abs().max()
    assert change > 0.1, "the adapter hardly changes anything"
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name}: changes the logits by {change:.2f} of the largest")


@torch.no_grad()
def check(folder):
    model = PeftModel.from_pretrained(base_model(), folder).eval()
    stored = load_file(folder / "golden.safetensors")
    expected = model(stored["ids"].view(1, -1)).logits[0]
    plain = base_model()(stored["ids"].view(1, -1)).logits[0]
    error = ((stored["logits"] - expected).abs().max() / expected.abs().max()).item()
    change = ((plain - expected).abs().max() / expected.abs().max()).item()
    print(f"{folder}: steno's logits differ from PEFT's by {error:.1e} of the largest; the adapter changes {change:.2f}")
    return error <= 1e-5 and change > 0.1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    if arguments.check:
        sys.exit(0 if check(arguments.check) else "the logits differ")
    for index, (kind, settings) in enumerate(KINDS.items()):
        make(kind, settings, 50 + index)
