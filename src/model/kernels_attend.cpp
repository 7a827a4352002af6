// Attention of few queries: scores, softmax and weighted sum over one run of rows.
#include <cmath>
#include <limits>

#include "model/kernels.h"
#include "model/vector.h"

namespace steno::kernels {
namespace {

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
                         float* max_out, float* sum_out, float* weights) {
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
      if (weights)
        for (int64_t j = 0; j < count; ++j) weights[(first + g) * kAttendSplit + j] = s[j];
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

}  // namespace

STENO_CLONES void attend_split(const float* q, const float* q_front, int64_t front, int64_t group, int64_t d,
                               const void* k, const void* v, Num kv_type, int64_t row_stride, const uint8_t* allowed,
                               int64_t begin, int64_t end, float* out, float* max_out, float* sum_out, float* weights) {
  if (kv_type == Num::f32)
    attend(q, q_front, front, group, d, f32(k), f32(v), row_stride, allowed, begin, end, out, max_out, sum_out,
           weights);
  else
    attend(q, q_front, front, group, d, b16(k), b16(v), row_stride, allowed, begin, end, out, max_out, sum_out,
           weights);
}

STENO_CLONES MergedParts merge_parts(const float* parts, int64_t count, int64_t stride, int64_t max_at, int64_t sum_at,
                                     int64_t d, float* out) {
  float top = kMinusInfinity, total = 0;
  for (int64_t p = 0; p < count; ++p) top = parts[p * stride + max_at] > top ? parts[p * stride + max_at] : top;
  for (int64_t i = 0; i < d; ++i) out[i] = 0;
  if (top == kMinusInfinity) return {top, 0};
  for (int64_t p = 0; p < count; ++p) {
    const float* part = parts + p * stride;
    const float weight = std::exp(part[max_at] - top);
    total += weight * part[sum_at];
    for (int64_t i = 0; i < d; ++i) out[i] += weight * part[i];
  }
  const float share = 1 / total;
  for (int64_t i = 0; i < d; ++i) out[i] *= share;
  return {top, share};
}

}  // namespace steno::kernels
