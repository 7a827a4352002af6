// Compiled for AVX-512 VNNI (CMakeLists.txt); called only where has_int8() says so.
#include "model/kernels_int8.h"

#include <immintrin.h>

#include <cstring>

namespace steno::kernels {
namespace {

constexpr int64_t kRun = 64;  // blocks whose scales are unpacked at once

// Scale and offset (what one unit of activation adds) of `count` <= kRun blocks; arrays are padded to whole vectors.
template <GgmlType>
struct Block;

template <>
struct Block<GgmlType::Q4_1> {
  static constexpr int64_t bytes = 20;
  static void scales(const std::byte* p, int64_t count, float* scale, float* offset) {
    alignas(64) uint16_t d[kRun], m[kRun];
    for (int64_t b = 0; b < count; ++b) {
      std::memcpy(&d[b], p + b * bytes, 2);
      std::memcpy(&m[b], p + b * bytes + 2, 2);
    }
    for (int64_t b = 0; b < count; b += 16) {
      _mm512_storeu_ps(scale + b, _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(d + b))));
      _mm512_storeu_ps(offset + b, _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(m + b))));
    }
  }
  // The block's numbers as unsigned bytes.
  static __m256i values(const std::byte* p) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4));
    return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1), _mm256_set1_epi8(15));
  }
};

inline void half_scales(const std::byte* p, int64_t stride, int64_t count, float unit, float* scale, float* offset) {
  alignas(64) uint16_t raw[kRun];
  for (int64_t b = 0; b < count; ++b) std::memcpy(&raw[b], p + b * stride, 2);
  for (int64_t b = 0; b < count; b += 16) {
    const __m512 d = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(raw + b)));
    _mm512_storeu_ps(scale + b, d);
    _mm512_storeu_ps(offset + b, _mm512_mul_ps(d, _mm512_set1_ps(unit)));
  }
}

template <>
struct Block<GgmlType::Q4_0> {
  static constexpr int64_t bytes = 18;
  static void scales(const std::byte* p, int64_t count, float* scale, float* offset) { half_scales(p, bytes, count, -8, scale, offset); }
  static __m256i values(const std::byte* p) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2));
    return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1), _mm256_set1_epi8(15));
  }
};
template <>
struct Block<GgmlType::Q8_0> {
  static constexpr int64_t bytes = 34;
  // Signed bytes become unsigned by adding 128, which the offset takes back.
  static void scales(const std::byte* p, int64_t count, float* scale, float* offset) { half_scales(p, bytes, count, -128, scale, offset); }
  static __m256i values(const std::byte* p) {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2)), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

inline float sum(__m256 v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

template <GgmlType type, int kRows>
void multiply_tile(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, int64_t row, float* y, int64_t y_stride) {
  using Format = Block<type>;
  const int64_t in = x.in, blocks = in / 32;
  const int8_t* values = x.values.data() + row * in;
  const float* x_scales = x.scales.data() + row * blocks;
  const float* x_sums = x.sums.data() + row * blocks;
  alignas(64) float scale[kRun], offset[kRun], product[kRows][kRun];
  for (int64_t o = begin; o < end; ++o) {
    const std::byte* p = w + o * blocks * Format::bytes;
    __m256 acc[kRows];
    __m512 shift[kRows];
    for (int r = 0; r < kRows; ++r) acc[r] = _mm256_setzero_ps(), shift[r] = _mm512_setzero_ps();
    for (int64_t first = 0; first < blocks; first += kRun) {
      const int64_t count = blocks - first < kRun ? blocks - first : kRun;
      Format::scales(p, count, scale, offset);
      for (int64_t b = 0; b < count; b += 16) {
        const auto mask = static_cast<__mmask16>(count - b >= 16 ? 0xFFFF : (1 << (count - b)) - 1);
        const __m512 d = _mm512_load_ps(scale + b), m = _mm512_load_ps(offset + b);
        for (int r = 0; r < kRows; ++r) {
          const int64_t at = r * blocks + first + b;
          _mm512_store_ps(product[r] + b, _mm512_mul_ps(d, _mm512_maskz_loadu_ps(mask, x_scales + at)));
          shift[r] = _mm512_mask3_fmadd_ps(m, _mm512_maskz_loadu_ps(mask, x_sums + at), shift[r], mask);
        }
      }
      for (int64_t b = 0; b < count; ++b, p += Format::bytes) {
        const __m256i q = Format::values(p);
        for (int r = 0; r < kRows; ++r) {
          const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + r * in + (first + b) * 32));
          const __m256i dots = _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, a);
          acc[r] = _mm256_fmadd_ps(_mm256_set1_ps(product[r][b]), _mm256_cvtepi32_ps(dots), acc[r]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) y[r * y_stride + o - begin] = sum(acc[r]) + _mm512_reduce_add_ps(shift[r]);
  }
}

template <GgmlType type>
void multiply(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y, int64_t y_stride) {
  int64_t r = 0;
  for (; r + 4 <= x.rows; r += 4) multiply_tile<type, 4>(w, begin, end, x, r, y + r * y_stride, y_stride);
  for (; r < x.rows; ++r) multiply_tile<type, 1>(w, begin, end, x, r, y + r * y_stride, y_stride);
}

}  // namespace

bool has_int8() {
  static const bool has = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return has;
}

bool multiplies_int8(GgmlType type) {
  return type == GgmlType::Q4_0 || type == GgmlType::Q4_1 || type == GgmlType::Q8_0;
}

Int8Rows round_to_int8(const float* x, int64_t rows, int64_t in) {
  Int8Rows result;
  result.rows = rows, result.in = in;
  const int64_t blocks = rows * in / 32;
  result.values.resize(static_cast<size_t>(rows * in));
  result.scales.resize(static_cast<size_t>(blocks));
  result.sums.resize(static_cast<size_t>(blocks));
  for (int64_t b = 0; b < blocks; ++b) {
    const __m512 lo = _mm512_loadu_ps(x + b * 32), hi = _mm512_loadu_ps(x + b * 32 + 16);
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
    const float scale = largest / 127;
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    const __m512i q_lo = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse)), q_hi = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
    auto* out = reinterpret_cast<__m128i*>(result.values.data() + b * 32);
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(q_lo));
    _mm_storeu_si128(out + 1, _mm512_cvtsepi32_epi8(q_hi));
    result.scales[static_cast<size_t>(b)] = scale;
    result.sums[static_cast<size_t>(b)] = scale * static_cast<float>(_mm512_reduce_add_epi32(_mm512_add_epi32(q_lo, q_hi)));
  }
  return result;
}

void multiply_int8(GgmlType type, const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y, int64_t y_stride) {
  switch (type) {
    case GgmlType::Q4_0: return multiply<GgmlType::Q4_0>(w, begin, end, x, y, y_stride);
    case GgmlType::Q4_1: return multiply<GgmlType::Q4_1>(w, begin, end, x, y, y_stride);
    case GgmlType::Q8_0: return multiply<GgmlType::Q8_0>(w, begin, end, x, y, y_stride);
    default: __builtin_unreachable();
  }
}

}  // namespace steno::kernels
