#include "metrics/python_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "metrics/regex.h"

namespace steno {
namespace {

constexpr char32_t kReplacement = 0xFFFD, kCapitalSigma = 0x3A3, kCapitalIWithDot = 0x130;

// A capital sigma that ends a word becomes U+03C2. Python looks for the nearest characters on both sides that are not
// case-ignorable: a cased one must stand before and none after.
std::string lower_final_sigmas(const std::string& text) {
  static const Regex final_sigma(R"((?!\p{CI})\p{Cased}\p{CI}*+\K\x{3A3}(?!\p{CI}*+\p{Cased}))");
  return final_sigma.replace(text, "\u03C2");
}

}  // namespace

std::u32string to_characters(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t character = -1;
    const auto length = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &character);
    characters.push_back(length > 0 ? static_cast<char32_t>(character) : kReplacement);
    at += length > 0 ? static_cast<size_t>(length) : 1;
  }
  return characters;
}

std::string to_utf8(std::u32string_view characters) {
  std::string text;
  text.reserve(characters.size());
  for (const char32_t character : characters) {
    utf8proc_uint8_t bytes[4];
    const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
    text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
  }
  return text;
}

std::string to_valid_utf8(std::string_view text) { return to_utf8(to_characters(text)); }

std::string to_lower(std::string_view text) {
  std::u32string characters = to_characters(text);
  if (characters.find(kCapitalSigma) != std::u32string::npos)
    characters = to_characters(lower_final_sigmas(to_utf8(characters)));
  std::u32string lower;
  lower.reserve(characters.size());
  for (const char32_t character : characters)
    if (character == kCapitalIWithDot)  // the only character whose lower case is longer
      lower += U"i\u0307";
    else
      lower += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character)));
  return to_utf8(lower);
}

bool is_python_space(char32_t character) {
  const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(character));
  return property->category == UTF8PROC_CATEGORY_ZS || property->bidi_class == UTF8PROC_BIDI_CLASS_WS ||
         property->bidi_class == UTF8PROC_BIDI_CLASS_B || property->bidi_class == UTF8PROC_BIDI_CLASS_S;
}

bool is_python_alphanumeric(char32_t character) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(character));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

Tokens split_spaces(std::string_view text) {
  const std::u32string characters = to_characters(text);
  Tokens tokens;
  for (auto at = characters.begin(); at != characters.end();) {
    const auto begin = std::find_if_not(at, characters.end(), is_python_space);
    at = std::find_if(begin, characters.end(), is_python_space);
    if (begin != at) tokens.push_back(to_utf8({begin, at}));
  }
  return tokens;
}

std::string strip_end(std::string_view text) {
  std::u32string characters = to_characters(text);
  while (!characters.empty() && is_python_space(characters.back())) characters.pop_back();
  return to_utf8(characters);
}

std::string strip(std::string_view text) {
  const std::u32string characters = to_characters(strip_end(text));
  return to_utf8({std::find_if_not(characters.begin(), characters.end(), is_python_space), characters.end()});
}

}  // namespace steno
