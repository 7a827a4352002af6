#include "model/differentiable.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace steno {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

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
    return {weighted.sub_(x * along).mul_(scale), at::Tensor(), at::Tensor()};
  }
};

class SiluMultiply : public torch::autograd::Function<SiluMultiply> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return at::silu(gate).mul_(up);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], &gradient = gradients[0];
    return {at::silu_backward(gradient * up, gate), at::silu(gate).mul_(gradient)};
  }
};

struct KeptTable : torch::CustomClassHolder {
  explicit KeptTable(RotaryTable t) : table(std::move(t)) {}
  RotaryTable table;
};

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const c10::intrusive_ptr<KeptTable>& kept) {
    context->saved_data["table"] = c10::IValue::make_capsule(kept);
    return rotate(x, kept->table);
  }
  // The transpose of a rotation by a is the rotation by -a (times the same factor on cos and sin).
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data.at("table").toCapsule();
    const RotaryTable& table = static_cast<const KeptTable&>(*capsule).table;
    const at::NoGradGuard no_grad;
    return {rotate(gradients[0], {table.cos, table.sin.neg(), table.layout}), at::Tensor()};
  }
};

}  // namespace

at::Tensor differentiable_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNorm::apply(x, weight, eps);
}

at::Tensor differentiable_silu_multiply(const at::Tensor& gate, const at::Tensor& up) {
  return SiluMultiply::apply(gate, up);
}

at::Tensor differentiable_rotate(const at::Tensor& x, const RotaryTable& table) {
  return Rotate::apply(x, c10::make_intrusive<KeptTable>(table));
}

}  // namespace steno
