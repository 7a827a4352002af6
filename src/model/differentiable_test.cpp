// The fused steps of training in bf16 against the same steps in f32.
#include "model/differentiable.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

constexpr double kEps = 1e-5;

at::Tensor leaf(const at::Tensor& x) { return x.detach().clone().requires_grad_(true); }

double relative(const at::Tensor& found, const at::Tensor& expected) {
  return (found.to(at::kFloat) - expected).norm().item<double>() / expected.norm().item<double>();
}

struct Step {
  at::Tensor x = random_tensor({2, 37, 83}, 1), more = random_tensor({2, 37, 83}, 2).to(at::kBFloat16),
             weight = random_tensor({83}, 3), to_sum = random_tensor({2, 37, 83}, 4),
             to_norm = random_tensor({2, 37, 83}, 5).to(at::kBFloat16);
};

// {sum, norm, gradient of x, gradient of more}
std::vector<at::Tensor> fused(const Step& s) {
  const at::Tensor x = leaf(s.x), more = leaf(s.more);
  const auto [sum, norm] = differentiable_add_norm(x, more, s.weight, kEps);
  ((sum * s.to_sum).sum() + (norm * s.to_norm).sum().to(at::kFloat)).backward();
  return {sum.detach(), norm.detach(), x.grad(), more.grad()};
}

TEST(Differentiable, AddNormEqualsItsParts) {
  const Step s;
  const auto found = fused(s);
  const at::Tensor x = leaf(s.x), more = leaf(s.more.to(at::kFloat)), sum = x + more;
  const at::Tensor norm = differentiable_rms_norm(sum, s.weight, kEps);
  ((sum * s.to_sum).sum() + (norm * s.to_norm.to(at::kFloat)).sum()).backward();
  EXPECT_TRUE(at::equal(found[0], sum));
  EXPECT_LE(relative(found[1], norm), 3e-3);
  EXPECT_LE(relative(found[2], x.grad()), 1e-6);  // f32 through and through
  EXPECT_EQ(found[3].scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(found[3], found[2].to(at::kBFloat16)));
}

TEST(Differentiable, AddNormHasTheSameBitsWithAnyThreads) {
  Step s;
  s.x = random_tensor({1, 400, 83}, 1), s.more = random_tensor({1, 400, 83}, 2).to(at::kBFloat16);
  s.to_sum = random_tensor({1, 400, 83}, 4), s.to_norm = random_tensor({1, 400, 83}, 5).to(at::kBFloat16);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = fused(s);
  at::set_num_threads(3);
  const auto three = fused(s);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
}

TEST(Differentiable, NormInBf16) {
  const Step s;
  const at::Tensor x = leaf(s.x), reference = leaf(s.x);
  const at::Tensor norm = differentiable_rms_norm_bf16(x, s.weight, kEps);
  norm.backward(s.to_norm);
  differentiable_rms_norm(reference, s.weight, kEps).backward(s.to_norm.to(at::kFloat));
  EXPECT_EQ(norm.scalar_type(), at::kBFloat16);
  EXPECT_LE(relative(x.grad(), reference.grad()), 1e-6);
}

TEST(Differentiable, SumInF32) {
  const Step s;
  const at::Tensor x = leaf(s.x), more = leaf(s.more), sum = differentiable_add(x, more);
  sum.backward(s.to_sum);
  EXPECT_TRUE(at::equal(sum, s.x + s.more));
  EXPECT_TRUE(at::equal(x.grad(), s.to_sum));
  EXPECT_TRUE(at::equal(more.grad(), s.to_sum.to(at::kBFloat16)));
}

TEST(Differentiable, KernelsTakeDenseNumbersOfTheirTypes) {
  const Step s;
  EXPECT_TRUE(fits_norm_kernels(s.x) && fits_norm_kernels(s.x, s.more));
  EXPECT_FALSE(fits_norm_kernels(s.more));
  EXPECT_FALSE(fits_norm_kernels(s.x, s.x));
  EXPECT_FALSE(fits_norm_kernels(s.x.transpose(0, 1)));
  EXPECT_FALSE(fits_norm_kernels(s.x, s.more.narrow(0, 0, 1)));
}

}  // namespace
}  // namespace steno
