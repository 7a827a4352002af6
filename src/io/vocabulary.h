// The tokens of a vocabulary: spelling, kind and the bytes that each one adds to a text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/token_table.h"

namespace steno {

// As GGUF numbers them.
enum class TokenKind : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

// What the spellings of normal tokens mean.
enum class Spelling {
  bytes,       // GPT-2's byte alphabet: "Ġthe"
  space_marks  // SentencePiece: "▁the", "<0x0A>"
};

class Vocabulary {
 public:
  // Copies the spellings. `where` begins the messages ("[tokenizer] model.gguf"). Throws InputError for duplicates,
  // invalid UTF-8, empty spellings and more tokens than ids.
  Vocabulary(const std::vector<std::string_view>& spellings, std::vector<TokenKind> kinds, Spelling spelling,
             const std::string& where);
  Vocabulary(const Vocabulary&) = delete;  // views into arena_
  Vocabulary& operator=(const Vocabulary&) = delete;

  TokenId size() const { return static_cast<TokenId>(tokens_.size()); }
  std::string_view token(TokenId id) const { return tokens_[id]; }
  // The bytes that the token adds in the middle of a text.
  std::string_view piece(TokenId id) const { return pieces_[id]; }
  TokenKind kind(TokenId id) const { return kinds_[id]; }
  TokenId find(std::string_view spelling) const { return by_spelling_.find(spelling); }
  bool contains(TokenId id) const { return id >= 0 && id < size(); }
  // Normal and unused tokens, those that ordinary text can become.
  bool is_ordinary(TokenId id) const { return kinds_[id] == TokenKind::normal || kinds_[id] == TokenKind::unused; }
  // Not part of the text: control tokens and the unknown token.
  bool is_special(TokenId id) const { return kinds_[id] == TokenKind::control || kinds_[id] == TokenKind::unknown; }
  Spelling spelling() const { return spelling_; }

 private:
  std::string arena_;  // spellings, then pieces that differ from their spelling
  std::vector<std::string_view> tokens_, pieces_;
  std::vector<TokenKind> kinds_;
  TokenIndex by_spelling_;
  Spelling spelling_;
};

}  // namespace steno
