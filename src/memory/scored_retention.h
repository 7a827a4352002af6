// The common form of rules that rank slots: the first `start` positions and the newest tokens are immune, of all others
// those with the lowest score leave until the budget is met. A method adds its score.
#pragma once
#include "memory/retention.h"

namespace steno {

struct ScoredBudget {
  int64_t slots = 0;        // per layer and key/value head after a cut
  int64_t start = 0;        // first positions of the stream that are never evicted while others are left
  int64_t recent = 0;       // newest positions, likewise
  bool whole_step = false;  // all tokens of the newest feed step are immune too, however many they are
};

class ScoredRetention : public Retention {
 public:
  explicit ScoredRetention(const ScoredBudget& budget) : budget_(budget) {}

  // Lower scores first, equal scores older first (smaller position). Where the immune ones alone are too many, the
  // recent ones leave, oldest first, and the start last (attendre, section 4.2).
  std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const final;
  // "start", "recent" and the rest under ranked_role().
  std::map<std::string, int64_t> roles(const SlotTable& table, int64_t next_position) const final;

 protected:
  const ScoredBudget& budget() const { return budget_; }
  // scores[row] for the rows that are not immune (`ranked`, ascending rows); all others are ignored.
  virtual void score(const SlotTable& table, std::span<const int64_t> ranked, int64_t next_position,
                     std::span<double> scores) const = 0;
  virtual const char* ranked_role() const { return "kept"; }

 private:
  // 0: ranked, 1: recent, 2: start.
  int immunity(const Slot& slot, int64_t next_position, int64_t newest_step) const;

  ScoredBudget budget_;
};

// Scores that ScoredRetention::score() finds in Slot::mass.
enum class MassScore { sum, mean };  // mean: divided by the number of queries that could read the slot
MassScore mass_score_named(const std::string& owner, const std::string& name);  // "sum" or "mean"
double mass_score(const Slot& slot, int64_t next_position, MassScore kind);

}  // namespace steno
