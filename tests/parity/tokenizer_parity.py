#!/usr/bin/env python3
"""Compares steno's token ids with the reference's on every text of several sets.

References: llama.cpp (llama-cpp-python) for GGUF vocabularies, the Python package tokenizers for tokenizer.json.
Needs STENO_DATA (the folder with *.jsonl.zst and models/tokenizers) and the program steno_encode_lines.

  python tests/parity/tokenizer_parity.py build/release/tests/steno_encode_lines models/SmolLM2-135M-Instruct.Q4_1.gguf
"""
import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SETS = ["prose.valid", "dialogue.valid", "qa.valid"]


def decompress(path):
    return subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout


def texts_of(record):
    """Every string that a record of the data sets holds as text."""
    if "utterances" in record:
        return [turn["text"] for turn in record["utterances"]]
    return [t for key in ("text", "context", "question", "answers", "long_answer") if key in record
            for t in (record[key] if isinstance(record[key], list) else [record[key]])]


def load_sets(data):
    sets = {}
    for name in SETS:
        lines = io.BytesIO(decompress(data / f"{name}.jsonl.zst"))
        sets[name] = [text.encode() for line in lines for text in texts_of(json.loads(line))]
    return sets


def load_vectors(gguf):
    """The test strings and ids that llama.cpp keeps beside a vocabulary."""
    texts = Path(f"{gguf}.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")
    ids = [[int(n) for n in line.split()] for line in Path(f"{gguf}.out").read_text().split("\n")]
    return texts, ids[:len(texts)]


def encode_with_steno(program, tokenizer, texts):
    packed = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run([program, str(tokenizer)], input=packed, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    result, at = [], 0
    for _ in texts:
        count, = struct.unpack_from("<I", done.stdout, at)
        result.append(list(struct.unpack_from(f"<{count}i", done.stdout, at + 4)))
        at += 4 + 4 * count
    return result


def llama_cpp_encoder(path):
    import llama_cpp
    model = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
    return lambda texts: [model.tokenize(text, add_bos=False, special=False) if text else [] for text in texts]


def tokenizers_encoder(path):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [tokenizer.encode(text.decode(), add_special_tokens=False).ids for text in texts]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="steno_encode_lines")
    parser.add_argument("model", help="the default model (GGUF)")
    parser.add_argument("--data", default=os.environ.get("STENO_DATA"), type=Path)
    args = parser.parse_args()
    if not args.data:
        sys.exit("set STENO_DATA or pass --data")
    folder = Path(args.data) / "models" / "tokenizers"
    sets = load_sets(Path(args.data))
    failed = False

    print("| tokenizer | reference | set | texts | tokens | texts that differ |\n|---|---|---|---:|---:|---:|", flush=True)

    def compare(name, reference, label, texts, ours, theirs):
        nonlocal failed
        wrong = [i for i in range(len(texts)) if ours[i] != theirs[i]]
        failed |= bool(wrong)
        tokens = sum(map(len, theirs))
        print(f"| {name} | {reference} | {label} | {len(texts):,} | {tokens:,} | {len(wrong)} |", flush=True)
        for i in wrong[:3]:
            first = next((k for k, (a, b) in enumerate(zip(ours[i], theirs[i])) if a != b), min(len(ours[i]), len(theirs[i])))
            print(f"  text {i}, token {first}: {ours[i][first:first + 8]} instead of {theirs[i][first:first + 8]}",
                  file=sys.stderr)

    gguf = {"SmolLM2": Path(args.model), "GPT-2": folder / "ggml-vocab-gpt-2.gguf", "Phi-3": folder / "ggml-vocab-phi-3.gguf"}
    for name, path in gguf.items():
        if Path(f"{path}.inp").exists():
            texts, ids = load_vectors(path)
            compare(name, "llama.cpp vectors", path.name + ".inp", texts, encode_with_steno(args.program, path, texts), ids)
        reference = llama_cpp_encoder(path)
        for label, texts in sets.items():
            compare(name, "llama.cpp", label, texts, encode_with_steno(args.program, path, texts), reference(texts))

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "qwen3.json"
        path.write_bytes(decompress(folder / "qwen3.tokenizer.json.zst"))
        reference = tokenizers_encoder(path)
        for label, texts in sets.items():
            compare("Qwen3", "tokenizers", label, texts, encode_with_steno(args.program, path, texts), reference(texts))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
