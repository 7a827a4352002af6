// Every kernel against ATen or a plain loop in f64, over random shapes with and without tails.
#include "model/kernels.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "model/kernels_bf16.h"
#include "model/model_test_util.h"
#include "model/quantised_test_util.h"
#include "model/vector.h"

namespace steno {
namespace {

using namespace test;
using kernels::Num;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

at::ScalarType dtype_of(Num type) { return type == Num::f32 ? at::kFloat : at::kBFloat16; }

// Values as both types see them: rounded to bf16 where the kernel reads bf16.
at::Tensor numbers(at::IntArrayRef shape, Num type, uint64_t seed, double scale = 1) {
  return random_tensor(shape, seed, scale).to(dtype_of(type));
}

// bf16 results may be one rounding away from the reference's.
double tolerance(Num type) { return type == Num::f32 ? 2e-6 : 8e-3; }

uint16_t to_bf16(float x) {
  uint16_t y;
  kernels::store1(&y, x);
  return y;
}
float to_f32(uint16_t x) { return kernels::load1(&x); }

class Multiply : public testing::TestWithParam<GgmlType> {};

TEST_P(Multiply, EqualsTheDequantisedProduct) {
  const GgmlType type = GetParam();
  ASSERT_TRUE(kernels::multiplies(type));
  const int64_t block = ggml_traits(type).block_values;
  Random random(static_cast<uint64_t>(type));
  for (int round = 0; round < 30; ++round) {
    const int64_t unit = std::max<int64_t>(block, 32);
    const int64_t in = unit * static_cast<int64_t>(1 + random.below(round % 5 == 4 ? 80 : 5));
    const int64_t out = static_cast<int64_t>(1 + random.below(40)), rows = static_cast<int64_t>(1 + random.below(11));
    const std::string bytes = random_blocks(type, out * in, random.next());
    const GuardedBytes guarded(bytes);
    const std::byte* blocks = guarded.data();
    const at::Tensor w = at::empty({out, in}, at::kFloat), x = random_tensor({rows, in}, random.next());
    const GuardedBytes guarded_x(x);
    dequantize_to_f32(type, blocks, w.mutable_data_ptr<float>(), out * in);

    std::vector<float> sums(static_cast<size_t>(rows * in / 32));
    kernels::block_sums(guarded_x.floats(), rows, in, sums.data());
    const int64_t begin = static_cast<int64_t>(random.below(static_cast<uint64_t>(out)));
    const int64_t end = begin + 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(out - begin)));
    // Columns outside [begin, end) belong to somebody else.
    const int64_t stride = end - begin + 3;
    const at::Tensor y = at::full({rows, stride}, -7.0f);
    kernels::multiply_blocks(type, blocks, in, begin, end, guarded_x.floats(), sums.data(), rows,
                             y.mutable_data_ptr<float>(), stride);
    const at::Tensor exact = at::matmul(x.to(at::kDouble), w.slice(0, begin, end).to(at::kDouble).t());
    // The error of a sum is a share of what was added, not of what came out.
    const at::Tensor size = at::matmul(x.abs().to(at::kDouble), w.slice(0, begin, end).abs().to(at::kDouble).t());
    const at::Tensor error = (y.slice(1, 0, end - begin).to(at::kDouble) - exact).abs() / (size + 1e-30);
    EXPECT_LE(error.max().item<double>(), 3e-6) << ggml_traits(type).name << " out " << out << " in " << in;
    EXPECT_TRUE((y.slice(1, end - begin) == -7.0f).all().item<bool>());

    // A row does not depend on which rows it is computed with.
    std::vector<float> alone(static_cast<size_t>(end - begin));
    kernels::multiply_blocks(type, blocks, in, begin, end, guarded_x.floats() + (rows - 1) * in,
                             sums.data() + (rows - 1) * in / 32, 1, alone.data(), end - begin);
    for (int64_t o = 0; o < end - begin; ++o)
      EXPECT_NEAR(alone[static_cast<size_t>(o)], y[rows - 1][o].item<float>(), 3e-6 * size[rows - 1][o].item<double>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, Multiply,
                         testing::Values(GgmlType::F32, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::Q4_1,
                                         GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q2_K, GgmlType::Q3_K, GgmlType::Q4_K,
                                         GgmlType::Q5_K, GgmlType::Q6_K),
                         [](const auto& info) { return std::string(ggml_traits(info.param).name); });

TEST(Kernels, MultipliesRefusesF16) { EXPECT_FALSE(kernels::multiplies(GgmlType::F16)); }

TEST(Kernels, BlockSums) {
  const at::Tensor x = random_tensor({3, 96}, 1);
  std::vector<float> sums(9);
  kernels::block_sums(x.const_data_ptr<float>(), 3, 96, sums.data());
  const at::Tensor expected = x.view({9, 32}).to(at::kDouble).sum(1);
  for (int64_t i = 0; i < 9; ++i)
    EXPECT_NEAR(sums[static_cast<size_t>(i)], expected[i].item<double>(), 1e-5) << "block " << i;
}

at::Tensor norm_reference(const at::Tensor& x, const at::Tensor& w, double eps) {
  const at::Tensor d = x.to(at::kDouble);
  return d * at::rsqrt(d.square().mean(-1, true) + eps) * w.to(at::kDouble);
}

TEST(Kernels, RmsNorm) {
  for (const int64_t n : {1, 7, 15, 16, 17, 64, 100, 576, 583}) {
    for (const Num type : {Num::f32, Num::bf16}) {
      const at::Tensor x = random_tensor({5, n}, static_cast<uint64_t>(n), 3), w = random_tensor({n}, 2);
      const at::Tensor y = at::empty({5, n}, dtype_of(type));
      const GuardedBytes guarded_x(x), guarded_w(w);
      kernels::rms_norm(guarded_x.floats(), guarded_w.floats(), 1e-5, 5, n, y.mutable_data_ptr(), type);
      EXPECT_LE(difference(y, norm_reference(x, w, 1e-5)), tolerance(type)) << n;
    }
  }
}

TEST(Kernels, RmsNormBackward) {
  for (const int64_t n : {1, 7, 15, 16, 17, 64, 100, 576, 583}) {
    for (const Num type : {Num::f32, Num::bf16}) {
      const auto seed = static_cast<uint64_t>(n);
      const at::Tensor x = random_tensor({5, n}, seed, 3), w = random_tensor({n}, 2),
                       through = random_tensor({5, n}, 3), dy = numbers({5, n}, type, seed + 1, 1);
      at::Tensor leaf = x.to(at::kDouble).requires_grad_(true);
      (norm_reference(leaf, w, 1e-5) * dy.to(at::kDouble)).sum().backward();
      const GuardedBytes guarded_x(x), guarded_w(w), guarded_through(through), guarded_dy(dy);
      const at::Tensor dx = at::empty({5, n}), rounded = at::empty({5, n}, at::kBFloat16);
      kernels::rms_norm_backward(guarded_x.floats(), guarded_w.floats(), 1e-5, guarded_dy.data(), type, nullptr, 5, n,
                                 dx.mutable_data_ptr<float>(), nullptr);
      // The norm of one number is its sign: nothing but rounding is left of the gradient.
      if (n > 1) {
        EXPECT_LE(difference(dx, leaf.grad()), 1e-5) << n;
      }
      kernels::rms_norm_backward(guarded_x.floats(), guarded_w.floats(), 1e-5, guarded_dy.data(), type,
                                 guarded_through.floats(), 5, n, dx.mutable_data_ptr<float>(),
                                 static_cast<uint16_t*>(rounded.mutable_data_ptr()));
      EXPECT_LE(difference(dx, leaf.grad() + through), 1e-5) << n;
      EXPECT_TRUE(at::equal(rounded, dx.to(at::kBFloat16))) << n;
    }
  }
}

TEST(Kernels, AddOfBf16) {
  for (const int64_t n : {1, 15, 16, 17, 77}) {
    const at::Tensor x = random_tensor({n}, 1), z = random_tensor({n}, 2).to(at::kBFloat16), y = at::empty({n});
    const GuardedBytes guarded_x(x), guarded_z(z);
    kernels::add(guarded_x.floats(), reinterpret_cast<const uint16_t*>(guarded_z.data()), n,
                 y.mutable_data_ptr<float>());
    EXPECT_TRUE(at::equal(y, x + z)) << n;
  }
}

TEST(Kernels, RmsNormOfZerosIsZero) {
  const at::Tensor x = at::zeros({1, 20}), w = at::ones({20}), y = at::empty({1, 20});
  kernels::rms_norm(x.const_data_ptr<float>(), w.const_data_ptr<float>(), 1e-6, 1, 20, y.mutable_data_ptr(), Num::f32);
  EXPECT_TRUE(at::equal(y, x));
}

TEST(Kernels, SiluMultiply) {
  for (const int64_t n : {1, 15, 16, 17, 64, 77}) {
    for (const Num from : {Num::f32, Num::bf16}) {
      for (const Num to : {Num::f32, Num::bf16}) {
        const int64_t stride = 2 * n;  // gate and up as halves of one product
        const at::Tensor both = numbers({3, stride}, from, static_cast<uint64_t>(n), 8),
                         y = at::empty({3, n}, dtype_of(to));
        const GuardedBytes guarded(both);
        const std::byte* data = guarded.data();
        kernels::silu_multiply(data, data + n * both.element_size(), from, stride, 3, n, y.mutable_data_ptr(), to);
        const at::Tensor d = both.to(at::kDouble);
        EXPECT_LE(difference(y, at::silu(d.slice(1, 0, n)) * d.slice(1, n)), tolerance(to)) << n;
      }
    }
  }
}

// The exponential inside: silu(x) relative to its exact value over all of its range, no overflow at the ends.
TEST(Kernels, SiluIsAccurateEverywhere) {
  constexpr int64_t kCount = 16 * 4096;
  const at::Tensor x = at::linspace(-86, 100, kCount, at::kFloat), one = at::ones({kCount}), y = at::empty({kCount});
  kernels::silu_multiply(x.const_data_ptr(), one.const_data_ptr(), Num::f32, kCount, 1, kCount, y.mutable_data_ptr(),
                         Num::f32);
  const at::Tensor expected = at::silu(x.to(at::kDouble));
  EXPECT_LE(((y.to(at::kDouble) - expected) / expected.clamp_min(-1e300)).abs().nan_to_num(0).max().item<double>(),
            6e-7);
  const at::Tensor far = at::tensor({-1e30f, -1000.0f, -88.0f, 88.0f, 1000.0f, 1e30f}).repeat({16}),
                   result = at::empty_like(far);
  const at::Tensor ones = at::ones_like(far);
  kernels::silu_multiply(far.const_data_ptr(), ones.const_data_ptr(), Num::f32, far.numel(), 1, far.numel(),
                         result.mutable_data_ptr(), Num::f32);
  EXPECT_TRUE(at::isfinite(result).all().item<bool>());
  EXPECT_LE((result - far.clamp_min(0)).abs().max().item<double>(), 1e-35);
}

TEST(Kernels, RotateRow) {
  for (const int64_t half : {1, 4, 8, 15, 32, 40}) {
    for (const bool interleaved : {false, true}) {
      for (const Num from : {Num::f32, Num::bf16}) {
        for (const Num to : {Num::f32, Num::bf16}) {
          const at::Tensor x = numbers({2 * half}, from, 1), angle = random_tensor({half}, 2, 3);
          const at::Tensor cos = angle.cos(), sin = angle.sin(), y = at::empty({2 * half}, dtype_of(to));
          const GuardedBytes guarded_x(x), guarded_cos(cos), guarded_sin(sin);
          kernels::rotate_row(guarded_x.data(), from, guarded_cos.floats(), guarded_sin.floats(), half, interleaved,
                              y.mutable_data_ptr(), to);
          const at::Tensor d = x.to(at::kDouble);
          const at::Tensor a = interleaved ? d.slice(0, 0, at::nullopt, 2) : d.slice(0, 0, half);
          const at::Tensor b = interleaved ? d.slice(0, 1, at::nullopt, 2) : d.slice(0, half);
          const at::Tensor left = a * cos - b * sin, right = b * cos + a * sin;
          EXPECT_LE(difference(y, interleaved ? at::stack({left, right}, 1).flatten() : at::cat({left, right})),
                    tolerance(to));
        }
      }
    }
  }
}

TEST(Kernels, Bf16ConversionRoundsToNearestEven) {
  Random random(5);
  at::Tensor x = at::empty({20000}, at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i) {
    float value;
    do value = std::bit_cast<float>(static_cast<uint32_t>(random.next()));
    while (std::isnan(value));
    x.mutable_data_ptr<float>()[i] = value;
  }
  // Exactly between two bf16 numbers, both parities; the largest floats, which round to infinity; zeros; subnormals.
  const uint32_t bits[] = {0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F7F7FFF,
                           0x00000000, 0x80000000, 0x00000001, 0x00008000, 0x00018000, 0x7F800000, 0xFF800000};
  for (size_t i = 0; i < std::size(bits); ++i) x.mutable_data_ptr<float>()[i] = std::bit_cast<float>(bits[i]);
  const at::Tensor y = at::empty({x.numel()}, at::kBFloat16), back = at::empty({x.numel()}, at::kFloat);
  auto* rounded = static_cast<uint16_t*>(y.mutable_data_ptr());
  for (int64_t i = 0; i < x.numel(); ++i) rounded[i] = to_bf16(x.const_data_ptr<float>()[i]);
  EXPECT_TRUE(at::equal(y.view(at::kShort), x.to(at::kBFloat16).view(at::kShort)));
  for (int64_t i = 0; i < x.numel(); ++i) back.mutable_data_ptr<float>()[i] = to_f32(rounded[i]);
  EXPECT_TRUE(at::equal(back, y.to(at::kFloat)));
}

TEST(Kernels, NanStaysNanInBf16) {
  // 0x7F80FFFF and 0x7FFFFFFF become infinity or zero where the rounding carry is not kept out.
  for (const uint32_t bits :
       {0x7FC00000u, 0x7F800001u, 0x7F80FFFFu, 0x7FFFFFFFu, 0xFFC00000u, 0xFF800001u, 0xFFFFFFFFu}) {
    const float nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(to_f32(to_bf16(nan)))) << bits;
    // The same through the sixteen-wide store.
    std::vector<float> x(17, nan), w(17, 1.0f);
    std::vector<uint16_t> y(17);
    kernels::silu_multiply(w.data(), x.data(), Num::f32, 17, 1, 17, y.data(), Num::bf16);
    for (const uint16_t v : y) EXPECT_TRUE(std::isnan(to_f32(v))) << bits;
  }
  EXPECT_EQ(to_f32(to_bf16(kInfinity)), kInfinity);
  EXPECT_EQ(to_f32(to_bf16(-kInfinity)), -kInfinity);
}

struct Partial {
  std::vector<float> out, max, sum;
};

// The definition in f64.
Partial attend_naively(const at::Tensor& q, const at::Tensor& q_front, int64_t front, const at::Tensor& k,
                       const at::Tensor& v, const std::vector<uint8_t>& allowed, int64_t begin, int64_t end) {
  const int64_t group = q.size(0), d = q.size(1);
  Partial p{std::vector<float>(static_cast<size_t>(group * d)), std::vector<float>(static_cast<size_t>(group)),
            std::vector<float>(static_cast<size_t>(group))};
  const at::Tensor kd = k.to(at::kDouble), vd = v.to(at::kDouble);
  for (int64_t g = 0; g < group; ++g) {
    std::vector<double> scores;
    double top = -kInfinity;
    for (int64_t j = begin; j < end; ++j) {
      const at::Tensor& query = j < front ? q_front : q;
      double s = (query[g].to(at::kDouble) * kd[j].slice(0, 0, d)).sum().item<double>();
      if (!allowed.empty() && !allowed[static_cast<size_t>(j)]) s = -kInfinity;
      scores.push_back(s);
      top = std::max(top, s);
    }
    p.max[static_cast<size_t>(g)] = static_cast<float>(top);
    at::Tensor out = at::zeros({d}, at::kDouble);
    double sum = 0;
    for (int64_t j = begin; j < end && top > -kInfinity; ++j) {
      const double e = std::exp(scores[static_cast<size_t>(j - begin)] - top);
      sum += e;
      out += vd[j].slice(0, 0, d) * e;
    }
    p.sum[static_cast<size_t>(g)] = static_cast<float>(sum);
    for (int64_t i = 0; i < d; ++i) p.out[static_cast<size_t>(g * d + i)] = static_cast<float>(out[i].item<double>());
  }
  return p;
}

TEST(Kernels, AttendSplit) {
  Random random(11);
  for (int round = 0; round < 60; ++round) {
    const int64_t d = std::vector<int64_t>{1, 8, 16, 24, 64, 80, 100, 128, 256}[random.below(9)];
    const int64_t group = static_cast<int64_t>(1 + random.below(5));
    const int64_t total = static_cast<int64_t>(1 + random.below(300)),
                  stride = d + static_cast<int64_t>(random.below(9));
    const int64_t begin = static_cast<int64_t>(random.below(static_cast<uint64_t>(total)));
    const int64_t end =
        begin + 1 +
        static_cast<int64_t>(random.below(static_cast<uint64_t>(std::min(total - begin, kernels::kAttendSplit))));
    const int64_t front = static_cast<int64_t>(random.below(static_cast<uint64_t>(total + 1)));
    const Num type = round % 2 ? Num::bf16 : Num::f32;
    const at::Tensor k = numbers({total, stride}, type, random.next()),
                     v = numbers({total, stride}, type, random.next());
    const at::Tensor q = random_tensor({group, d}, random.next()), q_front = random_tensor({group, d}, random.next());
    std::vector<uint8_t> allowed;
    if (round % 3) {
      for (int64_t j = 0; j < total; ++j) allowed.push_back(round % 3 == 1 ? random.below(2) : random.below(50) == 0);
    }
    if (round % 20 == 1) std::fill(allowed.begin(), allowed.end(), uint8_t{0});
    const Partial expected = attend_naively(q, q_front, front, k, v, allowed, begin, end);
    const GuardedBytes guarded_k(k), guarded_v(v), guarded_q(q), guarded_front(q_front);
    std::vector<float> out(static_cast<size_t>(group * d), NAN), max(static_cast<size_t>(group), NAN), sum = max;
    kernels::attend_split(guarded_q.floats(), guarded_front.floats(), front, group, d, guarded_k.data(),
                          guarded_v.data(), type, stride, allowed.empty() ? nullptr : allowed.data(), begin, end,
                          out.data(), max.data(), sum.data());
    for (size_t g = 0; g < static_cast<size_t>(group); ++g) {
      if (expected.max[g] == -kInfinity) {
        EXPECT_EQ(max[g], -kInfinity);
        EXPECT_EQ(sum[g], 0);
        for (size_t i = 0; i < static_cast<size_t>(d); ++i) EXPECT_EQ(out[g * static_cast<size_t>(d) + i], 0);
        continue;
      }
      EXPECT_NEAR(max[g], expected.max[g], 1e-5 * std::max(1.0f, std::abs(expected.max[g])));
      EXPECT_NEAR(sum[g], expected.sum[g], 1e-5 * expected.sum[g]) << "round " << round;
      for (size_t i = g * static_cast<size_t>(d); i < (g + 1) * static_cast<size_t>(d); ++i)
        EXPECT_NEAR(out[i], expected.out[i], 4e-5 * expected.sum[g]) << "round " << round;
    }
  }
}

TEST(Kernels, AttendSplitInBf16IsSoftmaxAttention) {
  if (!kernels::has_bf16_dot()) GTEST_SKIP() << "this processor or build has no bf16 dot products";
  Random random(31);
  for (int round = 0; round < 60; ++round) {
    const int64_t d = std::vector<int64_t>{32, 64, 96, 128, 256}[random.below(5)];
    const int64_t group = static_cast<int64_t>(1 + random.below(6));
    const int64_t total = static_cast<int64_t>(1 + random.below(300)),
                  stride = d + static_cast<int64_t>(random.below(9));
    const int64_t begin = static_cast<int64_t>(random.below(static_cast<uint64_t>(total)));
    const int64_t end =
        begin + 1 +
        static_cast<int64_t>(random.below(static_cast<uint64_t>(std::min(total - begin, kernels::kAttendSplit))));
    const int64_t front = static_cast<int64_t>(random.below(static_cast<uint64_t>(total + 1)));
    const at::Tensor k = numbers({total, stride}, Num::bf16, random.next()),
                     v = numbers({total, stride}, Num::bf16, random.next());
    const at::Tensor q = numbers({group, d}, Num::bf16, random.next(), 0.3),
                     q_front = numbers({group, d}, Num::bf16, random.next(), 0.3);
    std::vector<uint8_t> allowed;
    if (round % 3) {
      for (int64_t j = 0; j < total; ++j) allowed.push_back(round % 3 == 1 ? random.below(2) : random.below(50) == 0);
    }
    if (round % 20 == 1) std::fill(allowed.begin(), allowed.end(), uint8_t{0});
    const Partial expected = attend_naively(q.to(at::kFloat), q_front.to(at::kFloat), front, k, v, allowed, begin, end);
    const GuardedBytes guarded_k(k), guarded_v(v), guarded_q(q), guarded_front(q_front);
    const auto half = [](const GuardedBytes& bytes) { return reinterpret_cast<const uint16_t*>(bytes.data()); };
    std::vector<float> out(static_cast<size_t>(group * d), NAN), max(static_cast<size_t>(group), NAN), sum = max;
    std::vector<float> weights(static_cast<size_t>(group * kernels::kAttendSplit), NAN);
    kernels::attend_split_bf16(half(guarded_q), half(guarded_front), front, group, d, half(guarded_k), half(guarded_v),
                               stride, allowed.empty() ? nullptr : allowed.data(), begin, end, out.data(), max.data(),
                               sum.data(), weights.data());
    const double largest = v.to(at::kFloat).abs().max().item<double>();
    for (size_t g = 0; g < static_cast<size_t>(group); ++g) {
      double of_weights = 0;
      for (int64_t j = begin; j < end; ++j) {
        const float weight = weights[g * static_cast<size_t>(kernels::kAttendSplit) + static_cast<size_t>(j - begin)];
        of_weights += weight;
        if (!allowed.empty() && !allowed[static_cast<size_t>(j)]) {
          EXPECT_EQ(weight, 0);
        }
      }
      if (expected.max[g] == -kInfinity) {
        EXPECT_EQ(max[g], -kInfinity);
        EXPECT_EQ(sum[g], 0);
        EXPECT_EQ(of_weights, 0);
        for (size_t i = 0; i < static_cast<size_t>(d); ++i) EXPECT_EQ(out[g * static_cast<size_t>(d) + i], 0);
        continue;
      }
      EXPECT_NEAR(max[g], expected.max[g], 1e-5 * std::max(1.0f, std::abs(expected.max[g])));
      EXPECT_NEAR(of_weights, sum[g], 1e-5 * sum[g]);
      // Every weight is rounded to bf16 once: 2^-9 of itself.
      EXPECT_NEAR(sum[g], expected.sum[g], 0.00196 * expected.sum[g] + 1e-5) << "round " << round;
      for (size_t i = g * static_cast<size_t>(d); i < (g + 1) * static_cast<size_t>(d); ++i)
        EXPECT_NEAR(out[i], expected.out[i], 0.00196 * expected.sum[g] * largest + 1e-5) << "round " << round;
    }
  }
}

// Hidden rows may hold anything: a slot that was never written is not read.
TEST(Kernels, AttendSplitDoesNotReadHiddenRowsIntoTheResult) {
  const at::Tensor q = random_tensor({2, 16}, 1), k = random_tensor({20, 16}, 2), v = random_tensor({20, 16}, 3);
  std::vector<uint8_t> allowed(20, 1);
  allowed[3] = allowed[17] = 0;
  const Partial expected = attend_naively(q, q, 0, k, v, allowed, 0, 20);
  for (const int64_t hidden : {3, 17}) {
    k[hidden].fill_(kInfinity);
    v[hidden].fill_(1e30);
  }
  std::vector<float> out(32), max(2), sum(2);
  kernels::attend_split(q.const_data_ptr<float>(), q.const_data_ptr<float>(), 0, 2, 16, k.const_data_ptr(),
                        v.const_data_ptr(), Num::f32, 16, allowed.data(), 0, 20, out.data(), max.data(), sum.data());
  for (size_t i = 0; i < 32; ++i) EXPECT_NEAR(out[i], expected.out[i], 1e-4);
}

}  // namespace
}  // namespace steno
