"""Writes tests/data/ggml_blocks: blocks of every ggml format that steno reads and their values in f32.

The values come from gguf.quants.dequantize of the Python package gguf, so the C++ code is compared with a second
implementation. Needs numpy and gguf; takes a second. Usage: python tests/golden/make_ggml_blocks.py
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

OUT = Path(__file__).resolve().parents[1] / "data" / "ggml_blocks"

# Offsets of the f16 scales and minima in a block. Everything else may hold any bits.
HALVES = {
    "F32": [], "F16": [0], "BF16": [],
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
# Zeros, the smallest and largest subnormals, the smallest normal, one, the largest.
EDGES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF]


def random_halves(rng, count):
    bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    infinite = (bits & 0x7C00) == 0x7C00
    bits[infinite] &= 0xBFFF  # any finite value
    edges = rng.random(count) < 0.3
    bits[edges] = rng.choice(np.array(EDGES, dtype=np.uint16), edges.sum())
    return bits


def random_blocks(rng, name, count):
    qtype = GGMLQuantizationType[name]
    block_values, block_bytes = GGML_QUANT_SIZES[qtype]
    if name == "F32":
        bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
        bits[(bits & 0x7F800000) == 0x7F800000] &= 0xBFFFFFFF
        return bits.view(np.uint8)
    if name == "BF16":
        bits = rng.integers(0, 1 << 16, count, dtype=np.uint16)
        bits[(bits & 0x7F80) == 0x7F80] &= 0xBFFF
        return bits.view(np.uint8)
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for offset in HALVES[name]:
        blocks[:, offset : offset + 2] = random_halves(rng, count).view(np.uint8).reshape(count, 2)
    if name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        # The second half looks like a model: quantised from normal values.
        real = rng.standard_normal((count // 2, block_values), dtype=np.float32)
        blocks[count // 2 :] = quantize(real, qtype).reshape(count // 2, block_bytes)
    return blocks.reshape(-1)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240917)
    for name in HALVES:
        block_values, _ = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
        count = {1: 1024, 32: 64, 256: 12}[block_values]
        blocks = random_blocks(rng, name, count)
        values = dequantize(blocks.reshape(1, -1), GGMLQuantizationType[name]).astype(np.float32).reshape(-1)
        assert values.size == count * block_values and np.isfinite(values).all(), name
        blocks.tofile(OUT / f"{name}.blocks")
        values.tofile(OUT / f"{name}.f32")


if __name__ == "__main__":
    main()
