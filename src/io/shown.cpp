#include "io/shown.h"

#include "base/utf8.h"

namespace steno {

std::string shown(std::string_view text) {
  constexpr size_t kMost = 120;
  const bool cut = text.size() > kMost;
  if (cut) text = text.substr(0, complete_utf8_prefix(text.substr(0, kMost)));
  const bool valid = find_invalid_utf8(text) == std::string_view::npos;
  std::string result(text);
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127 || (byte >= 128 && !valid)) c = '?';
  }
  return cut ? result + "..." : result;
}

}  // namespace steno
