// Who is evicted. A rule is pure: table and budget in, victims out. It never sees a tensor.
#pragma once
#include <cstdint>
#include <vector>

#include "memory/slot_table.h"
#include "memory/visibility.h"

namespace steno {

class Retention {
 public:
  virtual ~Retention() = default;
  // Rows to evict so that what stays obeys the rule for a query at `next_position`. Each row once.
  virtual std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const = 0;
  // The same rule as V(i, j) where positions and roles determine it; nullptr for rules that look at scores.
  virtual const Visibility* visibility() const { return nullptr; }
  // Scores need the attention mass of every feed.
  virtual bool needs_mass() const { return false; }
};

// Keeps everything.
class KeepAll : public Retention, public Visibility {
 public:
  std::vector<int64_t> victims(const SlotTable&, int64_t) const override { return {}; }
  const Visibility* visibility() const override { return this; }
  bool visible(int64_t, const Slot&) const override { return true; }
};

// The first `start` positions and a window of recent ones (cache_policies, sections 2 and 3). A query at i reads j when
// j < start or i - j <= older: older = w - 1 with the evict-first order (w counts the token itself) and older = w with
// attend-first (w old slots plus itself).
class StartAndRecent : public Retention, public Visibility {
 public:
  StartAndRecent(int64_t start, int64_t older) : start_(start), older_(older) {}
  std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const override {
    return never_visible_again(*this, table, next_position);
  }
  const Visibility* visibility() const override { return this; }
  bool visible(int64_t query, const Slot& slot) const override {
    return slot.position < start_ || query - slot.position <= older_;
  }

 private:
  int64_t start_, older_;
};

}  // namespace steno
