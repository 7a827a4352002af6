#include "cli/memory_frame.h"

#include <spdlog/spdlog.h>

#include "cli/text.h"
#include "io/prompt.h"
#include "io/tokenizer.h"

namespace steno {

std::vector<TokenId> MemoryFrame::question(const Tokenizer& tokenizer, const std::string& text) const {
  std::vector<TokenId> ids = tokenizer.encode(text, {.add_special = false, .parse_special = false});
  ids.insert(ids.end(), after.begin(), after.end());
  return ids;
}

MemoryFrame memory_frame(const Compressor& compressor, const Tokenizer& tokenizer, const ChatFormat& format,
                         const AnswerFlags& flags) {
  const bool asked = !flags.system.empty() || !flags.chat_format.empty();
  MemoryFrame frame;
  if (auto stated = compressor.instruction_template(); stated && !asked) {
    frame = {"adapter", std::move(stated->before), std::move(stated->after), {}};
    if (stated->end) frame.ends.push_back(*stated->end);
  } else {
    const Frame around = user_frame(format, flags.system);
    frame = {format.name(),
             tokenizer.encode(around.before, {.add_special = around.add_special, .parse_special = true}),
             tokenizer.encode(around.after, {.add_special = false, .parse_special = true}),
             {}};
  }
  spdlog::debug(
      "{}: {} before the memory, {} behind the question",
      frame.name == "adapter" ? "framed by the adapter's own template" : "framed by the chat format " + frame.name,
      plural(static_cast<int64_t>(frame.before.size()), "token"),
      plural(static_cast<int64_t>(frame.after.size()), "token"));
  return frame;
}

}  // namespace steno
