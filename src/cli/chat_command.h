// What a line of a conversation is: a turn, or a command that begins with a slash.
#pragma once
#include <string>
#include <string_view>

namespace steno {

struct ChatLine {
  enum class Kind { nothing, text, stats, save, load, reset, undo, help, quit, wrong };
  Kind kind = Kind::nothing;
  std::string text;  // the turn, the file of save and load, or what is wrong, in one line
};

// White space around a line does not count. A turn that begins with a slash is written with two.
ChatLine parse_chat_line(std::string_view line);
const char* chat_help();

}  // namespace steno
