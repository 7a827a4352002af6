#include "model/kernels.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

// One source for all instruction sets: GCC's vector extensions say sixteen floats, the clones say how wide a register
// is, and the loader picks a clone by what the processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define STENO_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STENO_CLONES
#endif
#define STENO_INLINE inline __attribute__((always_inline))

namespace steno::kernels {
namespace {

using V = float __attribute__((vector_size(64)));  // sixteen floats
using VI = int32_t __attribute__((vector_size(64)));
using VU = uint32_t __attribute__((vector_size(64)));
using B16 = uint8_t __attribute__((vector_size(16)));
using S16 = int8_t __attribute__((vector_size(16)));
using H16 = uint16_t __attribute__((vector_size(32)));

STENO_INLINE V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
STENO_INLINE void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
STENO_INLINE V splat(float x) { return V{} + x; }

STENO_INLINE V load(const uint16_t* p) {
  H16 h;
  std::memcpy(&h, p, sizeof h);
  const VU bits = __builtin_convertvector(h, VU) << 16;
  V v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
// Round to nearest even. NaN stays NaN: its rounding carry is masked out by the quiet bit.
STENO_INLINE void store(uint16_t* p, V v) {
  VU bits;
  std::memcpy(&bits, &v, sizeof bits);
  const VU rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const VI is_nan = v != v;
  const VU result = is_nan ? ((bits >> 16) | 0x40u) : rounded;
  const H16 h = __builtin_convertvector(result, H16);
  std::memcpy(p, &h, sizeof h);
}
STENO_INLINE float load1(const float* p) { return *p; }
STENO_INLINE float load1(const uint16_t* p) {
  const uint32_t bits = uint32_t{*p} << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
STENO_INLINE void store1(float* p, float x) { *p = x; }
STENO_INLINE void store1(uint16_t* p, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  *p = x != x ? static_cast<uint16_t>((bits >> 16) | 0x40u)
              : static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

STENO_INLINE float sum(V v) {
  float lanes[16];
  store(lanes, v);
  float four[4];
  for (int i = 0; i < 4; ++i) four[i] = (lanes[i] + lanes[i + 4]) + (lanes[i + 8] + lanes[i + 12]);
  return (four[0] + four[1]) + (four[2] + four[3]);
}

STENO_INLINE float half_to_float(const std::byte* p) {
  _Float16 h;
  std::memcpy(&h, p, sizeof h);
  return static_cast<float>(h);
}
// Sixteen running sums; `n` needs no padding.
STENO_INLINE float dot(const float* a, const float* b, int64_t n) {
  V acc{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) acc += load(a + i) * load(b + i);
  float rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return sum(acc) + rest;
}

// e^x for x <= 0: 2^n * p(r), degree-6 polynomial of 2^r on [-0.5, 0.5] (Taylor coefficients ln2^k / k!); relative
// error below 2e-7. Below -87 it is 0.
STENO_INLINE V exp_nonpositive(V x) {
  const VI tiny = x < splat(-87.0f);
  x = tiny ? splat(-87.0f) : x;
  const V scaled = x * 1.44269504088896341f;
  const V magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const V n = (scaled + magic) - magic;
  // r = x - n ln 2 in two steps keeps the digits that n * ln 2 alone would lose.
  V r = x - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723e-6f;
  V p = splat(1.0f / 720);
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const VI power = (__builtin_convertvector(n, VI) + 127) << 23;
  V two_n;
  std::memcpy(&two_n, &power, sizeof two_n);
  p = p * two_n;
  return tiny ? splat(0.0f) : p;
}

// ---- block formats: 32 values as two vectors of whole numbers, a scale and an offset
// ----------------------------------

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

template <class Y>
STENO_INLINE void norm_row(const float* x, const float* w, double eps, int64_t n, Y* y) {
  V squares{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const V v = load(x + i);
    squares += v * v;
  }
  float total = sum(squares);
  for (; i < n; ++i) total += x[i] * x[i];
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(total) / static_cast<double>(n) + eps));
  for (i = 0; i + 16 <= n; i += 16) store(y + i, load(x + i) * scale * load(w + i));
  for (; i < n; ++i) store1(y + i, x[i] * scale * w[i]);
}

template <class D>
STENO_INLINE void add_row(float* x, const D* delta, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, load(x + i) + load(delta + i));
  for (; i < n; ++i) x[i] += load1(delta + i);
}

template <class X, class Y>
STENO_INLINE void silu_rows(const X* gate, const X* up, int64_t stride, int64_t rows, int64_t n, Y* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const X* g = gate + r * stride;
    const X* u = up + r * stride;
    Y* out = y + r * n;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const V a = load(g + i);
      // 1 / (1 + e^-a) from e^-|a|, so that nothing overflows.
      const VI negative = a < splat(0.0f);
      const V e = exp_nonpositive(negative ? a : -a);
      const V sigmoid = (negative ? e : splat(1.0f)) / (1.0f + e);
      store(out + i, a * sigmoid * load(u + i));
    }
    for (; i < n; ++i) {
      const float a = load1(g + i);
      store1(out + i, a / (1.0f + std::exp(-a)) * load1(u + i));
    }
  }
}

template <class X, class Y>
STENO_INLINE void rotate(const X* x, const float* cos, const float* sin, int64_t half, bool interleaved, Y* y) {
  if (interleaved) {
    for (int64_t i = 0; i < half; ++i) {
      const float a = load1(x + 2 * i), b = load1(x + 2 * i + 1);
      store1(y + 2 * i, a * cos[i] - b * sin[i]);
      store1(y + 2 * i + 1, b * cos[i] + a * sin[i]);
    }
    return;
  }
  for (int64_t i = 0; i < half; ++i) {
    const float a = load1(x + i), b = load1(x + half + i);
    store1(y + i, a * cos[i] - b * sin[i]);
    store1(y + half + i, b * cos[i] + a * sin[i]);
  }
}

using F8 = float __attribute__((vector_size(32)));
using F4 = float __attribute__((vector_size(16)));

STENO_INLINE F4 fold(V v) {
  const F8 eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  return __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
}
// The sums of four vectors, cheaper together than one by one.
STENO_INLINE void sum4(const V v[4], float* out) {
  const F4 a = fold(v[0]), b = fold(v[1]), c = fold(v[2]), d = fold(v[3]);
  const F4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const F4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const F4 s = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  std::memcpy(out, &s, sizeof s);
}

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int64_t kTile = 4;  // queries and keys that are held in registers together

// scores[g][j] = q_g . k_j for up to kTile queries; keys go four at a time, the last ones one by one.
template <class T>
STENO_INLINE void score_rows(const float* q, int64_t queries, int64_t d, const T* k, int64_t row_stride, int64_t begin,
                             int64_t end, int64_t first, float (*scores)[kAttendSplit + 16]) {
  const int64_t whole = d / 16 * 16;
  int64_t j = begin;
  for (; j + 4 <= end; j += 4) {
    for (int64_t g = 0; g < queries; ++g) {
      V dots[4] = {};
      for (int64_t i = 0; i < whole; i += 16) {
        const V qi = load(q + g * d + i);
        for (int c = 0; c < 4; ++c) dots[c] += qi * load(k + (j + c) * row_stride + i);
      }
      float* out = scores[g] + (j - first);
      sum4(dots, out);
      for (int64_t i = whole; i < d; ++i)
        for (int c = 0; c < 4; ++c) out[c] += q[g * d + i] * load1(k + (j + c) * row_stride + i);
    }
  }
  for (; j < end; ++j) {
    for (int64_t g = 0; g < queries; ++g) {
      V dots{};
      for (int64_t i = 0; i < whole; i += 16) dots += load(q + g * d + i) * load(k + j * row_stride + i);
      float score = sum(dots);
      for (int64_t i = whole; i < d; ++i) score += q[g * d + i] * load1(k + j * row_stride + i);
      scores[g][j - first] = score;
    }
  }
}

// out[g] += sum_j p[g][j] v_j over 64 dimensions or fewer (`width` vectors) at a time.
template <int kQueries, int kWidth, class T>
STENO_INLINE void weigh_rows(const float (*p)[kAttendSplit + 16], const T* v, int64_t row_stride, int64_t count,
                             int64_t d, float* out) {
  V acc[kQueries][kWidth] = {};
  for (int64_t j = 0; j < count; ++j) {
    V value[kWidth];
    for (int c = 0; c < kWidth; ++c) value[c] = load(v + j * row_stride + 16 * c);
    for (int g = 0; g < kQueries; ++g)
      for (int c = 0; c < kWidth; ++c) acc[g][c] += p[g][j] * value[c];
  }
  for (int g = 0; g < kQueries; ++g)
    for (int c = 0; c < kWidth; ++c) store(out + g * d + 16 * c, acc[g][c]);
}

template <int kQueries, class T>
STENO_INLINE void weigh_head(const float (*p)[kAttendSplit + 16], const T* v, int64_t row_stride, int64_t count,
                             int64_t d, float* out) {
  int64_t i = 0;
  for (; i + 64 <= d; i += 64) weigh_rows<kQueries, 4>(p, v + i, row_stride, count, d, out + i);
  for (; i + 16 <= d; i += 16) weigh_rows<kQueries, 1>(p, v + i, row_stride, count, d, out + i);
  for (; i < d; ++i) {
    for (int g = 0; g < kQueries; ++g) {
      float acc = 0;
      for (int64_t j = 0; j < count; ++j) acc += p[g][j] * load1(v + j * row_stride + i);
      out[g * d + i] = acc;
    }
  }
}

template <class T>
STENO_INLINE void attend(const float* q, const float* q_front, int64_t front, int64_t group, int64_t d, const T* k,
                         const T* v, int64_t row_stride, const uint8_t* allowed, int64_t begin, int64_t end, float* out,
                         float* max_out, float* sum_out) {
  const int64_t count = end - begin;
  const int64_t border = front < begin ? begin : front < end ? front : end;
  float scores[kTile][kAttendSplit + 16];
  for (int64_t first = 0; first < group; first += kTile) {
    const int64_t queries = group - first < kTile ? group - first : kTile;
    score_rows(q_front + first * d, queries, d, k, row_stride, begin, border, begin, scores);
    score_rows(q + first * d, queries, d, k, row_stride, border, end, begin, scores);
    for (int64_t g = 0; g < queries; ++g) {
      float* s = scores[g];
      if (allowed)
        for (int64_t j = 0; j < count; ++j)
          if (!allowed[begin + j]) s[j] = kMinusInfinity;
      for (int64_t j = count; j < count + 16; ++j) s[j] = kMinusInfinity;
      V tops = load(s);
      for (int64_t j = 16; j < count; j += 16) {
        const V next = load(s + j);
        tops = tops > next ? tops : next;
      }
      float lanes[16], top = kMinusInfinity;
      store(lanes, tops);
      for (const float lane : lanes) top = lane > top ? lane : top;
      max_out[first + g] = top;
      // With nothing visible every weight is 0; -inf - -inf would be NaN.
      const float base = top == kMinusInfinity ? 0 : top;
      V total{};
      for (int64_t j = 0; j < count; j += 16) {
        const V e = exp_nonpositive(load(s + j) - base);
        total += e;
        store(s + j, e);
      }
      sum_out[first + g] = sum(total);
    }
    float* target = out + first * d;
    switch (queries) {
      case 1:
        weigh_head<1>(scores, v + begin * row_stride, row_stride, count, d, target);
        break;
      case 2:
        weigh_head<2>(scores, v + begin * row_stride, row_stride, count, d, target);
        break;
      case 3:
        weigh_head<3>(scores, v + begin * row_stride, row_stride, count, d, target);
        break;
      default:
        weigh_head<4>(scores, v + begin * row_stride, row_stride, count, d, target);
        break;
    }
  }
}

const float* f32(const void* p) { return static_cast<const float*>(p); }
const uint16_t* b16(const void* p) { return static_cast<const uint16_t*>(p); }
float* f32(void* p) { return static_cast<float*>(p); }
uint16_t* b16(void* p) { return static_cast<uint16_t*>(p); }

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

STENO_CLONES void rms_norm(const float* x, const float* w, double eps, int64_t rows, int64_t n, void* y, Num y_type) {
  for (int64_t r = 0; r < rows; ++r) {
    if (y_type == Num::f32)
      norm_row(x + r * n, w, eps, n, static_cast<float*>(y) + r * n);
    else
      norm_row(x + r * n, w, eps, n, static_cast<uint16_t*>(y) + r * n);
  }
}

STENO_CLONES void add_rms_norm(float* x, const void* delta, Num delta_type, int64_t delta_stride, const float* w,
                               double eps, int64_t rows, int64_t n, void* y, Num y_type) {
  for (int64_t r = 0; r < rows; ++r) {
    if (delta_type == Num::f32)
      add_row(x + r * n, static_cast<const float*>(delta) + r * delta_stride, n);
    else
      add_row(x + r * n, static_cast<const uint16_t*>(delta) + r * delta_stride, n);
    if (y_type == Num::f32)
      norm_row(x + r * n, w, eps, n, static_cast<float*>(y) + r * n);
    else
      norm_row(x + r * n, w, eps, n, static_cast<uint16_t*>(y) + r * n);
  }
}

STENO_CLONES void silu_multiply(const void* gate, const void* up, Num type, int64_t stride, int64_t rows, int64_t n,
                                void* y, Num y_type) {
  if (type == Num::f32 && y_type == Num::f32)
    silu_rows(f32(gate), f32(up), stride, rows, n, f32(y));
  else if (type == Num::f32)
    silu_rows(f32(gate), f32(up), stride, rows, n, b16(y));
  else if (y_type == Num::f32)
    silu_rows(b16(gate), b16(up), stride, rows, n, f32(y));
  else
    silu_rows(b16(gate), b16(up), stride, rows, n, b16(y));
}

STENO_CLONES void rotate_row(const void* x, Num x_type, const float* cos, const float* sin, int64_t half,
                             bool interleaved, void* y, Num y_type) {
  if (x_type == Num::f32 && y_type == Num::f32)
    rotate(f32(x), cos, sin, half, interleaved, f32(y));
  else if (x_type == Num::f32)
    rotate(f32(x), cos, sin, half, interleaved, b16(y));
  else if (y_type == Num::f32)
    rotate(b16(x), cos, sin, half, interleaved, f32(y));
  else
    rotate(b16(x), cos, sin, half, interleaved, b16(y));
}

STENO_CLONES void convert_row(const void* x, Num x_type, int64_t n, void* y, Num y_type) {
  if (x_type == y_type) {
    std::memcpy(y, x, static_cast<size_t>(n) * (x_type == Num::f32 ? 4 : 2));
  } else if (x_type == Num::f32) {
    for (int64_t i = 0; i < n; ++i) store1(b16(y) + i, f32(x)[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) f32(y)[i] = load1(b16(x) + i);
  }
}

STENO_CLONES void attend_split(const float* q, const float* q_front, int64_t front, int64_t group, int64_t d,
                               const void* k, const void* v, Num kv_type, int64_t row_stride, const uint8_t* allowed,
                               int64_t begin, int64_t end, float* out, float* max_out, float* sum_out) {
  if (kv_type == Num::f32)
    attend(q, q_front, front, group, d, f32(k), f32(v), row_stride, allowed, begin, end, out, max_out, sum_out);
  else
    attend(q, q_front, front, group, d, b16(k), b16(v), row_stride, allowed, begin, end, out, max_out, sum_out);
}

}  // namespace steno::kernels
