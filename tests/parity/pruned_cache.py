#!/usr/bin/env python3
"""H2O, SnapKV and TOVA written a second time, on transformers, against what steno keeps and answers.

    .peers/bin/python tests/parity/pruned_cache.py build/release/tests/parity/steno_pruned_passkey \\
        --method h2o --method snapkv --method tova --depth 10 25 40 --trials 10 [--query-aware]

steno_pruned_passkey prints the passkey prompts of `steno eval passkey`, the positions that it kept of them in every
layer and head, and its answers. The same ids are read here by the same weights in f32 with plain softmax attention over
a cache of this script's own: the context densely, then a cut of every layer by the rule, the question, a cut, and
greedy tokens (each followed by a cut; SnapKV only adds them). Keys stay at their positions. Reported per rule: how many
kept positions are the same, in how many sets, and how many keys each of the two answers; --json FILE has every prompt.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer
from transformers.masking_utils import AttentionMaskInterface
from transformers.utils import logging

MODEL = Path(__file__).resolve().parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WINDOW, KERNEL = 32, 5  # SnapKV's
METHODS = ["h2o", "snapkv", "tova", "dense"]


class Layer:
    """One layer's cache: k, v [G, S, d]; position, mass [G, S], each of the G key/value heads with slots of its own."""

    def __init__(self):
        self.k = None

    def copy(self):
        other = Layer()
        other.__dict__.update(self.__dict__)  # tensors are replaced, never written to
        return other

    def attend(self, q, k, v, positions, scale):
        """q [H, T, d], k and v [G, T, d], positions [T] -> [H, T, d]; notes what every slot receives."""
        groups, steps = k.shape[:2]
        place = positions.expand(groups, steps)
        if self.k is None:
            self.k, self.v, self.position, self.mass = k, v, place, torch.zeros(groups, steps)
            self.queries, self.asked = q, positions
        else:
            self.k, self.v = torch.cat([self.k, k], 1), torch.cat([self.v, v], 1)
            self.position = torch.cat([self.position, place], 1)
            self.mass = torch.cat([self.mass, torch.zeros(groups, steps)], 1)
            self.queries, self.asked = torch.cat([self.queries, q], 1), torch.cat([self.asked, positions])
        self.queries, self.asked = self.queries[:, -WINDOW:], self.asked[-WINDOW:]
        self.scale = scale
        p = self.probabilities(q, positions)
        self.mass = self.mass + p.mean(1).sum(1)
        self.last = p[:, :, -1].mean((0, 1))  # [S]; only where all heads hold the same slots
        return (p @ self.v.unsqueeze(1)).flatten(0, 1)

    def probabilities(self, q, positions):
        """[G, H / G, T, S]"""
        scores = q.unflatten(0, (self.k.shape[0], -1)) @ self.k.transpose(1, 2).unsqueeze(1) * self.scale
        hidden = self.position[:, None, None, :] > positions[None, None, :, None]
        return scores.masked_fill(hidden, -torch.inf).softmax(-1)

    def cut(self, rule, budget, start, mean):
        if rule == "dense" or self.k.shape[1] <= budget:
            return
        end = self.asked[-1] + 1
        score = torch.zeros_like(self.mass)
        recent = {"h2o": budget // 2, "snapkv": WINDOW, "tova": 0}[rule]
        if rule == "h2o":
            score = self.mass / (end - self.position) if mean else self.mass
        elif rule == "tova":
            score = self.last.expand_as(self.mass)
        elif rule == "snapkv":
            received = self.probabilities(self.queries, self.asked).mean(1).sum(1)
            # Slots stand in the order of positions, the window behind all others.
            before = received[:, :-WINDOW].unsqueeze(1)
            pooled = torch.nn.functional.avg_pool1d(before, KERNEL, 1, KERNEL // 2, count_include_pad=True)
            score = torch.cat([pooled.squeeze(1), received[:, -WINDOW:]], 1)
        score = score.masked_fill((self.position >= end - recent) | (self.position < start), torch.inf)
        kept = score.topk(budget, dim=1).indices.sort(1).values
        self.position, self.mass = self.position.gather(1, kept), self.mass.gather(1, kept)
        rows = kept.unsqueeze(-1).expand(-1, -1, self.k.shape[-1])
        self.k, self.v = self.k.gather(1, rows), self.v.gather(1, rows)


class Memory:
    """All layers, and the model that reads through them."""
    current = None

    def __init__(self, model):
        self.model, self.seen = model, 0
        self.layers = [Layer() for _ in range(model.config.num_hidden_layers)]

    def copy(self):
        other = Memory(self.model)
        other.seen, other.layers = self.seen, [layer.copy() for layer in self.layers]
        return other

    def feed(self, ids):
        """The next token, greedily."""
        self.positions = torch.arange(self.seen, self.seen + len(ids))
        Memory.current = self
        logits = self.model(torch.tensor([ids]), position_ids=self.positions[None], use_cache=False,
                            logits_to_keep=1).logits
        self.seen += len(ids)
        return logits[0, -1].argmax().item()

    def cut(self, *rule):
        for layer in self.layers:
            layer.cut(*rule)

    def kept(self):
        return [layer.position.tolist() for layer in self.layers]


def attend_by_memory(module, query, key, value, attention_mask, scaling, **_):
    memory = Memory.current
    out = memory.layers[module.layer_idx].attend(query[0], key[0], value[0], memory.positions, scaling)
    return out.transpose(0, 1).unsqueeze(0), None


AttentionInterface.register("memory", attend_by_memory)
AttentionMaskInterface.register("memory", lambda *_, **__: None)


def answer(memory, question, method, budget, options):
    """Reads the question (all of the prompt that is left), cuts, and decodes 10 tokens."""
    rule = (method, budget, options.start, options.mean)
    token, tokens = memory.feed(question), []
    memory.cut(*rule)
    kept = memory.kept()
    for _ in range(9):
        tokens.append(token)
        token = memory.feed([token])
        if method != "snapkv":
            memory.cut(*rule)
    return kept, tokens + [token]


def overlap(ours, theirs):
    """Shared positions, all positions, equal sets and sets, over layers and heads."""
    pairs = [(set(a), set(b)) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    return [sum(len(a & b) for a, b in pairs), sum(len(b) for _, b in pairs), sum(a == b for a, b in pairs), len(pairs)]


def right(text, key):
    digits = "".join(c if c.isdigit() else " " for c in text).split()
    return bool(digits) and digits[0] == key


def prompts_of(program, method, options):
    command = [program, str(options.model), "--method", method, "--length", str(options.length), "--trials",
               str(options.trials), "--dtype", options.dtype, "--depth", *map(str, options.depth)]
    if method != "dense":
        command += ["--budget", str(options.budget)]
    params = [] if method == "dense" else ["cut=feed", f"start={options.start}"]
    if method == "h2o":
        params.append(f"score={'mean' if options.mean else 'sum'}")
    for param in params:
        command += ["--params", param]
    if options.filler:
        command += ["--filler", options.filler]
    if options.query_aware:
        command.append("--query-aware")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_dense(model, prompt, query_aware):
    memory = Memory(model)
    memory.feed(prompt["context"])
    if query_aware:  # the cut comes when all is read; answer() reads the last token again from here
        memory.feed(prompt["question"][:-1])
    return memory


@torch.inference_mode()
def main(options):
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    steno = {method: prompts_of(options.program, method, options) for method in options.method}
    load = {"pretrained_model_name_or_path": options.model.parent, "gguf_file": options.model.name}
    tokenizer = AutoTokenizer.from_pretrained(**load)
    model = AutoModelForCausalLM.from_pretrained(**load, dtype=torch.float32, attn_implementation="memory").eval()
    lines, totals = [], {method: [0] * 6 for method in options.method}
    for i, prompt in enumerate(steno[options.method[0]]):
        dense = read_dense(model, prompt, options.query_aware)
        for method in options.method:
            theirs, memory = steno[method][i], dense.copy()
            question = prompt["question"]
            if options.query_aware:
                kept, tokens = answer(memory, question[-1:], method, options.budget, options)
            else:
                memory.cut(method, options.budget, options.start, options.mean)
                kept = memory.kept()
                tokens = answer(memory, question, method, options.budget, options)[1]
            text = tokenizer.decode(tokens)
            same = overlap(theirs["kept"], kept)
            counts = [*same, right(theirs["answer"], prompt["key"]), right(text, prompt["key"])]
            totals[method] = [a + b for a, b in zip(totals[method], counts)]
            first, last = prompt["needle"]
            held = [[sum(first <= p <= last for p in head) / (last - first + 1) for head in layer] for layer in kept]
            lines.append({"item": prompt["item"], "method": method, "key": prompt["key"], "steno": theirs["answer"],
                          "transformers": text, "same_positions": same[:2], "same_sets": same[2:],
                          "needle_held": held})
            print(json.dumps({k: v for k, v in lines[-1].items() if k != "needle_held"}), file=sys.stderr)
    for method, (shared, positions, equal, sets, ours, theirs) in totals.items():
        held = torch.tensor([line["needle_held"] for line in lines if line["method"] == method])
        print(json.dumps({"method": method, "prompts": len(steno[method]), "same_positions": shared / positions,
                          "equal_sets": f"{equal}/{sets}", "right_steno": ours, "right_transformers": theirs,
                          "needle_held_mean": round(held.mean().item(), 4),
                          "needle_held_whole": round((held == 1).float().mean().item(), 4)}))
    if options.json:
        Path(options.json).write_text(json.dumps(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="steno_pruned_passkey")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--method", action="append", choices=METHODS, required=True)
    parser.add_argument("--budget", type=int, default=512)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--depth", type=int, nargs="+", default=[10, 25, 40])
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--filler", help="JSON lines of documents; without it the five repeated sentences")
    parser.add_argument("--start", type=int, default=0, help="first tokens that every rule keeps")
    parser.add_argument("--mean", action="store_true", help="H2O: mean per query in place of the sum")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="steno's")
    parser.add_argument("--query-aware", action="store_true", help="cut when the question has been read too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    main(parser.parse_args())
