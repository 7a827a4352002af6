// Cross-entropy of next tokens straight from hidden states: the head's product, the softmax and its gradient are made
// for a few rows at a time, so that no [N, V] tensor ever exists.
#pragma once
#include <ATen/core/Tensor.h>

#include "model/decoder.h"

namespace steno {

// hidden [N, d] f32 (Output::hidden at the rows that predict), targets [N] int64 -> sum over rows of -log P(target) in
// nats, a scalar f32. Differentiable in hidden; the gradient is made in the forward pass while gradients are recorded.
// The product is in the decoder's compute type, the softmax in f32. Throws InputError for targets outside the
// vocabulary.
at::Tensor sum_nll(const Decoder& decoder, const at::Tensor& hidden, const at::Tensor& targets);

}  // namespace steno
