// The rule of LRA by itself.
#pragma once
#include "memory/scored_retention.h"

namespace steno {

// A slot is attended in a feed step when some query of some head gives it more than `threshold` times the uniform share
// (1 / number of columns that the query reads). Slots are born attended. With threshold 0 everything that is readable
// is attended always, and the rule is first in, first out.
class LeastRecentlyAttended : public ScoredRetention {
 public:
  LeastRecentlyAttended(const ScoredBudget& budget, double threshold)
      : ScoredRetention(budget), threshold_(threshold) {}
  Sharing sharing() const override { return Sharing::layer; }
  Statistics statistics() const override { return {Statistics::Kind::peak}; }
  void observe(SlotTable& table, std::span<const float> received, int64_t step) const override {
    // Rounding must not lift uniform attention above uniform.
    const double least = threshold_ * (1 + 1e-5);
    for (int64_t row = 0; row < table.size(); ++row)
      if (static_cast<double>(received[static_cast<size_t>(row)]) > least) table[row].last_use = step;
  }

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t,
             std::span<double> scores) const override {
    for (const int64_t row : ranked) scores[static_cast<size_t>(row)] = static_cast<double>(table[row].last_use);
  }

  double threshold_;
};

}  // namespace steno
