#include "cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "metrics/python_text.h"

namespace steno {
namespace {

[[noreturn]] void fail(int error) {
  if (error == EPIPE) throw ReaderGone{};
  throw ResourceError("[output] cannot write to standard output: {}", std::strerror(error));
}

}  // namespace

void StandardOutput::write(std::string_view text) {
  used_ |= !text.empty();
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void StandardOutput::write_text(std::string_view text) { write(to_valid_utf8(text)); }

void StandardOutput::write_json(const Json& json) {
  write(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void StandardOutput::close() {
  if (::close(STDOUT_FILENO) != 0 && used_ && errno != EINTR) fail(errno);
}

void prepare_standard_streams() {
  // Both are reported as errors of the write that met them.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // Read-only in the place of standard output: writing there still fails, as it should.
    [[maybe_unused]] const int opened = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace steno
