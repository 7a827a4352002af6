// The fused step against Decoder::run's plain path, which a capture that the step does not serve forces.
#include "model/step.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;

// Rows of every layer with room for one more, filled by reading `ids` [1, T].
std::vector<LayerRows> read_rows(const Decoder& decoder, const at::Tensor& ids) {
  const ModelConfig& c = decoder.config();
  std::vector<LayerRows> rows;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const auto empty = [&] {
      return at::zeros({1, c.kv_heads, ids.size(1) + 1, c.d_h}, at::TensorOptions(decoder.compute_dtype()));
    };
    rows.push_back({empty(), empty(), true, 0});
  }
  Input in;
  in.ids = ids;
  in.rows = rows;
  decoder.run(in);
  for (LayerRows& r : rows) r.used = ids.size(1);
  return rows;
}

std::vector<LayerRows> copy_rows(const std::vector<LayerRows>& rows) {
  std::vector<LayerRows> copies = rows;
  for (LayerRows& r : copies) r.k = r.k.clone(), r.v = r.v.clone();
  return copies;
}

struct Case {
  const char* name;
  at::ScalarType compute = at::kFloat;
  std::optional<GgmlType> type;  // none: dense weights
  bool qk_norm = false, sandwich_norm = false, bias = false;
  int64_t kv_heads = 2, d_h = 32, d_ff = 96;
};

// Three layers of random weights whose sizes fit the few-row kernels.
std::shared_ptr<const Decoder> random_decoder(const Case& v) {
  ModelConfig c;
  c.family = c.name = "random";
  c.layers = 3, c.d_model = 64, c.heads = 6, c.kv_heads = v.kv_heads, c.d_h = v.d_h, c.d_ff = v.d_ff, c.vocab = 120;
  c.attention_scale = 1 / std::sqrt(static_cast<double>(c.d_h));
  c.qk_norm = v.qk_norm, c.sandwich_norm = v.sandwich_norm;
  c.rope.layout = v.qk_norm ? RopeLayout::half : RopeLayout::interleaved;
  c.kinds.resize(3);
  uint64_t seed = 1;
  const auto weight = [&](int64_t out, int64_t in, bool biased = false) {
    const at::Tensor bias = biased ? random_tensor({out}, ++seed, 0.3) : at::Tensor();
    // Outputs of about unit size, so that softmax and SiLU are neither flat nor saturated.
    const double scale = 1 / std::sqrt(static_cast<double>(in));
    if (!v.type) return LinearWeight(random_tensor({out, in}, ++seed, scale).to(v.compute), bias);
    auto blocks = std::make_shared<std::string>(random_blocks(*v.type, out * in, ++seed));
    return LinearWeight(*v.type, out, in, reinterpret_cast<const std::byte*>(blocks->data()), blocks, bias);
  };
  const auto norm = [&](int64_t n) { return random_tensor({n}, ++seed, 0.1) + (v.type ? 0.05 : 1.0); };
  DecoderWeights w;
  w.embedding = LinearWeight(random_tensor({c.vocab, c.d_model}, ++seed));
  for (int64_t i = 0; i < c.layers; ++i) {
    LayerWeights l;
    l.attention_norm = norm(c.d_model), l.mlp_norm = norm(c.d_model);
    if (c.qk_norm) l.q_norm = norm(c.d_h), l.k_norm = norm(c.d_h);
    if (c.sandwich_norm) l.post_attention_norm = norm(c.d_model), l.post_mlp_norm = norm(c.d_model);
    l.q = weight(c.heads * c.d_h, c.d_model, v.bias), l.k = weight(c.kv_heads * c.d_h, c.d_model, v.bias);
    l.v = weight(c.kv_heads * c.d_h, c.d_model, v.bias), l.o = weight(c.d_model, c.heads * c.d_h);
    l.gate = weight(c.d_ff, c.d_model), l.up = weight(c.d_ff, c.d_model), l.down = weight(c.d_model, c.d_ff);
    w.layers.push_back(std::move(l));
  }
  w.final_norm = norm(c.d_model);
  w.head = weight(c.vocab, c.d_model);
  return std::make_shared<Decoder>(c, std::move(w), v.compute);
}

class StepTest : public testing::TestWithParam<Case> {
 protected:
  const c10::InferenceMode inference_;
  std::shared_ptr<const Decoder> decoder_ = random_decoder(GetParam());
  // Both round what they multiply to bf16 at other places; f32 differs in the order of its sums alone.
  double tolerance() const { return GetParam().compute == at::kFloat ? 2e-5 : 0.05; }
  Input input_of(int64_t token, const std::vector<LayerRows>& rows) const {
    Input in;
    in.ids = at::full({1, 1}, token, at::kLong);
    in.rows = rows;
    return in;
  }
};

TEST_P(StepTest, EqualsThePlainPath) {
  for (const int64_t length : {1, 5, 127, 128, 300}) {
    const at::Tensor ids = random_ids(1, length, decoder_->config().vocab, static_cast<uint64_t>(length));
    const auto rows = read_rows(*decoder_, ids);
    const auto plain_rows = copy_rows(rows);
    Input fused = input_of(3, rows), plain = input_of(3, plain_rows);
    fused.capture.mass = fused.capture.peak = fused.capture.queries = true;
    plain.capture = fused.capture;
    plain.capture.hidden = true;
    ASSERT_TRUE(fits_step(*decoder_, fused));
    ASSERT_FALSE(fits_step(*decoder_, plain));
    const Output got = decoder_->run(fused), expected = decoder_->run(plain);
    EXPECT_LE(difference(got.logits, expected.logits), tolerance()) << length;
    EXPECT_LE(difference(got.hidden, expected.hidden), tolerance()) << length;
    ASSERT_EQ(got.mass.size(), expected.mass.size());
    for (size_t i = 0; i < got.mass.size(); ++i) {
      ASSERT_EQ(got.mass[i].sizes(), expected.mass[i].sizes());
      EXPECT_LE(difference(got.mass[i], expected.mass[i]), tolerance()) << length << " layer " << i;
      EXPECT_LE(difference(got.peak[i], expected.peak[i]), tolerance()) << length << " layer " << i;
      EXPECT_LE((got.mass[i].sum(-1) - 1).abs().max().item<double>(), 1e-5) << "one query's shares";
      ASSERT_EQ(got.queries[i].sizes(), expected.queries[i].sizes());
      EXPECT_LE(difference(got.queries[i], expected.queries[i]), tolerance()) << length << " layer " << i;
      // The new row was written, and only it.
      EXPECT_LE(difference(rows[i].k.narrow(2, length, 1), plain_rows[i].k.narrow(2, length, 1)), tolerance());
      EXPECT_LE(difference(rows[i].v.narrow(2, length, 1), plain_rows[i].v.narrow(2, length, 1)), tolerance());
      EXPECT_TRUE(at::equal(rows[i].k.narrow(2, 0, length), plain_rows[i].k.narrow(2, 0, length)));
    }
  }
}

TEST_P(StepTest, PackedPositionsReadTheFrontFromNearer) {
  const at::Tensor ids = random_ids(1, 140, decoder_->config().vocab, 5);
  const auto rows = read_rows(*decoder_, ids);
  Input fused = input_of(7, rows), plain = input_of(7, copy_rows(rows));
  for (Input* in : {&fused, &plain}) {
    in->positions = at::full({1, 1}, 1000, at::kLong);
    in->front = {4, at::full({1, 1}, 140, at::kLong)};
  }
  plain.capture.hidden = true;
  ASSERT_TRUE(fits_step(*decoder_, fused));
  const at::Tensor got = decoder_->run(fused).logits;
  EXPECT_LE(difference(got, decoder_->run(plain).logits), tolerance());
  fused.front = {};
  EXPECT_GT(difference(decoder_->run(fused).logits, got), 1e-4);
}

// Several sequences of different lengths at once: the bits of every one are those it has alone.
TEST_P(StepTest, ABatchIsItsSequences) {
  std::vector<std::vector<LayerRows>> rows, copies;
  std::vector<Input> inputs, alone;
  for (int64_t i = 0; i < 9; ++i) {
    rows.push_back(read_rows(*decoder_, random_ids(1, 3 + 40 * i, decoder_->config().vocab, 10 + i)));
    copies.push_back(copy_rows(rows.back()));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    inputs.push_back(input_of(static_cast<int64_t>(i), rows[i]));
    alone.push_back(input_of(static_cast<int64_t>(i), copies[i]));
    inputs.back().logits = alone.back().logits = i == 4 ? LogitRows::none : LogitRows::last;
  }
  std::vector<const Input*> pointers;
  for (const Input& in : inputs) pointers.push_back(&in);
  const auto together = decoder_->run_together(pointers);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Output one = decoder_->run(alone[i]);
    EXPECT_TRUE(at::equal(together[i].hidden, one.hidden)) << i;
    ASSERT_EQ(together[i].logits.defined(), i != 4);
    if (i != 4) {
      EXPECT_TRUE(at::equal(together[i].logits, one.logits)) << i;
    }
    for (size_t layer = 0; layer < rows[i].size(); ++layer) {
      EXPECT_TRUE(at::equal(rows[i][layer].k, copies[i][layer].k)) << i;
      EXPECT_TRUE(at::equal(rows[i][layer].v, copies[i][layer].v)) << i;
    }
  }
}

TEST_P(StepTest, ThreadsDoNotChangeTheBits) {
  const auto rows = read_rows(*decoder_, random_ids(1, 270, decoder_->config().vocab, 6));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = decoder_->run(input_of(1, copy_rows(rows))).logits;
  for (const int count : {2, 3}) {
    at::set_num_threads(count);
    EXPECT_TRUE(at::equal(decoder_->run(input_of(1, copy_rows(rows))).logits, one)) << count;
  }
  at::set_num_threads(threads);
}

TEST_P(StepTest, UnknownTokensAreRefused) {
  const auto rows = read_rows(*decoder_, random_ids(1, 4, decoder_->config().vocab, 6));
  EXPECT_THROW(decoder_->run(input_of(decoder_->config().vocab, rows)), InputError);
  EXPECT_THROW(decoder_->run(input_of(-1, rows)), InputError);
}

INSTANTIATE_TEST_SUITE_P(
    Models, StepTest,
    testing::Values(Case{"plain"}, Case{"bf16", at::kBFloat16}, Case{"q4_1_bf16", at::kBFloat16, GgmlType::Q4_1},
                    Case{"q8_0_bf16", at::kBFloat16, GgmlType::Q8_0}, Case{"q4_0_f32", at::kFloat, GgmlType::Q4_0},
                    Case{.name = "bias", .bias = true}, Case{.name = "qk_norm", .qk_norm = true},
                    Case{.name = "sandwich", .qk_norm = true, .sandwich_norm = true},
                    Case{.name = "odd_heads_bf16", .compute = at::kBFloat16, .kv_heads = 6, .d_h = 48},
                    Case{.name = "one_kv_head", .kv_heads = 1, .d_h = 64, .d_ff = 32}),
    [](const auto& info) { return std::string(info.param.name); });

// What the step does not serve goes the plain way.
TEST(Step, KnowsWhatItDoesNotServe) {
  const c10::InferenceMode inference;
  const auto decoder = random_decoder({"plain"});
  const auto rows = read_rows(*decoder, random_ids(1, 4, 120, 1));
  const auto input = [&] {
    Input in;
    in.ids = at::zeros({1, 1}, at::kLong);
    in.rows = rows;
    return in;
  };
  EXPECT_TRUE(fits_step(*decoder, input()));
  Input in = input();
  in.ids = at::zeros({1, 2}, at::kLong);
  EXPECT_FALSE(fits_step(*decoder, in));
  in = input();
  in.ids = at::zeros({2, 1}, at::kLong);
  EXPECT_FALSE(fits_step(*decoder, in));
  in = input();
  in.mask.allowed = at::ones({1, 1, 1, 5}, at::kBool);
  EXPECT_FALSE(fits_step(*decoder, in));
  in = input();
  in.rows.clear();
  EXPECT_FALSE(fits_step(*decoder, in));
  for (bool Capture::*flag : {&Capture::hidden, &Capture::attention_input, &Capture::kv, &Capture::unrotated_keys}) {
    in = input();
    in.capture.*flag = true;
    EXPECT_FALSE(fits_step(*decoder, in));
  }
  EXPECT_FALSE(fits_step(*tiny_decoder("mistral_window"), input()));
  in = input();
  in.rows.pop_back();
  EXPECT_FALSE(fits_step(*decoder, in));
  in = input();
  for (LayerRows& r : in.rows) r.used = r.k.size(2);  // no room for the new row
  EXPECT_FALSE(fits_step(*decoder, in));
  EXPECT_ANY_THROW(decoder->run(in));
}

}  // namespace
}  // namespace steno
