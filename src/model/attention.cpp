#include "model/attention.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <vector>

#include "model/attention_blocks.h"
#include "model/attention_gradient.h"
#include "model/kernels.h"
#include "model/kernels_bf16.h"

namespace steno {
namespace {

// Up to here the split kernel reads keys and values once per query; beyond it ATen's blocked attention wins.
constexpr int64_t kFewQueries = 8;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// [1, 1, T, S] bool: the last T columns are causal, all before are open.
at::Tensor causal_mask(int64_t queries, int64_t columns, at::Device device) {
  return at::ones({queries, columns}, at::TensorOptions(at::kBool).device(device))
      .tril(columns - queries)
      .view({1, 1, queries, columns});
}

at::Tensor allowed_or_causal(const AttentionInput& in) {
  return in.allowed.defined() ? in.allowed : causal_mask(in.q.size(2), in.k.size(2), in.q.device());
}

at::Tensor repeat_heads(const at::Tensor& kv, int64_t heads) {
  const int64_t group = heads / kv.size(1);
  return group == 1 ? kv : kv.repeat_interleave(group, 1);
}

// A mask with one plane for all heads fits as it is; one with a plane per key/value head is repeated like keys.
at::Tensor mask_of_heads(const at::Tensor& allowed, int64_t heads) {
  return allowed.size(1) == 1 ? allowed : repeat_heads(allowed, heads);
}

// Softmax probabilities [B, H, T, S] in f32, scores of the front columns from their own queries.
at::Tensor probabilities(const AttentionInput& in, const at::Tensor& allowed_by_group) {
  const at::Tensor allowed = mask_of_heads(allowed_by_group, in.q.size(1));
  const at::Tensor k = repeat_heads(in.k, in.q.size(1)).to(at::kFloat).transpose(-2, -1);
  at::Tensor scores = at::matmul(in.q.to(at::kFloat), k);
  if (in.front > 0) {
    const int64_t rest = in.k.size(2) - in.front;
    scores = at::cat(
        {at::matmul(in.q_front.to(at::kFloat), k.narrow(-1, 0, in.front)), scores.narrow(-1, in.front, rest)}, -1);
  }
  scores = (scores * in.scale).masked_fill(allowed.logical_not(), kMinusInfinity);
  // A row that may read nothing is all -inf; its probabilities are 0 and not NaN.
  return at::softmax(scores, -1).masked_fill(allowed.any(-1, true).logical_not(), 0.0);
}

at::Tensor merge_heads(const at::Tensor& attended) {  // [B, H, T, d_h] -> [B, T, H * d_h]
  return attended.transpose(1, 2).reshape({attended.size(0), attended.size(2), -1});
}

// Few queries: each key/value head and each run of kAttendSplit rows is one task; partial results are merged in a fixed
// order, so the bits do not depend on the number of threads.
at::Tensor attend_few(const AttentionInput& in) {
  const int64_t batch = in.q.size(0), heads = in.q.size(1), steps = in.q.size(2), d = in.q.size(3);
  const int64_t kv_heads = in.k.size(1), rows = in.k.size(2), group = heads / kv_heads;
  const int64_t splits = (rows + kernels::kAttendSplit - 1) / kernels::kAttendSplit;
  // [B, H_kv, T, group * d]: the queries of a task are consecutive.
  const auto arrange = [&](const at::Tensor& q) {
    return (q.to(at::kFloat) * in.scale).view({batch, kv_heads, group, steps, d}).transpose(2, 3).contiguous();
  };
  const at::Tensor q = arrange(in.q), q_front = in.front > 0 ? arrange(in.q_front) : q;
  at::Tensor allowed;  // [B, 1 or H_kv, T, S]
  if (in.allowed.defined())
    allowed = in.allowed.expand({batch, in.allowed.size(1), steps, rows}).contiguous();
  else if (steps > 1)
    allowed = causal_mask(steps, rows, at::kCPU).expand({batch, 1, steps, rows}).contiguous();
  const int64_t planes = allowed.defined() ? allowed.size(1) : 1;
  const auto* allowed_bytes =
      allowed.defined() ? reinterpret_cast<const uint8_t*>(allowed.const_data_ptr<bool>()) : nullptr;

  const at::Tensor k = in.k.stride(-1) == 1 ? in.k : in.k.contiguous();
  const at::Tensor v = in.v.strides() == k.strides() ? in.v : in.v.contiguous();
  const at::Tensor kk = v.strides() == k.strides() ? k : k.contiguous();
  const auto type = kk.scalar_type() == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16;
  const auto* k_data = static_cast<const std::byte*>(kk.const_data_ptr());
  const auto* v_data = static_cast<const std::byte*>(v.const_data_ptr());
  const int64_t bytes = static_cast<int64_t>(kk.element_size());
  const int64_t row_stride = kk.stride(2);

  const bool dots = type == kernels::Num::bf16 && d % 32 == 0 && kernels::has_bf16_dot();
  const at::Tensor q16 = dots ? q.to(at::kBFloat16) : q,
                   front16 = dots && in.front > 0 ? q_front.to(at::kBFloat16) : q16;
  const auto* qb = static_cast<const uint16_t*>(q16.const_data_ptr());
  const auto* fb = static_cast<const uint16_t*>(front16.const_data_ptr());

  const int64_t tasks = batch * kv_heads * steps;
  std::vector<float> partial(static_cast<size_t>(tasks * splits * group * (d + 2)));
  const float* qp = q.const_data_ptr<float>();
  const float* fp = q_front.const_data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, 512 / std::min<int64_t>(rows, kernels::kAttendSplit) / group);
  at::parallel_for(0, tasks * splits, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t task = i / splits, split = i % splits;
      const int64_t b = task / (kv_heads * steps), h = task / steps % kv_heads, t = task % steps;
      const int64_t first = split * kernels::kAttendSplit, last = std::min(rows, first + kernels::kAttendSplit);
      const int64_t offset = (b * kk.stride(0) + h * kk.stride(1)) * bytes;
      float* out = partial.data() + i * group * (d + 2);
      const uint8_t* open = allowed_bytes ? allowed_bytes + ((b * planes + h % planes) * steps + t) * rows : nullptr;
      if (dots)
        kernels::attend_split_bf16(qb + task * group * d, fb + task * group * d, in.front, group, d,
                                   reinterpret_cast<const uint16_t*>(k_data + offset),
                                   reinterpret_cast<const uint16_t*>(v_data + offset), row_stride, open, first, last,
                                   out, out + group * d, out + group * d + group, nullptr);
      else
        kernels::attend_split(qp + task * group * d, fp + task * group * d, in.front, group, d, k_data + offset,
                              v_data + offset, type, row_stride, open, first, last, out, out + group * d,
                              out + group * d + group);
    }
  });

  const at::Tensor result = at::empty({batch, steps, heads * d}, at::kFloat);
  float* merged = result.mutable_data_ptr<float>();
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t b = task / (kv_heads * steps), h = task / steps % kv_heads, t = task % steps;
    for (int64_t g = 0; g < group; ++g) {
      kernels::merge_parts(partial.data() + task * splits * group * (d + 2) + g * d, splits, group * (d + 2),
                           (group - g) * d + g, (group - g) * d + group + g, d,
                           merged + ((b * steps + t) * heads + h * group + g) * d);
    }
  }
  return result;
}

// Blocked attention of ATen and the logarithm of its normaliser, so that parts can be merged. allowed: undefined = all
// open unless `causal` (square, top-left aligned).
struct Part {
  at::Tensor out;  // [B, H, T, d_h]
  at::Tensor lse;  // [B, H, T] f32
};
Part flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& allowed, bool causal,
           double scale) {
  std::optional<at::Tensor> bias;
  if (allowed.defined()) {
    const at::Tensor open = mask_of_heads(allowed, q.size(1));
    bias = at::zeros(open.sizes(), at::TensorOptions(q.scalar_type())).masked_fill_(open.logical_not(), kMinusInfinity);
  }
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      q, repeat_heads(k, q.size(1)), repeat_heads(v, q.size(1)), 0.0, causal, bias, scale);
  return {out, lse};
}

// A part in which a query may read nothing has an undefined normaliser and weighs nothing.
at::Tensor merge(const Part& a, const Part& b) {
  const at::Tensor la = a.lse.masked_fill(a.lse.isnan(), kMinusInfinity),
                   lb = b.lse.masked_fill(b.lse.isnan(), kMinusInfinity);
  const at::Tensor top = at::maximum(la, lb);
  const at::Tensor empty = top == kMinusInfinity;
  const auto weight = [&](const at::Tensor& l) { return at::exp(l - top).masked_fill_(empty, 0.0).unsqueeze(-1); };
  const at::Tensor wa = weight(la), wb = weight(lb);
  const at::Tensor total = (wa + wb).clamp_min_(std::numeric_limits<float>::min());
  const auto share = [&](const Part& part, const at::Tensor& w) { return at::where(w > 0, part.out * w, 0.0); };
  return (share(a, wa) + share(b, wb)) / total;
}

at::Tensor attend_many(const AttentionInput& in) {
  // ATen's own attention where ours has no kernel: f32, other processors.
  const int64_t steps = in.q.size(2), rows = in.k.size(2);
  const at::Tensor k = in.k.to(in.q.scalar_type()), v = in.v.to(in.q.scalar_type());
  if (in.front == 0) {
    if (!in.allowed.defined() && rows == steps) return merge_heads(flash(in.q, k, v, {}, true, in.scale).out);
    if (in.allowed.defined()) return merge_heads(flash(in.q, k, v, in.allowed, false, in.scale).out);
    // Old rows are open to every query and the own ones are causal: two parts need no mask tensor.
    const int64_t old = rows - steps;
    return merge_heads(merge(flash(in.q, k.narrow(2, 0, old), v.narrow(2, 0, old), {}, false, in.scale),
                             flash(in.q, k.narrow(2, old, steps), v.narrow(2, old, steps), {}, true, in.scale))
                           .to(in.q.scalar_type()));
  }
  const at::Tensor allowed = allowed_or_causal(in);
  const int64_t rest = rows - in.front;
  // The front is a handful of rows: plain products in f32.
  const at::Tensor open = mask_of_heads(allowed.narrow(3, 0, in.front), in.q.size(1));
  const at::Tensor kf = repeat_heads(k.narrow(2, 0, in.front), in.q.size(1)).to(at::kFloat);
  const at::Tensor scores = (at::matmul(in.q_front.to(at::kFloat), kf.transpose(-2, -1)) * in.scale)
                                .masked_fill(open.logical_not(), kMinusInfinity);
  const at::Tensor lse = at::logsumexp(scores, -1);
  const at::Tensor out = at::matmul(at::softmax(scores, -1).nan_to_num(0.0),
                                    repeat_heads(v.narrow(2, 0, in.front), in.q.size(1)).to(at::kFloat));
  if (rest == 0) return merge_heads(out).to(in.q.scalar_type());
  const at::Tensor open_back = allowed.narrow(3, in.front, rest);
  Part back = flash(in.q, k.narrow(2, in.front, rest), v.narrow(2, in.front, rest), open_back, false, in.scale);
  // ATen gives 0 where a query may read nothing.
  back.lse = back.lse.masked_fill(mask_of_heads(open_back, in.q.size(1)).any(-1).logical_not(), kMinusInfinity);
  return merge_heads(merge({out, lse}, back)).to(in.q.scalar_type());
}

}  // namespace

at::Tensor attend_reference(const AttentionInput& in) {
  const at::Tensor p = probabilities(in, allowed_or_causal(in));
  return merge_heads(at::matmul(p, repeat_heads(in.v, in.q.size(1)).to(at::kFloat))).to(in.q.scalar_type());
}

namespace {

// ATen's blocked attention and its gradient, which keep no [T, S] matrix, and keys and values once for all heads of a
// group between the two.
class RecordedAttention : public torch::autograd::Function<RecordedAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::optional<at::Tensor>* mask, bool causal, double scale) {
    const std::optional<at::Tensor>& bias = *mask;
    const auto [out, normaliser] = at::_scaled_dot_product_flash_attention_for_cpu(
        q, repeat_heads(k, q.size(1)), repeat_heads(v, q.size(1)), 0.0, causal, bias, scale);
    context->save_for_backward({q, k, v, out, normaliser});
    if (bias) context->saved_data["bias"] = *bias;
    context->saved_data["causal"] = causal;
    context->saved_data["scale"] = scale;
    return out;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    std::optional<at::Tensor> bias;
    if (context->saved_data.count("bias") > 0) bias = context->saved_data["bias"].toTensor();
    const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        gradients[0], q, repeat_heads(k, q.size(1)), repeat_heads(v, q.size(1)), saved[3], saved[4], 0.0,
        context->saved_data["causal"].toBool(), bias, context->saved_data["scale"].toDouble());
    return {dq, sum_groups(dk, k), sum_groups(dv, v), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  // [B, H, S, d_h] -> [B, H_kv, S, d_h], summed in f32.
  static at::Tensor sum_groups(const at::Tensor& x, const at::Tensor& like) {
    if (x.size(1) == like.size(1)) return x;
    return x.reshape({x.size(0), like.size(1), x.size(1) / like.size(1), x.size(2), x.size(3)})
        .sum(2, /*keepdim=*/false, at::kFloat)
        .to(x.scalar_type());
  }
};

// What blocked attention cannot do goes to the reference: front rows, and queries that may read nothing (its gradient
// of an empty softmax is not 0).
at::Tensor attend_recorded(const AttentionInput& in) {
  // f32 is there for reference numbers, and ATen's kernel takes a quick exponential, good to 20 units in the last
  // place.
  if (in.front > 0 || in.q.scalar_type() == at::kFloat) return attend_reference(in);
  if (fits_blocks_gradient(in)) return attend_blocks_recorded(in);
  const int64_t steps = in.q.size(2), rows = in.k.size(2), heads = in.q.size(1);
  const bool square = !in.allowed.defined() && rows == steps;
  const auto type = in.q.scalar_type();
  at::Tensor open;
  if (!square) {
    open = mask_of_heads(allowed_or_causal(in), heads);
    if (in.allowed.defined() && !open.any(-1).all().item<bool>()) return attend_reference(in);
  }
  if (!in.q.is_cpu()) {
    const std::optional<at::Tensor> mask = square ? std::nullopt : std::optional(open);
    return merge_heads(at::scaled_dot_product_attention(
        in.q, repeat_heads(in.k, heads).to(type), repeat_heads(in.v, heads).to(type), mask, 0.0, square, in.scale));
  }
  std::optional<at::Tensor> bias;
  if (!square) bias = at::zeros(open.sizes(), at::TensorOptions(type)).masked_fill_(open.logical_not(), kMinusInfinity);
  return merge_heads(RecordedAttention::apply(in.q, in.k.to(type), in.v.to(type), &bias, square, in.scale));
}

}  // namespace

void attention_received(const AttentionInput& in, AttentionReceived& received) {
  if (in.q.is_cpu() && in.q.size(2) > kFewQueries && fits_blocks(in)) {
    attend_blocks(in, &received);
    return;
  }
  const at::Tensor allowed = allowed_or_causal(in);
  const int64_t steps = in.q.size(2);
  constexpr int64_t kBlock = 64;
  received.mass = received.peak = at::Tensor();
  for (int64_t first = 0; first < steps; first += kBlock) {
    const int64_t count = std::min(kBlock, steps - first);
    AttentionInput block = in;
    block.q = in.q.narrow(2, first, count);
    if (in.front > 0) block.q_front = in.q_front.narrow(2, first, count);
    const at::Tensor open = allowed.narrow(2, first, count);
    const at::Tensor p = probabilities(block, open);
    const at::Tensor sums = p.sum(2);
    received.mass = received.mass.defined() ? received.mass + sums : sums;
    if (!received.wants_peak) continue;
    const at::Tensor columns = mask_of_heads(open, in.q.size(1)).sum(-1, true);
    const at::Tensor tops = (p * columns).amax(2);
    received.peak = received.peak.defined() ? at::maximum(received.peak, tops) : tops;
  }
}

at::Tensor attend(const AttentionInput& in, AttentionReceived* received) {
  const bool records =
      c10::GradMode::is_enabled() && (in.q.requires_grad() || in.k.requires_grad() || in.v.requires_grad());
  const bool many = in.q.size(2) > kFewQueries;
  if (!records && in.q.is_cpu() && many && fits_blocks(in)) return attend_blocks(in, received);
  if (received) attention_received(in, *received);
  if (records) return attend_recorded(in);
  if (!in.q.is_cpu()) {
    if (in.front > 0) return attend_reference(in);
    return merge_heads(
        at::scaled_dot_product_attention(in.q, repeat_heads(in.k, in.q.size(1)), repeat_heads(in.v, in.q.size(1)),
                                         mask_of_heads(allowed_or_causal(in), in.q.size(1)), 0.0, false, in.scale));
  }
  return many ? attend_many(in) : attend_few(in);
}

}  // namespace steno
