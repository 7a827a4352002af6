// AdamW (arXiv 1711.05101) over f32 master weights, as torch.optim.AdamW computes it.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/objective.h"

namespace steno {

struct AdamwConfig {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

// Norm of all gradients together, summed in f64; parameters without a gradient count as zero.
double gradient_norm(const std::vector<Parameter>& parameters);
// Multiplies every gradient. No gradient is recorded for it.
void scale_gradients(const std::vector<Parameter>& parameters, double factor);
// Every parameter has a contiguous gradient of zeros afterwards, whether one was there or not.
void zero_gradients(const std::vector<Parameter>& parameters);

// Moments live on the parameters' devices. Not thread-safe.
class Adamw {
 public:
  Adamw(std::vector<Parameter> parameters, AdamwConfig config);
  // One update with the gradients that are there (zero_gradients() came before). `lr` of this step.
  void step(double lr);

  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  // "mean/NAME" and "square/NAME": running means of gradients and of their squares, shared with this object.
  std::vector<std::pair<std::string, at::Tensor>> moments() const;

 private:
  void step(bool decay, double lr);

  std::vector<Parameter> parameters_;
  AdamwConfig config_;
  std::vector<at::Tensor> means_, squares_;  // [parameters]
  int64_t updates_ = 0;
};

}  // namespace steno
