// Activation checkpointing (arXiv 1604.06174): a part of the forward pass keeps its inputs only and is run again when
// its gradient is asked for.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace steno {

using TensorFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// part(inputs) with the same bits, forward and backward, as without a checkpoint. `part` must be a pure function of its
// inputs, of constants that it holds, and of the random generator of the inputs' device when `uses_random`: its state
// is put back for the second run. Everything that shall get a gradient stands in `inputs`, all defined. Works under
// torch::autograd::backward and torch::autograd::grad; double backward is not supported.
std::vector<at::Tensor> run_checkpointed(const TensorFunction& part, const std::vector<at::Tensor>& inputs,
                                         bool uses_random);

}  // namespace steno
