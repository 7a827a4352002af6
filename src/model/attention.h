// Softmax attention over rows that were kept and rows that are new.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace steno {

struct AttentionInput {
  at::Tensor q;        // [B, H, T, d_h], rotated
  at::Tensor q_front;  // the same queries rotated for the first `front` columns; undefined when front is 0
  int64_t front = 0;
  at::Tensor k, v;     // [B, H_kv, S, d_h]; the last T columns are the queries' own tokens
  at::Tensor allowed;  // bool [B or 1, 1, T, S]; undefined: causal, bottom-right aligned
  double scale = 1;
};

// Query heads of a group are consecutive: head h reads key/value head h / (H / H_kv).
// Returns [B, T, H * d_h]: f32 for few queries, q's type otherwise. Differentiable when gradients are recorded. Rows
// that may read nothing give 0.
at::Tensor attend(const AttentionInput& input);

// Attention that every column receives, summed over the queries: [B, H, S] f32. Memory stays flat in T: queries go by
// blocks. cache_policies, section 5 (column sums of the probabilities).
at::Tensor attention_mass(const AttentionInput& input);

// The slow, obvious definition in f32: scores, mask, softmax, product. Differentiable; also the reference of the tests.
at::Tensor attend_reference(const AttentionInput& input);

}  // namespace steno
