// Texts of a prompt to token ids, plain or in the model's chat format.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eval/prompts/prompt.h"
#include "io/tokenizer.h"

namespace steno {

// Immutable; safe from any number of threads.
class PromptEncoder {
 public:
  // `form`: "plain" (the texts as they are), "chat" (one user message in the model's own format) or the name of a
  // format. Throws UsageError for another name, InputError where the model has no format.
  PromptEncoder(std::shared_ptr<const Tokenizer> tokenizer, const std::string& form);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // "plain" or "chat/smollm": goes into the run record.
  const std::string& id() const { return id_; }
  // Texts that end the assistant's turn; none for plain.
  const std::vector<std::string>& stops() const { return stops_; }

  // BOS or the head of the frame, then `text`. An empty text gives the context of a closed-book question.
  std::vector<TokenId> context(std::string_view text) const;
  // What follows the context: the question, the rest of the frame, the answer prefix. Plain: one text.
  std::vector<TokenId> question(const std::string& question, const std::string& answer_prefix) const;
  // Ids that `answer` adds to `before`, as a model writes it.
  std::vector<TokenId> continuation(const std::string& before, const std::string& answer) const;
  // Plain text without anything in front.
  std::vector<TokenId> text(std::string_view text) const;
  int64_t head_tokens() const { return static_cast<int64_t>(head_.size()); }

  // For context(text): the byte of `text` behind each token; tokens in front of the text end at 0. What a tokenizer
  // puts before a text (SentencePiece's space) belongs to no byte.
  std::vector<size_t> token_ends(const std::vector<TokenId>& ids, size_t text_bytes) const;
  // Tokens that spell the bytes [begin, end), given the result of token_ends(); begin < end.
  static TokenRange range_of(const std::vector<size_t>& ends, size_t begin, size_t end);

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string id_;
  std::vector<std::string> stops_;
  std::vector<TokenId> head_, tail_;
  bool chat_ = false;
};

}  // namespace steno
