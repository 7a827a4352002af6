"""How well the rules choose spans of a memory that does not fit: `steno ask --choose bm25 | attention | order`.

    bench/span_choice.py STENO --model MODEL --adapter DIR --data longqa.valid.jsonl.zst --room 512 [--out FILE]

Every context is compressed once with its text and once without. Each question is asked of each memory with room for so
many positions that only a part of the spans is read. Reported, per rule:

    held     share of the questions whose answer stands in the text of the spans that were read, of those whose answer
             stands in the context word for word (spans read side by side are joined)
    f1       mean token F1 of the answer against the best of the references (SQuAD's rules)
    read     mean share of the spans that was read

`held` needs no generation to be right; it says how well a rule chooses. A random choice of the same share of spans
would hold about `read`. Needs the command line tool zstd for compressed data.
"""
import argparse
import collections
import json
import pathlib
import re
import string
import subprocess
import sys
import tempfile

RULES = ("bm25", "attention", "order")


def records(path, sources, words, limit):
    if path.suffix == ".zst":
        lines = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout.decode().splitlines()
    else:
        lines = path.read_text().splitlines()
    found = [r for r in map(json.loads, lines)
             if (not sources or r["source"] in sources) and (not words or len(r["context"].split()) <= words)]
    return found[:limit] if limit else found


def spread(items, count):
    """`count` items from all over the list (questions come in the order of the story); all of them for 0."""
    return [items[i * len(items) // count] for i in range(count)] if 0 < count < len(items) else items


def normalised(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(answer, reference):
    a, b = normalised(answer), normalised(reference)
    if not a or not b:
        return float(a == b)
    same = sum((collections.Counter(a) & collections.Counter(b)).values())
    return 0.0 if same == 0 else 2 * same / (len(a) + len(b))


def joined(spans, ranges):
    """Texts of the spans that were read; neighbours as one."""
    return ["".join(span["text"] for span in spans[first:last + 1]) for first, last in ranges]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steno", type=pathlib.Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--room", type=int, default=512, help="positions that spans may take")
    parser.add_argument("--source", action="append", help="only records of this source; may be repeated")
    parser.add_argument("--words", type=int, default=0, help="only contexts of at most so many words")
    parser.add_argument("--limit", type=int, default=0, help="the first so many contexts")
    parser.add_argument("--questions", type=int, default=0, help="so many questions of a context, from all over it")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=pathlib.Path, help="one JSON line per question and rule")
    args = parser.parse_args()
    common = ["--model", args.model, "--quiet", "--json"] + (["--threads", str(args.threads)] if args.threads else [])

    def steno(*arguments, flags=common):
        result = subprocess.run([args.steno, *map(str, arguments), *flags], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"{' '.join(map(str, arguments))[:200]}: {result.stderr.strip()}")
        return result.stdout

    lines, skipped = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for record in records(args.data, args.source, args.words, args.limit):
            questions = spread(record["qas"], args.questions)
            (folder / "text").write_text(record["context"])
            for name, more in (("kept", ["--keep-text"]), ("blind", [])):
                steno("compress", folder / "text", "-o", folder / name, "--force", "--set", f"adapter={args.adapter}", *more)
            spans = [json.loads(line) for line in steno("memory", "export", folder / "kept", flags=[]).splitlines()]
            for rule in RULES:
                flags = [part for q in questions for part in ("--question", q["question"])]
                memory = folder / ("kept" if rule == "bm25" else "blind")
                done = json.loads(steno("ask", memory, *flags, "--choose", rule, "--room", args.room, "--temperature", 0,
                                        "--max-new-tokens", args.max_new_tokens))
                for question, answer in zip(questions, done["answers"]):
                    reading = answer["reading"]
                    if reading["chosen_by"] != rule:
                        skipped += 1  # everything fitted: nothing was chosen
                        continue
                    in_context = [a for a in question["answers"] if a.lower() in record["context"].lower()]
                    texts = joined(spans, reading["read"])
                    lines.append({"id": record["id"], "source": record["source"], "rule": rule,
                                  "question": question["question"], "answer": answer["text"],
                                  "f1": max(f1(answer["text"], a) for a in question["answers"]),
                                  "read": 1 - len(reading["unread_spans"]) / reading["spans"],
                                  "held": any(a.lower() in t.lower() for a in in_context for t in texts)
                                  if in_context else None})
            print(f"{record['id']}: {len(spans)} spans, {len(questions)} questions", file=sys.stderr)
    if args.out:
        args.out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"{'rule':<10} {'questions':>9} {'held':>7} {'of':>6} {'f1':>7} {'read':>7}")
    for rule in RULES:
        own = [line for line in lines if line["rule"] == rule]
        if not own:
            continue
        held = [line["held"] for line in own if line["held"] is not None]
        mean = lambda values: sum(values) / len(values) if values else float("nan")
        print(f"{rule:<10} {len(own):>9} {mean(held):>7.3f} {len(held):>6} {mean([l['f1'] for l in own]):>7.3f} "
              f"{mean([l['read'] for l in own]):>7.3f}")
    if skipped:
        print(f"left out: {skipped} questions (times rules) whose memory fitted into --room {args.room}")


if __name__ == "__main__":
    main()
