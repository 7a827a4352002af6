#include "cli/chat_transcript.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace steno {

ChatTranscript::ChatTranscript(const std::string& path)
    : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) throw InputError("[chat] --transcript {}: {}", path, std::strerror(errno));
}

ChatTranscript::~ChatTranscript() {
  if (fd_ >= 0) ::close(fd_);
}

ChatTranscript::ChatTranscript(ChatTranscript&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), torn_(other.torn_), lost_(other.lost_) {}

void ChatTranscript::append(const Json& line) {
  if (fd_ < 0) return;
  const std::string text = (torn_ ? "\n" : "") + line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(fd_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (lost_++ == 0)
        spdlog::error("[chat] --transcript {}: {}; the chat goes on, and what cannot be written is left out", path_,
                      std::strerror(errno));
      torn_ |= done > 0;
      return;
    }
    done += static_cast<size_t>(written);
  }
  torn_ = false;
}

}  // namespace steno
