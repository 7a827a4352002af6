// What the methods over a score stream have in common: their common parameters and the way from options to a stream.
#pragma once
#include "memory/score_stream.h"
#include "methods/method.h"

namespace steno {

struct ScoreParams {
  int64_t start = 0;
  std::string positions = "gaps";
  std::string cut = "chunk";
  template <class F>
  void visit(F&& f) {
    f("start", start, "first positions of the text that are never evicted");
    f("positions", positions, "gaps: original positions; packed: ranks among the kept slots");
    f("cut", cut, "chunk: evict after every chunk; feed: once, after a whole feed was read densely");
  }
};

inline int64_t score_budget(const StreamOptions& options) { return options.budget == 0 ? 1024 : options.budget; }

// Throws UsageError unless the value of a parameter that counts tokens is at least `least`, and reasonable.
void check_count(const Method& method, const std::string& parameter, int64_t value, int64_t least);

// `params`: all parameters of the method, for saved files. `smallest`: the least budget that has room for the parts
// named in `parts` ("4 start and 32 grace slots"; empty: there are none). Throws UsageError.
ScoreStreamConfig score_stream_config(const Method& method, const StreamOptions& options, const ScoreParams& common,
                                      const FieldValues& params, int64_t smallest, const std::string& parts);

}  // namespace steno
