#include "model/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

at::Tensor logits_of(const std::vector<double>& probabilities) {
  return at::tensor(probabilities, at::kDouble).log().to(at::kFloat);
}

// Counts of `draws` samples, each from a sampler that has seen `seen` only.
std::map<int32_t, int> histogram(SamplerConfig config, const at::Tensor& logits, int draws,
                                 const std::vector<int32_t>& seen = {}) {
  std::map<int32_t, int> counts;
  if (config.repetition_penalty == 1) {
    Sampler sampler(config);
    for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits)];
    return counts;
  }
  for (int i = 0; i < draws; ++i) {
    config.seed = static_cast<uint64_t>(i);
    Sampler sampler(config);
    sampler.observe(seen);
    ++counts[sampler.sample(logits)];
  }
  return counts;
}

std::set<int32_t> support(const SamplerConfig& config, const at::Tensor& logits) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : histogram(config, logits, 3000)) ids.insert(id);
  return ids;
}

using Ids = std::set<int32_t>;

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  Sampler sampler({});
  EXPECT_EQ(sampler.sample(at::tensor({1.0f, 5.0f, 3.0f})), 1);
  EXPECT_EQ(sampler.sample(at::tensor({1.0f, 5.0f, 5.0f, 5.0f})), 1);
  EXPECT_EQ(sampler.sample(at::tensor({-3.0f, -2.0f, -9.0f})), 1);
  EXPECT_EQ(sampler.sample(at::tensor({1.0f, 5.0f, 3.0f}).to(at::kBFloat16)), 1);
}

TEST(Sampler, TopK) {
  const at::Tensor logits = logits_of({0.1, 0.3, 0.2, 0.4});
  EXPECT_EQ(support({.temperature = 1, .top_k = 1}, logits), (Ids{3}));
  EXPECT_EQ(support({.temperature = 1, .top_k = 3}, logits), (Ids{1, 2, 3}));
  EXPECT_EQ(support({.temperature = 1, .top_k = 100}, logits), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(support({.temperature = 1, .top_k = 2}, at::zeros({4})), (Ids{0, 1}));  // equals: the lowest ids
}

TEST(Sampler, TopP) {
  const at::Tensor logits = logits_of({0.1, 0.3, 0.2, 0.4});
  EXPECT_EQ(support({.temperature = 1, .top_p = 0.01}, logits), (Ids{3}));
  EXPECT_EQ(support({.temperature = 1, .top_p = 0.39}, logits), (Ids{3}));
  EXPECT_EQ(support({.temperature = 1, .top_p = 0.41}, logits), (Ids{1, 3}));
  EXPECT_EQ(support({.temperature = 1, .top_p = 0.69}, logits), (Ids{1, 3}));
  EXPECT_EQ(support({.temperature = 1, .top_p = 0.75}, logits), (Ids{1, 2, 3}));
  // After top-k: of 0.4 and 0.3 the first has 0.571.
  EXPECT_EQ(support({.temperature = 1, .top_k = 2, .top_p = 0.5}, logits), (Ids{3}));
  // After the temperature: at 0.1 the best has nearly all.
  EXPECT_EQ(support({.temperature = 0.1, .top_p = 0.9}, logits), (Ids{3}));
}

TEST(Sampler, MinP) {
  const at::Tensor logits = logits_of({0.1, 0.3, 0.2, 0.4});
  EXPECT_EQ(support({.temperature = 1, .min_p = 0.2}, logits), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(support({.temperature = 1, .min_p = 0.3}, logits), (Ids{1, 2, 3}));
  EXPECT_EQ(support({.temperature = 1, .min_p = 0.6}, logits), (Ids{1, 3}));
  EXPECT_EQ(support({.temperature = 1, .min_p = 1}, logits), (Ids{3}));
}

TEST(Sampler, RepetitionPenalty) {
  Sampler sampler({.repetition_penalty = 2});
  const at::Tensor logits = at::tensor({4.0f, 3.0f, -1.0f, 1.0f});
  EXPECT_EQ(sampler.sample(logits), 0);  // 4; seen from now on
  EXPECT_EQ(sampler.sample(logits), 1);  // 2, 3, -1, 1
  EXPECT_EQ(sampler.sample(logits), 0);  // 2, 1.5, -1, 1
  // Negative logits are multiplied, so that a penalty never helps a token.
  Sampler negative({.repetition_penalty = 3});
  negative.observe(std::vector<int32_t>{0, -5, 1000});
  EXPECT_EQ(negative.sample(at::tensor({-1.0f, -2.0f})), 1);
  Sampler off({.repetition_penalty = 1});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(off.sample(logits), 0);
}

TEST(Sampler, SeedsDecide) {
  const at::Tensor logits = random_tensor({50}, 1);
  const auto draw = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 40; ++i) ids.push_back(sampler.sample(logits));
    return ids;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
}

// Probabilities by the definition, filter after filter over a full sort.
std::vector<double> naive_probabilities(std::vector<double> logits, const SamplerConfig& c,
                                        const std::vector<int32_t>& seen) {
  for (const int32_t id : seen) {
    double& l = logits[static_cast<size_t>(id)];
    l = l > 0 ? l / c.repetition_penalty : l * c.repetition_penalty;
  }
  std::vector<double> p(logits.size());
  const auto normalise = [&] {
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& x : p) x /= total;
  };
  const double top = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < p.size(); ++i) p[i] = std::exp((logits[i] - top) / c.temperature);
  normalise();
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  if (c.top_k > 0)
    for (size_t i = static_cast<size_t>(c.top_k); i < order.size(); ++i) p[order[i]] = 0;
  normalise();
  double before = 0;
  for (const size_t id : order) {  // a token stays when those before it do not reach top-p yet
    const double own = p[id];
    if (before >= c.top_p) p[id] = 0;
    before += own;
  }
  normalise();
  for (double& x : p) x = x < c.min_p * p[order[0]] ? 0 : x;
  normalise();
  return p;
}

// Chi-square of 20,000 draws with a fixed seed: below the 99.9% point for the degrees of freedom.
TEST(Sampler, FrequenciesFollowTheDefinition) {
  const at::Tensor logits = random_tensor({12}, 3, 1.5);
  std::vector<double> values(12);
  for (int64_t i = 0; i < 12; ++i) values[static_cast<size_t>(i)] = logits[i].item<double>();
  const std::vector<int32_t> seen = {1, 4, 7};
  const std::vector<SamplerConfig> configs = {
      {.temperature = 1, .seed = 1},
      {.temperature = 0.7, .seed = 2},
      {.temperature = 2, .top_k = 7, .seed = 3},
      {.temperature = 1, .top_p = 0.9, .seed = 4},
      {.temperature = 1.3, .min_p = 0.1, .seed = 5},
      {.temperature = 1.2, .top_k = 9, .top_p = 0.95, .min_p = 0.05, .seed = 6},
      {.temperature = 1, .top_k = 8, .repetition_penalty = 1.7},
  };
  for (const SamplerConfig& config : configs) {
    constexpr int kDraws = 20000;
    const bool penalised = config.repetition_penalty != 1;
    const auto expected = naive_probabilities(values, config, penalised ? seen : std::vector<int32_t>{});
    auto counts = histogram(config, logits, kDraws, seen);
    double chi = 0;
    int possible = 0;
    for (size_t id = 0; id < expected.size(); ++id) {
      const double want = expected[id] * kDraws;
      const int got = counts[static_cast<int32_t>(id)];
      if (want == 0) {
        EXPECT_EQ(got, 0) << "token " << id << " was filtered";
        continue;
      }
      chi += (got - want) * (got - want) / want;
      ++possible;
    }
    ASSERT_GE(possible, 3);
    // Wilson and Hilferty's approximation of the quantile.
    const double k = possible - 1, point = k * std::pow(1 - 2 / (9 * k) + 3.09 * std::sqrt(2 / (9 * k)), 3);
    EXPECT_LT(chi, point) << "temperature " << config.temperature << ", top-k " << config.top_k;
  }
}

TEST(Sampler, RefusesImpossibleSettings) {
  for (const SamplerConfig& config : std::vector<SamplerConfig>{{.temperature = -1},
                                                                {.temperature = NAN},
                                                                {.top_k = -1},
                                                                {.top_p = 0},
                                                                {.top_p = 1.1},
                                                                {.min_p = -0.1},
                                                                {.min_p = 2},
                                                                {.repetition_penalty = 0},
                                                                {.repetition_penalty = NAN}})
    EXPECT_THROW(Sampler{config}, UsageError);
}

TEST(Logprobs, EqualLogSoftmax) {
  const at::Tensor logits = random_tensor({200}, 4, 4), expected = at::log_softmax(logits.to(at::kDouble), -1);
  const PositionLogprobs result = logprobs(logits, 17, 5);
  EXPECT_EQ(result.chosen.id, 17);
  EXPECT_NEAR(result.chosen.logprob, expected[17].item<double>(), 1e-5);
  const auto [values, ids] = expected.topk(5);
  ASSERT_EQ(result.best.size(), 5u);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(result.best[static_cast<size_t>(i)].id, ids[i].item<int64_t>());
    EXPECT_NEAR(result.best[static_cast<size_t>(i)].logprob, values[i].item<double>(), 1e-5);
  }
  EXPECT_TRUE(logprobs(logits, 0, 0).best.empty());
  EXPECT_EQ(logprobs(at::tensor({1.0f, 1.0f, 1.0f}), 0, 9).best.size(), 3u);
  EXPECT_EQ(logprobs(at::tensor({1.0f, 1.0f, 1.0f}), 0, 2).best[1].id, 1);  // equals by id
}

}  // namespace
}  // namespace steno
