// Products in eight-bit integers against the dequantised product of the rounded activations.
#include "model/kernels_int8.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/model_test_util.h"
#include "model/quantised_test_util.h"

namespace steno {
namespace {

using namespace test;

class Int8 : public testing::Test {
 protected:
  void SetUp() override {
    if (!kernels::has_int8()) GTEST_SKIP() << "this processor or build has no AVX-512 VNNI";
  }
};

// What the integers stand for, [rows, in].
at::Tensor values_of(const kernels::Int8Rows& x) {
  const at::Tensor values = at::empty({x.rows, x.in}, at::kDouble);
  for (int64_t i = 0; i < values.numel(); ++i)
    values.mutable_data_ptr<double>()[i] =
        static_cast<double>(x.values[static_cast<size_t>(i)]) * x.scales[static_cast<size_t>(i / 32)];
  return values;
}

TEST_F(Int8, RoundingStaysWithinHalfAStep) {
  at::Tensor x = random_tensor({5, 96}, 1, 3);
  x[2].slice(0, 32, 64).fill_(0);
  x[3] *= 1e-20;
  x[4][7] = -4000.0;  // one outlier sets the step of its block only
  const kernels::Int8Rows rounded = kernels::round_to_int8(x.const_data_ptr<float>(), 5, 96);
  ASSERT_EQ(rounded.values.size(), 480u);
  ASSERT_EQ(rounded.scales.size(), 15u);
  const at::Tensor error = (values_of(rounded) - x).abs().view({15, 32}).amax(1);
  const at::Tensor largest = x.abs().view({15, 32}).amax(1).to(at::kDouble);
  for (int64_t b = 0; b < 15; ++b) {
    EXPECT_LE(error[b].item<double>(), largest[b].item<double>() / 254 * 1.0001) << b;
    EXPECT_NEAR(rounded.scales[static_cast<size_t>(b)], largest[b].item<double>() / 127,
                1e-6 * largest[b].item<double>());
    const double sum = values_of(rounded).view({15, 32})[b].sum().item<double>();
    EXPECT_NEAR(rounded.sums[static_cast<size_t>(b)], sum, 1e-4 * largest[b].item<double>());
  }
}

TEST_F(Int8, ProductsEqualTheDequantisedOnes) {
  for (const GgmlType type : {GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q8_0}) {
    ASSERT_TRUE(kernels::multiplies_int8(type));
    Random random(static_cast<uint64_t>(type));
    for (int round = 0; round < 40; ++round) {
      const int64_t in = 32 * static_cast<int64_t>(1 + random.below(round % 4 == 3 ? 140 : 20));
      const int64_t out = static_cast<int64_t>(1 + random.below(40)), rows = static_cast<int64_t>(1 + random.below(11));
      const std::string bytes = random_blocks(type, out * in, random.next());
      const GuardedBytes guarded(bytes);
      const std::byte* blocks = guarded.data();
      const at::Tensor w = at::empty({out, in}, at::kFloat), x = random_tensor({rows, in}, random.next());
      dequantize_to_f32(type, blocks, w.mutable_data_ptr<float>(), out * in);
      const kernels::Int8Rows rounded = kernels::round_to_int8(GuardedBytes(x).floats(), rows, in);

      const int64_t begin = static_cast<int64_t>(random.below(static_cast<uint64_t>(out)));
      const int64_t end = begin + 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(out - begin)));
      const at::Tensor y = at::full({rows, end - begin + 2}, -7.0f);
      kernels::multiply_int8(type, blocks, begin, end, rounded, y.mutable_data_ptr<float>(), end - begin + 2);
      const at::Tensor slice = w.slice(0, begin, end).to(at::kDouble),
                       exact = at::matmul(values_of(rounded), slice.t());
      // Offsets cancel large parts: the error is a share of what was added, 128 units for Q8_0's signed bytes.
      const at::Tensor size =
          at::matmul(x.abs().to(at::kDouble), at::full_like(slice, slice.abs().max().item<double>()).t());
      const at::Tensor error = (y.slice(1, 0, end - begin).to(at::kDouble) - exact).abs() / size;
      EXPECT_LE(error.max().item<double>(), 3e-6) << ggml_traits(type).name << ", out " << out << ", in " << in;
      EXPECT_TRUE((y.slice(1, end - begin) == -7.0f).all().item<bool>());
    }
  }
}

TEST_F(Int8, ExtremeNumbersDoNotSaturate) {
  // Largest weights times largest activations: sums of products that sixteen bits could not hold.
  std::string bytes(34 * 4, '\0');
  for (size_t b = 0; b < 4; ++b) {
    put_half(bytes, b * 34, 1.0f);
    for (size_t i = 0; i < 32; ++i) bytes[b * 34 + 2 + i] = static_cast<char>(b % 2 ? -128 : 127);
  }
  const std::vector<float> x(64, 127.0f);
  float y[2];
  kernels::multiply_int8(GgmlType::Q8_0, reinterpret_cast<const std::byte*>(bytes.data()), 0, 2,
                         kernels::round_to_int8(x.data(), 1, 64), y, 2);
  EXPECT_NEAR(y[0], 32.0 * 127 * (127 - 128), 1);
  EXPECT_NEAR(y[1], 32.0 * 127 * (127 - 128), 1);
}

}  // namespace
}  // namespace steno
