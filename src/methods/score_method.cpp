#include "methods/score_method.h"

#include <algorithm>

namespace steno {

void check_count(const Method& method, const std::string& parameter, int64_t value, int64_t least) {
  constexpr int64_t kMost = int64_t{1} << 40;  // sums of such numbers are far from overflow
  if (value < least || value > kMost)
    throw UsageError("[{}] {} is {}; it must be from {} to {}", method.name(), parameter, value, least, kMost);
}

ScoreStreamConfig score_stream_config(const Method& method, const StreamOptions& options, const ScoreParams& common,
                                      const FieldValues& params, int64_t smallest, const std::string& parts) {
  const int64_t budget = score_budget(options);
  if (budget < smallest)
    throw UsageError("[{}] budget is {}{}; it must be at least {}", method.name(), budget,
                     parts.empty() ? "" : " with " + parts, smallest);
  ScoreStreamConfig config{.method = method.name(), .version = method.version(), .budget = budget};
  config.positions = position_mode_named(method.name(), common.positions);
  config.cut = cut_named(method.name(), common.cut);
  // Inside a chunk a token reads the budget and the chunk: a quarter of the budget keeps that close to what was asked
  // for, and the tokens of a chunk, which some rules never evict at once, leave three quarters to the ranking.
  if (options.chunk_size > 0)
    config.chunk_size = options.chunk_size;
  else if (config.cut == CutAt::chunk)
    config.chunk_size = std::clamp<int64_t>(config.budget / 4, 1, 512);
  config.params = params;
  config.params["budget"] = std::to_string(budget);
  return config;
}

}  // namespace steno
