"""llama.cpp's rates for one GGUF file, one JSON object on stdout.

    llama_cpp_bench.py FILE prefill N      prompt tokens per second, the better of two micro-batch sizes
    llama_cpp_bench.py FILE decode N       tokens per second, one at a time, after N tokens
"""

import argparse
import json
import statistics

import llama

DECODED = 64


def prefill(arguments):
    rates = {}
    for ubatch in sorted({512, min(max(arguments.tokens, 512), 2048)}):
        session = llama.Session(arguments.file, arguments.threads, ubatch=ubatch)
        session.prefill_rate(arguments.tokens)
        rates[ubatch] = [session.prefill_rate(arguments.tokens) for _ in range(arguments.repeat)]
        session.close()
    ubatch = max(rates, key=lambda size: statistics.median(rates[size]))
    return {"ubatch": ubatch, "runs": rates[ubatch]}


def decode(arguments):
    rates = {}
    for repack in (True, False):
        session = llama.Session(arguments.file, arguments.threads, repack=repack)
        session.decode_rate(arguments.tokens, DECODED // 4)
        rates[repack] = [session.decode_rate(arguments.tokens, DECODED) for _ in range(arguments.repeat)]
        session.close()
    repack = max(rates, key=lambda choice: statistics.median(rates[choice]))
    return {"repack": repack, "runs": rates[repack]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("what", choices=["prefill", "decode"])
    parser.add_argument("tokens", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    result = prefill(arguments) if arguments.what == "prefill" else decode(arguments)
    print(json.dumps({"tokens_per_s": statistics.median(result["runs"]), **result}))
