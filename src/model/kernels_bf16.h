// Attention of few queries in bfloat16 dot products (AVX-512 BF16): queries and probabilities are rounded to bf16 like
// the keys and values they meet, sums are f32. Twice the multiplications per instruction of the f32 kernel, and no
// conversion of keys and values. Used where the compute dtype is bf16; its f32 reference is kernels.h's attend_split.
#pragma once
#include <cstdint>

namespace steno::kernels {

// Built in, and this processor can.
bool has_bf16_dot();

// As kernels::attend_split, for bf16 keys and values and d % 32 == 0. q, q_front [group, d] bf16, scaled already.
// weights: nullptr, or [group, kAttendSplit] f32 that receives exp(s_j - max_g) (0 for hidden rows) at j - begin.
void attend_split_bf16(const uint16_t* q, const uint16_t* q_front, int64_t front, int64_t group, int64_t d,
                       const uint16_t* k, const uint16_t* v, int64_t row_stride, const uint8_t* allowed, int64_t begin,
                       int64_t end, float* out, float* max_out, float* sum_out, float* weights);

// The rest is for many queries at once, whose products are matrix products in ATen's brgemm: operands in the pair
// layout that it wants ([K / 2, N, 2]), and softmax over whole rows between the two products.

// Keys [rows, d], rows `stride` apart -> [blocks, d / 2, kKeyBlock, 2]; rows beyond `rows` are 0.
inline constexpr int64_t kKeyBlock = 128;
void pack_keys(const uint16_t* k, int64_t stride, int64_t rows, int64_t d, int64_t block, uint16_t* out);
// Values of one block [kKeyBlock, d] -> [kKeyBlock / 2, d, 2]; rows beyond `rows` are 0.
void pack_values(const uint16_t* v, int64_t stride, int64_t rows, int64_t d, int64_t block, uint16_t* out);

// s[j] = -inf where open[j] is 0.
void hide(const uint8_t* open, int64_t n, float* s);
// One row of scores [n], n % 32 == 0, hidden columns at -inf: top = max(top, s), p[j] = bf16(exp((s_j - top) * scale)),
// scale > 0. p may be the memory of s. Returns the sum of p as rounded; 0 where everything is hidden (p is 0 then).
float soften_row(const float* s, int64_t n, float scale, float& top, uint16_t* p);
// y[i] = bf16(x[i] * scale); 0 for scale 0 whatever x holds. n % 32 == 0.
void scale_to_bf16(const float* x, int64_t n, float scale, uint16_t* y);
// y[i] = bf16(scale * sum over r < rows of x[r * stride + i]), added in order. n % 32 == 0.
void sum_to_bf16(const float* x, int64_t rows, int64_t stride, int64_t n, float scale, uint16_t* y);
// mass[j] += p[j] * share, n % 32 == 0.
void add_shares(const uint16_t* p, int64_t n, float share, float* mass);
// peak[j] = max(peak[j], p[j] * share).
void raise_peaks(const uint16_t* p, int64_t n, float share, float* peak);

// Gradient of attention, kKeyBlock keys by kKeyBlock queries at a time (kernels_bf16_gradient.cpp).
// The sum of a[i] * b[i], n % 32 == 0.
float dot_bf16(const uint16_t* a, const uint16_t* b, int64_t n);
// Rows [first, first + kKeyBlock) of x, `stride` apart, as columns: out[i * out_stride + j] = x[first + j, i], i < d.
// Rows beyond `rows` are 0.
void pack_columns(const uint16_t* x, int64_t stride, int64_t rows, int64_t d, int64_t first, uint16_t* out,
                  int64_t out_stride);
// One block, a row for each key and a column for each query: s = k.q, dp = v.do. p = exp(s * scale - normaliser) where
// row <= column + open and 0 elsewhere, ds = p * (dp - delta), both bf16; `pairs` is ds in the layout of pack_values().
// normaliser, delta [kKeyBlock], by query; a normaliser of +inf gives 0.
void soften_gradient(const float* s, const float* dp, const float* normaliser, const float* delta, float scale,
                     int64_t open, uint16_t* p, uint16_t* ds, uint16_t* pairs);
// y[j * stride + i] = bf16(x[i * kKeyBlock + j] * scale) for j < count, i < d.
void columns_to_bf16(const float* x, int64_t count, int64_t d, float scale, uint16_t* y, int64_t stride);

}  // namespace steno::kernels
