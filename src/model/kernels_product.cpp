// Products with ggml blocks, 32 values at a time: two vectors of whole numbers, a scale and an offset.
#include <vector>

#include "model/kernels.h"
#include "model/vector.h"

namespace steno::kernels {
namespace {

STENO_INLINE B16 load_bytes(const std::byte* p) {
  B16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
// GCC 12 widens in one instruction when the bytes are in a register, and element by element when it sees the load.
STENO_INLINE VI widen(B16 v) {
  asm("" : "+x"(v));
  return __builtin_convertvector(v, VI);
}
STENO_INLINE V to_float(VI v) { return __builtin_convertvector(v, V); }

// Bit j of `bits` (values 0..15 from the low half) as 16 or 0.
STENO_INLINE VI fifth_bit(uint32_t bits) {
  const VI lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return ((VI{} + static_cast<int32_t>(bits & 0xFFFFu)) >> lane & 1) << 4;
}

struct Values {
  V lo, hi;  // values 0..15 and 16..31, before scale and offset
};

// A float that holds a four-bit number without a conversion: its bits go to the top of the mantissa of 1.0, which gives
// 1 + n/16. The product with 16 d and an offset of m - 16 d is what d n + m would be.
STENO_INLINE Values nibbles(const std::byte* p) {
  const VI bytes = widen(load_bytes(p));
  const VI lo = (bytes << 19 & 0x780000) | 0x3F800000, hi = (bytes << 15 & 0x780000) | 0x3F800000;
  Values v;
  std::memcpy(&v.lo, &lo, sizeof v.lo);
  std::memcpy(&v.hi, &hi, sizeof v.hi);
  return v;
}
STENO_INLINE Values five_bits(const std::byte* high, const std::byte* low) {
  uint32_t bits;
  std::memcpy(&bits, high, sizeof bits);
  const VI bytes = widen(load_bytes(low));
  return {to_float((bytes & 15) | fifth_bit(bits)), to_float(bytes >> 4 | fifth_bit(bits >> 16))};
}
STENO_INLINE V signed_bytes(const std::byte* p) {
  S16 q;
  std::memcpy(&q, p, sizeof q);
  asm("" : "+x"(q));
  return to_float(__builtin_convertvector(q, VI));
}

struct Scale {
  float scale, offset;
};

// Per format: its size, its numbers, and what to multiply and add. `has_scale` false: the numbers are the values.
template <GgmlType>
struct Block;
template <>
struct Block<GgmlType::Q4_0> {
  static constexpr int64_t bytes = 18;
  static constexpr bool has_scale = true, has_offset = true;
  static STENO_INLINE Values values(const std::byte* p) { return nibbles(p + 2); }
  static STENO_INLINE Scale scale(const std::byte* p) {
    const float d = half_to_float(p);
    return {16 * d, -24 * d};
  }
};
template <>
struct Block<GgmlType::Q4_1> {
  static constexpr int64_t bytes = 20;
  static constexpr bool has_scale = true, has_offset = true;
  static STENO_INLINE Values values(const std::byte* p) { return nibbles(p + 4); }
  static STENO_INLINE Scale scale(const std::byte* p) {
    const float d = half_to_float(p);
    return {16 * d, half_to_float(p + 2) - 16 * d};
  }
};
template <>
struct Block<GgmlType::Q5_0> {
  static constexpr int64_t bytes = 22;
  static constexpr bool has_scale = true, has_offset = true;
  static STENO_INLINE Values values(const std::byte* p) { return five_bits(p + 2, p + 6); }
  static STENO_INLINE Scale scale(const std::byte* p) {
    const float d = half_to_float(p);
    return {d, -16 * d};
  }
};
template <>
struct Block<GgmlType::Q5_1> {
  static constexpr int64_t bytes = 24;
  static constexpr bool has_scale = true, has_offset = true;
  static STENO_INLINE Values values(const std::byte* p) { return five_bits(p + 4, p + 8); }
  static STENO_INLINE Scale scale(const std::byte* p) { return {half_to_float(p), half_to_float(p + 2)}; }
};
template <>
struct Block<GgmlType::Q8_0> {
  static constexpr int64_t bytes = 34;
  static constexpr bool has_scale = true, has_offset = false;
  static STENO_INLINE Values values(const std::byte* p) { return {signed_bytes(p + 2), signed_bytes(p + 18)}; }
  static STENO_INLINE Scale scale(const std::byte* p) { return {half_to_float(p), 0}; }
};
template <>
struct Block<GgmlType::BF16> {
  static constexpr int64_t bytes = 64;
  static constexpr bool has_scale = false, has_offset = false;
  static STENO_INLINE Values values(const std::byte* p) {
    const auto* h = reinterpret_cast<const uint16_t*>(p);
    return {load(h), load(h + 16)};
  }
};
template <>
struct Block<GgmlType::F32> {
  static constexpr int64_t bytes = 128;
  static constexpr bool has_scale = false, has_offset = false;
  static STENO_INLINE Values values(const std::byte* p) {
    const auto* f = reinterpret_cast<const float*>(p);
    return {load(f), load(f + 16)};
  }
};

// Scales of up to kRun blocks are unpacked in a loop of their own: beside the products they would cost as much as them.
constexpr int64_t kRun = 64;

template <GgmlType type, int kRows>
STENO_INLINE void multiply_tile(const std::byte* w, int64_t in, int64_t begin, int64_t end, const float* x,
                                const float* sums, float* y, int64_t y_stride) {
  using Format = Block<type>;
  const int64_t blocks = in / 32;
  for (int64_t o = begin; o < end; ++o) {
    const std::byte* p = w + o * blocks * Format::bytes;
    V acc[kRows];
    float offset[kRows];
    for (int r = 0; r < kRows; ++r) acc[r] = V{}, offset[r] = 0;
    for (int64_t first = 0; first < blocks; first += kRun) {
      const int64_t count = blocks - first < kRun ? blocks - first : kRun;
      float scale[kRun], shift[kRun];
      if constexpr (Format::has_scale) {
        for (int64_t b = 0; b < count; ++b) {
          const Scale s = Format::scale(p + b * Format::bytes);
          scale[b] = s.scale, shift[b] = s.offset;
        }
      }
      for (int64_t b = 0; b < count; ++b, p += Format::bytes) {
        const Values v = Format::values(p);
        for (int r = 0; r < kRows; ++r) {
          const float* xr = x + r * in + (first + b) * 32;
          if constexpr (Format::has_scale)
            acc[r] += scale[b] * (v.lo * load(xr) + v.hi * load(xr + 16));
          else
            acc[r] += v.lo * load(xr) + v.hi * load(xr + 16);
        }
      }
      if constexpr (Format::has_offset)
        for (int r = 0; r < kRows; ++r) offset[r] += dot(shift, sums + r * blocks + first, count);
    }
    for (int r = 0; r < kRows; ++r) y[r * y_stride + o - begin] = sum(acc[r]) + offset[r];
  }
}

// One clone per format: the tiles are inlined into it.
#define STENO_MULTIPLY(TYPE)                                                                                          \
  STENO_CLONES void multiply_##TYPE(const std::byte* w, int64_t in, int64_t begin, int64_t end, const float* x,       \
                                    const float* sums, int64_t rows, float* y, int64_t y_stride) {                    \
    const int64_t blocks = in / 32;                                                                                   \
    int64_t r = 0;                                                                                                    \
    for (; r + 4 <= rows; r += 4)                                                                                     \
      multiply_tile<GgmlType::TYPE, 4>(w, in, begin, end, x + r * in, sums + r * blocks, y + r * y_stride, y_stride); \
    for (; r < rows; ++r)                                                                                             \
      multiply_tile<GgmlType::TYPE, 1>(w, in, begin, end, x + r * in, sums + r * blocks, y + r * y_stride, y_stride); \
  }
STENO_MULTIPLY(Q4_0)
STENO_MULTIPLY(Q4_1)
STENO_MULTIPLY(Q5_0)
STENO_MULTIPLY(Q5_1)
STENO_MULTIPLY(Q8_0)
STENO_MULTIPLY(BF16)
STENO_MULTIPLY(F32)
#undef STENO_MULTIPLY

}  // namespace

bool multiplies(GgmlType type) { return type != GgmlType::F16 && ggml_traits(type).name != nullptr; }

STENO_CLONES void block_sums(const float* x, int64_t rows, int64_t in, float* sums) {
  for (int64_t b = 0; b < rows * in / 32; ++b) sums[b] = sum(load(x + b * 32) + load(x + b * 32 + 16));
}

void multiply_blocks(GgmlType type, const std::byte* w, int64_t in, int64_t begin, int64_t end, const float* x,
                     const float* sums, int64_t rows, float* y, int64_t y_stride) {
  switch (type) {
    case GgmlType::Q4_0:
      return multiply_Q4_0(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::Q4_1:
      return multiply_Q4_1(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::Q5_0:
      return multiply_Q5_0(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::Q5_1:
      return multiply_Q5_1(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::Q8_0:
      return multiply_Q8_0(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::BF16:
      return multiply_BF16(w, in, begin, end, x, sums, rows, y, y_stride);
    case GgmlType::F32:
      return multiply_F32(w, in, begin, end, x, sums, rows, y, y_stride);
    default:
      break;
  }
  std::vector<float> row(static_cast<size_t>(in));
  const int64_t row_bytes = ggml_bytes(type, in);
  for (int64_t o = begin; o < end; ++o) {
    dequantize_to_f32(type, w + o * row_bytes, row.data(), in);
    multiply_F32(reinterpret_cast<const std::byte*>(row.data()), in, 0, 1, x, sums, rows, y + o - begin, y_stride);
  }
}

}  // namespace steno::kernels
