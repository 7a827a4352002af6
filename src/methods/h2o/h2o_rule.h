// The rule of H2O by itself: heavy hitters per key/value head.
#pragma once
#include "memory/scored_retention.h"

namespace steno {

// Score: attention received from all queries since the slot was written, its own included; mean over the query heads
// of the group.
class HeavyHitters : public ScoredRetention {
 public:
  HeavyHitters(const ScoredBudget& budget, MassScore kind) : ScoredRetention(budget), kind_(kind) {}
  Sharing sharing() const override { return Sharing::head; }
  Statistics statistics() const override { return {Statistics::Kind::mass}; }
  void observe(SlotTable& table, std::span<const float> received, int64_t) const override {
    for (int64_t row = 0; row < table.size(); ++row) table[row].mass += received[static_cast<size_t>(row)];
  }

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t next_position,
             std::span<double> scores) const override {
    for (const int64_t row : ranked) scores[static_cast<size_t>(row)] = mass_score(table[row], next_position, kind_);
  }
  const char* ranked_role() const override { return "heavy"; }

  MassScore kind_;
};

}  // namespace steno
