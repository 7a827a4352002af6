// The stream of every method that keeps the decoder's own keys and values and evicts by a Retention rule.
#pragma once
#include <memory>

#include "base/fields.h"
#include "memory/bank.h"
#include "memory/retention.h"
#include "memory/stream.h"

namespace steno {

// cache_policies, section 0. gaps (P0): a key stands at its absolute position for ever, the next query at the number of
// tokens seen. packed (P1): positions are ranks among the kept slots. Keys are stored rotated at their absolute
// position in both modes: where the kept set is a start and a run of recent tokens, packing changes only how far the
// start is from the query, and Front says that to the decoder. No key is ever rotated twice.
enum class PositionMode { gaps, packed };
PositionMode position_mode_named(const std::string& owner, const std::string& name);  // "gaps" or "packed"

// evict-first: a new token pushes the oldest slot out before it attends; what the last token read stays until then.
// attend-first: a new token attends to all kept slots and itself, then the cut follows.
enum class EvictionOrder { evict_first, attend_first };
EvictionOrder eviction_order_named(const std::string& owner, const std::string& name);  // "evict-first", "attend-first"

struct CacheStreamConfig {
  std::string method;  // name and version, for saved files
  int version = 1;
  PositionMode positions = PositionMode::gaps;
  EvictionOrder order = EvictionOrder::attend_first;
  // Packed only: the first `start` positions are read from a distance of at most `packed_limit` (= start + recent
  // slots: the rank of the query once the memory is full).
  int64_t start = 0, packed_limit = 0;
  // Recent slots that Stream::reserve() may take for a turn; 0: reserve() does nothing. The rule must keep the first
  // `start` positions and at least this many recent ones.
  int64_t recent = 0;
  int64_t chunk_size = 512;
  FieldValues params;  // written into saved files, checked on load
};

// The rule must be position-determined (Retention::visibility()): inside a chunk every row then reads exactly what it
// would have read token by token, so results do not depend on the chunk size beyond rounding.
std::unique_ptr<Stream> open_cache_stream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
                                          const CacheStreamConfig& config);

}  // namespace steno
