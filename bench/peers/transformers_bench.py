"""transformers' rates in bf16 for a GGUF file, one JSON object on stdout.

    transformers_bench.py FILE prefill N [N...]     prompt tokens per second for each N
    transformers_bench.py FILE decode N             tokens per second, one at a time, after N tokens
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

DECODED = 32


def prompt(tokens):
    return torch.tensor([[(7919 * i) % 49000 for i in range(1, tokens + 1)]])


def prefill_rate(model, tokens):
    ids = prompt(tokens)
    start = time.perf_counter()
    model(ids, use_cache=True, logits_to_keep=1)
    return tokens / (time.perf_counter() - start)


def decode_rate(model, after):
    step = model(prompt(after), use_cache=True, logits_to_keep=1)
    start = time.perf_counter()
    for _ in range(DECODED):
        token = step.logits[:, -1].argmax(-1, keepdim=True)
        step = model(token, past_key_values=step.past_key_values, use_cache=True)
    return DECODED / (time.perf_counter() - start)


@torch.inference_mode()
def main(arguments):
    torch.set_num_threads(arguments.threads)
    logging.disable_progress_bar()
    path = Path(arguments.file)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.bfloat16, attn_implementation="sdpa"
    ).eval()
    rate = prefill_rate if arguments.what == "prefill" else decode_rate
    result = {}
    for tokens in arguments.tokens:
        rate(model, tokens)
        runs = [rate(model, tokens) for _ in range(arguments.repeat)]
        result[str(tokens)] = {"tokens_per_s": statistics.median(runs), "runs": runs}
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("what", choices=["prefill", "decode"])
    parser.add_argument("tokens", type=int, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    main(parser.parse_args())
