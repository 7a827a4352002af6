// Conversations as token ids. What a user or a file says is encoded as plain text, so that "<|im_end|>" inside a
// document ends no turn; only the chat format's own text may name special tokens.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/chat_format.h"
#include "io/tokenizer.h"

namespace steno {

// The format named by --chat-format, or else the one the model's template is recognised as. A model without a template
// gets "plain". Throws InputError, UsageError.
ChatFormat choose_chat_format(const Tokenizer& tokenizer, const std::string& flag);

// A rendered conversation around the one user text that it was rendered for.
struct Frame {
  std::string before, after;
  bool add_special = false;  // BOS is the tokenizer's business, not the format's
};
Frame user_frame(const ChatFormat& format, const std::string& system);

// The ids of a whole user turn.
std::vector<TokenId> encode_turn(const Tokenizer& tokenizer, const Frame& frame, const std::string& text);

// The words around a document and a question.
struct Wording {
  std::string id;            // named in run records: other words are another experiment
  std::string introduction;  // before the document
  std::string question;      // before the question
  std::string answer;        // begins the answer, for models without a chat format
};
const Wording& ask_wording();

// A user turn in two parts: the documents are read once, every question continues from there. White space at the end of
// the document is left out.
std::vector<TokenId> encode_document(const Tokenizer& tokenizer, const Frame& frame, const std::string& document,
                                     const Wording& wording = ask_wording());
std::vector<TokenId> encode_question(const Tokenizer& tokenizer, const Frame& frame, const std::string& question,
                                     const Wording& wording = ask_wording());

}  // namespace steno
