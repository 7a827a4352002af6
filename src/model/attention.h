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
  at::Tensor allowed;  // bool [B or 1, 1 or H_kv, T, S]; undefined: causal, bottom-right aligned
  double scale = 1;
};

// What every column received from the queries of one call, for rules that evict by it. p_t(j) is the probability that
// query t gives to column j.
struct AttentionReceived {
  at::Tensor mass;  // [B, H, S] f32: sum over t of p_t(j) (cache_policies, section 5)
  // [B, H, S] f32: largest p_t(j) times the number of columns that t reads; above 1 = more than uniform (attendre,
  // section 5: "attended"). Filled only when `wants_peak`.
  at::Tensor peak;
  bool wants_peak = false;
};

// Query heads of a group are consecutive: head h reads key/value head h / (H / H_kv).
// Returns [B, T, H * d_h]: f32 for few queries, q's type otherwise. Differentiable when gradients are recorded. Rows
// that may read nothing give 0. `received`, where given, is filled from the same pass; its memory stays flat in T.
at::Tensor attend(const AttentionInput& input, AttentionReceived* received = nullptr);

// The same numbers without the values, for queries that were kept from earlier.
void attention_received(const AttentionInput& input, AttentionReceived& received);

// The slow, obvious definition in f32: scores, mask, softmax, product. Differentiable; also the reference of the tests.
at::Tensor attend_reference(const AttentionInput& input);

}  // namespace steno
