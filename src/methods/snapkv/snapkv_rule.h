// The rule of SnapKV by itself.
#pragma once
#include "memory/scored_retention.h"

namespace steno {

enum class Pooling { average, maximum };

// Score of a slot before the window: what the queries of the window give to it, mean over the query heads of the group,
// pooled over its neighbours in the order of positions. The window is the newest `recent` tokens of the budget.
class ObservedByWindow : public ScoredRetention {
 public:
  ObservedByWindow(const ScoredBudget& budget, int64_t kernel, Pooling pooling)
      : ScoredRetention(budget), kernel_(kernel), pooling_(pooling) {}
  Sharing sharing() const override { return Sharing::head; }
  Statistics statistics() const override { return {Statistics::Kind::last_queries, budget().recent}; }
  void observe(SlotTable& table, std::span<const float> received, int64_t) const override {
    for (int64_t row = 0; row < table.size(); ++row) table[row].mass = received[static_cast<size_t>(row)];
  }

 private:
  void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t next_position,
             std::span<double> scores) const override;
  const char* ranked_role() const override { return "pooled"; }

  int64_t kernel_;
  Pooling pooling_;
};

}  // namespace steno
