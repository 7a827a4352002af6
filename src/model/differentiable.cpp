#include "model/differentiable.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "model/kernels.h"

namespace steno {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Runs `work` over rows of `n` numbers, in parts that are worth a thread.
template <class F>
void over_rows(int64_t rows, int64_t n, F&& work) {
  at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(n, 1)), work);
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    const at::Tensor scale = at::rsqrt(x.square().mean(-1, true) + eps);  // [.., 1]
    context->save_for_backward({x, weight, scale});
    return (x * scale).mul_(weight);
  }
  // y_i = w_i x_i s, ds/dx_j = -s^3 x_j / n.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &scale = saved[2];
    const at::Tensor weighted = gradients[0].to(at::kFloat) * saved[1];
    const at::Tensor along = (weighted * x).mean(-1, true).mul_(scale).mul_(scale);
    return {(weighted - x * along).mul_(scale), at::Tensor(), at::Tensor()};
  }
};

uint16_t* bits(const at::Tensor& x) { return static_cast<uint16_t*>(x.mutable_data_ptr()); }

at::Tensor norm_of(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor y = at::empty(x.sizes(), x.options().dtype(at::kBFloat16));
  const int64_t n = x.size(-1);
  const auto *from = x.const_data_ptr<float>(), *w = weight.const_data_ptr<float>();
  auto* to = bits(y);
  over_rows(x.numel() / n, n, [&](int64_t begin, int64_t end) {
    kernels::rms_norm(from + begin * n, w, eps, end - begin, n, to + begin * n, kernels::Num::bf16);
  });
  return y;
}

struct NormGradient {
  at::Tensor dx, rounded;  // f32 and, where asked for, bf16
};
NormGradient norm_backward(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& gradient,
                           const at::Tensor& through, bool rounds) {
  const at::Tensor dy = gradient.to(at::kBFloat16).contiguous();
  NormGradient result{at::empty_like(x), rounds ? at::empty_like(dy) : at::Tensor()};
  const int64_t n = x.size(-1);
  const auto *from = x.const_data_ptr<float>(), *w = weight.const_data_ptr<float>();
  const float* more = through.defined() ? through.const_data_ptr<float>() : nullptr;
  const void* slope = dy.const_data_ptr();
  float* to = result.dx.mutable_data_ptr<float>();
  uint16_t* half = rounds ? bits(result.rounded) : nullptr;
  over_rows(x.numel() / n, n, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * n;
    kernels::rms_norm_backward(from + at, w, eps, static_cast<const uint16_t*>(slope) + at, kernels::Num::bf16,
                               more ? more + at : nullptr, end - begin, n, to + at, half ? half + at : nullptr);
  });
  return result;
}

at::Tensor sum_of(const at::Tensor& x, const at::Tensor& more) {
  const at::Tensor y = at::empty_like(x);
  const auto* a = x.const_data_ptr<float>();
  const auto* b = static_cast<const uint16_t*>(more.const_data_ptr());
  auto* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, x.numel(), 16384,
                   [&](int64_t begin, int64_t end) { kernels::add(a + begin, b + begin, end - begin, to + begin); });
  return y;
}

class RmsNormBf16 : public torch::autograd::Function<RmsNormBf16> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    return norm_of(x, weight, eps);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const double eps = context->saved_data["eps"].toDouble();
    return {norm_backward(saved[0], saved[1], eps, gradients[0], {}, false).dx, at::Tensor(), at::Tensor()};
  }
};

class AddNorm : public torch::autograd::Function<AddNorm> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& more,
                               const at::Tensor& weight, double eps) {
    const at::Tensor sum = sum_of(x, more);
    context->save_for_backward({sum, weight});
    context->saved_data["eps"] = eps;
    return {sum, norm_of(sum, weight, eps)};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const double eps = context->saved_data["eps"].toDouble();
    const NormGradient found = norm_backward(saved[0], saved[1], eps, gradients[1], gradients[0].contiguous(), true);
    return {found.dx, found.rounded, at::Tensor(), at::Tensor()};
  }
};

class Add : public torch::autograd::Function<Add> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& x, const at::Tensor& more) { return sum_of(x, more); }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {gradients[0], gradients[0].to(at::kBFloat16)};
  }
};

class SiluMultiply : public torch::autograd::Function<SiluMultiply> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_in, const at::Tensor& up_in) {
    const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous();
    context->save_for_backward({gate, up});
    if (!has_kernel(gate, up)) return at::silu(gate).mul_(up);
    const at::Tensor y = at::empty_like(gate);
    const auto type = num(gate);
    const auto bytes = static_cast<int64_t>(gate.element_size());
    const auto *g = data(gate), *u = data(up);
    auto* out = static_cast<std::byte*>(y.mutable_data_ptr());
    over_rows(gate.numel() / kRow, kRow, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kRow * bytes;
      kernels::silu_multiply(g + first, u + first, type, kRow, end - begin, kRow, out + first, type);
    });
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor gradient = gradients[0].to(gate.scalar_type()).contiguous();
    if (!has_kernel(gate, up)) return {at::silu_backward(gradient * up, gate), at::silu(gate).mul_(gradient)};
    const at::Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
    const auto type = num(gate);
    const auto bytes = static_cast<int64_t>(gate.element_size());
    const auto *a = data(gate), *u = data(up), *g = data(gradient);
    auto *to_gate = static_cast<std::byte*>(d_gate.mutable_data_ptr()),
         *to_up = static_cast<std::byte*>(d_up.mutable_data_ptr());
    over_rows(gate.numel() / kRow, kRow, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kRow * bytes;
      kernels::silu_multiply_backward(a + first, u + first, g + first, type, (end - begin) * kRow, to_gate + first,
                                      to_up + first);
    });
    return {d_gate, d_up};
  }

 private:
  static constexpr int64_t kRow = 32;  // numbers are cut anywhere: no step looks at a neighbour
  // f32 is there for reference numbers and takes ATen's exponential.
  static bool has_kernel(const at::Tensor& gate, const at::Tensor& up) {
    return gate.is_cpu() && gate.sizes() == up.sizes() && gate.numel() % kRow == 0 &&
           gate.scalar_type() == at::kBFloat16 && up.scalar_type() == at::kBFloat16;
  }
  static kernels::Num num(const at::Tensor& x) {
    return x.scalar_type() == at::kFloat ? kernels::Num::f32 : kernels::Num::bf16;
  }
  static const std::byte* data(const at::Tensor& x) { return static_cast<const std::byte*>(x.const_data_ptr()); }
};

struct KeptTable : torch::CustomClassHolder {
  explicit KeptTable(RotaryTable t) : table(std::move(t)) {}
  RotaryTable table;
};

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const c10::intrusive_ptr<KeptTable>& kept) {
    context->saved_data["table"] = c10::IValue::make_capsule(kept);
    return turned(x, kept->table);
  }
  // The transpose of a rotation by a is the rotation by -a (times the same factor on cos and sin).
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data.at("table").toCapsule();
    const RotaryTable& table = static_cast<const KeptTable&>(*capsule).table;
    const at::NoGradGuard no_grad;
    return {turned(gradients[0], {table.cos, table.sin.neg(), table.layout}), at::Tensor()};
  }

 private:
  // In bf16 the result lies in memory as x does, so that the next view of it is no copy.
  static at::Tensor turned(const at::Tensor& x, const RotaryTable& table) {
    if (!x.is_cpu() || x.scalar_type() != at::kBFloat16) return rotate(x, table);
    const at::Tensor y = at::empty_like(x);
    rotate_into(x, table, y);
    return y;
  }
};

}  // namespace

at::Tensor differentiable_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNorm::apply(x, weight, eps);
}

bool fits_norm_kernels(const at::Tensor& x, const at::Tensor& more) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || !x.is_contiguous() || x.numel() == 0) return false;
  return !more.defined() || (more.scalar_type() == at::kBFloat16 && more.is_contiguous() && more.sizes() == x.sizes());
}

at::Tensor differentiable_rms_norm_bf16(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNormBf16::apply(x, weight, eps);
}

std::pair<at::Tensor, at::Tensor> differentiable_add_norm(const at::Tensor& x, const at::Tensor& more,
                                                          const at::Tensor& weight, double eps) {
  const auto results = AddNorm::apply(x, more, weight, eps);
  return {results[0], results[1]};
}

at::Tensor differentiable_add(const at::Tensor& x, const at::Tensor& more) { return Add::apply(x, more); }

at::Tensor differentiable_silu_multiply(const at::Tensor& gate, const at::Tensor& up) {
  return SiluMultiply::apply(gate, up);
}

at::Tensor differentiable_rotate(const at::Tensor& x, const RotaryTable& table) {
  return Rotate::apply(x, c10::make_intrusive<KeptTable>(table));
}

}  // namespace steno
