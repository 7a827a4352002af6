#include "model/activation_checkpoint.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

constexpr int64_t kSteps = 12, kRows = 5;

struct Call {
  AdapterSet adapters;
  Input input;
  std::vector<std::pair<std::string, at::Tensor>> leaves;
};

// Everything that can get a gradient.
std::unique_ptr<Call> make_call(const Decoder& decoder, double dropout, bool rows, bool captures) {
  const at::NoGradGuard no_grad;
  const ModelConfig& c = decoder.config();
  auto call = std::make_unique<Call>();
  call->adapters = AdapterSet::create(
      c, {.rank = 3, .alpha = 6, .dropout = dropout, .targets = {Target::q, Target::v, Target::down}}, 5);
  uint64_t seed = 300;
  call->leaves = call->adapters.named_parameters();
  for (const auto& [name, tensor] : call->leaves)
    if (name.ends_with("lora_B.weight")) at::Tensor(tensor).copy_(random_tensor(tensor.sizes(), ++seed, 0.2));
  call->input.embeddings = decoder.embed(random_ids(2, kSteps, c.vocab, 1)).clone();
  call->leaves.emplace_back("embeddings", call->input.embeddings);
  for (int64_t layer = 0; rows && layer < c.layers; ++layer) {
    const auto s = static_cast<uint64_t>(layer);
    call->input.rows.push_back(
        {random_tensor({2, c.kv_heads, kRows, c.d_h}, 100 + s), random_tensor({2, c.kv_heads, kRows, c.d_h}, 200 + s)});
    call->leaves.emplace_back(fmt::format("rows.{}.k", layer), call->input.rows.back().k);
    call->leaves.emplace_back(fmt::format("rows.{}.v", layer), call->input.rows.back().v);
  }
  if (rows) call->input.row_positions = {at::arange(kRows, at::kLong).unsqueeze(0)};
  for (const auto& [name, tensor] : call->leaves) at::Tensor(tensor).requires_grad_(true);
  call->input.adapters = &call->adapters;
  call->input.logits = LogitRows::all;
  if (captures) call->input.capture = {.hidden = true, .attention_input = true, .queries = true, .kv = true};
  return call;
}

struct Result {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;
};

struct Case {
  double dropout = 0;
  bool rows = false, captures = false, by_grad = false;
};

// The loss looks at the logits and at every capture.
Result differentiate(const Decoder& decoder, const Case& c, bool checkpoint) {
  at::manual_seed(17);
  const auto call = make_call(decoder, c.dropout, c.rows, c.captures);
  call->input.checkpoint_blocks = checkpoint;
  const Output out = decoder.run(call->input);
  at::Tensor loss = (out.logits * random_tensor(out.logits.sizes(), 9)).sum();
  const auto add = [&](const at::Tensor& t, uint64_t seed) {
    loss = loss + (t * random_tensor(t.sizes(), seed)).sum();
  };
  for (size_t i = 0; i < out.kv.size(); ++i) {
    add(out.hidden_states[i + 1], 20 + i);
    add(out.attention_inputs[i], 30 + i);
    add(out.queries[i], 40 + i);
    add(out.kv[i].k, 50 + i);
    add(out.kv[i].v, 60 + i);
  }
  Result result{loss.detach(), {}};
  std::vector<at::Tensor> leaves;
  for (const auto& item : call->leaves) leaves.push_back(item.second);
  if (c.by_grad) {
    result.gradients = torch::autograd::grad({loss}, leaves);
  } else {
    loss.backward();
    for (const at::Tensor& leaf : leaves) result.gradients.push_back(leaf.grad());
  }
  return result;
}

// Bit for bit, or, where gradients meet at a capture and are added up in another order, to rounding.
void expect_same(const Result& a, const Result& b, bool bits) {
  EXPECT_TRUE(at::equal(a.loss, b.loss));
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    ASSERT_TRUE(a.gradients[i].defined() && b.gradients[i].defined()) << i;
    const float largest = a.gradients[i].abs().max().item<float>();
    EXPECT_GT(largest, 0) << i;
    const float difference = (a.gradients[i] - b.gradients[i]).abs().max().item<float>();
    EXPECT_LE(difference, bits ? 0 : 2e-6f * largest) << i;
  }
}

class Checkpointed : public testing::TestWithParam<std::string> {};

TEST_P(Checkpointed, SameBitsWithAndWithout) {
  const auto decoder = tiny_decoder(GetParam());
  for (const bool rows : {false, true}) {
    SCOPED_TRACE(rows);
    const Case c{.rows = rows};
    expect_same(differentiate(*decoder, c, false), differentiate(*decoder, c, true), true);
  }
}

TEST_P(Checkpointed, CapturesAreDifferentiable) {
  const auto decoder = tiny_decoder(GetParam());
  const Case c{.rows = true, .captures = true};
  expect_same(differentiate(*decoder, c, false), differentiate(*decoder, c, true), false);
}

TEST_P(Checkpointed, DropoutDrawsTheSameNumbersAgain) {
  const auto decoder = tiny_decoder(GetParam());
  const Case c{.dropout = 0.3};
  const Result plain = differentiate(*decoder, c, false);
  expect_same(plain, differentiate(*decoder, c, true), true);
  EXPECT_FALSE(at::equal(plain.loss, differentiate(*decoder, {}, false).loss));
}

TEST_P(Checkpointed, WorksUnderGrad) {
  const auto decoder = tiny_decoder(GetParam());
  Case c{.dropout = 0.3, .rows = true};
  const Result plain = differentiate(*decoder, c, false);
  c.by_grad = true;
  expect_same(plain, differentiate(*decoder, c, true), true);
}

INSTANTIATE_TEST_SUITE_P(Families, Checkpointed,
                         testing::Values("llama_bias", "mistral_window", "qwen3", "gemma3_scaled"));

TEST(RunCheckpointed, KeepsTheInputsOnlyAndRunsTwice) {
  int runs = 0;
  const at::Tensor x = at::ones({3}).requires_grad_(true), unused = at::ones({2}).requires_grad_(true);
  const auto part = [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    ++runs;
    return {in[0] * in[0], in[0].detach() + 1};
  };
  const auto out = run_checkpointed(part, {x, unused}, false);
  EXPECT_EQ(runs, 1);
  ASSERT_EQ(out.size(), 2u);
  out[0].sum().backward();
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(at::equal(x.grad(), at::full({3}, 2.0f)));
  EXPECT_FALSE(unused.grad().defined());
}

TEST(RunCheckpointed, AnErrorInTheSecondRunReachesTheCaller) {
  bool fails = false;
  const at::Tensor x = at::ones({3}).requires_grad_(true);
  const auto out = run_checkpointed(
      [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
        TORCH_CHECK(!fails, "second run");
        return {in[0] * 2};
      },
      {x}, false);
  fails = true;
  EXPECT_THROW(out[0].sum().backward(), c10::Error);
}

}  // namespace
}  // namespace steno
