#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace steno {
namespace {

std::vector<float> to_host(const at::Tensor& logits) {
  const at::Tensor host = logits.reshape(-1).to(at::kCPU, at::kFloat).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

}  // namespace

void SamplerConfig::check() const {
  if (!(temperature >= 0)) throw UsageError("temperature is {}; it must be 0 or more", temperature);
  if (top_k < 0) throw UsageError("top-k is {}; it must be 0 (off) or more", top_k);
  if (!(top_p > 0 && top_p <= 1)) throw UsageError("top-p is {}; it must be above 0 and at most 1", top_p);
  if (!(min_p >= 0 && min_p <= 1)) throw UsageError("min-p is {}; it must be between 0 and 1", min_p);
  if (!(repetition_penalty > 0)) throw UsageError("repetition-penalty is {}; it must be above 0", repetition_penalty);
}

Sampler::Sampler(const SamplerConfig& config) : config_(config), random_(config.seed) { config.check(); }

void Sampler::observe(std::span<const int32_t> ids) {
  if (config_.repetition_penalty == 1) return;
  for (const int32_t id : ids) {
    if (id < 0) continue;
    if (static_cast<size_t>(id) >= seen_.size()) seen_.resize(static_cast<size_t>(id) + 1);
    seen_[static_cast<size_t>(id)] = true;
  }
}

int32_t Sampler::sample(const at::Tensor& logits) {
  std::vector<float> values = to_host(logits);
  const auto penalty = static_cast<float>(config_.repetition_penalty);
  for (size_t id = 0; id < std::min(values.size(), seen_.size()); ++id)
    if (seen_[id]) values[id] = values[id] > 0 ? values[id] / penalty : values[id] * penalty;

  const auto best = std::max_element(values.begin(), values.end());
  int32_t chosen = static_cast<int32_t>(best - values.begin());
  if (config_.temperature > 0) {
    // Most probable first; equal logits by id, so that the draw does not depend on the sort.
    std::vector<int32_t> ids(values.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto before = [&](int32_t a, int32_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; };
    size_t kept = ids.size();
    if (config_.top_k > 0) kept = std::min(kept, static_cast<size_t>(config_.top_k));
    std::partial_sort(ids.begin(), ids.begin() + static_cast<int64_t>(kept), ids.end(), before);
    std::vector<double> p(kept);
    double total = 0;
    for (size_t i = 0; i < kept; ++i)
      total += p[i] = std::exp((static_cast<double>(values[ids[i]]) - *best) / config_.temperature);
    if (config_.top_p < 1) {
      double sum = 0;
      size_t n = 0;
      while (n < kept && sum < config_.top_p * total) sum += p[n++];
      kept = std::max<size_t>(1, n);
    }
    while (kept > 1 && p[kept - 1] < config_.min_p * p[0]) --kept;
    total = std::accumulate(p.begin(), p.begin() + static_cast<int64_t>(kept), 0.0);
    double draw = random_.uniform() * total;
    size_t i = 0;
    while (i + 1 < kept && draw >= p[i]) draw -= p[i++];
    chosen = ids[i];
  }
  observe(std::span(&chosen, 1));
  return chosen;
}

PositionLogprobs logprobs(const at::Tensor& logits, int32_t chosen, int64_t k) {
  const std::vector<float> values = to_host(logits);
  const float top = *std::max_element(values.begin(), values.end());
  double total = 0;
  for (const float v : values) total += std::exp(static_cast<double>(v) - top);
  const double normaliser = top + std::log(total);
  const auto entry = [&](int32_t id) { return TokenLogprob{id, static_cast<float>(values[id] - normaliser)}; };
  std::vector<int32_t> ids(values.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = std::min<int64_t>(k, static_cast<int64_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(),
                    [&](int32_t a, int32_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
  PositionLogprobs result{entry(chosen), {}};
  for (int64_t i = 0; i < count; ++i) result.best.push_back(entry(ids[i]));
  return result;
}

}  // namespace steno
