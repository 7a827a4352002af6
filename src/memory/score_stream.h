// The stream of methods that evict by the attention that slots have received. Order attend-first: a chunk is read
// causally over everything held, then the cut follows, so results depend on the chunk size (cache_policies, section 0).
#pragma once
#include <memory>

#include "base/fields.h"
#include "memory/cache_stream.h"
#include "memory/retention.h"
#include "memory/stream.h"

namespace steno {

// chunk: after every chunk; memory stays at budget + chunk. feed: a feed is read densely, in chunks, and cut once at
// its end, as prompts are in the publications; peak memory is that of the whole feed.
enum class CutAt { chunk, feed };
CutAt cut_named(const std::string& owner, const std::string& name);  // "chunk" or "feed"

struct ScoreStreamConfig {
  std::string method;  // name and version, for saved files
  int version = 1;
  int64_t budget = 0;  // a cut is due when more slots are held; the rule must then cut to exactly this
  // gaps (P0): keys stand at their absolute positions. packed (P1): at their ranks among the slots of their table, so
  // keys are stored unrotated and turned for every chunk.
  PositionMode positions = PositionMode::gaps;
  CutAt cut = CutAt::chunk;
  // False: a feed of one token is part of an answer; it is added and nothing is cut.
  bool cut_single_tokens = true;
  int64_t chunk_size = 512;
  FieldValues params;  // written into saved files, checked on load
};

std::unique_ptr<Stream> open_score_stream(std::shared_ptr<const Decoder> decoder, std::shared_ptr<const Retention> rule,
                                          const ScoreStreamConfig& config);

}  // namespace steno
