"""Writes tests/data/safetensors/all_types.safetensors: one tensor of every type, by the Python package safetensors.

    python tests/golden/make_safetensors.py                 writes the file
    python tests/golden/make_safetensors.py --check FILE    reads FILE and compares it with what would be written

Needs torch and safetensors.
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[1] / "data" / "safetensors" / "all_types.safetensors"
METADATA = {"format": "pt", "note": "größe ✓"}


def tensors():
    # Small numbers that every type holds exactly; safetensors_test.cpp computes the same.
    base = torch.arange(12).view(3, 4)
    result = {"empty": torch.empty(0, 5), "scalar": torch.tensor(2.5), "bool": base % 3 == 0}
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32",
                 "uint16", "uint8", "float8_e4m3fn", "float8_e5m2", "complex64"):
        result[name] = base.to(getattr(torch, name))
    return result


def check(path):
    expected = tensors()
    with safe_open(path, "pt") as file:
        assert file.metadata() == METADATA, file.metadata()
        assert sorted(file.keys()) == sorted(expected), file.keys()
        for name, value in expected.items():
            read = file.get_tensor(name)
            assert read.dtype == value.dtype and read.shape == value.shape, name
            assert read.contiguous().flatten().view(torch.uint8).equal(value.contiguous().flatten().view(torch.uint8)), name
    print(f"{path}: {len(expected)} tensors are as expected")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2])
    else:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors(), OUT, METADATA)
