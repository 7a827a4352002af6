#include "train/train_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

namespace steno {
namespace {

void at_least(const char* field, double value, double least) {
  if (!(value >= least)) throw UsageError("[train] {} must be at least {}, not {}", field, least, value);
}

void one_of(const char* field, const std::string& value, const std::set<std::string>& choices) {
  if (choices.contains(value)) return;
  std::string all;
  for (const std::string& choice : choices) all += (all.empty() ? "" : ", ") + choice;
  throw UsageError("[train] {} '{}' is not known; take one of: {}", field, value, all);
}

void below_one(const char* field, double value) {
  if (!(value >= 0 && value < 1)) throw UsageError("[train] {} must be in [0, 1), not {}", field, value);
}

}  // namespace

void TrainConfig::check(int ranks) const {
  at_least("steps", static_cast<double>(steps), 1);
  at_least("batch", static_cast<double>(batch), 1);
  at_least("micro_batch", static_cast<double>(micro_batch), 1);
  at_least("warmup", static_cast<double>(warmup), 0);
  at_least("log_every", static_cast<double>(log_every), 1);
  at_least("keep", static_cast<double>(keep), 1);
  at_least("max_bad_steps", static_cast<double>(max_bad_steps), 1);
  at_least("divergence_patience", static_cast<double>(divergence_patience), 1);
  using Count = std::pair<const char*, int64_t>;
  for (const auto& [name, value] :
       {Count{"eval_every", eval_every}, Count{"eval_examples", eval_examples}, Count{"save_every", save_every},
        Count{"sample_every", sample_every}, Count{"samples", samples}})
    at_least(name, static_cast<double>(value), 0);
  at_least("weight_decay", weight_decay, 0);
  at_least("clip_norm", clip_norm, 0);
  at_least("eps", eps, 0);
  if (!(lr > 0 && std::isfinite(lr))) throw UsageError("[train] lr must be a positive number, not {}", lr);
  if (!(min_lr_ratio >= 0 && min_lr_ratio <= 1))
    throw UsageError("[train] min_lr_ratio must be in [0, 1], not {}", min_lr_ratio);
  if (divergence_factor != 0 && !(divergence_factor > 1))
    throw UsageError("[train] divergence_factor must be above 1, or 0 for never; not {}", divergence_factor);
  below_one("beta1", beta1);
  below_one("beta2", beta2);
  one_of("schedule", schedule, {"constant", "cosine", "linear"});
  one_of("on_full_disk", on_full_disk, {"continue", "stop"});
  if (batch % ranks != 0)
    throw UsageError("[train] batch {} cannot be shared evenly by {} ranks; take a multiple of {}", batch, ranks,
                     ranks);
}

bool may_change_on_resume(const std::string& field) {
  static const std::set<std::string> kFree = {
      "steps",      "max_bad_steps", "divergence_factor", "log_every",    "eval_every", "divergence_patience",
      "save_every", "keep",          "sample_every",      "on_full_disk", "samples"};
  return kFree.contains(field);
}

double learning_rate(const TrainConfig& config, int64_t step) {
  if (step < config.warmup) return config.lr * static_cast<double>(step + 1) / static_cast<double>(config.warmup);
  if (config.schedule == "constant") return config.lr;
  const double length = static_cast<double>(std::max<int64_t>(config.steps - config.warmup, 1));
  const double done = std::min(static_cast<double>(step - config.warmup) / length, 1.0);
  const double share = config.schedule == "linear" ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done));
  return config.lr * (config.min_lr_ratio + (1 - config.min_lr_ratio) * share);
}

}  // namespace steno
