// Text handled as Python's str handles it: the reference packages are written in Python, and their scores depend on
// what it calls lower case and white space. Bytes that are not valid UTF-8 (a model may stop inside a character) count
// as U+FFFD each. Everything here is safe from any thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace steno {

using Tokens = std::vector<std::string>;

std::u32string to_characters(std::string_view text);
std::string to_utf8(std::u32string_view characters);
// `text` itself, or with U+FFFD where it is not valid UTF-8.
std::string to_valid_utf8(std::string_view text);

// str.lower(): full mapping, with the two lower-case forms of sigma.
std::string to_lower(std::string_view text);
// str.isspace() of one character: bidirectional class WS, B or S, or category Zs.
bool is_python_space(char32_t character);
// str.isalnum() of one character.
bool is_python_alphanumeric(char32_t character);
// str.split(), str.strip() and str.rstrip() without arguments.
Tokens split_spaces(std::string_view text);
std::string strip(std::string_view text);
std::string strip_end(std::string_view text);

}  // namespace steno
