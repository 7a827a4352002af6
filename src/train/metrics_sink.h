// Where the numbers of a training run go: metrics.jsonl, TensorBoard event files, a test.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/objective.h"

namespace steno {

// Names and values in the order in which they are to be shown: "train/ae", "valid/lm", "lr", ...
using Scalars = std::vector<std::pair<std::string, double>>;

// Called by the trainer's thread on rank 0 only, steps never fall. After a resume the steps behind the checkpoint come
// again: restart(step) says so before anything else, and what a sink holds of later steps is to be dropped.
// Throws ResourceError when nothing more can be written (the trainer then stops or goes on, see on_full_disk).
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  // The run (re)starts with `step` steps done.
  virtual void restart(int64_t step) {}
  virtual void scalars(int64_t step, const Scalars& values) = 0;
  virtual void text(int64_t step, const std::string& name, const std::string& text) = 0;
  // What was written for a held-out example; as text unless a sink has a better form for it.
  virtual void sample(int64_t step, int64_t index, const TrainingSample& sample) {
    text(step, "sample/" + std::to_string(index), sample.source + "\n---\n" + sample.output);
  }
  // Everything up to here is to be on the disk (called with every checkpoint).
  virtual void flush() {}
};

}  // namespace steno
