// Gradient of attention. Compiled for AVX-512 BF16 (CMakeLists.txt); called only where has_bf16_dot() says so.
#include <immintrin.h>

#include <algorithm>

#include "model/kernels_bf16.h"
#include "model/vector_bf16.h"

namespace steno::kernels {
namespace {

// Queries [c, c + 16) that read the key of `row`.
__mmask16 readers(int64_t row, int64_t open, int64_t c) {
  const int64_t hidden = std::clamp<int64_t>(row - open - c, 0, 16);
  return static_cast<__mmask16>(0xFFFFu << hidden);
}

}  // namespace

void sum_to_bf16(const float* x, int64_t rows, int64_t stride, int64_t n, float scale, uint16_t* y) {
  const __m512 f = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < n; i += 32) {
    __m512 lo = _mm512_loadu_ps(x + i), hi = _mm512_loadu_ps(x + i + 16);
    for (int64_t r = 1; r < rows; ++r) {
      lo = _mm512_add_ps(lo, _mm512_loadu_ps(x + r * stride + i));
      hi = _mm512_add_ps(hi, _mm512_loadu_ps(x + r * stride + i + 16));
    }
    _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(hi, f), _mm512_mul_ps(lo, f)));
  }
}

float dot_bf16(const uint16_t* a, const uint16_t* b, int64_t n) {
  __m512 even = _mm512_setzero_ps(), odd = even;
  for (int64_t i = 0; i < n; i += 32) {
    even = _mm512_fmadd_ps(widen(a + i), widen(b + i), even);
    odd = _mm512_fmadd_ps(widen(a + i + 16), widen(b + i + 16), odd);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

void pack_columns(const uint16_t* x, int64_t stride, int64_t rows, int64_t d, int64_t first, uint16_t* out,
                  int64_t out_stride) {
  const __m512i lane = lanes_apart(stride * 2);
  for (int64_t j = 0; j < kKeyBlock; j += 16) {
    const int64_t there = std::clamp<int64_t>(rows - first - j, 0, 16);
    const auto mask = static_cast<__mmask16>((1u << there) - 1);
    for (int64_t i = 0; i < d; i += 2) {
      const __m512i pair =
          _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, lane, x + (first + j) * stride + i, 1);
      auto* to = reinterpret_cast<__m256i*>(out + i * out_stride + j);
      auto* next = reinterpret_cast<__m256i*>(out + (i + 1) * out_stride + j);
      _mm256_storeu_si256(to, _mm512_cvtepi32_epi16(pair));
      _mm256_storeu_si256(next, _mm512_cvtepi32_epi16(_mm512_srli_epi32(pair, 16)));
    }
  }
}

void soften_gradient(const float* s, const float* dp, const float* normaliser, const float* delta, float scale,
                     int64_t open, uint16_t* p, uint16_t* ds, uint16_t* pairs) {
  constexpr float kLog2E = 1.44269504088896341f;
  const __m512 f = _mm512_set1_ps(scale * kLog2E);
  const __m512i interleave =  // (0, 16, 1, 17, ..) of thirty-two halves
      _mm512_or_si512(lanes_apart(1), _mm512_slli_epi32(_mm512_add_epi32(lanes_apart(1), _mm512_set1_epi32(16)), 16));
  const auto store_rows = [](uint16_t* to, __m512i rows) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(rows));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + kKeyBlock), _mm512_extracti64x4_epi64(rows, 1));
  };
  for (int64_t r = 0; r < kKeyBlock; r += 2) {
    for (int64_t c = 0; c < kKeyBlock; c += 16) {
      const int64_t at = r * kKeyBlock + c;
      const __m512 base = _mm512_mul_ps(_mm512_loadu_ps(normaliser + c), _mm512_set1_ps(kLog2E));
      const __m512 mean = _mm512_loadu_ps(delta + c);
      __m512 share[2], slope[2];
      for (int64_t i = 0; i < 2; ++i) {
        const __m512 score = _mm512_loadu_ps(s + at + i * kKeyBlock);
        share[i] = _mm512_maskz_mov_ps(readers(r + i, open, c), quick_exp2(_mm512_fmsub_ps(score, f, base)));
        slope[i] = _mm512_mul_ps(share[i], _mm512_sub_ps(_mm512_loadu_ps(dp + at + i * kKeyBlock), mean));
      }
      const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(slope[1], slope[0]);
      store_rows(p + at, (__m512i)_mm512_cvtne2ps_pbh(share[1], share[0]));
      store_rows(ds + at, rounded);
      _mm512_storeu_si512(pairs + r * kKeyBlock + 2 * c, _mm512_permutexvar_epi16(interleave, rounded));
    }
  }
}

void columns_to_bf16(const float* x, int64_t count, int64_t d, float scale, uint16_t* y, int64_t stride) {
  const __m512 f = _mm512_set1_ps(scale);
  const __m512i lane = lanes_apart(kKeyBlock);
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t i = 0; i < d; i += 32) {
      const __m512 lo = _mm512_i32gather_ps(lane, x + i * kKeyBlock + j, 4);
      const __m512 hi = _mm512_i32gather_ps(lane, x + (i + 16) * kKeyBlock + j, 4);
      _mm512_storeu_si512(y + j * stride + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(hi, f), _mm512_mul_ps(lo, f)));
    }
  }
}

}  // namespace steno::kernels
