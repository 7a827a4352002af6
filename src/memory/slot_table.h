// What is known about each kept slot, without a single tensor: policies decide on these numbers, the bank moves bytes.
#pragma once
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace steno {

enum class Role : uint8_t { token, utterance_end, memory };

// Who has a set of slots of their own: one for the whole model, one per layer, one per layer and key/value head.
enum class Sharing : uint8_t { model, layer, head };

struct Slot {
  int64_t position = 0;  // absolute index of the source token, counted from the start of the stream
  int64_t segment = 0;   // segment or utterance
  int64_t born = 0;      // feed step that inserted it
  int64_t last_use = 0;  // feed step that last attended to it
  double mass = 0;       // attention received so far
  Role role = Role::token;
};

// Rows in the bank's physical order. That order is no order of time: an evicted row is filled by the last one, so
// bookkeeping follows the slot, never the row number. Not thread-safe.
class SlotTable {
 public:
  int64_t size() const { return static_cast<int64_t>(slots_.size()); }
  const Slot& operator[](int64_t row) const { return slots_[row]; }
  Slot& operator[](int64_t row) { return slots_[row]; }
  void append(const Slot& slot) { slots_.push_back(slot); }

  // One move of an eviction: row `from` now stands in row `to`.
  struct Move {
    int64_t from, to;
  };
  // Removes `victims` (row numbers, each once). Survivors at the end fill the holes; the moves are returned for whoever
  // holds the payload. Slots before the first victim stay where they are. O(victims log victims).
  std::vector<Move> evict(std::span<const int64_t> victims);

  // Row numbers by ascending position: the logical order.
  std::vector<int64_t> order() const;
  std::vector<int64_t> positions() const;  // by row
  // Row numbers of the slots that stand at one of `positions`, ascending.
  std::vector<int64_t> rows_at(const std::set<int64_t>& positions) const;

 private:
  std::vector<Slot> slots_;
};

}  // namespace steno
