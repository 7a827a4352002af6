// A training run as people follow it: lines on standard error.
#pragma once
#include <string>

#include "train/metrics_sink.h"

namespace steno {

// "step 120 of 1,000: loss 2.312 (ae 1.904, lm 2.801), lr 1.0e-04, gradient 0.83, 1,234 tokens/s, 612.0 MB, 3 min 20 s
// left", or "step 200: held-out loss 2.1 (..)". `steps`: of the whole run.
std::string progress_text(int64_t step, int64_t steps, const Scalars& values);

class TrainProgress : public MetricsSink {
 public:
  explicit TrainProgress(int64_t steps) : steps_(steps) {}
  void scalars(int64_t step, const Scalars& values) override;
  void text(int64_t step, const std::string& name, const std::string& text) override;
  void sample(int64_t step, int64_t index, const TrainingSample& sample) override;

 private:
  int64_t steps_;
};

}  // namespace steno
