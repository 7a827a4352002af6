// Elementwise steps of a block with gradients of their own: they keep their inputs and nothing else, and use the
// kernels of inference in both directions where there is one.
#pragma once
#include <ATen/core/Tensor.h>

#include "model/rope.h"

namespace steno {

// x / rms(x) * weight over the last dimension, in f32. Differentiable in x only; x [.., n] f32, weight [n] f32
// (frozen).
at::Tensor differentiable_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
// silu(gate) * up in the inputs' type.
at::Tensor differentiable_silu_multiply(const at::Tensor& gate, const at::Tensor& up);
// rotate() of rope.h; its gradient is the rotation back.
at::Tensor differentiable_rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace steno
