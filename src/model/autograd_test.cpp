// Gradients through Decoder::run against central differences, with every base weight frozen.
#include <ATen/core/grad_mode.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;

// Everything that training may ask gradients for. Leaves are f32.
struct Leaves {
  at::Tensor embeddings;        // [1, T, d]
  std::vector<LayerRows> rows;  // [1, H_kv, S, d_h]
  AdapterSet adapters;          // A and B on all targets
  std::vector<std::pair<std::string, at::Tensor>> all() const {
    std::vector<std::pair<std::string, at::Tensor>> list = adapters.named_parameters();
    list.emplace_back("embeddings", embeddings);
    for (size_t i = 0; i < rows.size(); ++i) {
      list.emplace_back(fmt::format("rows.{}.k", i), rows[i].k);
      list.emplace_back(fmt::format("rows.{}.v", i), rows[i].v);
    }
    return list;
  }
};

constexpr int64_t kSteps = 6, kRows = 4;

Leaves make_leaves(const Decoder& decoder) {
  const at::NoGradGuard no_grad;
  const ModelConfig& c = decoder.config();
  Leaves leaves;
  leaves.embeddings = decoder.embed(random_ids(1, kSteps, c.vocab, 1)).clone();
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const auto seed = static_cast<uint64_t>(layer);
    leaves.rows.push_back({random_tensor({1, c.kv_heads, kRows, c.d_h}, 100 + seed),
                           random_tensor({1, c.kv_heads, kRows, c.d_h}, 200 + seed)});
  }
  LoraConfig lora{.rank = 3,
                  .alpha = 6,
                  .targets = {Target::q, Target::k, Target::v, Target::o, Target::gate, Target::up, Target::down}};
  leaves.adapters = AdapterSet::create(c, lora, 5);
  uint64_t seed = 300;
  for (const auto& [name, tensor] : leaves.adapters.named_parameters())
    if (name.ends_with("lora_B.weight")) at::Tensor(tensor).copy_(random_tensor(tensor.sizes(), ++seed, 0.2));
  for (const auto& [name, tensor] : leaves.all()) at::Tensor(tensor).requires_grad_(true);
  return leaves;
}

at::Tensor loss_of(const Decoder& decoder, const Leaves& leaves) {
  Input in;
  in.embeddings = leaves.embeddings;
  in.rows = leaves.rows;
  in.row_positions = {at::arange(kRows, at::kLong).unsqueeze(0)};
  in.adapters = &leaves.adapters;
  in.logits = LogitRows::all;
  const at::Tensor logits = decoder.run(in).logits;
  const at::Tensor direction = random_tensor(logits.sizes(), 17) / std::sqrt(static_cast<double>(logits.numel()));
  return (logits.to(at::kDouble) * direction).sum();
}

// d loss / d step along `along`, by central differences with one step of Richardson's extrapolation.
double numeric_slope(const Decoder& decoder, const Leaves& leaves, const at::Tensor& leaf, const at::Tensor& along,
                     double step) {
  const at::NoGradGuard no_grad;
  const at::Tensor start = leaf.detach().clone();
  const auto central = [&](double h) {
    leaf.detach().copy_(start + along * h);
    const double above = loss_of(decoder, leaves).item<double>();
    leaf.detach().copy_(start - along * h);
    const double below = loss_of(decoder, leaves).item<double>();
    leaf.detach().copy_(start);
    return (above - below) / (2 * h);
  };
  return (4 * central(step / 2) - central(step)) / 3;
}

void expect_frozen(const LinearWeight& weight) {
  for (const at::Tensor& t : {weight.tensor(), weight.bias()}) {
    if (!t.defined()) continue;
    EXPECT_FALSE(t.requires_grad());
    EXPECT_FALSE(t.grad().defined());
  }
}

void check_gradients(const Decoder& decoder) {
  const Leaves leaves = make_leaves(decoder);
  loss_of(decoder, leaves).backward();
  for (const auto& [name, leaf] : leaves.all()) {
    ASSERT_TRUE(leaf.grad().defined()) << name;
    const at::Tensor gradient = leaf.grad().detach();
    const double norm = gradient.norm().item<double>();
    ASSERT_GT(norm, 0) << name;
    // Along the gradient itself, then along random directions, which a wrong part of it cannot hide from.
    for (uint64_t i = 0; i < 3; ++i) {
      at::Tensor along = i == 0 ? gradient : random_tensor(leaf.sizes(), 40 + i);
      along = along / along.norm();
      const double expected = (gradient * along).sum().item<double>();
      const double step = 0.02 * std::max(1.0, leaf.detach().norm().item<double>() / 4);
      EXPECT_NEAR(numeric_slope(decoder, leaves, leaf, along, step), expected, 4e-3 * norm + 2e-5)
          << name << ", direction " << i << ", |gradient| " << norm;
    }
  }
  for (const LayerWeights& w : decoder.weights().layers) {
    for (const LinearWeight* l : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) expect_frozen(*l);
    EXPECT_FALSE(w.attention_norm.requires_grad() || w.mlp_norm.requires_grad());
  }
  expect_frozen(decoder.weights().head);
}

class GradientCheck : public testing::TestWithParam<std::string> {};
TEST_P(GradientCheck, HuggingFace) { check_gradients(*tiny_decoder(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Dense, GradientCheck,
                         testing::Values("llama_bias", "llama_rope_yarn", "mistral_window", "qwen3", "gemma3_scaled",
                                         "phi3"));

TEST(Autograd, InterleavedRotation) {
  const auto decoder = load_decoder(tiny_folder("llama_tied") / "model.gguf", {.dtype = at::kFloat});
  ASSERT_EQ(decoder->config().rope.layout, RopeLayout::interleaved);
  check_gradients(*decoder);
}

// A llama of 32 dimensions with blocks of `type` wherever a row is whole blocks.
Decoder quantised(GgmlType type) {
  const auto dense = tiny_decoder("llama_tied");
  DecoderWeights w = dense->weights();
  uint64_t seed = 0;
  const auto blocks = [&](LinearWeight& l) {
    if (l.in() % ggml_traits(type).block_values == 0)
      l = random_weight(type, l.out(), l.in(), ++seed, 2 / std::sqrt(static_cast<double>(l.in())));
  };
  for (LayerWeights& l : w.layers)
    for (LinearWeight* p : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) blocks(*p);
  blocks(w.head);
  return Decoder(dense->config(), w, at::kFloat);
}

TEST(Autograd, QuantisedWeights) {
  for (const GgmlType type : {GgmlType::Q8_0, GgmlType::Q4_1}) {
    const Decoder decoder = quantised(type);
    ASSERT_TRUE(decoder.weights().layers[0].gate.quantised());
    check_gradients(decoder);
  }
}

TEST(Autograd, BackwardMayOutliveTheDecoder) {
  at::Tensor loss;
  auto decoder = std::make_unique<const Decoder>(quantised(GgmlType::Q8_0));
  const Leaves leaves = make_leaves(*decoder), again = make_leaves(*decoder);
  loss_of(*decoder, leaves).backward();
  loss = loss_of(*decoder, again);
  decoder.reset();
  // What was freed is likely to be overwritten now.
  std::vector<std::string> other;
  for (int i = 0; i < 200; ++i) other.emplace_back(1088 + i, '\x7F');
  loss.backward();
  for (size_t i = 0; i < leaves.all().size(); ++i)
    EXPECT_TRUE(at::equal(again.all()[i].second.grad(), leaves.all()[i].second.grad())) << leaves.all()[i].first;
}

// The recorded path and the inference path are one function.
TEST(Autograd, RecordedLogitsEqualInference) {
  for (const std::string& name : tiny_names()) {
    const auto decoder = tiny_decoder(name);
    const Leaves leaves = make_leaves(*decoder);
    const at::Tensor recorded = loss_of(*decoder, leaves);
    ASSERT_TRUE(recorded.requires_grad());
    const at::NoGradGuard no_grad;
    EXPECT_NEAR(loss_of(*decoder, leaves).item<double>(), recorded.item<double>(), 1e-5) << name;
  }
}

TEST(Autograd, Bf16GradientsPointWhereF32OnesDo) {
  for (const char* name : {"llama_bias", "qwen3", "gemma3_scaled"}) {
    const auto f32 = tiny_decoder(name), bf16 = tiny_decoder(name, at::kBFloat16);
    const Leaves exact = make_leaves(*f32), rounded = make_leaves(*f32);
    loss_of(*f32, exact).backward();
    loss_of(*bf16, rounded).backward();
    const auto expected = exact.all(), actual = rounded.all();
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(actual[i].second.grad().defined()) << actual[i].first;
      const at::Tensor e = expected[i].second.grad().flatten(), a = actual[i].second.grad().flatten();
      EXPECT_EQ(a.scalar_type(), at::kFloat);
      const double cosine = (at::dot(a, e) / (a.norm() * e.norm())).item<double>();
      EXPECT_GT(cosine, 0.98) << name << " " << expected[i].first;
      EXPECT_NEAR((a.norm() / e.norm()).item<double>(), 1, 0.1) << name << " " << expected[i].first;
    }
  }
}

TEST(Autograd, NothingIsRecordedWhenNothingAsks) {
  const auto decoder = tiny_decoder("llama_tied");
  ASSERT_TRUE(c10::GradMode::is_enabled());
  EXPECT_FALSE(decoder->run(input_of(random_ids(1, 5, 100, 1))).logits.requires_grad());
}

// A memory that is written by one pass and read by another: gradients flow through the captured rows.
TEST(Autograd, GradientsFlowThroughCapturedRows) {
  const auto decoder = tiny_decoder("qwen3");
  const auto loss = [&](const at::Tensor& written) {
    Input first;
    first.embeddings = written;
    first.capture.kv = true;
    Input second = input_of(random_ids(1, 3, decoder->config().vocab, 2));
    for (const LayerKv& kv : decoder->run(first).kv) second.rows.push_back({kv.k, kv.v});
    const at::Tensor logits = decoder->run(second).logits;
    return (logits.to(at::kDouble) * random_tensor(logits.sizes(), 3, 0.1)).sum();
  };
  const at::Tensor written = decoder->embed(random_ids(1, 5, decoder->config().vocab, 1)).clone().requires_grad_(true);
  loss(written).backward();
  const at::Tensor gradient = written.grad(), along = gradient / gradient.norm();
  const at::NoGradGuard no_grad;
  const auto central = [&](double h) {
    return (loss(written + along * h) - loss(written - along * h)).item<double>() / (2 * h);
  };
  const double norm = gradient.norm().item<double>();
  EXPECT_NEAR((4 * central(0.01) - central(0.02)) / 3, norm, 4e-3 * norm);
}

}  // namespace
}  // namespace steno
