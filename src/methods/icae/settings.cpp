#include "methods/icae/settings.h"

#include <fmt/ranges.h>

#include <charconv>

#include "base/error.h"
#include "io/shown.h"

namespace steno::icae {

std::vector<TokenId> ids_of(const std::string& list) {
  std::vector<TokenId> ids;
  const char *at = list.data(), *end = at + list.size();
  while (at != end) {
    if (*at == ' ') {
      ++at;
      continue;
    }
    TokenId id = -1;
    const auto [stop, error] = std::from_chars(at, end, id);
    if (error != std::errc{} || id < 0) throw InputError("'{}' is no list of token ids", shown(list));
    ids.push_back(id);
    at = stop;
  }
  return ids;
}

std::string list_of(const std::vector<TokenId>& ids) { return fmt::format("{}", fmt::join(ids, " ")); }

void check_settings(const std::string& owner, const Settings& settings) {
  if (settings.k < 1 || settings.k > kMostSpanTokens)
    throw UsageError("[{}] k is {}; it is the number of slots per span, 1 or more", owner, settings.k);
  if (settings.ratio < 1 || settings.ratio > kMostSpanTokens / settings.k)
    throw UsageError("[{}] ratio is {}; it is 1 or more, and k * ratio at most {}", owner, settings.ratio,
                     kMostSpanTokens);
  if (settings.span_tokens() < 2) throw UsageError("[{}] a span has at least 2 tokens; raise k or ratio", owner);
  position_layout_named(owner, settings.positions);
}

}  // namespace steno::icae
