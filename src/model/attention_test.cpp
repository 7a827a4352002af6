// attend() by all of its paths against attend_reference(), and attend_reference() against a loop in f64.
#include "model/attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/model_test_util.h"

namespace steno {
namespace {

using namespace test;

at::Tensor random_allowed(at::IntArrayRef shape, Random& random, double share) {
  const at::Tensor allowed = at::empty(shape, at::kBool);
  bool* data = allowed.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < allowed.numel(); ++i) data[i] = random.uniform() < share;
  return allowed;
}

struct Shape {
  int64_t batch, kv_heads, group, steps, rows, d;
};

AttentionInput random_input(const Shape& s, at::ScalarType dtype, uint64_t seed) {
  AttentionInput in;
  in.q = random_tensor({s.batch, s.kv_heads * s.group, s.steps, s.d}, seed).to(dtype);
  in.k = random_tensor({s.batch, s.kv_heads, s.rows, s.d}, seed + 1).to(dtype);
  in.v = random_tensor({s.batch, s.kv_heads, s.rows, s.d}, seed + 2).to(dtype);
  in.scale = 1 / std::sqrt(static_cast<double>(s.d));
  return in;
}

// Probability of every column for one query, in f64.
std::vector<double> probabilities(const AttentionInput& in, int64_t b, int64_t h, int64_t t) {
  const int64_t rows = in.k.size(2), steps = in.q.size(2), kv = h / (in.q.size(1) / in.k.size(1));
  std::vector<double> p(static_cast<size_t>(rows));
  double total = 0, top = -INFINITY;
  for (int64_t j = 0; j < rows; ++j) {
    const bool open =
        in.allowed.defined()
            ? in.allowed[in.allowed.size(0) == 1 ? 0 : b][in.allowed.size(1) == 1 ? 0 : kv][t][j].item<bool>()
            : j <= rows - steps + t;
    const at::Tensor& q = j < in.front ? in.q_front : in.q;
    p[static_cast<size_t>(j)] =
        open ? (q[b][h][t].to(at::kDouble) * in.k[b][kv][j].to(at::kDouble)).sum().item<double>() * in.scale
             : -INFINITY;
    top = std::max(top, p[static_cast<size_t>(j)]);
  }
  for (double& x : p) total += x = top == -INFINITY ? 0 : std::exp(x - top);
  for (double& x : p) x = total > 0 ? x / total : 0;
  return p;
}

AttentionReceived received(const AttentionInput& in) {
  AttentionReceived result;
  result.wants_peak = true;
  attention_received(in, result);
  return result;
}

TEST(Attention, ReferenceIsTheDefinition) {
  Random random(1);
  for (int round = 0; round < 8; ++round) {
    AttentionInput in = random_input({2, 2, 1 + round % 3, 3, 7, 8}, at::kFloat, random.next());
    if (round % 2) in.allowed = random_allowed({round % 4 == 1 ? 2 : 1, round % 8 > 4 ? 2 : 1, 3, 7}, random, 0.4);
    if (round >= 4) in.front = 3, in.q_front = random_tensor(in.q.sizes(), random.next());
    const at::Tensor result = attend_reference(in);
    const AttentionReceived sums = received(in);
    const int64_t heads = in.q.size(1);
    at::Tensor columns = at::zeros({2, heads, 7}, at::kDouble), peaks = at::zeros({2, heads, 7}, at::kDouble);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t t = 0; t < 3; ++t) {
          const at::Tensor p = at::tensor(probabilities(in, b, h, t), at::kDouble);
          const at::Tensor expected = at::matmul(p, in.v[b][h / (heads / 2)].to(at::kDouble));
          EXPECT_LE((result[b][t].slice(0, h * 8, h * 8 + 8) - expected).abs().max().item<double>(), 1e-5);
          columns[b][h] += p;
          peaks[b][h] = at::maximum(peaks[b][h], p * (p > 0).sum());
        }
      }
    }
    EXPECT_LE((sums.mass - columns).abs().max().item<double>(), 1e-5);
    EXPECT_LE((sums.peak - peaks).abs().max().item<double>(), 1e-5);
  }
}

// Shapes of one to eight queries take the split kernel, more ATen's blocked attention; both with masks and a front.
TEST(Attention, EveryPathEqualsTheReference) {
  const c10::InferenceMode inference;
  Random random(2);
  const auto pick = [&](std::initializer_list<int64_t> list) { return *(list.begin() + random.below(list.size())); };
  for (int round = 0; round < 160; ++round) {
    Shape s{.batch = pick({1, 1, 2}), .kv_heads = pick({1, 2, 3}), .group = pick({1, 3, 4}), .d = pick({8, 64, 80})};
    s.steps = random.below(2) ? pick({1, 1, 2, 5, 8}) : pick({9, 16, 33, 70});
    s.rows = s.steps + static_cast<int64_t>(random.below(random.below(4) ? 600 - static_cast<uint64_t>(s.steps) : 3));
    const auto dtype = random.below(3) ? at::kFloat : at::kBFloat16;
    AttentionInput in = random_input(s, dtype, random.next());
    const bool masked = random.below(2), fronted = random.below(3) == 0;
    if (masked) {
      in.allowed = random_allowed({pick({1, s.batch}), 1, s.steps, s.rows}, random, random.uniform());
      if (random.below(3) == 0) in.allowed.select(2, 0).fill_(false);  // a query that may read nothing
      // A front or back that some query sees nothing of.
      if (fronted) in.allowed.slice(3, 0, s.rows / 2).select(2, s.steps - 1).fill_(false);
    }
    if (fronted) {
      in.front = std::min<int64_t>(s.rows, 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(s.rows))));
      in.q_front = random_tensor(in.q.sizes(), random.next()).to(dtype);
    }
    AttentionInput f32 = in;
    f32.q = in.q.to(at::kFloat), f32.k = in.k.to(at::kFloat), f32.v = in.v.to(at::kFloat);
    if (fronted) f32.q_front = in.q_front.to(at::kFloat);
    const at::Tensor expected = attend_reference(f32), result = attend(in);
    ASSERT_EQ(result.sizes(), expected.sizes());
    const double error = (result.to(at::kFloat) - expected).abs().max().item<double>();
    EXPECT_LE(error, dtype == at::kFloat ? 2e-5 : 3e-2)
        << "round " << round << ": " << s.batch << "x" << s.kv_heads << "x" << s.group << " steps " << s.steps
        << " rows " << s.rows << " d " << s.d << (masked ? " masked" : "") << " front " << in.front;
  }
}

TEST(Attention, QueriesThatReadNothingGiveZeros) {
  const c10::InferenceMode inference;
  for (const int64_t steps : {1, 3, 20}) {
    for (const int64_t front : {0, 4}) {
      AttentionInput in = random_input({1, 2, 2, steps, 30, 16}, at::kFloat, 4);
      in.allowed = at::ones({1, 1, steps, 30}, at::kBool);
      in.allowed.select(2, steps - 1).fill_(false);
      in.front = front;
      if (front) in.q_front = in.q;
      for (const at::Tensor& y : {attend(in), attend_reference(in)}) {
        EXPECT_TRUE((y.select(1, steps - 1) == 0).all().item<bool>()) << steps << " queries, front " << front;
        EXPECT_TRUE(at::isfinite(y).all().item<bool>());
      }
    }
  }
}

// Rows of a larger allocation, as a cache gives them.
TEST(Attention, StridedRowsEqualContiguousOnes) {
  const c10::InferenceMode inference;
  for (const int64_t steps : {1, 4, 20}) {
    AttentionInput in = random_input({2, 2, 3, steps, 50, 64}, at::kFloat, 5);
    const at::Tensor expected = attend(in);
    AttentionInput strided = in;
    for (at::Tensor* t : {&strided.k, &strided.v}) {
      const at::Tensor larger = at::full({2, 2, 90, 64}, 1e6f);
      larger.slice(2, 0, 50).copy_(*t);
      *t = larger.slice(2, 0, 50);
    }
    EXPECT_TRUE(at::equal(attend(strided), expected)) << steps;
    strided.v = in.v.transpose(1, 2).contiguous().transpose(1, 2);  // [B, S, H, d] in memory, unlike the keys
    EXPECT_LE(difference(attend(strided), expected), 1e-6) << steps;
  }
}

TEST(Attention, FewQueriesGiveTheSameBitsWithAnyThreads) {
  const c10::InferenceMode inference;
  const int threads = at::get_num_threads();
  for (const int64_t steps : {1, 2, 8}) {
    const AttentionInput in = random_input({1, 3, 3, steps, 599, 64}, at::kFloat, 6);
    at::set_num_threads(1);
    const at::Tensor one = attend(in);
    at::set_num_threads(2);
    EXPECT_TRUE(at::equal(attend(in), one)) << steps;
  }
  at::set_num_threads(threads);
}

TEST(Attention, MassSumsToTheNumberOfQueries) {
  const c10::InferenceMode inference;
  for (const int64_t steps : {1, 63, 64, 65, 130}) {
    const AttentionInput in = random_input({1, 2, 2, steps, steps + 40, 16}, at::kFloat, 7);
    const at::Tensor mass = received(in).mass;
    EXPECT_EQ(mass.sizes(), (std::vector<int64_t>{1, 4, steps + 40}));
    EXPECT_LE((mass.sum(-1) - static_cast<double>(steps)).abs().max().item<double>(), 1e-4);
    EXPECT_LE(difference(mass.slice(2, steps + 39), received(in).mass.slice(2, steps + 39)), 0.0);
  }
}

TEST(Attention, GradientsEqualTheReference) {
  AttentionInput in = random_input({1, 2, 2, 12, 20, 16}, at::kFloat, 8);
  for (at::Tensor* t : {&in.q, &in.k, &in.v}) t->requires_grad_(true);
  const at::Tensor direction = random_tensor({1, 12, 64}, 9);
  const at::Tensor y = attend(in);
  ASSERT_TRUE(y.requires_grad());
  (y * direction).sum().backward();
  // d/dv of sum(p v) is p^T direction.
  at::Tensor expected = at::zeros_like(in.v);
  {
    const at::NoGradGuard no_grad;
    for (int64_t h = 0; h < 4; ++h)
      for (int64_t t = 0; t < 12; ++t) {
        const at::Tensor p = at::tensor(probabilities(in, 0, h, t), at::kDouble).to(at::kFloat);
        expected[0][h / 2] += at::outer(p, direction[0][t].slice(0, h * 16, h * 16 + 16));
      }
  }
  EXPECT_LE(difference(in.v.grad(), expected), 1e-5);
  EXPECT_TRUE(in.q.grad().defined() && in.k.grad().defined());
}

// d(sum of y * direction) by q, k and v.
std::vector<at::Tensor> slopes(const AttentionInput& input, const at::Tensor& direction,
                               at::Tensor (*function)(const AttentionInput&)) {
  AttentionInput in = input;
  for (at::Tensor* t : {&in.q, &in.k, &in.v}) *t = t->detach().requires_grad_(true);
  (function(in) * direction).sum().backward();
  return {in.q.grad(), in.k.grad(), in.v.grad()};
}

at::Tensor recorded(const AttentionInput& in) { return attend(in); }

TEST(Attention, GradientsInBf16EqualTheReference) {
  for (const Shape& s : {Shape{1, 1, 1, 5, 5, 32}, Shape{2, 2, 3, 128, 128, 64}, Shape{1, 3, 3, 300, 300, 64},
                         Shape{1, 2, 2, 70, 333, 96}, Shape{2, 1, 4, 257, 258, 32}}) {
    SCOPED_TRACE(fmt::format("{} steps, {} rows, d {}", s.steps, s.rows, s.d));
    AttentionInput in = random_input(s, at::kBFloat16, 11);
    in.q = in.q * 3;  // some queries look at few keys
    const at::Tensor direction = random_tensor({s.batch, s.steps, s.kv_heads * s.group * s.d}, 9).to(at::kBFloat16);
    const auto found = slopes(in, direction, recorded);
    // Values that lie token by token, as a projection leaves them.
    AttentionInput other = in;
    other.v = in.v.transpose(1, 2).contiguous().transpose(1, 2);
    const auto again = slopes(other, direction, recorded);
    for (at::Tensor* t : {&in.q, &in.k, &in.v}) *t = t->to(at::kFloat);
    const auto expected = slopes(in, direction.to(at::kFloat), attend_reference);
    for (size_t i = 0; i < 3; ++i) {
      ASSERT_EQ(found[i].scalar_type(), at::kBFloat16);
      const double error = (found[i].to(at::kFloat) - expected[i]).norm().item<double>();
      EXPECT_LE(error, 0.008 * expected[i].norm().item<double>()) << "qkv"[i];
      EXPECT_TRUE(at::equal(found[i], again[i])) << "qkv"[i];
    }
  }
}

TEST(Attention, GradientsInBf16AreTheSameBitsWithAnyThreads) {
  const AttentionInput in = random_input({1, 2, 3, 200, 200, 64}, at::kBFloat16, 12);
  const at::Tensor direction = random_tensor({1, 200, 384}, 9).to(at::kBFloat16);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = slopes(in, direction, recorded);
  at::set_num_threads(3);
  const auto three = slopes(in, direction, recorded);
  at::set_num_threads(before);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << "qkv"[i];
}

}  // namespace
}  // namespace steno
