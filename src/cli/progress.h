// A progress bar on standard error, for work that takes longer than a second.
#pragma once
#include <cstdint>
#include <string>

#include "base/process.h"

namespace steno {

// "reading [#####.....] 42% 3,584/8,536, 1,234 tokens/s, 4.01 s left". The bar gives way where `width` is small; what
// still does not fit is cut.
std::string progress_line(const std::string& what, int64_t done, int64_t total, double seconds, int width);

// Silent when standard error is no terminal or `wanted` is false. The line is removed at the end. Not thread-safe.
class Progress {
 public:
  Progress(std::string what, int64_t total, bool wanted);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done);
  void rename(std::string what) { what_ = std::move(what); }
  void clear();

 private:
  std::string what_;
  int64_t total_;
  bool active_, shown_ = false;
  double last_ = 0;
  Stopwatch clock_;
};

}  // namespace steno
