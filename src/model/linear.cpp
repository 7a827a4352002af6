#include "model/linear.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "model/kernels.h"
#include "model/kernels_int8.h"

namespace steno {
namespace {

// Up to so many rows blocks are multiplied directly; beyond, dequantising into a scratch tensor and a dense product win
// (docs/measurements.md). Dense f32 products are slower than bf16 ones, so f32 goes on longer.
constexpr int64_t direct_rows(at::ScalarType compute) { return compute == at::kBFloat16 ? 8 : 24; }
// Rows of one scratch tensor: bounds it for the head (V rows) and costs nothing elsewhere.
constexpr int64_t kScratchRows = 8192;

// Values of a quantised weight into `values` [out, in], f32 or bf16, contiguous rows.
void dequantize_rows(const LinearWeight& w, const at::Tensor& values) {
  const int64_t in = w.in();
  const int64_t row_bytes = ggml_bytes(w.type(), in);
  void* out = values.mutable_data_ptr();
  const bool bf16 = values.scalar_type() == at::kBFloat16;
  at::parallel_for(0, w.out(), 32, [&](int64_t begin, int64_t end) {
    const std::byte* src = w.blocks() + begin * row_bytes;
    const int64_t count = (end - begin) * in;
    if (bf16)
      dequantize_to_bf16(w.type(), src, static_cast<uint16_t*>(out) + begin * in, count);
    else
      dequantize_to_f32(w.type(), src, static_cast<float*>(out) + begin * in, count);
  });
}

at::Tensor add_bias(at::Tensor y, const at::Tensor& bias) { return bias.defined() ? y + bias.to(y.scalar_type()) : y; }

// x [n, in] -> one [n, out] per weight, f32. All weights share one parallel region.
std::vector<at::Tensor> multiply_directly(const at::Tensor& x, std::span<const LinearWeight* const> weights,
                                          std::span<const WeightBlocks> blocks, at::ScalarType compute) {
  const at::Tensor xf = x.to(at::kFloat).contiguous();
  const int64_t rows = xf.size(0), in = xf.size(1);
  int64_t total = 0;
  for (const LinearWeight* w : weights) total += w->out();
  const at::Tensor y = at::empty({rows, total}, xf.options());
  const float* xp = xf.const_data_ptr<float>();
  const bool rounds =
      compute == at::kBFloat16 && kernels::has_int8() &&
      std::all_of(blocks.begin(), blocks.end(), [](const WeightBlocks& b) { return kernels::multiplies_int8(b.type); });
  kernels::Int8Rows rounded;
  std::vector<float> sums;
  if (rounds) {
    rounded = kernels::round_to_int8(xp, rows, in);
  } else {
    sums.resize(static_cast<size_t>(rows * in / 32));
    kernels::block_sums(xp, rows, in, sums.data());
  }
  float* yp = y.mutable_data_ptr<float>();
  // Outputs are independent, so the result does not depend on how many threads share them.
  at::parallel_for(0, total, 64, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const int64_t last = first + weights[i]->out();
      const int64_t from = std::max(begin, first), to = std::min(end, last);
      if (from < to && rounds)
        kernels::multiply_int8(blocks[i].type, blocks[i].data, from - first, to - first, rounded, yp + from, total);
      else if (from < to)
        kernels::multiply_blocks(blocks[i].type, blocks[i].data, in, from - first, to - first, xp, sums.data(), rows,
                                 yp + from, total);
      first = last;
    }
  });
  std::vector<at::Tensor> result;
  int64_t first = 0;
  for (const LinearWeight* w : weights) {
    result.push_back(add_bias(y.narrow(1, first, w->out()), w->bias()));
    first += w->out();
  }
  return result;
}

// x @ W^T for every weight, with x rounded once. A quantised W is made dense for the product and again for the
// gradient, so that no dense copy of a frozen weight outlives the call. Gradients of several weights are added up in
// x's type.
class FrozenLinear : public torch::autograd::Function<FrozenLinear> {
 public:
  using List = torch::autograd::variable_list;

  static List forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                      std::span<const LinearWeight* const> weights, at::ScalarType compute) {
    auto kept = c10::make_intrusive<Kept>();
    const at::Tensor input = x.to(compute);
    List results;
    for (const LinearWeight* weight : weights) {
      kept->weights.push_back(*weight);
      results.push_back(at::linear(input, weight->dense(compute)));
    }
    context->saved_data["weights"] = c10::IValue::make_capsule(kept);
    context->saved_data["compute"] = static_cast<int64_t>(compute);
    context->saved_data["x"] = static_cast<int64_t>(x.scalar_type());
    return results;
  }
  static List backward(torch::autograd::AutogradContext* context, List gradients) {
    const auto& saved = context->saved_data;
    const auto compute = static_cast<at::ScalarType>(saved.at("compute").toInt());
    const auto type = static_cast<at::ScalarType>(saved.at("x").toInt());
    const auto capsule = saved.at("weights").toCapsule();
    const auto& weights = static_cast<const Kept&>(*capsule).weights;
    at::Tensor sum;
    for (size_t i = 0; i < weights.size(); ++i) {
      if (!gradients[i].defined()) continue;
      const at::Tensor part = at::matmul(gradients[i].to(compute), weights[i].dense(compute));
      sum = sum.defined() ? sum.add_(part) : part.to(type);
    }
    return {sum, at::Tensor(), at::Tensor()};
  }

 private:
  // Holds the weights until the backward pass, which may outlive the decoder.
  struct Kept : torch::CustomClassHolder {
    std::vector<LinearWeight> weights;
  };
};

// x [n, in] in `compute`. In bf16 on the CPU with rows of zeros up to a multiple of 32: the library behind ATen
// compiles and keeps a kernel for every number of rows it meets, and the turns of a long conversation would come in
// hundreds of lengths, a megabyte each.
at::Tensor padded_rows(const at::Tensor& x, at::ScalarType compute) {
  const int64_t rows = x.size(0), padded = (rows + 31) / 32 * 32;
  if (compute != at::kBFloat16 || !x.is_cpu() || padded == rows) return x.to(compute);
  const at::Tensor y = at::empty({padded, x.size(1)}, x.options().dtype(compute));
  y.narrow(0, 0, rows).copy_(x);
  y.narrow(0, rows, padded - rows).zero_();
  return y;
}

at::Tensor multiply_scratch(const at::Tensor& x, const LinearWeight& w, at::ScalarType compute) {
  if (w.out() <= kScratchRows) return at::linear(x, w.dense(compute));
  at::Tensor y = at::empty({x.size(0), w.out()}, x.options());
  for (int64_t first = 0; first < w.out(); first += kScratchRows) {
    const int64_t count = std::min(kScratchRows, w.out() - first);
    y.narrow(1, first, count).copy_(at::linear(x, w.rows(first, count).dense(compute)));
  }
  return y;
}

}  // namespace

std::optional<WeightBlocks> weight_blocks(const LinearWeight& w) {
  if (w.in() % 32 != 0) return std::nullopt;
  if (w.quantised()) {
    if (!kernels::multiplies(w.type())) return std::nullopt;
    return WeightBlocks{w.type(), w.blocks()};
  }
  const at::Tensor& t = w.tensor();
  if (!t.is_cpu() || !t.is_contiguous()) return std::nullopt;
  const auto* data = static_cast<const std::byte*>(t.const_data_ptr());
  if (t.scalar_type() == at::kBFloat16) return WeightBlocks{GgmlType::BF16, data};
  if (t.scalar_type() == at::kFloat) return WeightBlocks{GgmlType::F32, data};
  return std::nullopt;
}

LinearWeight::LinearWeight(at::Tensor dense, at::Tensor bias)
    : out_(dense.size(0)), in_(dense.size(1)), dense_(std::move(dense)), bias_(std::move(bias)) {}

LinearWeight::LinearWeight(GgmlType type, int64_t out, int64_t in, const std::byte* blocks,
                           std::shared_ptr<const void> owner, at::Tensor bias)
    : out_(out), in_(in), bias_(std::move(bias)), type_(type), blocks_(blocks), owner_(std::move(owner)) {}

int64_t LinearWeight::bytes() const {
  return quantised() ? ggml_bytes(type_, out_ * in_) : static_cast<int64_t>(dense_.nbytes());
}

LinearWeight LinearWeight::rows(int64_t first, int64_t count) const {
  const at::Tensor bias = bias_.defined() ? bias_.narrow(0, first, count) : at::Tensor();
  if (!quantised()) return LinearWeight(dense_.narrow(0, first, count), bias);
  return LinearWeight(type_, count, in_, blocks_ + ggml_bytes(type_, first * in_), owner_, bias);
}

at::Tensor LinearWeight::dense(at::ScalarType dtype) const {
  if (!quantised()) return dense_.to(dtype);
  const bool direct = dtype == at::kBFloat16 || dtype == at::kFloat;
  const at::Tensor values = at::empty({out_, in_}, direct ? dtype : at::kFloat);
  dequantize_rows(*this, values);
  return values.to(dtype);
}

at::Tensor linear(const at::Tensor& x, const LinearWeight& weight, at::ScalarType compute) {
  const LinearWeight* one = &weight;
  return linear(x, std::span(&one, 1), compute)[0];
}

std::vector<at::Tensor> linear(const at::Tensor& x, std::span<const LinearWeight* const> weights,
                               at::ScalarType compute) {
  const int64_t in = x.size(-1);
  at::Tensor flat = x.reshape({-1, in});
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  const auto restore = [&](at::Tensor y) {
    shape.back() = y.size(-1);
    return y.view(shape);
  };
  std::vector<at::Tensor> result;
  const bool records = c10::GradMode::is_enabled() && x.requires_grad();

  if (!records && x.is_cpu() && flat.size(0) <= direct_rows(compute)) {
    std::vector<WeightBlocks> blocks;
    for (const LinearWeight* w : weights)
      if (const auto b = weight_blocks(*w)) blocks.push_back(*b);
    if (blocks.size() == weights.size()) {
      for (at::Tensor& y : multiply_directly(flat, weights, blocks, compute)) result.push_back(restore(y));
      return result;
    }
  }
  if (records) {
    const auto products = FrozenLinear::apply(flat, weights, compute);
    for (size_t i = 0; i < weights.size(); ++i) result.push_back(restore(add_bias(products[i], weights[i]->bias())));
    return result;
  }
  const int64_t rows = flat.size(0);
  flat = padded_rows(flat, compute);
  // One product for all of them when every weight has to be dequantised anyway.
  int64_t total = 0;
  bool all_quantised = true;
  for (const LinearWeight* w : weights) total += w->out(), all_quantised &= w->quantised();
  if (weights.size() > 1 && all_quantised && total <= kScratchRows) {
    const at::Tensor values = at::empty({total, in}, flat.options());
    int64_t first = 0;
    for (const LinearWeight* w : weights) {
      dequantize_rows(*w, values.narrow(0, first, w->out()));
      first += w->out();
    }
    const at::Tensor y = at::linear(flat, values).narrow(0, 0, rows);
    first = 0;
    for (const LinearWeight* w : weights) {
      result.push_back(restore(add_bias(y.narrow(1, first, w->out()), w->bias())));
      first += w->out();
    }
    return result;
  }
  for (const LinearWeight* w : weights)
    result.push_back(restore(add_bias(multiply_scratch(flat, *w, compute).narrow(0, 0, rows), w->bias())));
  return result;
}

at::Tensor lookup_rows(const LinearWeight& weight, const at::Tensor& ids) {
  if (!weight.quantised()) return at::embedding(weight.tensor(), ids).to(at::kFloat);
  const at::Tensor flat = ids.reshape(-1).contiguous();
  const at::Tensor rows = at::empty({flat.size(0), weight.in()}, at::kFloat);
  const int64_t* id = flat.const_data_ptr<int64_t>();
  float* out = rows.mutable_data_ptr<float>();
  for (int64_t r = 0; r < flat.size(0); ++r)
    dequantize_to_f32(weight.type(), weight.blocks() + ggml_bytes(weight.type(), id[r] * weight.in()),
                      out + r * weight.in(), weight.in());
  std::vector<int64_t> shape(ids.sizes().begin(), ids.sizes().end());
  shape.push_back(weight.in());
  return rows.view(shape);
}

}  // namespace steno
