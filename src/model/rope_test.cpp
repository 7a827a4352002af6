#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>

#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

at::Tensor positions_of(const std::vector<int64_t>& list) { return at::tensor(list, at::kLong).unsqueeze(0); }

at::Tensor turned(const RopeConfig& config, const at::Tensor& x, const at::Tensor& positions) {
  return rotate(x, rotary_table(config, x.size(-1), positions));
}

const RopeLayout kLayouts[] = {RopeLayout::half, RopeLayout::interleaved};

TEST(Rope, RotationsAdd) {
  for (const RopeLayout layout : kLayouts) {
    for (const auto scaling : {RopeScaling::none, RopeScaling::linear, RopeScaling::llama3}) {
      const RopeConfig config{.layout = layout, .scaling = scaling, .factor = 4, .original_max_positions = 64};
      const at::Tensor x = random_tensor({2, 3, 4, 16}, 1);
      const at::Tensor a = at::tensor({0, 5, 100, 4000, 7, 1, 2, 3}, at::kLong).view({2, 4});
      const at::Tensor b = at::tensor({3, -5, 31, -1000, 0, 9, -2, 12}, at::kLong).view({2, 4});
      EXPECT_LE(difference(turned(config, turned(config, x, a), b), turned(config, x, a + b)), 1e-6);
      EXPECT_LE(difference(turned(config, turned(config, x, a), -a), x), 1e-6);
    }
  }
}

TEST(Rope, PositionZeroChangesNothing) {
  for (const RopeLayout layout : kLayouts) {
    const at::Tensor x = random_tensor({1, 2, 3, 8}, 2);
    EXPECT_TRUE(at::equal(turned({.layout = layout}, x, at::zeros({1, 3}, at::kLong)), x));
  }
}

// Value i of the half layout is value 2i of the interleaved one, value i + d/2 is 2i + 1.
TEST(Rope, LayoutsAreEqualUnderThePermutation) {
  const at::Tensor x = random_tensor({2, 3, 5, 24}, 3);
  const auto interleave = [](const at::Tensor& t) {
    return t.unflatten(-1, {2, -1}).transpose(-1, -2).flatten(-2).contiguous();
  };
  const at::Tensor positions = at::arange(10, at::kLong).view({2, 5});
  const at::Tensor half = turned({.layout = RopeLayout::half}, x, positions);
  const at::Tensor pairs = turned({.layout = RopeLayout::interleaved}, interleave(x), positions);
  EXPECT_TRUE(at::equal(pairs, interleave(half)));
}

TEST(Rope, EqualsComplexMultiplication) {
  for (const int64_t position : {1, 17, 1000000, 3999999}) {
    const at::Tensor x = random_tensor({1, 1, 1, 12}, 4);
    const at::Tensor y = turned({.theta = 500000, .layout = RopeLayout::half}, x, positions_of({position}));
    for (int64_t i = 0; i < 6; ++i) {
      const double angle = static_cast<double>(position) * std::pow(500000.0, -2.0 * static_cast<double>(i) / 12);
      const auto at = [&](const at::Tensor& t, int64_t j) { return t[0][0][0][j].item<double>(); };
      const auto z = std::complex<double>(at(x, i), at(x, i + 6)) * std::polar(1.0, angle);
      EXPECT_NEAR(at(y, i), z.real(), 1e-6) << position;
      EXPECT_NEAR(at(y, i + 6), z.imag(), 1e-6) << position;
    }
  }
}

// Far from the start, neighbours are still told apart: scores depend on the distance only.
TEST(Rope, ScoresAtAMillionEqualScoresAtZero) {
  const at::Tensor q = random_tensor({1, 1, 1, 64}, 5), k = random_tensor({1, 1, 1, 64}, 6);
  const auto score = [&](int64_t at_q, int64_t at_k) {
    return (turned({}, q, positions_of({at_q})) * turned({}, k, positions_of({at_k}))).sum().item<double>();
  };
  for (const int64_t distance : {0, 1, 63}) {
    EXPECT_NEAR(score(distance, 0), score(1000000 + distance, 1000000), 1e-4);
    EXPECT_NEAR(score(distance, 0), score(50000000 + distance, 50000000), 1e-4);
  }
}

// The paths with a kernel, without one (strided input, gradients), to another type, and into other strides are one
// function.
TEST(Rope, EveryPathIsTheSame) {
  for (const RopeLayout layout : kLayouts) {
    const RotaryTable table = rotary_table({.layout = layout}, 16, at::arange(10, at::kLong).view({2, 5}));
    const at::Tensor x = random_tensor({2, 3, 5, 16}, 7), y = rotate(x, table);
    EXPECT_TRUE(at::equal(rotate(x.transpose(1, 2).contiguous().transpose(1, 2), table), y));
    EXPECT_TRUE(at::equal(rotate(x.transpose(2, 3).contiguous().transpose(2, 3), table), y));
    EXPECT_TRUE(rotate(x, table).is_contiguous());
    at::Tensor leaf = x.clone().requires_grad_(true);
    const at::Tensor recorded = rotate(leaf, table);
    EXPECT_LE(difference(recorded.detach(), y), 1e-7);
    // The transpose of a rotation is the rotation back.
    const at::Tensor direction = random_tensor(x.sizes(), 8);
    (recorded * direction).sum().backward();
    const RotaryTable back{table.cos, -table.sin, layout};
    EXPECT_LE(difference(leaf.grad(), rotate(direction, back)), 1e-6);

    const at::Tensor target = at::full({2, 3, 9, 16}, 5.0f, at::TensorOptions(at::kBFloat16));
    rotate_into(x, table, target.narrow(2, 2, 5));
    EXPECT_TRUE(at::equal(target.narrow(2, 2, 5), y.to(at::kBFloat16)));
    EXPECT_TRUE((target.narrow(2, 0, 2) == 5).all().item<bool>() && (target.narrow(2, 7, 2) == 5).all().item<bool>());
    EXPECT_TRUE(at::equal(rotate(x, table, at::kBFloat16), y.to(at::kBFloat16)));
    EXPECT_EQ(rotate(x.to(at::kBFloat16), table).scalar_type(), at::kBFloat16);
  }
}

TEST(Rope, Scalings) {
  const auto frequencies = [](const RopeConfig& c, int64_t length = 1) {
    return rope_frequencies(c, 8, length).inverse;
  };
  const std::vector<double> plain = frequencies({});
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(plain[i], std::pow(10.0, -static_cast<double>(i)), 1e-12);

  const auto linear = frequencies({.scaling = RopeScaling::linear, .factor = 4});
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(linear[i], plain[i] / 4);

  const RopeConfig dynamic{.scaling = RopeScaling::dynamic, .factor = 2, .original_max_positions = 100};
  EXPECT_EQ(frequencies(dynamic, 100), plain);
  // Twice the length: theta grows by (2 * 2 - 1)^(8/6).
  EXPECT_NEAR(frequencies(dynamic, 200)[1], std::pow(10000 * std::pow(3, 8.0 / 6), -0.25), 1e-12);

  const auto divided = frequencies({.freq_factors = {1, 2, 4, 8}});
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(divided[i], plain[i] / static_cast<double>(1 << i));

  // llama3: wavelengths 2 pi 10^i against 8192 / 4 = 2048 and 8192 / 1: the first three stay, 6283 is between.
  const auto llama3 = frequencies({.scaling = RopeScaling::llama3, .factor = 8, .original_max_positions = 8192});
  for (size_t i = 0; i < 3; ++i) EXPECT_DOUBLE_EQ(llama3[i], plain[i]);
  const double smooth = (8192 / (2 * M_PI * 1000) - 1) / 3;
  EXPECT_NEAR(llama3[3], (1 - smooth) * 1e-3 / 8 + smooth * 1e-3, 1e-12);

  const RopeConfig yarn{.scaling = RopeScaling::yarn, .factor = 4, .original_max_positions = 4096};
  const RopeFrequencies scaled = rope_frequencies(yarn, 8, 1);
  EXPECT_NEAR(scaled.attention_factor, 0.1 * std::log(4) + 1, 1e-12);
  EXPECT_DOUBLE_EQ(scaled.inverse[0], plain[0]);      // turns 652 times: above beta_fast
  EXPECT_DOUBLE_EQ(scaled.inverse[3], plain[3] / 4);  // turns 0.65 times: below beta_slow
  EXPECT_GT(scaled.inverse[2], plain[2] / 4);
  EXPECT_LT(scaled.inverse[2], plain[2]);
}

}  // namespace
}  // namespace steno
