// Position-determined keep rules, written once and used twice: as eviction in a stream and as a mask (in training, and
// inside a chunk that is read at once). cache_policies names them V(i, j): the query at position i reads position j.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "memory/slot_table.h"

namespace steno {

class Visibility {
 public:
  virtual ~Visibility() = default;
  // j <= i always holds.
  virtual bool visible(int64_t query_position, const Slot& slot) const = 0;
  // True: once hidden, a slot stays hidden for every later query, so it can be evicted. False: a hidden slot may be
  // read again (random columns), so all slots stay stored and only the mask says who reads what.
  virtual bool monotone() const { return true; }
};

// bool [1, 1, T, S + T] for queries at positions first .. first + T - 1, over the slots of `table` and then the T
// tokens themselves (tokens carry position and role in `own`). Undefined when it is the plain causal mask.
at::Tensor visibility_mask(const Visibility& rule, const SlotTable& table, std::span<const Slot> own);

// Rows of `table` that no query at `next_position` or later reads; none where the rule is not monotone.
std::vector<int64_t> never_visible_again(const Visibility& rule, const SlotTable& table, int64_t next_position);

}  // namespace steno
