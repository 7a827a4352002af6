// Byte-pair encoding of words: symbols (bytes or characters), merged by rank, with byte tokens for what is left over.
// SentencePiece's BPE with scores is the same algorithm; its scores become ranks when it is loaded.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/vocabulary.h"

namespace steno {

// Thrown by encode(); the tokenizer makes an InputError of it that names the place in the whole text.
struct NoTokenForByte {
  explicit NoTokenForByte(const char* at) : at(at), byte(static_cast<uint8_t>(*at)) {}
  const char* at;  // where it stood; by the time this is caught it may point into a buffer that is gone
  uint8_t byte;
};

class BpeModel {
 public:
  struct Options {
    bool ignore_merges = false;      // a word that is a token becomes it, whether merges lead there or not
    bool byte_fallback = false;      // space_marks only: characters without a token become their bytes' tokens
    std::optional<TokenId> unknown;  // space_marks only: for characters without a token or bytes
    bool fuse_unknown = false;       // one unknown token for a run of such characters
  };

  // The vocabulary's spelling says whether symbols are bytes or characters; it outlives the model. `merges` may name,
  // beside the vocabulary's ids, vocabulary.size() + i for extra_characters[i]: characters that are parts of tokens and
  // no tokens themselves.
  BpeModel(const Vocabulary& vocabulary, MergeTable merges, Options options,
           std::vector<std::string> extra_characters = {});

  // Appends the ids of one word of valid UTF-8 (symbols of characters), or of any bytes (symbols of bytes).
  void encode(std::string_view word, std::vector<TokenId>& out) const;
  // Appends one token for each byte. For what is not valid UTF-8.
  void encode_bytes(std::string_view bytes, std::vector<TokenId>& out) const;

 private:
  void encode_part(std::string_view part, std::vector<TokenId>& out) const;
  bool is_whole_word(TokenId id, std::string_view word) const;
  void split_symbols(std::string_view word, std::vector<TokenId>& symbols) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  Options options_;
  std::vector<std::string> extra_characters_;
  TokenIndex words_;       // ordinary tokens by the text they stand for (bytes) or by spelling (space_marks)
  TokenIndex characters_;  // space_marks: ordinary tokens of one character, and the extra ones
  std::array<TokenId, 256> byte_tokens_;
  std::array<TokenId, 128> ascii_;  // space_marks: characters_ of ASCII
  bool cut_at_marks_ = false;       // no merge leads across the beginning of a "▁"
  // By id: 0 not known yet, 1 the token's text is encoded as this token alone, 2 it is not.
  mutable std::unique_ptr<std::atomic<uint8_t>[]> whole_;
};

}  // namespace steno
