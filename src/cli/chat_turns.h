// A conversation as a growing sequence of token ids. The pieces that a chat format puts around the texts are tokenised
// so that, piece after piece, they are what the tokenizer makes of the whole conversation rendered at once:
//
//   first turn    [system message, opening] text [end of the user's turn, opening of the answer]
//   the answer    as it was sampled, then close()
//   later turns   [what stands between an answer's end and the next text] text [...]
//
// Exact where a piece begins behind a special token, as in every format but "plain", and where the answer's own ids are
// what the tokenizer makes of its text. Formats that rewrite earlier messages (qwen leaves out thoughts, mistral-v3
// moves the system message) are written as they were when each turn was said: a memory is not read again.
#pragma once
#include <string>
#include <vector>

#include "io/chat_format.h"
#include "io/tokenizer.h"

namespace steno {

class ChatTurns {
 public:
  // Throws InputError when the format has no place for a system message.
  ChatTurns(std::shared_ptr<const Tokenizer> tokenizer, const ChatFormat& format, const std::string& system);

  // The ids to read before answering `text`, which may spell special tokens: they stay text.
  std::vector<TokenId> open(bool first, const std::string& text) const;
  // The ids that end an answer; empty for "plain".
  const std::vector<TokenId>& close() const { return close_; }

 private:
  std::vector<TokenId> encode(const std::string& before, const std::string& text, bool add_special) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string first_, later_, after_;  // `later_` begins with the text of close_
  std::vector<TokenId> close_;
  bool add_special_;
};

}  // namespace steno
