"""llama.cpp's rates for one GGUF file, one JSON object on stdout.

    llama_cpp_bench.py FILE prefill N      prompt tokens per second
    llama_cpp_bench.py FILE decode N       tokens per second, one at a time, after N tokens
    llama_cpp_bench.py FILE parallel N     tokens per second of --sequences decoded in step, after N tokens each

--settings '{"ubatch": 512, "repack": true, "flash": true}' as `choose` found them; without it the best are looked for.
"""

import argparse
import itertools
import json
import statistics

import llama

DECODED = 64


def measure(arguments, settings, repeat):
    sequences = arguments.sequences if arguments.what == "parallel" else 1
    room = sequences * (arguments.tokens + DECODED + 64)
    session = llama.Session(arguments.file, arguments.threads, context=max(4096, room), sequences=sequences, **settings)
    if arguments.what == "prefill":
        rate = lambda: session.prefill_rate(arguments.tokens)
    elif arguments.what == "parallel":
        rate = lambda: session.parallel_rate(sequences, arguments.tokens, DECODED)
    else:
        rate = lambda: session.decode_rate(arguments.tokens, DECODED)
    rate()  # fills caches
    runs = [rate() for _ in range(repeat)]
    session.close()
    return runs


def choose(arguments):
    sizes = (512, 2048) if arguments.what == "prefill" and arguments.tokens > 512 else (512,)
    best, best_rate = None, 0
    layouts = (False, True) if arguments.what == "parallel" else (False,)
    for ubatch, repack, flash, unified in itertools.product(sizes, (True, False), (True, False), layouts):
        settings = {"ubatch": ubatch, "repack": repack, "flash": flash, "unified": unified}
        rate = measure(arguments, settings, 1)[0]
        if rate > best_rate:
            best, best_rate = settings, rate
    return best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("what", choices=["prefill", "decode", "parallel"])
    parser.add_argument("tokens", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--settings", type=json.loads)
    arguments = parser.parse_args()
    chosen = arguments.settings or choose(arguments)
    runs = measure(arguments, chosen, arguments.repeat)
    print(json.dumps({"tokens_per_s": statistics.median(runs), "runs": runs, "settings": chosen}))
