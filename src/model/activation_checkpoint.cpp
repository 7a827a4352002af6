#include "model/activation_checkpoint.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <mutex>
#include <optional>

namespace steno {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor random_state(at::Generator generator) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return generator.get_state();
}

void set_random_state(at::Generator generator, const at::Tensor& state) {
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
}

// The inputs as leaves of a graph of their own.
variable_list as_leaves(const variable_list& inputs) {
  variable_list leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().requires_grad_(input.requires_grad()));
  return leaves;
}

struct Part : torch::CustomClassHolder {
  TensorFunction run;
  at::Generator generator;  // defined when the part draws random numbers
  at::Tensor state;         // of the generator before the first run
};

class Checkpoint : public torch::autograd::Function<Checkpoint> {
 public:
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<Part>& part, at::TensorList list) {
    const variable_list inputs = list.vec();
    context->saved_data["part"] = c10::IValue::make_capsule(part);
    context->save_for_backward(inputs);
    // Gradients are recorded, and dropped at once, so that the same kernels run here as in the second run.
    variable_list outputs;
    {
      const at::AutoGradMode recording(true);
      outputs = part->run(as_leaves(inputs));
    }
    for (at::Tensor& output : outputs) output = output.detach();
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data.at("part").toCapsule();
    const auto& part = static_cast<const Part&>(*capsule);
    const variable_list leaves = as_leaves(context->get_saved_variables());
    variable_list outputs;
    {
      const at::AutoGradMode recording(true);
      at::Tensor later;
      if (part.generator.defined()) {
        later = random_state(part.generator);
        set_random_state(part.generator, part.state);
      }
      outputs = part.run(leaves);
      if (part.generator.defined()) set_random_state(part.generator, later);
    }
    variable_list differentiated, seeds, wanted;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
      differentiated.push_back(outputs[i]);
      seeds.push_back(gradients[i]);
    }
    for (const at::Tensor& leaf : leaves)
      if (leaf.requires_grad()) wanted.push_back(leaf);
    variable_list found(wanted.size());
    if (!differentiated.empty())
      found = torch::autograd::grad(differentiated, wanted, seeds, /*retain_graph=*/std::nullopt,
                                    /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result(1);  // the part itself has no gradient
    size_t next = 0;
    for (const at::Tensor& leaf : leaves) result.push_back(leaf.requires_grad() ? found[next++] : at::Tensor());
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> run_checkpointed(const TensorFunction& part, const std::vector<at::Tensor>& inputs,
                                         bool uses_random) {
  auto kept = c10::make_intrusive<Part>();
  kept->run = part;
  if (uses_random) {
    kept->generator = at::globalContext().defaultGenerator(inputs.at(0).device());
    kept->state = random_state(kept->generator);
  }
  return Checkpoint::apply(kept, at::TensorList(inputs));
}

}  // namespace steno
