// Lines of a conversation: edited and remembered on a terminal, plain everywhere else.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

namespace steno {

struct InputLine {
  enum class Kind { line, end, interrupted };
  Kind kind = Kind::end;
  std::string text;    // without the line break
  bool typed = false;  // interrupted: something stood on the line, and is gone
};

class ChatInput {
 public:
  virtual ~ChatInput() = default;
  // Ctrl-C ends the wait with Kind::interrupted; the flag of base/interrupt.h stays set. Throws InputError when
  // standard input cannot be read.
  virtual InputLine read(const char* prompt) = 0;
};

// Line editing by libedit (~/.editrc counts), with the history of earlier conversations. The prompt goes to standard
// output, or to standard error when that is no terminal or `prompt_on_stderr`. A history that cannot be read or written
// is done without.
std::unique_ptr<ChatInput> open_terminal_input(const std::filesystem::path& history, bool prompt_on_stderr);
// One line after the other from a descriptor (not owned); no prompt is shown.
std::unique_ptr<ChatInput> open_plain_input(int fd);

// $XDG_STATE_HOME/steno/history or ~/.local/state/steno/history; empty without either variable.
std::filesystem::path history_path();

}  // namespace steno
