// The block formats of ggml tensors (ggml-common.h, ggml-quants.c) and their exact values in f32.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace steno {

// Numbers as stored in files.
enum class GgmlType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  BF16 = 30
};

struct GgmlTraits {
  const char* name;      // nullptr: a type that steno does not read
  int64_t block_values;  // values per block; 0: a type whose size is not known
  int64_t block_bytes;
};

// Types that steno cannot read have name == nullptr here, and their sizes where those are known.
GgmlTraits ggml_traits(GgmlType type);
// For messages: the name of any type number ggml ever gave out, or "type N".
std::string ggml_type_name(uint32_t type);

// Bytes of `values` values; `values` is a multiple of block_values.
int64_t ggml_bytes(GgmlType type, int64_t values);

// Exact values, as the Python package gguf computes them in f32. `values` is a multiple of block_values; src needs no
// alignment. Not a checked border: the caller has checked sizes.
void dequantize_to_f32(GgmlType type, const std::byte* src, float* dst, int64_t values);
// The same rounded to nearest-even bfloat16 (dst: raw bits).
void dequantize_to_bf16(GgmlType type, const std::byte* src, uint16_t* dst, int64_t values);

// Index of the first block that has a scale or minimum which is NaN or infinite (F32, F16, BF16: the first such value),
// or -1. Values of a block without one are finite.
int64_t find_bad_block(GgmlType type, const std::byte* src, int64_t values);

}  // namespace steno
