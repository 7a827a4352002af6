// A built prompt: what is read before the question, the question, and where the answer stands.
//
// Context and question are separate rows of tokens, because a memory must be made before the question is known
// (evaluation, sections 4 and 10). Nothing here depends on anything but the arguments: the same seed gives the same
// bytes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

// First and last token position; both belong to it.
struct TokenRange {
  int64_t first = 0, last = 0;
  bool operator==(const TokenRange&) const = default;
};

struct BuiltPrompt {
  std::string context;                  // the text of context_ids, without a chat format's frame
  std::string question, answer_prefix;  // texts of question_ids; the model continues behind the prefix
  std::vector<std::string> references;
  std::vector<TokenId> context_ids;     // BOS or the frame's head, then the context
  std::vector<TokenId> question_ids;    // question, rest of the frame, answer prefix
  std::vector<int64_t> utterance_ends;  // counts of context tokens behind which an utterance ends, ascending
  std::vector<TokenRange> needles;      // positions in context_ids of what has to be kept
  int64_t tokens() const { return static_cast<int64_t>(context_ids.size() + question_ids.size()); }
};

}  // namespace steno
