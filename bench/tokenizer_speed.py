#!/usr/bin/env python3
"""Encoding speed beside the Rust tokenizers on one thread: medians over rounds, the same texts and tokenizers.

  python bench/tokenizer_speed.py build/release/tests/parity/steno_encode_lines STENO_DATA [--rounds 5]
"""
import argparse
import io
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402


def decompress(path):
    return subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in io.BytesIO(decompress(args.data / "prose.valid.jsonl.zst"))]
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    packed = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    here = Path(__file__).resolve().parents[1] / "tests" / "data" / "tokenizers"
    with tempfile.TemporaryDirectory() as scratch:
        qwen = Path(scratch) / "qwen3.json"
        qwen.write_bytes(decompress(here / "qwen3.tokenizer.json.zst"))
        print(f"prose.valid, {megabytes:.1f} MB, one thread, median of {args.rounds} rounds\n")
        print("| tokenizer | steno MB/s | tokenizers MB/s | steno / tokenizers |\n|---|---:|---:|---:|")
        for name, path in (("Qwen3", qwen), ("tiny byte-level", here / "tiny-split.json"), ("tiny SentencePiece", here / "tiny-spm.json")):
            done = subprocess.run([args.program, str(path), str(args.rounds)], input=packed, capture_output=True, check=True)
            ours = statistics.median(float(line.split()[1]) for line in done.stderr.decode().splitlines() if line.startswith("encode_s"))
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer.encode_special_tokens = True
            seconds = []
            for _ in range(args.rounds):
                start = time.perf_counter()
                for text in texts:
                    tokenizer.encode(text, add_special_tokens=False)
                seconds.append(time.perf_counter() - start)
            theirs = statistics.median(seconds)
            print(f"| {name} | {megabytes / ours:.1f} | {megabytes / theirs:.1f} | {theirs / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
