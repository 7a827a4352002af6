// Compiled for AVX-512 BF16 (CMakeLists.txt); called only where has_bf16_dot() says so.
#include "model/kernels_bf16.h"

#include <immintrin.h>

#include <algorithm>
#include <limits>

#include "model/kernels.h"
#include "model/vector.h"
#include "model/vector_bf16.h"

namespace steno::kernels {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int64_t kTile = 4;    // queries whose sums are held in registers together
constexpr int64_t kLanes = 16;  // rows that are scored together

// Kept rows are read once per token and come from beyond the second-level cache; the hardware prefetcher alone leaves
// much of the wait. Running past the end is harmless.
constexpr int64_t kAhead = 8192;
inline void fetch(const uint16_t* row, int64_t d) {
  for (int64_t at = 0; at < d; at += 32) _mm_prefetch(reinterpret_cast<const char*>(row + at) + kAhead, _MM_HINT_T0);
}

inline __m512bh numbers(const uint16_t* p) { return (__m512bh)_mm512_loadu_si512(p); }

// Lane i of the result is the sum of a[i]: four levels of pairwise additions.
inline __m512 sum16(const __m512 a[16]) {
  __m512 b[8], c[4], e[2];
  for (int i = 0; i < 8; ++i)  // (i, i + 8): lanes 0-7 hold one, 8-15 the other
    b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i], a[i + 8], 0x44), _mm512_shuffle_f32x4(a[i], a[i + 8], 0xEE));
  for (int i = 0; i < 4; ++i)  // quarters of four lanes: i, i + 4, i + 8, i + 12
    c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[i], b[i + 4], 0x88), _mm512_shuffle_f32x4(b[i], b[i + 4], 0xDD));
  // c's quarters: i, i + 8, i + 4, i + 12. Within a quarter the four lanes are still to be added.
  for (int i = 0; i < 2; ++i)
    e[i] =
        _mm512_add_ps(_mm512_shuffle_ps(c[2 * i], c[2 * i + 1], 0x44), _mm512_shuffle_ps(c[2 * i], c[2 * i + 1], 0xEE));
  const __m512 s = _mm512_add_ps(_mm512_shuffle_ps(e[0], e[1], 0x88), _mm512_shuffle_ps(e[0], e[1], 0xDD));
  // s: quarter q, lane l holds the sum of a[l + offset(q)], offset = 0, 8, 4, 12.
  return _mm512_shuffle_f32x4(s, s, _MM_SHUFFLE(3, 1, 2, 0));
}

// scores[g][j - first] = q_g . k_j; whole runs of sixteen are written, what lies beyond `end` is not meant.
void score_rows(const uint16_t* q, int64_t queries, int64_t d, const uint16_t* k, int64_t row_stride, int64_t begin,
                int64_t end, int64_t first, float (*scores)[kAttendSplit + 2 * kLanes]) {
  for (int64_t j = begin; j < end; j += kLanes) {
    const uint16_t* rows[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) rows[i] = k + (j + i < end ? j + i : end - 1) * row_stride;
    for (int64_t i = 0; i < kLanes; ++i) fetch(rows[i], d);
    for (int64_t g = 0; g < queries; ++g) {
      __m512 sums[kLanes];
      const __m512bh head = numbers(q + g * d);
      for (int64_t i = 0; i < kLanes; ++i) sums[i] = _mm512_dpbf16_ps(_mm512_setzero_ps(), head, numbers(rows[i]));
      for (int64_t at = 32; at < d; at += 32) {
        const __m512bh part = numbers(q + g * d + at);
        for (int64_t i = 0; i < kLanes; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], part, numbers(rows[i] + at));
      }
      _mm512_storeu_ps(scores[g] + (j - first), sum16(sums));
    }
  }
}

// out[g] = sum_j p[g][j] v_j over 32 kWidth dimensions. pairs[g]: weights of two rows as bf16 in one lane.
template <int kQueries, int kWidth>
void weigh_rows(const uint32_t (*pairs)[kAttendSplit / 2 + kLanes], const uint16_t* v, int64_t row_stride,
                int64_t count, int64_t d, float* out) {
  __m512 acc[kQueries][2 * kWidth];
  for (auto& query : acc)
    for (__m512& a : query) a = _mm512_setzero_ps();
  for (int64_t j = 0; j < count; j += 2) {
    const uint16_t* a = v + j * row_stride;
    const uint16_t* b = j + 1 < count ? a + row_stride : a;  // its weight is 0
    fetch(a, 32 * kWidth);
    fetch(b, 32 * kWidth);
    __m512bh values[2 * kWidth];
    for (int c = 0; c < kWidth; ++c) {
      const __m512i x = _mm512_loadu_si512(a + 32 * c), y = _mm512_loadu_si512(b + 32 * c);
      values[2 * c] = (__m512bh)_mm512_unpacklo_epi16(x, y);
      values[2 * c + 1] = (__m512bh)_mm512_unpackhi_epi16(x, y);
    }
    for (int g = 0; g < kQueries; ++g) {
      const __m512bh weight = (__m512bh)_mm512_set1_epi32(static_cast<int>(pairs[g][j / 2]));
      for (int c = 0; c < 2 * kWidth; ++c) acc[g][c] = _mm512_dpbf16_ps(acc[g][c], weight, values[c]);
    }
  }
  // unpack worked within quarters: lo has dimensions 0-3, 8-11, 16-19, 24-27 and hi the others.
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int g = 0; g < kQueries; ++g) {
    for (int c = 0; c < kWidth; ++c) {
      const __m512 lo = acc[g][2 * c], hi = acc[g][2 * c + 1];
      _mm512_storeu_ps(out + g * d + 32 * c, _mm512_permutex2var_ps(lo, first, hi));
      _mm512_storeu_ps(out + g * d + 32 * c + 16, _mm512_permutex2var_ps(lo, second, hi));
    }
  }
}

template <int kQueries>
void weigh_head(const uint32_t (*pairs)[kAttendSplit / 2 + kLanes], const uint16_t* v, int64_t row_stride,
                int64_t count, int64_t d, float* out) {
  int64_t i = 0;
  for (; i + 64 <= d; i += 64) weigh_rows<kQueries, 2>(pairs, v + i, row_stride, count, d, out + i);
  for (; i < d; i += 32) weigh_rows<kQueries, 1>(pairs, v + i, row_stride, count, d, out + i);
}

// Softmax weights of one query in place; returns their sum as rounded. `count` scores, the rest of the run is filled.
float soften(float* s, int64_t count, const uint8_t* allowed, float* top_out, uint32_t* pairs) {
  if (allowed)
    for (int64_t j = 0; j < count; ++j)
      if (!allowed[j]) s[j] = kMinusInfinity;
  const int64_t whole = (count + 31) / 32 * 32;
  for (int64_t j = count; j < whole; ++j) s[j] = kMinusInfinity;
  __m512 tops = _mm512_loadu_ps(s);
  for (int64_t j = 16; j < whole; j += 16) tops = _mm512_max_ps(tops, _mm512_loadu_ps(s + j));
  const float top = *top_out = _mm512_reduce_max_ps(tops);
  // With nothing visible every weight is 0; -inf - -inf would be NaN.
  const V base = splat(top == kMinusInfinity ? 0 : top);
  __m512 total = _mm512_setzero_ps();
  for (int64_t j = 0; j < whole; j += 32) {
    const auto lo = (__m512)exp_nonpositive(load(s + j) - base);
    const auto hi = (__m512)exp_nonpositive(load(s + j + 16) - base);
    const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
    _mm512_storeu_si512(reinterpret_cast<char*>(pairs) + 2 * j, rounded);
    // What is summed is what the values are weighed with.
    const auto low = (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(rounded)), 16);
    const auto high = (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(rounded, 1)), 16);
    total = _mm512_add_ps(total, _mm512_add_ps(low, high));
    _mm512_storeu_ps(s + j, low);
    _mm512_storeu_ps(s + j + 16, high);
  }
  return _mm512_reduce_add_ps(total);
}

}  // namespace

bool has_bf16_dot() {
  static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return has;
}

void attend_split_bf16(const uint16_t* q, const uint16_t* q_front, int64_t front, int64_t group, int64_t d,
                       const uint16_t* k, const uint16_t* v, int64_t row_stride, const uint8_t* allowed, int64_t begin,
                       int64_t end, float* out, float* max_out, float* sum_out, float* weights) {
  const int64_t count = end - begin;
  const int64_t border = front < begin ? begin : front < end ? front : end;
  alignas(64) float scores[kTile][kAttendSplit + 2 * kLanes];
  alignas(64) uint32_t pairs[kTile][kAttendSplit / 2 + kLanes];
  for (int64_t first = 0; first < group; first += kTile) {
    const int64_t queries = group - first < kTile ? group - first : kTile;
    // In this order: the end of a run overwrites the beginning of the next one.
    score_rows(q_front + first * d, queries, d, k, row_stride, begin, border, begin, scores);
    score_rows(q + first * d, queries, d, k, row_stride, border, end, begin, scores);
    for (int64_t g = 0; g < queries; ++g) {
      sum_out[first + g] = soften(scores[g], count, allowed ? allowed + begin : nullptr, max_out + first + g, pairs[g]);
      if (weights)
        for (int64_t j = 0; j < count; ++j) weights[(first + g) * kAttendSplit + j] = scores[g][j];
    }
    float* target = out + first * d;
    const uint16_t* values = v + begin * row_stride;
    switch (queries) {
      case 1:
        weigh_head<1>(pairs, values, row_stride, count, d, target);
        break;
      case 2:
        weigh_head<2>(pairs, values, row_stride, count, d, target);
        break;
      case 3:
        weigh_head<3>(pairs, values, row_stride, count, d, target);
        break;
      default:
        weigh_head<4>(pairs, values, row_stride, count, d, target);
        break;
    }
  }
}

void pack_keys(const uint16_t* k, int64_t stride, int64_t rows, int64_t d, int64_t block, uint16_t* out) {
  auto* pairs = reinterpret_cast<uint32_t*>(out);
  const int64_t first = block * kKeyBlock;
  const __m512i lane = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                          _mm512_set1_epi32(static_cast<int>(stride * 2)));
  for (int64_t j = 0; j < kKeyBlock; j += 16) {
    const int64_t there = std::clamp<int64_t>(rows - first - j, 0, 16);
    const auto mask = static_cast<__mmask16>((1u << there) - 1);
    const uint16_t* base = k + (first + j) * stride;
    for (int64_t i = 0; i < d / 2; ++i)
      _mm512_storeu_si512(pairs + i * kKeyBlock + j,
                          _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, lane, base + 2 * i, 1));
  }
}

void pack_values(const uint16_t* v, int64_t stride, int64_t rows, int64_t d, int64_t block, uint16_t* out) {
  const int64_t first = block * kKeyBlock;
  const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int64_t j = 0; j < kKeyBlock; j += 2) {
    for (int64_t i = 0; i < d; i += 32) {
      const uint16_t* row = v + (first + j) * stride + i;
      const __m512i x = first + j < rows ? _mm512_loadu_si512(row) : _mm512_setzero_si512();
      const __m512i y = first + j + 1 < rows ? _mm512_loadu_si512(row + stride) : _mm512_setzero_si512();
      // unpack works within quarters of a register; the permutation puts the pairs in order.
      const __m512i lo = _mm512_unpacklo_epi16(x, y), hi = _mm512_unpackhi_epi16(x, y);
      uint16_t* to = out + j * d + 2 * i;
      _mm512_storeu_si512(to, _mm512_permutex2var_epi32(lo, low, hi));
      _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi32(lo, high, hi));
    }
  }
}

void hide(const uint8_t* open, int64_t n, float* s) {
  const __m512 hidden = _mm512_set1_ps(kMinusInfinity);
  for (int64_t j = 0; j < n; j += 16) {
    const auto there = static_cast<__mmask16>(n - j >= 16 ? 0xFFFF : (1u << (n - j)) - 1);
    const __m128i flags = _mm_maskz_loadu_epi8(there, open + j);
    const __mmask16 closed = _mm_testn_epi8_mask(flags, flags) & there;
    _mm512_mask_storeu_ps(s + j, closed, hidden);
  }
}

void scale_to_bf16(const float* x, int64_t n, float scale, uint16_t* y) {
  const __m512 f = _mm512_set1_ps(scale);
  const __mmask16 any = scale == 0 ? 0 : 0xFFFF;
  for (int64_t i = 0; i < n; i += 32) {
    const __m512 lo = _mm512_maskz_mul_ps(any, _mm512_loadu_ps(x + i), f),
                 hi = _mm512_maskz_mul_ps(any, _mm512_loadu_ps(x + i + 16), f);
    _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(hi, lo));
  }
}

float soften_row(const float* s, int64_t n, float scale, float& running, uint16_t* p) {
  __m512 a = _mm512_set1_ps(kMinusInfinity), b = a;
  for (int64_t j = 0; j < n; j += 32) {
    a = _mm512_max_ps(a, _mm512_loadu_ps(s + j));
    b = _mm512_max_ps(b, _mm512_loadu_ps(s + j + 16));
  }
  const float top = running = std::max(running, _mm512_reduce_max_ps(_mm512_max_ps(a, b)));
  const float factor = scale * 1.44269504088896341f;
  const __m512 f = _mm512_set1_ps(factor);
  // With nothing visible every weight is 0; -inf - -inf would be NaN.
  const __m512 base = _mm512_set1_ps(top == kMinusInfinity ? 0 : top * factor);
  a = b = _mm512_setzero_ps();
  for (int64_t j = 0; j < n; j += 32) {
    const __m512 lo = quick_exp2(_mm512_fmsub_ps(_mm512_loadu_ps(s + j), f, base));
    const __m512 hi = quick_exp2(_mm512_fmsub_ps(_mm512_loadu_ps(s + j + 16), f, base));
    const auto rounded = (__m512i)_mm512_cvtne2ps_pbh(hi, lo);
    a = _mm512_add_ps(a, widen(_mm512_castsi512_si256(rounded)));
    b = _mm512_add_ps(b, widen(_mm512_extracti64x4_epi64(rounded, 1)));
    _mm512_storeu_si512(p + j, rounded);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(a, b));
}

void add_shares(const uint16_t* p, int64_t n, float share, float* mass) {
  const __m512 f = _mm512_set1_ps(share);
  for (int64_t j = 0; j < n; j += 16) {
    const __m512 x = widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + j)));
    _mm512_storeu_ps(mass + j, _mm512_fmadd_ps(x, f, _mm512_loadu_ps(mass + j)));
  }
}

void raise_peaks(const uint16_t* p, int64_t n, float share, float* peak) {
  const __m512 f = _mm512_set1_ps(share);
  for (int64_t j = 0; j < n; j += 16) {
    const __m512 x = widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + j)));
    _mm512_storeu_ps(peak + j, _mm512_max_ps(_mm512_mul_ps(x, f), _mm512_loadu_ps(peak + j)));
  }
}

}  // namespace steno::kernels
