#include "train/adamw.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace steno {

double gradient_norm(const std::vector<Parameter>& parameters) {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (const Parameter& p : parameters) {
    if (!p.value.grad().defined()) continue;
    const double norm = at::linalg_vector_norm(p.value.grad(), 2, {}, false, at::kDouble).item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

void scale_gradients(const std::vector<Parameter>& parameters, double factor) {
  const at::NoGradGuard no_grad;
  for (const Parameter& p : parameters)
    if (at::Tensor gradient = p.value.grad(); gradient.defined()) gradient.mul_(factor);
}

void zero_gradients(const std::vector<Parameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (const Parameter& p : parameters) {
    const at::Tensor value = p.value;
    at::Tensor& gradient = value.mutable_grad();
    if (gradient.defined() && gradient.is_contiguous())
      gradient.zero_();
    else
      gradient = at::zeros(p.value.sizes(), p.value.options());
  }
}

Adamw::Adamw(std::vector<Parameter> parameters, AdamwConfig config)
    : parameters_(std::move(parameters)), config_(config) {
  const at::NoGradGuard no_grad;
  for (const Parameter& p : parameters_) {
    TORCH_CHECK(p.value.scalar_type() == at::kFloat && p.value.is_contiguous(),
                "master weights are contiguous f32: ", p.name);
    means_.push_back(at::zeros(p.value.sizes(), p.value.options()));
    squares_.push_back(at::zeros(p.value.sizes(), p.value.options()));
  }
}

void Adamw::step(double lr) {
  ++updates_;
  step(true, lr);
  step(false, lr);
}

void Adamw::step(bool decay, double lr) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> values, gradients, means, squares, counts;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].decay != decay) continue;
    values.push_back(parameters_[i].value);
    gradients.push_back(parameters_[i].value.grad());
    means.push_back(means_[i]);
    squares.push_back(squares_[i]);
    counts.push_back(at::full({}, static_cast<double>(updates_), values.back().options()));
  }
  if (values.empty()) return;
  at::_fused_adamw_(values, gradients, means, squares, {}, counts, lr, config_.beta1, config_.beta2,
                    decay ? config_.weight_decay : 0, config_.eps, /*amsgrad=*/false, /*maximize=*/false);
}

std::vector<std::pair<std::string, at::Tensor>> Adamw::moments() const {
  std::vector<std::pair<std::string, at::Tensor>> moments;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    moments.emplace_back("mean/" + parameters_[i].name, means_[i]);
    moments.emplace_back("square/" + parameters_[i].name, squares_[i]);
  }
  return moments;
}

}  // namespace steno
