#include "io/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "io/unicode.h"

namespace steno {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// True only when the text is its own NFC: no character below U+0300 composes with what follows it here, and the others
// neither decompose nor compose.
bool is_surely_nfc(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const int32_t character = next_character(text, at);
    if (character < 0x300) continue;
    const utf8proc_property_t* property = utf8proc_get_property(character);
    const bool hangul = (character >= 0x1100 && character < 0x1200) || (character >= 0xAC00 && character < 0xD7B0);
    if (property->combining_class != 0 || property->comb_index != UINT16_MAX || hangul ||
        (property->decomp_seqindex != UINT16_MAX && property->decomp_type == 0))
      return false;
  }
  return true;
}

std::string to_form(std::string_view text, int options) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  if (size < 0) throw ResourceError("[tokenizer] normalisation failed: {}", utf8proc_errmsg(size));
  std::string out(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
  return out;
}

// Each returns whether it changed anything; `out` then holds the new text.
bool run(UnicodeForm form, std::string_view text, TextPlace, std::string& out) {
  if (form == UnicodeForm::nfc ? is_surely_nfc(text) : is_ascii(text)) return false;
  const bool compose = form == UnicodeForm::nfc || form == UnicodeForm::nfkc;
  const bool compatible = form == UnicodeForm::nfkc || form == UnicodeForm::nfkd;
  out = to_form(text, (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compatible ? UTF8PROC_COMPAT : 0));
  return true;
}

bool run(const Lowercase&, std::string_view text, TextPlace, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    const int32_t character = next_character(text, at);
    append_character(out, character == 0x130 ? 'i' : utf8proc_tolower(character));
    if (character == 0x130) append_character(out, 0x307);  // the one character whose lower case is two
  }
  return true;
}

bool run(const StripAccents&, std::string_view text, TextPlace, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    const int32_t character = next_character(text, at);
    const auto category = utf8proc_category(character);
    if (category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME) append_character(out, character);
  }
  return true;
}

bool run(const StripSpace& strip, std::string_view text, TextPlace, std::string& out) {
  size_t begin = 0, end = 0;
  bool seen = false;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (is_white_space(next_character(text, at))) continue;
    if (!seen) begin = here;
    seen = true;
    end = at;
  }
  if (!seen) begin = text.size(), end = 0;
  if (!strip.left) begin = 0;
  if (!strip.right) end = text.size();
  out = begin < end ? text.substr(begin, end - begin) : std::string_view{};
  return true;
}

bool run(const Prepend& prepend, std::string_view text, TextPlace place, std::string& out) {
  if (text.empty() || place.after_text) return false;
  out.reserve(prepend.text.size() + text.size());
  out += prepend.text;
  out += text;
  return true;
}

bool run(const ReplaceText& replace, std::string_view text, TextPlace, std::string& out) {
  size_t found = text.find(replace.from);
  if (found == std::string_view::npos) return false;
  out.reserve(text.size() + text.size() / 2);
  size_t done = 0;
  for (; found != std::string_view::npos; found = text.find(replace.from, done)) {
    out += text.substr(done, found - done);
    out += replace.to;
    done = found + replace.from.size();
  }
  out += text.substr(done);
  return true;
}

bool run(const ReplacePattern& replace, std::string_view text, TextPlace, std::string& out) {
  size_t done = 0, from = 0, begin = 0, end = 0;
  while (from < text.size() && replace.from.find(text, from, begin, end)) {
    if (begin == end) {  // nothing to replace here
      if (begin >= text.size()) break;
      from = begin + character_length(text[begin]);
      continue;
    }
    out += text.substr(done, begin - done);
    out += replace.to;
    done = from = end;
  }
  if (done == 0 && out.empty()) return false;
  out += text.substr(done);
  return true;
}

}  // namespace

std::string_view Normalizer::apply(std::string_view text, TextPlace place, std::string& buffer) const {
  std::string out;
  for (const NormalizerStep& step : steps_) {
    out.clear();
    if (!std::visit([&](const auto& one) { return run(one, text, place, out); }, step)) continue;
    buffer.swap(out);
    text = buffer;
  }
  return text;
}

}  // namespace steno
