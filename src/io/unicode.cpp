#include "io/unicode.h"

#include <utf8proc.h>

namespace steno {
namespace {

// GPT-2's bytes_to_unicode: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards.
bool spells_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteAlphabet {
  std::array<std::string, 256> spelling;
  std::array<int16_t, 0x144> byte;  // by character; -1: spells no byte

  ByteAlphabet() {
    byte.fill(-1);
    int32_t next = 0x100;
    for (int i = 0; i < 256; ++i) {
      const int32_t character = spells_itself(i) ? i : next++;
      append_character(spelling[i], character);
      byte[character] = static_cast<int16_t>(i);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

}  // namespace

int32_t next_character(std::string_view valid, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<int32_t>(static_cast<uint8_t>(valid[at + i])); };
  const int32_t first = byte(0);
  int32_t character;
  if (first < 0x80)
    character = first;
  else if (first < 0xE0)
    character = (first & 0x1F) << 6 | (byte(1) & 0x3F);
  else if (first < 0xF0)
    character = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  else
    character = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  at += character_length(valid[at]);
  return character;
}

void append_character(std::string& out, int32_t character) {
  utf8proc_uint8_t bytes[4];
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(character, bytes)));
}

bool is_white_space(int32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  if (c == 0x85) return true;
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

bool is_number(int32_t c) {
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_word_character(int32_t c) {
  const auto category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ND) || category == UTF8PROC_CATEGORY_PC ||
         c == 0x200C || c == 0x200D;
}

bool is_punctuation(int32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

std::string_view byte_spelling(uint8_t byte) { return byte_alphabet().spelling[byte]; }

bool append_bytes_of_spelling(std::string& out, std::string_view spelled) {
  const ByteAlphabet& alphabet = byte_alphabet();
  const size_t before = out.size();
  for (size_t at = 0; at < spelled.size();) {
    const int32_t character = next_character(spelled, at);
    if (character >= static_cast<int32_t>(alphabet.byte.size()) || alphabet.byte[character] < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(alphabet.byte[character]));
  }
  return true;
}

std::optional<uint8_t> byte_of_byte_token(std::string_view spelled) {
  if (spelled.size() != 6 || !spelled.starts_with("<0x") || spelled[5] != '>') return std::nullopt;
  int value = 0;
  for (const char digit : spelled.substr(3, 2)) {
    if (digit >= '0' && digit <= '9')
      value = value * 16 + (digit - '0');
    else if (digit >= 'A' && digit <= 'F')
      value = value * 16 + (digit - 'A' + 10);
    else
      return std::nullopt;
  }
  return static_cast<uint8_t>(value);
}

}  // namespace steno
