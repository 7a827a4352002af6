#include "memory/compressor.h"

#include <algorithm>

#include "base/error.h"

namespace steno {

std::vector<std::vector<TokenId>> cut_fixed(std::span<const TokenId> ids, int64_t span_tokens) {
  if (span_tokens < 1) throw UsageError("[compress] a span has at least one token");
  std::vector<std::vector<TokenId>> spans;
  const auto step = static_cast<size_t>(span_tokens);
  for (size_t start = 0; start < ids.size(); start += step) {
    const auto part = ids.subspan(start, std::min(step, ids.size() - start));
    spans.emplace_back(part.begin(), part.end());
  }
  return spans;
}

std::vector<std::vector<TokenId>> cut_balanced(std::span<const TokenId> ids, int64_t span_tokens) {
  if (span_tokens < 1) throw UsageError("[compress] a span has at least one token");
  const auto n = static_cast<int64_t>(ids.size());
  if (n == 0) return {};
  const int64_t spans = (n + span_tokens - 1) / span_tokens;
  return cut_fixed(ids, (n + spans - 1) / spans);
}

}  // namespace steno
