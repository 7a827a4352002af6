// Which columns a token reads. V(i, j) = j <= i and (i < w + g + r or i - j < w or j < g or j in R_i): a text that fits
// into the budget w + g + r is read whole.
#pragma once
#include <cstdint>
#include <vector>

#include "memory/retention.h"

namespace steno {

struct BigBirdSizes {
  int64_t window = 1, globals = 0, random = 0;  // w >= 1, the token itself included; g; r
  uint64_t seed = 0;
  int64_t budget() const { return window + globals + random; }
};

// R_i: r columns drawn from [g, i] with replacement, by (seed, i) alone, so that every layer, chunk and step draws the
// same. A column unread now may be drawn later.
class DrawnByQuery : public Visibility {
 public:
  explicit DrawnByQuery(const BigBirdSizes& sizes) : sizes_(sizes) {}
  bool monotone() const override { return false; }
  bool visible(int64_t query, const Slot& slot) const override;
  // Ascending, each once.
  std::vector<int64_t> draws(int64_t query) const;
  // All columns of a query that are older than its window: globals and draws, ascending, each once. query >= budget.
  std::vector<int64_t> far_columns(int64_t query) const;
  const BigBirdSizes& sizes() const { return sizes_; }

 private:
  BigBirdSizes sizes_;
};

// R_i = the keys j with u_j < r / i, where u_j is uniform in [0, 1) by (seed, j): fewer than r in expectation. A key
// that is hidden once stays hidden, so it can be evicted.
class DrawnByKey : public Retention, public Visibility {
 public:
  explicit DrawnByKey(const BigBirdSizes& sizes) : sizes_(sizes) {}
  std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const override {
    return never_visible_again(*this, table, next_position);
  }
  const Visibility* visibility() const override { return this; }
  bool visible(int64_t query, const Slot& slot) const override;

 private:
  BigBirdSizes sizes_;
};

}  // namespace steno
