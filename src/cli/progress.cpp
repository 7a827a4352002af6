#include "cli/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cli/text.h"

namespace steno {
namespace {

constexpr int kShortestBar = 5, kLongestBar = 20;

int terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_stderr(const std::string& text) {
  // A terminal that has gone is no reason to stop working.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

std::string progress_line(const std::string& what, int64_t done, int64_t total, double seconds, int width) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 0;
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string numbers = fmt::format("{:.0f}% {}/{}", share * 100, count_text(done), count_text(total));
  if (rate > 0)
    numbers += fmt::format(", {} tokens/s, {} left", count_text(static_cast<int64_t>(rate)),
                           seconds_text(static_cast<double>(std::max<int64_t>(total - done, 0)) / rate));
  const int room = width - static_cast<int>(what.size() + numbers.size()) - 4;  // two spaces, two brackets
  const int bar = std::clamp(room, kShortestBar, kLongestBar);
  const int filled = static_cast<int>(share * bar);
  std::string line =
      fmt::format("{} [{}{}] {}", what, std::string(filled, '#'), std::string(bar - filled, '.'), numbers);
  if (line.size() > static_cast<size_t>(std::max(width, 0))) line.resize(static_cast<size_t>(std::max(width, 0)));
  return line;
}

Progress::Progress(std::string what, int64_t total, bool wanted)
    : what_(std::move(what)), total_(total), active_(wanted && isatty(STDERR_FILENO)) {}

void Progress::update(int64_t done) {
  const double now = clock_.seconds();
  if (!active_ || now < 1 || now - last_ < 0.1) return;
  last_ = now;
  shown_ = true;
  write_stderr("\r" + progress_line(what_, done, total_, now, terminal_width() - 1) + "\x1b[K");
}

void Progress::clear() {
  if (shown_) write_stderr("\r\x1b[K");
  shown_ = false;
}

}  // namespace steno
