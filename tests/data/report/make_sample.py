"""Makes result folders of `steno eval` with invented numbers, to test `steno report` with.

Usage: make_sample.py FOLDER [--large]

SYNTHETIC TEST DATA: no model has produced any of it, and it says so in every text. The numbers come from a seeded
generator; the same call writes the same bytes.
"""
import json
import math
import pathlib
import random
import sys

MODEL = {"name": "synthetic-test-model", "file": "synthetic.gguf", "hash": "00synthetic00test00data000000000"}
HOSTILE = '</script><script>document.title="broken"</script> "quotes" \'single\' & <b>bold</b> \u2028 <!-- {{data}}'
METHODS = {"window": 0.05, "streaming-llm": 0.1, "h2o": 0.45, "snapkv": 0.6, "tova": 0.4, "fifo": 0.06, "lra": 0.2,
           "lfa": 0.25, "retrieval": 0.7}


def wilson(successes, n, z=1.959963984540054):
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(values):
    low, high = wilson(sum(values), len(values))
    return {"mean": sum(values) / len(values), "low": low, "high": high, "n": len(values), "interval": "wilson",
            "higher_is_better": True}


def mean(values, higher=True):
    average = sum(values) / len(values)
    spread = 1.96 * math.sqrt(sum((v - average) ** 2 for v in values) / max(1, len(values) - 1) / len(values))
    return {"mean": average, "low": average - spread, "high": average + spread, "n": len(values),
            "interval": "bootstrap", "higher_is_better": higher}


def arm(method, budget, control=None, **more):
    identity = control or (method if budget is None else f"{method}-{budget}")
    return {"id": identity, "method": method, "version": 1, "budget": budget, "params": {}, "positions": "gaps",
            "reading": "chunks of 512, cut after every chunk", "query_aware": False, "control": control} | more


def arms(budgets, methods=METHODS):
    made = [arm(m, b, params={"sinks": 4} if m == "streaming-llm" else {}) for m in methods for b in budgets]
    return made + [arm("dense", None), arm("dense", None, "closed-book"), arm("dense", None, "full-context")]


def run_json(task, made, settings, **more):
    return {"format": "steno.eval", "format_version": 1, "steno": "0.0.0-synthetic", "task": task,
            "created": "2026-01-02T03:04:05Z", "model": MODEL, "tokenizer": {"hash": "00synthetic00tokenizer0000000000"},
            "data": [{"name": "synthetic.jsonl", "hash": "00synthetic00data00000000000000000", "records": 7, "skipped": 1}],
            "seed": 7, "limit": 0, "threads": 2, "dtype": "bf16", "settings": settings, "arms": made} | more


def kept_by(made, tokens, rng):
    """Invented ranges in the manner of the method."""
    budget = made["budget"]
    if made["control"] == "closed-book":
        return []
    if budget is None or budget >= tokens:
        return [[0, tokens - 1]]
    if made["method"] in ("window", "fifo"):
        return [[tokens - budget, tokens - 1]]
    if made["method"] == "streaming-llm":
        return [[0, 3], [tokens - budget + 4, tokens - 1]]
    if made["method"] == "retrieval":
        starts = sorted(rng.sample(range(0, tokens // 64), budget // 64))
        return [[64 * s, 64 * s + 63] for s in starts]
    positions, ranges = sorted(rng.sample(range(tokens), budget)), []
    for position in positions:
        if ranges and ranges[-1][1] == position - 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    return ranges


def item(made, name, cell, context, rng, **more):
    budget = context if made["budget"] is None else min(made["budget"], context)
    budget = 0 if made["control"] == "closed-book" else budget
    return {"arm": made["id"], "item": name, "cell": cell, "context_tokens": context,
            "kept": kept_by(made, context, rng),
            "accounting": {"source_tokens": context, "slots": budget, "dropped_tokens": context - budget,
                           "memory_bytes": budget * 23040, "peak_slots": budget + 512,
                           "ratio": round(context / max(1, budget), 3), "reading": made["reading"]},
            "time": {"read_s": round(context / rng.uniform(2300, 2600), 4), "first_token_s": 0.02,
                     "decode_s": round(rng.uniform(0.05, 0.1), 4), "decoded_tokens": 7}} | more


def summarise(made, items, metrics, cells=True):
    lines = [i for i in items if i["arm"] == made["id"]]
    groups = {}
    for line in lines:
        groups.setdefault(json.dumps(line["cell"]), []).append(line)
    slots = sum(i["accounting"]["slots"] for i in lines) / len(lines)
    return {"id": made["id"], "n": len(lines), "skipped": 0, "metrics": metrics(lines),
            "cells": [{"cell": json.loads(k), "n": len(v), "metrics": metrics(v)} for k, v in groups.items()] if cells else [],
            "bytes": slots * 23040, "slots": slots, "read_tokens_per_s": 2450.5, "decode_tokens_per_s": 101.25}


def write(folder, run, items, metrics=None, headline="", cells=True):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    (folder / "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    if metrics:
        summary = {"format": "steno.eval.summary", "format_version": 1, "headline": headline,
                   "arms": [summarise(a, items, metrics, cells) for a in run["arms"]]}
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def correct(lines):
    return {"correct": accuracy([i["scores"]["correct"] for i in lines]),
            "digits_right": mean([i["scores"]["digits_right"] for i in lines])}


def passkey(folder, trials, lengths, budgets, methods=METHODS):
    rng, items, made = random.Random(1), [], arms(budgets, methods)
    for a in made:
        for length in lengths:
            for depth in (0, 25, 50, 75, 100):
                for trial in range(trials):
                    key, at = rng.randint(10000, 49999), int(depth / 100 * (length - 60)) + 10
                    skill = 0 if a["control"] == "closed-book" else 0.97 if a["budget"] is None else min(
                        0.97, METHODS[a["method"]] * (a["budget"] / 256) ** 0.4)
                    if a["method"] in ("window", "fifo") and at < length - a["budget"]:
                        skill = 0
                    right = rng.random() < skill
                    answer = f" {key}. Synthetic." if right else f" {rng.randint(10000, 49999)}. Synthetic."
                    if trial == 0 and depth == 50:
                        answer += HOSTILE
                    items.append(item(a, f"length={length}/depth={depth}/trial={trial}", {"length": length, "depth": depth},
                                      length, rng, needle=[at, at + 22], prediction=answer, references=[str(key)],
                                      question="(synthetic) What is the pass key? The pass key is",
                                      scores={"correct": float(right), "digits_right": 1.0 if right else rng.randint(0, 3) / 5}))
    settings = {"lengths": list(lengths), "depths": [0, 25, 50, 75, 100], "max_new_tokens": 10,
                "template": "synthetic test data", "stop": ["\n"]}
    write(folder, run_json("passkey", made, settings), items, correct, "correct")


def ppl(folder):
    rng, items, made = random.Random(2), [], arms((256, 1024), ("window", "streaming-llm", "h2o"))[:-2]
    for a in made:
        worse = 0 if a["budget"] is None else 60 / a["budget"]
        for document in range(12):
            bins, nll, tokens = [], 0.0, 0
            for first in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
                width = first
                rate = 2.6 + 1.2 / math.sqrt(first) + (worse if a["budget"] and first >= a["budget"] else 0)
                part = width * (rate + rng.uniform(-0.05, 0.05))
                bins.append({"first": first, "nll": part, "tokens": width})
                nll, tokens = nll + part, tokens + width
            items.append(item(a, f"document-{document}", {}, 4096, rng, scores={"ppl": math.exp(nll / tokens)},
                              nll=nll, tokens=tokens, chars=tokens * 4, by_position=bins, prediction=""))

    def metrics(lines):
        micro = mean([math.exp(i["nll"] / i["tokens"]) for i in lines], False)
        bits = mean([i["nll"] / (math.log(2) * i["chars"]) for i in lines], False)
        return {"micro_ppl": micro, "bits_per_char": bits}

    write(folder, run_json("ppl", made, {"window": "synthetic test data"}), items, metrics, "micro_ppl")


def qa_unfinished(folder):
    rng, items, made = random.Random(3), [], arms((512,), ("h2o", "window"))
    made.append(arm("snapkv", 512, query_aware=True, id="snapkv-512-query-aware"))
    for a in made[:-1]:
        for question in range(10 if a is not made[1] else 6):
            f1 = rng.choice([0.0, 0.0, 0.4, 2 / 3, 1.0])
            items.append(item(a, f"synthetic-{question}", {}, 1500, rng, scores={"f1": f1, "em": float(f1 == 1)},
                              question=f"Synthetic question {question}? {HOSTILE if question == 0 else ''}",
                              prediction="Synthetic answer. " * (1 if question else 600), references=["A", "B"]))
    items[3] = {"arm": items[3]["arm"], "item": items[3]["item"], "cell": {}, "skipped": "synthetic: longer than the model's context"}
    write(folder, run_json("qa", made, {}), items)


def main():
    folder = pathlib.Path(sys.argv[1])
    if "--large" in sys.argv:
        passkey(folder / "synthetic-large", 20, (1024, 2048, 4096, 8192), (256, 512, 1024, 2048))
        return
    passkey(folder / "synthetic-passkey", 4, (1024, 2048, 4096), (256, 512, 1024))
    ppl(folder / "synthetic-ppl")
    qa_unfinished(folder / "synthetic-qa-unfinished")


if __name__ == "__main__":
    main()
