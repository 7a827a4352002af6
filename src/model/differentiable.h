// Elementwise steps of a block with gradients of their own: they keep their inputs and nothing else, and use the
// kernels of inference in both directions where there is one.
#pragma once
#include <ATen/core/Tensor.h>

#include <utility>

#include "model/rope.h"

namespace steno {

// x / rms(x) * weight over the last dimension, in f32. Differentiable in x only; x [.., n] f32, weight [n] f32
// (frozen).
at::Tensor differentiable_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
// For training in bf16, with kernels in both directions. f32 is there for reference numbers and takes the one above.
// True for contiguous x [.., n] f32 and more [.., n] bf16 (or undefined) on the CPU.
bool fits_norm_kernels(const at::Tensor& x, const at::Tensor& more = {});
// The norm as bf16.
at::Tensor differentiable_rms_norm_bf16(const at::Tensor& x, const at::Tensor& weight, double eps);
// A step of the residual stream: {x + more in f32, its norm in bf16}. The gradients of both meet in one pass.
std::pair<at::Tensor, at::Tensor> differentiable_add_norm(const at::Tensor& x, const at::Tensor& more,
                                                          const at::Tensor& weight, double eps);
// x + more in f32.
at::Tensor differentiable_add(const at::Tensor& x, const at::Tensor& more);
// silu(gate) * up in the inputs' type.
at::Tensor differentiable_silu_multiply(const at::Tensor& gate, const at::Tensor& up);
// rotate() of rope.h; its gradient is the rotation back.
at::Tensor differentiable_rotate(const at::Tensor& x, const RotaryTable& table);

}  // namespace steno
