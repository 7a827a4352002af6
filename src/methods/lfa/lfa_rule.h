// The rule of LFA by itself.
#pragma once
#include "memory/scored_retention.h"

namespace steno {

// Score: attention received from all queries since the slot was read, beginning with what its own chunk gave to it;
// mean over the query heads of the layer (their sum, up to a constant that ranks nothing). Multiplied by `decay` before
// every feed step.
class LeastFrequentlyAttended : public ScoredRetention {
 public:
  LeastFrequentlyAttended(const ScoredBudget& budget, double decay, MassScore kind)
      : ScoredRetention(budget), decay_(decay), kind_(kind) {}
  Sharing sharing() const override { return Sharing::layer; }
  Statistics statistics() const override { return {Statistics::Kind::mass}; }
  void observe(SlotTable& table, std::span<const float> received, int64_t) const override {
    for (int64_t row = 0; row < table.size(); ++row)
      table[row].mass = decay_ * table[row].mass + received[static_cast<size_t>(row)];
  }

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t next_position,
             std::span<double> scores) const override {
    for (const int64_t row : ranked) scores[static_cast<size_t>(row)] = mass_score(table[row], next_position, kind_);
  }

  double decay_;
  MassScore kind_;
};

}  // namespace steno
