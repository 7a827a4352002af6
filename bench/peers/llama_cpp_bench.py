"""llama.cpp's rates for one GGUF file, one JSON object on stdout.

    llama_cpp_bench.py FILE prefill N      prompt tokens per second
    llama_cpp_bench.py FILE decode N       tokens per second, one at a time, after N tokens

--settings '{"ubatch": 512, "repack": true, "flash": true}' as `choose` found them; without it the best are looked for.
"""

import argparse
import itertools
import json
import statistics

import llama

DECODED = 64


def measure(arguments, settings, repeat):
    session = llama.Session(arguments.file, arguments.threads, **settings)
    if arguments.what == "prefill":
        rate = lambda: session.prefill_rate(arguments.tokens)
    else:
        rate = lambda: session.decode_rate(arguments.tokens, DECODED)
    rate()  # fills caches
    runs = [rate() for _ in range(repeat)]
    session.close()
    return runs


def choose(arguments):
    sizes = (512, 2048) if arguments.what == "prefill" and arguments.tokens > 512 else (512,)
    best, best_rate = None, 0
    for ubatch, repack, flash in itertools.product(sizes, (True, False), (True, False)):
        settings = {"ubatch": ubatch, "repack": repack, "flash": flash}
        rate = measure(arguments, settings, 1)[0]
        if rate > best_rate:
            best, best_rate = settings, rate
    return best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("what", choices=["prefill", "decode"])
    parser.add_argument("tokens", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--settings", type=json.loads)
    arguments = parser.parse_args()
    chosen = arguments.settings or choose(arguments)
    runs = measure(arguments, chosen, arguments.repeat)
    print(json.dumps({"tokens_per_s": statistics.median(runs), "runs": runs, "settings": chosen}))
