// What ranks of a data-parallel run tell each other in a step. With one rank nothing is copied.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "train/communicator.h"
#include "train/objective.h"

namespace steno {

// Adds up losses by name over ranks that may have seen different objectives: the names are agreed upon when a rank
// meets a new one. Calls are collective.
class LossExchange {
 public:
  explicit LossExchange(Communicator& ranks) : ranks_(ranks) {}
  LossSums sum(const LossSums& mine);

 private:
  void agree_on(const LossSums& mine);

  Communicator& ranks_;
  std::set<std::string> names_;
};

// Gradients summed over ranks, in place, in flat buckets of at most `bucket` numbers (one larger parameter is a bucket
// of its own). Every parameter has a contiguous gradient. Collective.
void sum_gradients(Communicator& ranks, const std::vector<Parameter>& parameters, int64_t bucket = 8 << 20);

// Parameters and others as they are on rank 0. Collective.
void broadcast_all(Communicator& ranks, const std::vector<at::Tensor>& tensors);
// The text of rank 0 on every rank. Collective.
std::string broadcast_text(Communicator& ranks, const std::string& text);

}  // namespace steno
