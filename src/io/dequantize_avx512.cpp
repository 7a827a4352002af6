// The formats that long chunks dequantise all the time, with the processor's own rounding to bfloat16. The same bits as
// dequantize.cpp for every finite block; compiled with -ffp-contract=off like it.
#include "io/dequantize_avx512.h"

#include <immintrin.h>

#include <cstring>

namespace steno {
namespace {

#define STENO_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,f16c")))

STENO_AVX512_BF16 inline __m512 broadcast_half(const uint8_t* p) {
  uint16_t h;
  std::memcpy(&h, p, sizeof h);
  return _mm512_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))));
}

STENO_AVX512_BF16 inline void store(uint16_t* dst, __m512 lo, __m512 hi) {
  const __m512bh rounded = _mm512_cvtne2ps_pbh(hi, lo);
  std::memcpy(dst, &rounded, sizeof rounded);
}

STENO_AVX512_BF16 inline __m512 numbers(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }

struct Nibbles {
  __m128i lo, hi;
};
STENO_AVX512_BF16 inline Nibbles nibbles(const uint8_t* p) {
  const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), mask = _mm_set1_epi8(15);
  return {_mm_and_si128(q, mask), _mm_and_si128(_mm_srli_epi16(q, 4), mask)};
}

STENO_AVX512_BF16 void q4_0(const uint8_t* src, uint16_t* dst, int64_t blocks) {
  const __m512 eight = _mm512_set1_ps(8);
  for (int64_t b = 0; b < blocks; ++b, src += 18, dst += 32) {
    const __m512 d = broadcast_half(src);
    const Nibbles q = nibbles(src + 2);
    store(dst, _mm512_mul_ps(d, _mm512_sub_ps(numbers(q.lo), eight)),
          _mm512_mul_ps(d, _mm512_sub_ps(numbers(q.hi), eight)));
  }
}

STENO_AVX512_BF16 void q4_1(const uint8_t* src, uint16_t* dst, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b, src += 20, dst += 32) {
    const __m512 d = broadcast_half(src), m = broadcast_half(src + 2);
    const Nibbles q = nibbles(src + 4);
    store(dst, _mm512_add_ps(_mm512_mul_ps(d, numbers(q.lo)), m), _mm512_add_ps(_mm512_mul_ps(d, numbers(q.hi)), m));
  }
}

STENO_AVX512_BF16 inline __m512 signed_numbers(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

STENO_AVX512_BF16 void q8_0(const uint8_t* src, uint16_t* dst, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b, src += 34, dst += 32) {
    const __m512 d = broadcast_half(src);
    store(dst, _mm512_mul_ps(signed_numbers(src + 2), d), _mm512_mul_ps(signed_numbers(src + 18), d));
  }
}

}  // namespace

bool dequantize_to_bf16_avx512(GgmlType type, const uint8_t* src, uint16_t* dst, int64_t values) {
  static const bool can =
      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  if (!can) return false;
  switch (type) {
    case GgmlType::Q4_0:
      q4_0(src, dst, values / 32);
      return true;
    case GgmlType::Q4_1:
      q4_1(src, dst, values / 32);
      return true;
    case GgmlType::Q8_0:
      q8_0(src, dst, values / 32);
      return true;
    default:
      return false;
  }
}

}  // namespace steno
