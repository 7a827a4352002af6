// Characters and bytes of tokenizer vocabularies.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace steno {

// "▁" (U+2581), the space of SentencePiece vocabularies.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// The character at `at` of valid UTF-8; moves `at` behind it.
int32_t next_character(std::string_view valid, size_t& at);
void append_character(std::string& out, int32_t character);
// Bytes of the character that begins with this byte of valid UTF-8.
inline size_t character_length(char first) {
  const auto byte = static_cast<uint8_t>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

bool is_white_space(int32_t character);     // Unicode White_Space
bool is_number(int32_t character);          // Nd, Nl, No
bool is_word_character(int32_t character);  // letters, marks, decimal numbers, connectors
bool is_punctuation(int32_t character);     // Unicode P and ASCII punctuation

// GPT-2 spells each byte as one printable character. The spelling of `byte`, as UTF-8.
std::string_view byte_spelling(uint8_t byte);
// Appends the bytes that `spelled` (valid UTF-8) stands for. False, and nothing appended, when it holds a character
// that spells no byte.
bool append_bytes_of_spelling(std::string& out, std::string_view spelled);

// SentencePiece spells a byte token "<0x0A>".
std::optional<uint8_t> byte_of_byte_token(std::string_view spelled);

}  // namespace steno
