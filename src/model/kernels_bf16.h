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

}  // namespace steno::kernels
