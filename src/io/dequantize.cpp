// Compiled with -O3 -ffp-contract=off (see CMakeLists.txt): the loops below are written to be vectorised by the
// compiler, and a multiplication and an addition must stay two roundings, as in the Python package gguf.
#include <c10/util/Half.h>

#include <bit>
#include <cstring>

#include "io/dequantize_avx512.h"
#include "io/ggml_types.h"

// One copy of the loops per instruction set, chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define STENO_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STENO_CLONES
#endif
// What the copies call must become part of them.
#define STENO_INLINE __attribute__((always_inline)) inline

namespace steno {
namespace {

STENO_INLINE uint16_t read_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
STENO_INLINE uint32_t read_u32(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
STENO_INLINE float half(const uint8_t* p) { return c10::detail::fp16_ieee_to_fp32_value(read_u16(p)); }

STENO_INLINE void put(float& out, float value) { out = value; }
STENO_INLINE void put(uint16_t& out, float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  const uint32_t quiet = bits >> 16 | 0x40;
  out = static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

// Vectorised form of `half` for whole tensors; subnormals are the integer mantissa times 2^-24.
STENO_INLINE float half_bits(uint16_t bits) {
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
  const uint32_t normal = magnitude + (112u << 23);
  const uint32_t special = magnitude + (224u << 23);
  const uint32_t tiny = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int>(bits & 0x3FF)) * 0x1p-24f);
  uint32_t value = magnitude >= (31u << 23) ? special : normal;
  value = magnitude < (1u << 23) ? tiny : value;
  return std::bit_cast<float>(value | static_cast<uint32_t>(bits & 0x8000) << 16);
}

template <class Out>
STENO_INLINE void f32_values(const uint8_t* __restrict src, Out* __restrict dst, int64_t values) {
  for (int64_t i = 0; i < values; ++i) put(dst[i], std::bit_cast<float>(read_u32(src + 4 * i)));
}

template <class Out>
STENO_INLINE void f16_values(const uint8_t* __restrict src, Out* __restrict dst, int64_t values) {
  for (int64_t i = 0; i < values; ++i) put(dst[i], half_bits(read_u16(src + 2 * i)));
}

STENO_INLINE void bf16_values(const uint8_t* src, float* dst, int64_t values) {
  for (int64_t i = 0; i < values; ++i)
    dst[i] = std::bit_cast<float>(static_cast<uint32_t>(read_u16(src + 2 * i)) << 16);
}
STENO_INLINE void bf16_values(const uint8_t* src, uint16_t* dst, int64_t values) {
  std::memcpy(dst, src, 2 * static_cast<size_t>(values));
}

// In the blocks of 32, byte j holds the low bits of value j (low nibble) and of value j + 16 (high nibble).
template <class Out>
STENO_INLINE void q4_0(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src);
  for (int j = 0; j < 16; ++j) {
    put(dst[j], d * static_cast<float>((src[2 + j] & 15) - 8));
    put(dst[j + 16], d * static_cast<float>((src[2 + j] >> 4) - 8));
  }
}

template <class Out>
STENO_INLINE void q4_1(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src), m = half(src + 2);
  for (int j = 0; j < 16; ++j) {
    put(dst[j], d * static_cast<float>(src[4 + j] & 15) + m);
    put(dst[j + 16], d * static_cast<float>(src[4 + j] >> 4) + m);
  }
}

// Bit j of `high` is the fifth bit of value j.
template <class Out>
STENO_INLINE void q5_0(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src);
  const uint32_t high = read_u32(src + 2);
  for (int j = 0; j < 16; ++j) {
    put(dst[j], d * static_cast<float>(static_cast<int>((src[6 + j] & 15) | (high >> j & 1) << 4) - 16));
    put(dst[j + 16], d * static_cast<float>(static_cast<int>((src[6 + j] >> 4) | (high >> (j + 16) & 1) << 4) - 16));
  }
}

template <class Out>
STENO_INLINE void q5_1(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src), m = half(src + 2);
  const uint32_t high = read_u32(src + 4);
  for (int j = 0; j < 16; ++j) {
    put(dst[j], d * static_cast<float>(static_cast<int>((src[8 + j] & 15) | (high >> j & 1) << 4)) + m);
    put(dst[j + 16], d * static_cast<float>(static_cast<int>((src[8 + j] >> 4) | (high >> (j + 16) & 1) << 4)) + m);
  }
}

template <class Out>
STENO_INLINE void q8_0(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src);
  for (int j = 0; j < 32; ++j) put(dst[j], static_cast<float>(static_cast<int8_t>(src[2 + j])) * d);
}

// The k-formats hold 256 values in groups of 16 or 32 that have small integer scales of their own.

// scales[16] (scale | min << 4), quants[64] of 2 bits, d, dmin.
template <class Out>
STENO_INLINE void q2_k(const uint8_t* __restrict src, Out* __restrict dst) {
  const uint8_t *scales = src, *quants = src + 16;
  const float d = half(src + 80), dmin = half(src + 82);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * static_cast<float>(scales[group] & 15), ml = dmin * static_cast<float>(scales[group] >> 4);
    const uint8_t* q = quants + group / 8 * 32 + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    for (int j = 0; j < 16; ++j) put(dst[16 * group + j], dl * static_cast<float>(q[j] >> shift & 3) - ml);
  }
}

// high bits[32], quants[64] of 2 bits, scales[12] of 6 bits (4 low bits, then 2 high bits), d. A set high bit means
// that nothing is subtracted.
template <class Out>
STENO_INLINE void q3_k(const uint8_t* __restrict src, Out* __restrict dst) {
  const uint8_t *high = src, *quants = src + 32, *scales = src + 96;
  const float d = half(src + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int scale = (low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
    const float dl = d * static_cast<float>(scale);
    const uint8_t *q = quants + group / 8 * 32 + group % 2 * 16, *h = high + group % 2 * 16;
    const int shift = group / 2 % 4 * 2, bit = group / 2;
    for (int j = 0; j < 16; ++j)
      put(dst[16 * group + j], dl * static_cast<float>((q[j] >> shift & 3) - ((h[j] >> bit & 1) ^ 1) * 4));
  }
}

// Scale and minimum of a group of 32 in Q4_K and Q5_K: 8 + 8 numbers of 6 bits in 12 bytes.
struct ScaleMin {
  int scale, min;
};
STENO_INLINE ScaleMin scale_min(const uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4};
}

// d, dmin, scales[12], quants[128] of 4 bits.
template <class Out>
STENO_INLINE void q4_k(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src), dmin = half(src + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [scale, min] = scale_min(src + 4, group);
    const float dl = d * static_cast<float>(scale), ml = dmin * static_cast<float>(min);
    const uint8_t* q = src + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int j = 0; j < 32; ++j) put(dst[32 * group + j], dl * static_cast<float>(q[j] >> shift & 15) - ml);
  }
}

// d, dmin, scales[12], high bits[32], quants[128] of 4 bits.
template <class Out>
STENO_INLINE void q5_k(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src), dmin = half(src + 2);
  const uint8_t* high = src + 16;
  for (int group = 0; group < 8; ++group) {
    const auto [scale, min] = scale_min(src + 4, group);
    const float dl = d * static_cast<float>(scale), ml = dmin * static_cast<float>(min);
    const uint8_t* q = src + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int j = 0; j < 32; ++j)
      put(dst[32 * group + j], dl * static_cast<float>((q[j] >> shift & 15) | (high[j] >> group & 1) << 4) - ml);
  }
}

// low nibbles[128], high bits[64] of 2 bits, scales[16] of 8 bits, d.
template <class Out>
STENO_INLINE void q6_k(const uint8_t* __restrict src, Out* __restrict dst) {
  const float d = half(src + 208);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * static_cast<float>(static_cast<int8_t>(src[192 + group]));
    const int run = group / 2, offset = group % 2 * 16;  // a run is 32 values
    const uint8_t* low = src + run / 4 * 64 + run % 2 * 32 + offset;
    const uint8_t* high = src + 128 + run / 4 * 32 + offset;
    const int low_shift = run / 2 % 2 * 4, high_shift = run % 4 * 2;
    for (int j = 0; j < 16; ++j) {
      const int q = (low[j] >> low_shift & 15) | (high[j] >> high_shift & 3) << 4;
      put(dst[16 * group + j], dl * static_cast<float>(q - 32));
    }
  }
}

template <auto Block, class Out>
STENO_INLINE void each(const uint8_t* __restrict src, Out* __restrict dst, int64_t blocks, int64_t block_values,
                       int64_t block_bytes) {
  for (int64_t i = 0; i < blocks; ++i) Block(src + i * block_bytes, dst + i * block_values);
}

template <class Out>
STENO_INLINE void dequantize_blocks(GgmlType type, const uint8_t* __restrict src, Out* __restrict dst, int64_t values) {
  switch (type) {
    case GgmlType::F32:
      return f32_values(src, dst, values);
    case GgmlType::F16:
      return f16_values(src, dst, values);
    case GgmlType::BF16:
      return bf16_values(src, dst, values);
    case GgmlType::Q4_0:
      return each<q4_0<Out>>(src, dst, values / 32, 32, 18);
    case GgmlType::Q4_1:
      return each<q4_1<Out>>(src, dst, values / 32, 32, 20);
    case GgmlType::Q5_0:
      return each<q5_0<Out>>(src, dst, values / 32, 32, 22);
    case GgmlType::Q5_1:
      return each<q5_1<Out>>(src, dst, values / 32, 32, 24);
    case GgmlType::Q8_0:
      return each<q8_0<Out>>(src, dst, values / 32, 32, 34);
    case GgmlType::Q2_K:
      return each<q2_k<Out>>(src, dst, values / 256, 256, 84);
    case GgmlType::Q3_K:
      return each<q3_k<Out>>(src, dst, values / 256, 256, 110);
    case GgmlType::Q4_K:
      return each<q4_k<Out>>(src, dst, values / 256, 256, 144);
    case GgmlType::Q5_K:
      return each<q5_k<Out>>(src, dst, values / 256, 256, 176);
    case GgmlType::Q6_K:
      return each<q6_k<Out>>(src, dst, values / 256, 256, 210);
  }
}

STENO_CLONES void blocks_to_f32(GgmlType type, const uint8_t* src, float* dst, int64_t values) {
  dequantize_blocks(type, src, dst, values);
}
STENO_CLONES void blocks_to_bf16(GgmlType type, const uint8_t* src, uint16_t* dst, int64_t values) {
  dequantize_blocks(type, src, dst, values);
}

}  // namespace

void dequantize_to_f32(GgmlType type, const std::byte* src, float* dst, int64_t values) {
  blocks_to_f32(type, reinterpret_cast<const uint8_t*>(src), dst, values);
}

void dequantize_to_bf16(GgmlType type, const std::byte* src, uint16_t* dst, int64_t values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(src);
  if (!dequantize_to_bf16_avx512(type, bytes, dst, values)) blocks_to_bf16(type, bytes, dst, values);
}

int64_t find_bad_block(GgmlType type, const std::byte* data, int64_t values) {
  const uint8_t* src = reinterpret_cast<const uint8_t*>(data);
  const auto first = [&](int64_t block_values, int64_t block_bytes, auto is_bad) -> int64_t {
    for (int64_t i = 0; i < values / block_values; ++i)
      if (is_bad(src + i * block_bytes)) return i;
    return -1;
  };
  const auto bad_half = [](const uint8_t* p) { return (read_u16(p) & 0x7C00) == 0x7C00; };
  const auto at = [&](int offset) { return [=](const uint8_t* block) { return bad_half(block + offset); }; };
  const auto at_two = [&](int offset) {
    return [=](const uint8_t* block) { return bad_half(block + offset) || bad_half(block + offset + 2); };
  };
  switch (type) {
    case GgmlType::F32:
      return first(1, 4, [](const uint8_t* p) { return (read_u32(p) & 0x7F800000) == 0x7F800000; });
    case GgmlType::BF16:
      return first(1, 2, [](const uint8_t* p) { return (read_u16(p) & 0x7F80) == 0x7F80; });
    case GgmlType::F16:
      return first(1, 2, at(0));
    case GgmlType::Q4_0:
      return first(32, 18, at(0));
    case GgmlType::Q4_1:
      return first(32, 20, at_two(0));
    case GgmlType::Q5_0:
      return first(32, 22, at(0));
    case GgmlType::Q5_1:
      return first(32, 24, at_two(0));
    case GgmlType::Q8_0:
      return first(32, 34, at(0));
    case GgmlType::Q2_K:
      return first(256, 84, at_two(80));
    case GgmlType::Q3_K:
      return first(256, 110, at(108));
    case GgmlType::Q4_K:
      return first(256, 144, at_two(0));
    case GgmlType::Q5_K:
      return first(256, 176, at_two(0));
    case GgmlType::Q6_K:
      return first(256, 210, at(208));
  }
  return -1;
}

}  // namespace steno
