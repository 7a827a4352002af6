#include "model/attention_gradient.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "model/attention_blocks.h"
#include "model/kernels_bf16.h"

namespace steno {
namespace {

using kernels::kKeyBlock;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const uint16_t* bits(const at::Tensor& t) { return static_cast<const uint16_t*>(t.const_data_ptr()); }
uint16_t* bits_of(const at::Tensor& t) { return static_cast<uint16_t*>(t.mutable_data_ptr()); }

// c [m, n] (+)= a [m, k] b, b in the pair layout of kernels_bf16.h.
void multiply(int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t a_stride, const uint16_t* b, bool adds,
              float* c) {
  at::native::cpublas::brgemm(m, n, k, a_stride, n, n, adds, reinterpret_cast<const at::BFloat16*>(a),
                              reinterpret_cast<const at::BFloat16*>(b), c);
}

struct Saved {
  at::Tensor q, k, v;     // as AttentionInput, last dimension dense
  at::Tensor out;         // [B, T, H, d]
  at::Tensor normaliser;  // [B, H, T] f32
  double scale;
};

// What one query head contributes. Scores stand with a row for each key: dK and dV then take them as they are, and
// dQ, as columns, takes them in the pair layout.
class HeadGradient {
 public:
  HeadGradient(const Saved& saved, const at::Tensor& gradient)
      : saved_(saved),
        gradient_(gradient),
        heads_(saved.q.size(1)),
        group_(heads_ / saved.k.size(1)),
        steps_(saved.q.size(2)),
        rows_(saved.k.size(2)),
        d_(saved.q.size(3)),
        blocks_((rows_ + kKeyBlock - 1) / kKeyBlock),
        keys_(static_cast<size_t>(blocks_ * kKeyBlock * d_)),
        values_(keys_.size()),
        key_columns_(keys_.size()),
        query_keys_(static_cast<size_t>(kKeyBlock * d_)),
        query_values_(query_keys_.size()),
        out_keys_(query_keys_.size()),
        out_values_(query_keys_.size()),
        query_columns_(query_keys_.size()),
        scores_(static_cast<size_t>(kKeyBlock * kKeyBlock)),
        products_(scores_.size()),
        shares_(scores_.size()),
        slopes_(scores_.size()),
        slope_pairs_(scores_.size()) {}

  // dq [B, T, H, d] bf16; dk, dv [blocks * kKeyBlock, d] f32 of this head, 0 at first.
  void run(int64_t b, int64_t h, const at::Tensor& dq, float* dk, float* dv) {
    load_keys(b, h / group_);
    for (int64_t first = 0; first < steps_; first += kKeyBlock) {
      load_queries(b, h, first);
      // Query t reads keys up to t + rows - steps.
      const int64_t open = first + rows_ - steps_, last = std::min(rows_, open + kKeyBlock);
      for (int64_t j = 0; j < last; j += kKeyBlock) {
        multiply(kKeyBlock, kKeyBlock, d_, keys_.data() + j * d_, d_, query_keys_.data(), false, scores_.data());
        multiply(kKeyBlock, kKeyBlock, d_, values_.data() + j * d_, d_, out_keys_.data(), false, products_.data());
        kernels::soften_gradient(scores_.data(), products_.data(), normaliser_, delta_,
                                 static_cast<float>(saved_.scale), open - j, shares_.data(), slopes_.data(),
                                 slope_pairs_.data());
        multiply(kKeyBlock, d_, kKeyBlock, shares_.data(), kKeyBlock, out_values_.data(), true, dv + j * d_);
        multiply(kKeyBlock, d_, kKeyBlock, slopes_.data(), kKeyBlock, query_values_.data(), true, dk + j * d_);
        multiply(d_, kKeyBlock, kKeyBlock, key_columns_.data() + j, blocks_ * kKeyBlock, slope_pairs_.data(), j > 0,
                 query_columns_.data());
      }
      kernels::columns_to_bf16(query_columns_.data(), std::min(kKeyBlock, steps_ - first), d_,
                               static_cast<float>(saved_.scale), bits_of(dq) + ((b * steps_ + first) * heads_ + h) * d_,
                               heads_ * d_);
    }
  }

 private:
  void load_keys(int64_t b, int64_t h) {
    const auto load = [&](const at::Tensor& x, std::vector<uint16_t>& to) {
      for (int64_t j = 0; j < rows_; ++j)
        std::copy_n(bits(x) + b * x.stride(0) + h * x.stride(1) + j * x.stride(2), d_, to.data() + j * d_);
    };
    load(saved_.k, keys_);
    load(saved_.v, values_);
    for (int64_t j = 0; j < blocks_; ++j)
      kernels::pack_columns(keys_.data(), d_, rows_, d_, j * kKeyBlock, key_columns_.data() + j * kKeyBlock,
                            blocks_ * kKeyBlock);
  }

  void load_queries(int64_t b, int64_t h, int64_t first) {
    const at::Tensor& q = saved_.q;
    const uint16_t* queries = bits(q) + b * q.stride(0) + h * q.stride(1);
    const int64_t head = (b * steps_ * heads_ + h) * d_, stride = heads_ * d_, block = first / kKeyBlock;
    const uint16_t *gradient = bits(gradient_) + head, *out = bits(saved_.out) + head;
    kernels::pack_keys(queries, q.stride(2), steps_, d_, block, query_keys_.data());
    kernels::pack_values(queries, q.stride(2), steps_, d_, block, query_values_.data());
    kernels::pack_keys(gradient, stride, steps_, d_, block, out_keys_.data());
    kernels::pack_values(gradient, stride, steps_, d_, block, out_values_.data());
    const float* normaliser = saved_.normaliser.const_data_ptr<float>() + (b * heads_ + h) * steps_;
    for (int64_t t = 0; t < kKeyBlock; ++t) {
      const bool there = first + t < steps_;
      normaliser_[t] = there ? normaliser[first + t] : std::numeric_limits<float>::infinity();
      delta_[t] = there ? kernels::dot_bf16(gradient + (first + t) * stride, out + (first + t) * stride, d_) : 0;
    }
  }

  const Saved& saved_;
  const at::Tensor& gradient_;  // [B, T, H, d]
  int64_t heads_, group_, steps_, rows_, d_, blocks_;
  std::vector<uint16_t> keys_, values_, key_columns_;  // of the key/value head, rows beyond the last are 0
  std::vector<uint16_t> query_keys_, query_values_, out_keys_, out_values_;  // packed as keys and as values
  std::vector<float> query_columns_, scores_, products_;
  std::vector<uint16_t> shares_, slopes_, slope_pairs_;
  float normaliser_[kKeyBlock], delta_[kKeyBlock];
};

// [B, H, S, d] like the projections from which they come: tokens outermost.
at::Tensor by_token(const at::Tensor& x) {
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options());
}

variable_list gradients_of(const Saved& saved, const at::Tensor& gradient) {
  const int64_t batch = saved.q.size(0), heads = saved.q.size(1), d = saved.q.size(3);
  const int64_t kv_heads = saved.k.size(1), group = heads / kv_heads, rows = saved.k.size(2);
  const int64_t padded = (rows + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const at::Tensor dq = by_token(saved.q), dk = by_token(saved.k), dv = by_token(saved.v);
  // Every head sums into rows of its own; groups are added in order, so that threads do not change the bits.
  const at::Tensor sums = at::zeros({2, batch * heads, padded, d}, at::kFloat);
  float* keys = sums.mutable_data_ptr<float>();
  float* values = keys + batch * heads * padded * d;
  at::parallel_for(0, batch * heads, 1, [&](int64_t begin, int64_t end) {
    HeadGradient head(saved, gradient);
    for (int64_t i = begin; i < end; ++i)
      head.run(i / heads, i % heads, dq, keys + i * padded * d, values + i * padded * d);
    at::native::cpublas::brgemm_release();
  });
  at::parallel_for(0, batch * rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t from = ((i / rows * heads + h * group) * padded + i % rows) * d, to = (i * kv_heads + h) * d;
        kernels::sum_to_bf16(keys + from, group, padded * d, d, static_cast<float>(saved.scale), bits_of(dk) + to);
        kernels::sum_to_bf16(values + from, group, padded * d, d, 1, bits_of(dv) + to);
      }
  });
  return {dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2)};
}

class BlockAttention : public torch::autograd::Function<BlockAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale) {
    AttentionInput in;
    in.q = q, in.k = k, in.v = v, in.scale = scale;
    at::Tensor normaliser;
    const at::Tensor out = attend_blocks(in, nullptr, &normaliser);
    context->save_for_backward({q, k, v, out, normaliser});
    context->saved_data["scale"] = scale;
    return out;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto kept = context->get_saved_variables();
    const Saved saved{kept[0], kept[1], kept[2], kept[3], kept[4], context->saved_data["scale"].toDouble()};
    variable_list result = gradients_of(saved, gradients[0].to(at::kBFloat16).contiguous());
    result.emplace_back();
    return result;
  }
};

// Keys and values must lie alike; a projection and its rotation may not.
AttentionInput aligned(AttentionInput in) {
  if (in.k.stride(3) == 1 && in.k.strides() == in.v.strides()) return in;
  in.k = in.k.contiguous(), in.v = in.v.contiguous();
  return in;
}

}  // namespace

bool fits_blocks_gradient(const AttentionInput& in) {
  if (!in.q.is_cpu() || in.front > 0 || in.allowed.defined() || in.v.scalar_type() != at::kBFloat16) return false;
  AttentionInput same = in;
  same.v = same.k;  // aligned() sees to the rest
  return fits_blocks(same);
}

at::Tensor attend_blocks_recorded(const AttentionInput& in) {
  const AttentionInput same = aligned(in);
  return BlockAttention::apply(same.q, same.k, same.v, same.scale);
}

}  // namespace steno
