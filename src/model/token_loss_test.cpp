#include "model/token_loss.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;

// A head of `vocab` rows on a tiny model: pieces of sum_nll() are a matter of the vocabulary.
Decoder with_head(int64_t vocab, bool quantised, at::ScalarType compute) {
  const auto tiny = tiny_decoder("llama_tied");
  ModelConfig config = tiny->config();
  DecoderWeights weights = tiny->weights();
  config.vocab = vocab;
  const int64_t d = config.d_model;
  weights.head = quantised ? random_weight(GgmlType::Q8_0, vocab, d, 3, 0.5)
                           : LinearWeight(random_tensor({vocab, d}, 3, 0.5).to(compute));
  return Decoder(config, weights, compute);
}

class TokenLoss : public testing::TestWithParam<std::tuple<int64_t, bool>> {};

TEST_P(TokenLoss, EqualsCrossEntropyOfAllLogits) {
  const auto [vocab, quantised] = GetParam();
  const Decoder decoder = with_head(vocab, quantised, at::kFloat);
  const int64_t rows = 203;
  const at::Tensor targets = random_ids(1, rows, vocab, 5).squeeze(0);
  const at::Tensor hidden = random_tensor({rows, decoder.config().d_model}, 7).requires_grad_(true);
  const at::Tensor again = hidden.detach().clone().requires_grad_(true);

  const at::Tensor expected = at::cross_entropy_loss(decoder.head(again), targets, {}, at::Reduction::Sum);
  const at::Tensor loss = sum_nll(decoder, hidden, targets);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-6 * expected.item<double>());
  (loss * 3).backward();
  (expected * 3).backward();
  EXPECT_LE((hidden.grad() - again.grad()).abs().max().item<double>(), 2e-5 * again.grad().abs().max().item<double>());
  // Row by row, and without gradients.
  const at::Tensor reference = at::cross_entropy_loss(decoder.head(again.detach()), targets, {}, at::Reduction::None);
  for (int64_t row = 0; row < rows; ++row) {
    const at::Tensor one = sum_nll(decoder, hidden.detach().narrow(0, row, 1), targets.narrow(0, row, 1));
    EXPECT_FALSE(one.requires_grad());
    EXPECT_NEAR(one.item<double>(), reference[row].item<double>(), 1e-5);
  }
}

// 70,000 columns: two pieces of rows.
INSTANTIATE_TEST_SUITE_P(Heads, TokenLoss, testing::Combine(testing::Values<int64_t>(96, 70000), testing::Bool()));

TEST(TokenLossBf16, StaysNearF32) {
  const Decoder exact = with_head(500, false, at::kFloat), rounded = with_head(500, false, at::kBFloat16);
  const at::Tensor targets = random_ids(1, 40, 500, 5).squeeze(0);
  const at::Tensor hidden = random_tensor({40, exact.config().d_model}, 7);
  const double a = sum_nll(exact, hidden, targets).item<double>(), b = sum_nll(rounded, hidden, targets).item<double>();
  EXPECT_NEAR(b, a, 0.01 * a);
}

TEST(TokenLossEdges, NothingToPredictAndTargetsOutside) {
  const Decoder decoder = with_head(96, false, at::kFloat);
  const at::Tensor none = at::empty({0, decoder.config().d_model}).requires_grad_(true);
  const at::Tensor loss = sum_nll(decoder, none, at::empty({0}, at::kLong));
  EXPECT_EQ(loss.item<float>(), 0);
  const at::Tensor hidden = random_tensor({1, decoder.config().d_model}, 7);
  EXPECT_THROW(sum_nll(decoder, hidden, at::full({1}, 96, at::kLong)), InputError);
  EXPECT_THROW(sum_nll(decoder, hidden, at::full({1}, -1, at::kLong)), InputError);
}

}  // namespace
}  // namespace steno
