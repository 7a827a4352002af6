// What stands around memories and a question about them, as token ids.
#pragma once
#include <string>
#include <vector>

#include "cli/common_flags.h"
#include "io/chat_format.h"
#include "memory/compressor.h"

namespace steno {

class Tokenizer;

struct MemoryFrame {
  std::string name;                    // "adapter": the template that it was trained with; else the chat format's
  std::vector<TokenId> before, after;  // before the first span; between a question and its answer
  std::vector<TokenId> ends;           // of an answer, beside the tokenizer's own

  // The question as plain text, whatever it spells, and `after`.
  std::vector<TokenId> question(const Tokenizer& tokenizer, const std::string& text) const;
};

// The compressor's template, where it states one and neither --system nor --chat-format asks for something else; then
// `format`. Nothing but the question stands behind the spans: so readers are trained (icae, 5.3).
MemoryFrame memory_frame(const Compressor& compressor, const Tokenizer& tokenizer, const ChatFormat& format,
                         const AnswerFlags& flags);

}  // namespace steno
