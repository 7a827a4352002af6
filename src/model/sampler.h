// From logits to a token.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"

namespace steno {

struct SamplerConfig {
  double temperature = 0;         // 0: greedy (lowest id among equals)
  int64_t top_k = 0;              // 0: off
  double top_p = 1;               // 1: off
  double min_p = 0;               // 0: off; relative to the most probable token
  double repetition_penalty = 1;  // 1: off (arXiv 1909.05858, equation 13), over prompt and answer
  uint64_t seed = 0;

  template <class F>
  void visit(F&& f) {
    f("temperature", temperature, "0 is greedy");
    f("top-k", top_k, "keep the k most probable tokens; 0 is off");
    f("top-p", top_p, "keep the smallest set of this probability; 1 is off");
    f("min-p", min_p, "drop tokens below this share of the best one's probability; 0 is off");
    f("repetition-penalty", repetition_penalty, "divide the logits of tokens seen before; 1 is off");
  }
  void check() const;  // throws UsageError
};

// Order of the filters: penalty, temperature, top-k, top-p, min-p, as in transformers. One sampler per conversation.
class Sampler {
 public:
  explicit Sampler(const SamplerConfig& config);
  // Tokens that the repetition penalty counts.
  void observe(std::span<const int32_t> ids);
  // logits [V] f32 on any device. The chosen token is observed.
  int32_t sample(const at::Tensor& logits);

 private:
  SamplerConfig config_;
  Random random_;
  std::vector<bool> seen_;
};

struct TokenLogprob {
  int32_t id;
  float logprob;
};
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> best;  // k best, most probable first
};
// Of unfiltered logits [V] (natural logarithm).
PositionLogprobs logprobs(const at::Tensor& logits, int32_t chosen, int64_t k);

}  // namespace steno
