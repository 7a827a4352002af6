// What was said, appended to a file as JSON lines: {"turn", "user", "assistant", "stop_reason", "read_tokens",
// "answer_tokens"} for a turn, {"event": "undo" | "reset" | "load" | "start", ...} for the rest.
#pragma once
#include <string>

#include "cli/output.h"

namespace steno {

class ChatTranscript {
 public:
  ChatTranscript() = default;  // writes nothing
  // Throws InputError when the file cannot be opened for appending.
  explicit ChatTranscript(const std::string& path);
  ~ChatTranscript();
  ChatTranscript(ChatTranscript&& other) noexcept;
  ChatTranscript& operator=(ChatTranscript&&) = delete;

  // One line, handed to the system at once. A disk that is full is reported on standard error the first time; later
  // lines are tried again.
  void append(const Json& line);
  int64_t lost() const { return lost_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
  bool torn_ = false;  // the last line stands there in part
  int64_t lost_ = 0;
};

}  // namespace steno
