// What is learned, as the trainer sees it: named parameters, and gradients for a batch of examples. The trainer zeroes,
// averages, clips, steps, logs and saves; an objective runs its own forward and backward passes.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "train/example.h"

namespace steno {

struct Parameter {
  std::string name;    // unique; fixed order for a configuration
  at::Tensor value;    // f32 leaf with requires_grad, updated in place (master weights: compute may be bf16)
  bool decay = true;   // weight decay applies
};

// Sums, so that parts of a batch can be added: a mean over tokens is loss / tokens.
struct LossSum {
  double loss = 0;     // nats
  int64_t tokens = 0;  // supervised
  int64_t examples = 0;
  LossSum& operator+=(const LossSum& other) {
    loss += other.loss, tokens += other.tokens, examples += other.examples;
    return *this;
  }
};
using LossSums = std::map<std::string, LossSum>;  // by objective: "ae", "lm", "ft"

// What a model writes for a held-out example, for people to look at.
struct TrainingSample {
  std::string source, output;
};

// Not thread-safe. Tensors live on the device the model was loaded to.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::vector<Parameter> parameters() const = 0;
  // Parts of the examples that it learns from (train/example.h): 1, texts; 3, questions; 0, any.
  virtual int64_t parts() const { return 0; }
  // Adds the gradient of the *sum* of the token losses to every parameter's .grad(); the trainer divides by the tokens
  // of the whole global batch. `seed` is the run's; random choices for example e are drawn from (seed, e.sample).
  // Examples that have nothing to supervise count with 0 tokens.
  virtual LossSums accumulate(std::span<const Example> batch, uint64_t seed) = 0;
  // The same sums without gradients and without dropout.
  virtual LossSums evaluate(std::span<const Example> batch, uint64_t seed) = 0;
  // Greedy output for held-out examples; empty where the objective writes nothing.
  virtual std::vector<TrainingSample> write_samples(std::span<const Example> batch) { return {}; }
  // What users load: adapters and embeddings with the identity they belong to. Replaces `folder` file by file, each
  // atomically. `provenance` (steps, data, configuration) is stored beside them. Throws ResourceError.
  virtual void save(const std::filesystem::path& folder, const Json& provenance) const = 0;
};

}  // namespace steno
