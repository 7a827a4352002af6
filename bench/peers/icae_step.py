"""One ICAE training step (autoencoding) as a plain transformers + peft loop in bf16, one JSON object on stdout.

    icae_step.py FILE [--span 512] [--slots 128] [--rank 64] [--steps 5] [--checkpoint]

The base is frozen and loaded once: the encoder is the model with its adapter on, the decoder the same model with the
adapter off. Adapters and memory embeddings are f32 and computed in bf16 under autocast. Source tokens per second, and
the largest resident set of the process, whole and above what it was when the model was loaded.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(a):
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    logging.disable_progress_bar()
    path = Path(a.file)
    base = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    base.requires_grad_(False)
    if a.checkpoint:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    model = get_peft_model(base, LoraConfig(r=a.rank, lora_alpha=32, target_modules=["q_proj", "v_proj"]))
    model.train()
    width = base.config.hidden_size
    extra = torch.nn.Parameter(torch.randn(a.slots + 1, width) * 0.1)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad] + [extra], lr=1e-4)
    embed = base.get_input_embeddings()
    eos = base.config.eos_token_id or 2
    eos = eos[0] if isinstance(eos, list) else eos
    loaded = resident()

    def step(number):
        ids = torch.tensor([[(7919 * (i + 600 * number)) % 49000 for i in range(1, a.span + 1)]])
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            text = embed(ids)
            encoded = model(inputs_embeds=torch.cat([text, extra[:-1][None].to(text.dtype)], 1),
                            output_hidden_states=True, logits_to_keep=1).hidden_states[-1]
            slots = encoded[:, -a.slots:]
            with model.disable_adapter():
                logits = model(inputs_embeds=torch.cat([slots, extra[-1:][None].to(text.dtype), text], 1)).logits
            labels = torch.cat([ids, torch.tensor([[eos]])], 1)
            loss = torch.nn.functional.cross_entropy(logits[0, a.slots:].float(), labels[0])
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad] + [extra], 2.0)
        optimizer.step()
        return loss.item()

    losses, seconds = [step(0)], []
    for i in range(a.steps):
        start = time.perf_counter()
        losses.append(step(i + 1))
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"tokens_per_s": a.span / statistics.median(seconds), "seconds": seconds, "peak_rss": peak(),
                      "peak_above_model": peak() - loaded, "losses": losses}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--span", type=int, default=512)
    parser.add_argument("--slots", type=int, default=128)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", action="store_true")
    main(parser.parse_args())
