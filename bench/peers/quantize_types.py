"""Writes the default model in every GGUF type that steno reads, and finds the one that llama.cpp prefills fastest.

    quantize_types.py FILE FOLDER              writes FOLDER/<type>.gguf (kept when already there)
    quantize_types.py FILE FOLDER --measure    and FOLDER/prefill.json: tokens per second by type and prompt length

Widths that are no multiple of 256 get the type that llama.cpp falls back to in K-quantised files.
"""

import argparse
import ctypes
import json
from pathlib import Path

import llama
import llama_cpp

TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9}
TYPES |= {"Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}
LENGTHS = (512, 2048)


def write_types(source, folder):
    llama_cpp.llama_log_set(llama._silent, ctypes.c_void_p(0))
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "F32.gguf"  # the other types are made from it
    for name, kind in TYPES.items():
        target = folder / f"{name}.gguf"
        if target.exists():
            continue
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype, options.nthread, options.allow_requantize = kind, 2, True
        part = target.with_suffix(".part")
        origin = source if name == "F32" else base
        if llama_cpp.llama_model_quantize(str(origin).encode(), str(part).encode(), ctypes.byref(options)) != 0:
            raise SystemExit(f"llama.cpp cannot write {name}")
        part.rename(target)


def measure(folder, names):
    report = folder / "prefill.json"  # types measured earlier stay in it
    rates = json.loads(report.read_text())["tokens_per_s"] if report.exists() else {}
    for name in names:
        for repack in (True, False):
            key = name if repack else f"{name} not repacked"
            rates[key] = {}
            for length in LENGTHS:
                session = llama.Session(folder / f"{name}.gguf", repack=repack)
                session.prefill_rate(length)
                rates[key][str(length)] = max(session.prefill_rate(length) for _ in range(2))
                session.close()
            print(f"{key:22}" + "".join(f"{length:6}: {rates[key][str(length)]:8.0f}/s" for length in LENGTHS), flush=True)
        best = {str(length): max(rates, key=lambda key: rates[key][str(length)]) for length in LENGTHS}
        report.write_text(json.dumps({"best": best, "tokens_per_s": rates}, indent=1) + "\n")
    print("best:", best)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    arguments = parser.parse_args()
    write_types(arguments.file, arguments.folder)
    if arguments.measure:
        measure(arguments.folder, arguments.types)
