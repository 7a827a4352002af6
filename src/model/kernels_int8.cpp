// Compiled for AVX-512 VNNI (CMakeLists.txt); called only where has_int8() says so.
#include "model/kernels_int8.h"

#include <immintrin.h>

#include <cstring>

namespace steno::kernels {
namespace {

constexpr int64_t kRun = 64;  // blocks whose scales are unpacked at once

// Distance of the software prefetch. Weights are read once per token, so every line comes from memory, and the hardware
// prefetcher alone leaves half of the time waiting; it may run past the end, which is harmless.
constexpr int64_t kAhead = 4096;

// f16 bits of scales and, where the format has them, offsets, collected from the headers of `count` <= kRun blocks.
struct Headers {
  alignas(64) uint16_t scale[kRun];
  alignas(64) uint16_t offset[kRun];
};

inline __m512 floats(const uint16_t* halves) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(halves)));
}

// A block's numbers as unsigned bytes, and what one unit of activation adds to the product beside them.
template <GgmlType>
struct Block;

template <>
struct Block<GgmlType::Q4_1> {
  static constexpr int64_t bytes = 20;
  static void collect(const std::byte* p, int64_t b, Headers& h) {
    std::memcpy(&h.scale[b], p, 2);
    std::memcpy(&h.offset[b], p + 2, 2);
  }
  static __m512 offset(const Headers& h, int64_t b, __m512) { return floats(h.offset + b); }
  static __m256i values(const std::byte* p) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4));
    return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1),
                            _mm256_set1_epi8(15));
  }
};
template <>
struct Block<GgmlType::Q4_0> {
  static constexpr int64_t bytes = 18;
  static void collect(const std::byte* p, int64_t b, Headers& h) { std::memcpy(&h.scale[b], p, 2); }
  static __m512 offset(const Headers&, int64_t, __m512 scale) { return _mm512_mul_ps(scale, _mm512_set1_ps(-8)); }
  static __m256i values(const std::byte* p) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2));
    return _mm256_and_si256(_mm256_inserti128_si256(_mm256_castsi128_si256(q), _mm_srli_epi16(q, 4), 1),
                            _mm256_set1_epi8(15));
  }
};
template <>
struct Block<GgmlType::Q8_0> {
  static constexpr int64_t bytes = 34;
  static void collect(const std::byte* p, int64_t b, Headers& h) { std::memcpy(&h.scale[b], p, 2); }
  // Signed bytes become unsigned by adding 128, which the offset takes back.
  static __m512 offset(const Headers&, int64_t, __m512 scale) { return _mm512_mul_ps(scale, _mm512_set1_ps(-128)); }
  static __m256i values(const std::byte* p) {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2)),
                            _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

inline float sum(__m256 v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

template <GgmlType type>
inline void collect(const std::byte* p, int64_t count, Headers& headers) {
  for (int64_t b = 0; b < count; ++b) Block<type>::collect(p + b * Block<type>::bytes, b, headers);
}

// The headers of the next run are collected while the current one is multiplied: read back at once they would wait for
// the stores, and collecting ahead fetches the next row from memory early. Blocks go two at a time, the even one in the
// lower half of the registers and the odd one in the upper: one chain of additions would wait for itself.
template <GgmlType type, int kRows>
void multiply_tile(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, int64_t row, float* y,
                   int64_t y_stride) {
  using Format = Block<type>;
  const int64_t in = x.in, blocks = in / 32;
  const int8_t* values = x.values.data() + row * in;
  const float* x_scales = x.scales.data() + row * blocks;
  const float* x_sums = x.sums.data() + row * blocks;
  alignas(64) float product[kRows][kRun];
  // Lanes of a pair of blocks: eight of the first, eight of the second.
  const __m512i pair = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  Headers headers[2] = {};
  int current = 0;
  const std::byte* p = w + begin * blocks * Format::bytes;
  const std::byte* const last = w + end * blocks * Format::bytes;
  collect<type>(p, blocks < kRun ? blocks : kRun, headers[0]);
  for (int64_t o = begin; o < end; ++o) {
    __m512 acc[kRows], shift[kRows];
    for (int r = 0; r < kRows; ++r) acc[r] = shift[r] = _mm512_setzero_ps();
    for (int64_t first = 0; first < blocks; first += kRun) {
      const int64_t count = blocks - first < kRun ? blocks - first : kRun;
      const std::byte* next = p + count * Format::bytes;
      if (next < last) {
        const int64_t left = first + count < blocks ? blocks - first - count : blocks;
        collect<type>(next, left < kRun ? left : kRun, headers[1 - current]);
      }
      const Headers& h = headers[current];
      current = 1 - current;
      for (int64_t b = 0; b < count; b += 16) {
        const auto mask = static_cast<__mmask16>(count - b >= 16 ? 0xFFFF : (1 << (count - b)) - 1);
        const __m512 d = floats(h.scale + b), m = Format::offset(h, b, d);
        for (int r = 0; r < kRows; ++r) {
          const int64_t at = r * blocks + first + b;
          _mm512_store_ps(product[r] + b, _mm512_mul_ps(d, _mm512_maskz_loadu_ps(mask, x_scales + at)));
          shift[r] = _mm512_mask3_fmadd_ps(m, _mm512_maskz_loadu_ps(mask, x_sums + at), shift[r], mask);
        }
      }
      int64_t b = 0;
      for (; b + 2 <= count; b += 2) {
        _mm_prefetch(reinterpret_cast<const char*>(p) + b * Format::bytes + kAhead, _MM_HINT_T0);
        const __m512i q = _mm512_inserti64x4(_mm512_castsi256_si512(Format::values(p + b * Format::bytes)),
                                             Format::values(p + (b + 1) * Format::bytes), 1);
        const __m512i lanes = _mm512_add_epi32(pair, _mm512_set1_epi32(static_cast<int>(b % 16)));
        for (int r = 0; r < kRows; ++r) {
          const __m512i a = _mm512_loadu_si512(values + r * in + (first + b) * 32);
          const __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, a);
          const __m512 scale = _mm512_permutexvar_ps(lanes, _mm512_load_ps(product[r] + b / 16 * 16));
          acc[r] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dots), acc[r]);
        }
      }
      if (b < count) {
        const __m256i q = Format::values(p + b * Format::bytes);
        for (int r = 0; r < kRows; ++r) {
          const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + r * in + (first + b) * 32));
          const __m256i dots = _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, a);
          const __m256 even =
              _mm256_fmadd_ps(_mm256_set1_ps(product[r][b]), _mm256_cvtepi32_ps(dots), _mm512_castps512_ps256(acc[r]));
          acc[r] = _mm512_insertf32x8(acc[r], even, 0);
        }
      }
      p = next;
    }
    for (int r = 0; r < kRows; ++r)
      y[r * y_stride + o - begin] =
          sum(_mm256_add_ps(_mm512_castps512_ps256(acc[r]), _mm512_extractf32x8_ps(acc[r], 1))) +
          _mm512_reduce_add_ps(shift[r]);
  }
}

template <GgmlType type>
void multiply(const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y, int64_t y_stride) {
  int64_t r = 0;
  for (; r + 8 <= x.rows; r += 8) multiply_tile<type, 8>(w, begin, end, x, r, y + r * y_stride, y_stride);
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
  result.values.resize(static_cast<size_t>(rows * in));
  result.scales.resize(static_cast<size_t>(rows * in / 32));
  result.sums.resize(static_cast<size_t>(rows * in / 32));
  for (int64_t row = 0; row < rows; ++row) round_row_to_int8(x + row * in, row, result);
  return result;
}

void round_row_to_int8(const float* x, int64_t row, Int8Rows& to) {
  const int64_t blocks = to.in / 32;
  int8_t* values = to.values.data() + row * to.in;
  float* scales = to.scales.data() + row * blocks;
  float* sums = to.sums.data() + row * blocks;
  for (int64_t b = 0; b < blocks; ++b) {
    const __m512 lo = _mm512_loadu_ps(x + b * 32), hi = _mm512_loadu_ps(x + b * 32 + 16);
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
    const float scale = largest / 127;
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    const __m512i q_lo = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse)),
                  q_hi = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
    auto* out = reinterpret_cast<__m128i*>(values + b * 32);
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(q_lo));
    _mm_storeu_si128(out + 1, _mm512_cvtsepi32_epi8(q_hi));
    scales[b] = scale;
    sums[b] = scale * static_cast<float>(_mm512_reduce_add_epi32(_mm512_add_epi32(q_lo, q_hi)));
  }
}

void multiply_int8(GgmlType type, const std::byte* w, int64_t begin, int64_t end, const Int8Rows& x, float* y,
                   int64_t y_stride) {
  switch (type) {
    case GgmlType::Q4_0:
      return multiply<GgmlType::Q4_0>(w, begin, end, x, y, y_stride);
    case GgmlType::Q4_1:
      return multiply<GgmlType::Q4_1>(w, begin, end, x, y, y_stride);
    case GgmlType::Q8_0:
      return multiply<GgmlType::Q8_0>(w, begin, end, x, y, y_stride);
    default:
      __builtin_unreachable();
  }
}

}  // namespace steno::kernels
