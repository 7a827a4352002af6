// attend_blocks() (attention_blocks.h) with its gradient, as blocks of bf16 matrix products as well. ATen's own
// gradient makes a library call with all its preparations for every small product and repeats keys and values for each
// query head; on a processor with AMX it took a quarter of a training step.
//
// With P = softmax of the scores, D = rowsum(dO * O): dV = P^T dO, dS = P * (dO V^T - D), dQ = scale * dS K,
// dK = scale * dS^T Q (arXiv 2307.08691, section 3.1.2). P is computed again, block by block, from the normaliser.
#pragma once
#include "model/attention.h"

namespace steno {

// fits_blocks(), causal, no front.
bool fits_blocks_gradient(const AttentionInput& input);

// attend() for inputs that fit, differentiable in q, k and v: [B, T, H * d_h] bf16. The same bits for any number of
// threads, forward and backward. Keeps q, k, v, the result and one f32 number for each query.
at::Tensor attend_blocks_recorded(const AttentionInput& input);

}  // namespace steno
