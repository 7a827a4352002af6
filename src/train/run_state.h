// Everything of a training run that changes beside parameters and moments: with those in a checkpoint, a resumed run
// goes on bit for bit. No random state is among it: the generator is seeded anew for every micro batch from (seed,
// sample), so that none is carried from step to step.
#pragma once
#include <cstdint>
#include <optional>

#include "io/json.h"
#include "train/objective.h"

namespace steno {

// Notices that the loss has left for good.
struct LossWatch {
  double sum = 0, weight = 0;  // exponential mean of the loss: sum / weight
  int64_t seen = 0;            // steps
  std::optional<double> best;  // smallest mean, from the twentieth step on
  int64_t above = 0;           // steps in a row whose loss was above best * factor

  // True when `loss` (nats per token) is the last of `patience` steps above `factor` times the best mean, which counts
  // as at least half a nat: below it ratios say nothing. A factor of 0 watches nothing.
  bool diverged(double loss, double factor, int64_t patience);
};

struct RunState {
  int64_t step = 0;          // steps done; the next one begins with sample step * batch
  int64_t updates = 0;       // those that moved the parameters
  int64_t tokens = 0;        // supervised tokens of these
  int64_t skipped = 0;       // steps whose loss or gradient was not finite
  int64_t empty = 0;         // steps with nothing to supervise
  int64_t bad_in_a_row = 0;  // of the skipped, the latest
  LossSums window;           // losses since the last line of metrics
  LossWatch watch;
  std::optional<double> best_loss;  // on held-out data, nats per token
  int64_t best_step = -1;
  bool evaluation_due = false;  // after this step, and not done yet

  Json to_json() const;
  // Throws InputError that begins with `where`.
  static RunState from_json(const Json& json, const std::string& where);
};

LossSum total(const LossSums& sums);

}  // namespace steno
