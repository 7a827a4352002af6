#include "memory/slot_table.h"

#include <algorithm>
#include <numeric>

namespace steno {

std::vector<SlotTable::Move> SlotTable::evict(std::span<const int64_t> victims) {
  std::vector<int64_t> holes(victims.begin(), victims.end());
  std::sort(holes.begin(), holes.end());
  std::vector<Move> moves;
  const int64_t kept = size() - static_cast<int64_t>(holes.size());
  // Rows at or beyond `kept` are either victims or move into a hole before it.
  auto next_tail_victim = std::lower_bound(holes.begin(), holes.end(), kept);
  size_t hole = 0;
  for (int64_t from = kept; from < size(); ++from) {
    if (next_tail_victim != holes.end() && *next_tail_victim == from) {
      ++next_tail_victim;
      continue;
    }
    const int64_t to = holes[hole++];
    slots_[static_cast<size_t>(to)] = slots_[static_cast<size_t>(from)];
    moves.push_back({from, to});
  }
  slots_.resize(static_cast<size_t>(kept));
  return moves;
}

std::vector<int64_t> SlotTable::order() const {
  std::vector<int64_t> rows(slots_.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) {
    return slots_[static_cast<size_t>(a)].position < slots_[static_cast<size_t>(b)].position;
  });
  return rows;
}

std::vector<int64_t> SlotTable::rows_at(const std::set<int64_t>& positions) const {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < size(); ++row)
    if (positions.contains((*this)[row].position)) rows.push_back(row);
  return rows;
}

std::vector<int64_t> SlotTable::positions() const {
  std::vector<int64_t> positions;
  positions.reserve(slots_.size());
  for (const Slot& slot : slots_) positions.push_back(slot.position);
  return positions;
}

}  // namespace steno
