// Who is evicted. A rule is pure: table and budget in, victims out. It never sees a tensor.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "memory/slot_table.h"
#include "memory/visibility.h"

namespace steno {

// What a rule wants to know about the attention that slots receive. Probabilities are after the softmax; where several
// query heads share a table, `mass` is their mean and `peak` their largest.
struct Statistics {
  enum class Kind : uint8_t {
    none,
    mass,          // sum over all queries of a chunk, told after every chunk
    peak,          // largest probability times the number of columns that its query reads, told after every chunk
    last_queries,  // sum over the newest `queries` tokens, told only when a cut is due
  };
  Kind kind = Kind::none;
  int64_t queries = 0;
};

class Retention {
 public:
  virtual ~Retention() = default;
  // Rows to evict so that what stays obeys the rule for a query at `next_position`. Each row once.
  virtual std::vector<int64_t> victims(const SlotTable& table, int64_t next_position) const = 0;
  // The same rule as V(i, j) where positions and roles determine it; nullptr for rules that look at scores.
  virtual const Visibility* visibility() const { return nullptr; }
  virtual Sharing sharing() const { return Sharing::model; }
  virtual Statistics statistics() const { return {}; }
  // received[row] belongs to row `row`; `step` is the number of the feed step (chunk) just read. Tables of one bank may
  // be observed, and asked for victims, by several threads.
  virtual void observe(SlotTable& table, std::span<const float> received, int64_t step) const {}
  // The rows of `table` by what they are kept for; adds up to its size.
  virtual std::map<std::string, int64_t> roles(const SlotTable& table, int64_t next_position) const {
    return {{"token", table.size()}};
  }
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
  std::map<std::string, int64_t> roles(const SlotTable& table, int64_t) const override {
    int64_t start = 0;
    for (int64_t row = 0; row < table.size(); ++row) start += table[row].position < start_;
    return {{"start", start}, {"recent", table.size() - start}};
  }

 private:
  int64_t start_, older_;
};

}  // namespace steno
