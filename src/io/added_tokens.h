// Tokens that are looked for in the text itself, before anything else reads it: "<|im_start|>".
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/token_table.h"
#include "io/unicode.h"

namespace steno {

struct AddedToken {
  TokenId id;
  std::string content;
  bool special = true;       // left alone when the caller wants special tokens to stay text
  bool single_word = false;  // only between characters that are no word characters
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and after it
};

// Leftmost match first, the longest at one place, as the Python package tokenizers does.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens = {});
  AddedTokens(AddedTokens&&) = default;  // the index holds views of tokens_' contents, which move along
  AddedTokens& operator=(AddedTokens&&) = default;
  bool empty() const { return tokens_.empty(); }

  // Calls on_text(view) for what lies between the tokens (never empty) and on_token(id) for each, in order.
  template <class OnText, class OnToken>
  void split(std::string_view text, bool match_special, OnText&& on_text, OnToken&& on_token) const {
    size_t done = 0;
    for (size_t from = 0; !tokens_.empty() && from < text.size();) {
      Match match;
      if (!next(text, from, done, match)) break;
      from = match.resume;
      if (!match.accepted || (match.token->special && !match_special)) continue;
      if (match.begin > done) on_text(text.substr(done, match.begin - done));
      on_token(match.token->id);
      done = match.end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    const AddedToken* token;
    size_t begin, end;  // white space that the token takes included
    size_t resume;      // where to look on
    bool accepted;      // false: it is there, but not as a word of its own
  };
  // The next token at or after `from`; white space before `floor` belongs to an earlier one.
  bool next(std::string_view text, size_t from, size_t floor, Match& match) const;

  std::vector<AddedToken> tokens_;
  TokenIndex by_content_;                           // content -> position in tokens_
  std::array<std::vector<uint32_t>, 256> lengths_;  // of the tokens that begin with a byte, longest first
};

}  // namespace steno
