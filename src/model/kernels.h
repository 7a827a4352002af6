// CPU kernels of the inference path: what ATen does in several passes over memory or cannot do at all (products with
// ggml blocks). Plain pointers, no tensors, no threads of their own: callers split the work. Every kernel has an ATen
// reference in kernels_test.cpp. kernels_product.cpp, kernels_attend.cpp and kernels_row.cpp hold them, built for
// AVX-512, AVX2 and plain x86-64 and chosen when the program starts.
//
// Numbers behind a void pointer are float or bfloat16 (uint16_t bits), as the Num beside it says; sums are f32.
#pragma once
#include <cstddef>
#include <cstdint>

#include "io/ggml_types.h"

namespace steno::kernels {

enum class Num : uint8_t { f32, bf16 };

// True when multiply_blocks reads this format (in % 32 == 0, and the block size divides in). Formats without a kernel
// of their own are dequantised row by row.
bool multiplies(GgmlType type);

// sums[r * (in / 32) + b] = sum of x[r, 32 b .. 32 b + 31]: needed by formats with an offset per block.
void block_sums(const float* x, int64_t rows, int64_t in, float* sums);

// y[r * y_stride + o - begin] = sum_i W[o, i] x[r, i] for o in [begin, end). W: blocks of [out, in]. x [rows, in].
void multiply_blocks(GgmlType type, const std::byte* w, int64_t in, int64_t begin, int64_t end, const float* x,
                     const float* sums, int64_t rows, float* y, int64_t y_stride);

// y[r, i] = x[r, i] / sqrt(mean(x[r]^2) + eps) * w[i]
void rms_norm(const float* x, const float* w, double eps, int64_t rows, int64_t n, void* y, Num y_type);
// y[r, i] = act(gate[r, i]) * up[r, i]; rows of gate and up are `stride` apart, rows of y are n apart.
void silu_multiply(const void* gate, const void* up, Num type, int64_t stride, int64_t rows, int64_t n, void* y,
                   Num y_type);

// Gradients (kernels_gradient.cpp).
// For y = silu(gate) * up: n numbers each, all of `type`, sums in f32.
void silu_multiply_backward(const void* gate, const void* up, const void* gradient, Num type, int64_t n, void* d_gate,
                            void* d_up);
// For y = rms_norm(x): dx = s (w dy - x s^2 mean(w dy x)), s = 1 / rms(x), plus `through` where given (what reaches x
// by another way). dy [rows, n] of `type`; through, dx [rows, n] f32; `rounded`, where given, is dx in bf16.
void rms_norm_backward(const float* x, const float* w, double eps, const void* dy, Num type, const float* through,
                       int64_t rows, int64_t n, float* dx, uint16_t* rounded);
// y = x + z, n numbers.
void add(const float* x, const uint16_t* z, int64_t n, float* y);
// -log softmax(logits)[target] of one row of n logits; where `gradient` is given (n numbers of the same type; it may be
// `logits`), softmax minus one-hot.
float token_nll(const void* logits, Num type, int64_t target, int64_t n, void* gradient);

// One head row: y = x rotated by (cos, sin)[half]. interleaved: pairs (2i, 2i + 1), else (i, i + half).
void rotate_row(const void* x, Num x_type, const float* cos, const float* sin, int64_t half, bool interleaved, void* y,
                Num y_type);

// Softmax attention of `group` queries over the rows [begin, end) of one key/value head, as a partial result:
// out[g * d + i] = sum_j exp(s_j - max_g) v[j, i], max_out[g] = max_j s_j, sum_out[g] = sum_j exp(s_j - max_g).
// Queries are scaled already. Rows below `front` use q_front. allowed: nullptr or one byte per row (0 = hidden).
// With nothing visible, max is -inf, sum and out are 0. end - begin <= kAttendSplit. weights: nullptr, or
// [group, kAttendSplit] f32 that receives exp(s_j - max_g) (0 for hidden rows) at j - begin.
inline constexpr int64_t kAttendSplit = 256;
void attend_split(const float* q, const float* q_front, int64_t front, int64_t group, int64_t d, const void* k,
                  const void* v, Num kv_type, int64_t row_stride, const uint8_t* allowed, int64_t begin, int64_t end,
                  float* out, float* max_out, float* sum_out, float* weights = nullptr);

// Partial results of one query, `count` of them `stride` floats apart, as one softmax: out [d]. A part's values stand
// at its start, its maximum and its sum at max_at and sum_at. Parts are added in order. With nothing visible out is 0
// and share is 0. exp(max of a part - top) * share turns the weights of that part into probabilities.
struct MergedParts {
  float top, share;
};
MergedParts merge_parts(const float* parts, int64_t count, int64_t stride, int64_t max_at, int64_t sum_at, int64_t d,
                        float* out);

// Rounds to nearest even.
void to_bf16(const float* x, int64_t n, uint16_t* y);

}  // namespace steno::kernels
