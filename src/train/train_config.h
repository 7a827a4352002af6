// How a run is trained, whatever is learned.
#pragma once
#include <cstdint>
#include <string>

#include "base/fields.h"

namespace steno {

struct TrainConfig {
  int64_t steps = 1000;
  int64_t batch = 16;       // examples of one step, all ranks together
  int64_t micro_batch = 1;  // examples of one backward pass
  double lr = 1e-4;
  std::string schedule = "cosine";
  int64_t warmup = 100;  // steps
  double min_lr_ratio = 0.1;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  double clip_norm = 2.0;
  uint64_t seed = 0;
  int64_t max_bad_steps = 20;
  double divergence_factor = 3;
  int64_t divergence_patience = 100;  // steps
  int64_t log_every = 10;             // steps, as all below
  int64_t eval_every = 200;
  int64_t eval_examples = 64;
  int64_t save_every = 200;
  int64_t keep = 3;
  int64_t sample_every = 0;
  int64_t samples = 2;
  std::string on_full_disk = "stop";

  template <class F>
  void visit(F&& f) {
    f("steps", steps, "steps in all, those before a --resume included");
    f("batch", batch, "examples in a step, all ranks together");
    f("micro_batch", micro_batch, "examples in one forward and backward pass");
    f("lr", lr, "largest learning rate");
    f("schedule", schedule, "learning rate after the warm-up: cosine, linear or constant");
    f("warmup", warmup, "steps in which the learning rate rises from 0");
    f("min_lr_ratio", min_lr_ratio, "where cosine and linear end, as a share of lr");
    f("beta1", beta1, "AdamW: decay of the mean of gradients");
    f("beta2", beta2, "AdamW: decay of the mean of their squares");
    f("eps", eps, "AdamW: added to the root of the latter");
    f("weight_decay", weight_decay, "AdamW: decoupled decay, as a share of the learning rate");
    f("clip_norm", clip_norm, "largest norm of all gradients together (0: not clipped)");
    f("seed", seed, "of everything random");
    f("max_bad_steps", max_bad_steps, "stop after so many steps in a row whose loss or gradient is not finite");
    f("divergence_factor", divergence_factor,
      "stop when the loss stays above its best smoothed value times this (0: never)");
    f("divergence_patience", divergence_patience, "for so many steps in a row");
    f("log_every", log_every, "steps between lines of metrics");
    f("eval_every", eval_every, "steps between evaluations on held-out data (0: only at the end)");
    f("eval_examples", eval_examples, "held-out examples that are evaluated (0: all)");
    f("save_every", save_every, "steps between checkpoints (0: only at the end)");
    f("keep", keep, "newest checkpoints that are kept, beside the best");
    f("sample_every", sample_every, "steps between sample outputs (0: none)");
    f("samples", samples, "held-out examples that are written out");
    f("on_full_disk", on_full_disk, "when a checkpoint cannot be written: stop, or continue without it");
  }

  // Throws UsageError for what makes no sense, also for `ranks` that do not share a batch evenly.
  void check(int ranks) const;
};

// Fields that change neither what is learned nor what is compared; a resumed run may have others.
bool may_change_on_resume(const std::string& field);

// Learning rate of step `step` (0 is the first): rises linearly to lr in `warmup` steps (lr / warmup in the first),
// then falls over the rest of `steps` to lr * min_lr_ratio.
double learning_rate(const TrainConfig& config, int64_t step);

}  // namespace steno
