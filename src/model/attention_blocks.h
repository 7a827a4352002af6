// Attention of many queries in bf16 as blocks of matrix products (ATen's brgemm: AMX or AVX-512 BF16), with softmax
// over whole rows between them. A query block keeps its row of scores in the second-level cache, so the probabilities
// can be summed by column on the way: rules that evict by attention cost no second pass. ATen's own attention gives no
// such sums, repeats keys and values for every query head of a group, and needs a bias tensor for every mask.
#pragma once
#include "model/attention.h"

namespace steno {

// bf16 on a processor with bf16 products, d_h % 32 == 0, keys and values with the same dense rows.
bool fits_blocks(const AttentionInput& input);

// attend() for inputs that fit: [B, T, H * d_h] bf16. Probabilities are rounded to bf16 before the product with the
// values; `received`, where given, sums them as rounded. `normaliser`, where given, becomes [B, H, T] f32: the
// logarithm of every query's sum of exp(score), -inf where it reads nothing. The same bits for any number of threads.
at::Tensor attend_blocks(const AttentionInput& input, AttentionReceived* received, at::Tensor* normaliser = nullptr);

}  // namespace steno
