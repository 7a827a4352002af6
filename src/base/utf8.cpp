#include "base/utf8.h"

#include <cstdint>

namespace steno {
namespace {

struct Scan {
  size_t length;  // bytes consumed, >= 1 unless the text is empty
  bool valid;
  bool cut;  // the text ends inside what could still become a valid character
};

// Table 3-7 of the Unicode standard: the second byte's range depends on the first.
Scan scan_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {1, true, false};
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {1, false, false};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i >= text.size()) return {i, false, true};
    if (byte(i) < low || byte(i) > high) return {i, false, false};
    low = 0x80, high = 0xBF;
  }
  return {length, true, false};
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Scan scan = scan_character(text.substr(at));
    if (!scan.valid) return at;
    at += scan.length;
  }
  return std::string_view::npos;
}

size_t complete_utf8_prefix(std::string_view text) {
  // Only the last three bytes can begin a character that is not finished.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    if ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) continue;
    return scan_character(text.substr(at)).cut ? at : text.size();
  }
  return text.size();
}

}  // namespace steno
