// Rotary position embedding (arXiv 2104.09864) and its scalings.
#pragma once
#include <ATen/core/Tensor.h>

#include "model/config.h"

namespace steno {

struct RotaryTable {
  at::Tensor cos, sin;  // [B, T, d_h/2] f32
  RopeLayout layout;
};

// "none", "linear", ...: for messages and files.
const char* rope_scaling_name(RopeScaling scaling);

// Inverse frequencies [d_h/2] in f64, and the factor on cos and sin (yarn; 1 otherwise). `length`: positions in use,
// which only dynamic scaling looks at.
struct RopeFrequencies {
  std::vector<double> inverse;
  double attention_factor;
};
RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t d_h, int64_t length);

// positions [B, T] int64. Angles are computed in f64: positions of millions keep their precision. `length`: see
// rope_frequencies; 0: the largest position + 1.
RotaryTable rotary_table(const RopeConfig& config, int64_t d_h, const at::Tensor& positions, int64_t length = 0);

// x [B, n, T, d_h] turned; the result is a new contiguous tensor of x's type, or of `out_dtype`. R(a) R(b) = R(a + b):
// a rotated key moves by `delta` when it is rotated by delta again.
at::Tensor rotate(const at::Tensor& x, const RotaryTable& table, std::optional<at::ScalarType> out_dtype = {});
// The same into `out` [B, n, T, d_h] (any strides, last dimension dense), which may have another type. Inference only.
void rotate_into(const at::Tensor& x, const RotaryTable& table, const at::Tensor& out);

}  // namespace steno
