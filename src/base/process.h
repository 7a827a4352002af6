// Time and memory of this process.
#pragma once
#include <chrono>
#include <cstdint>

namespace steno {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void restart() { start_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Resident set size now, in bytes (0 where the system does not tell).
int64_t rss_bytes();
// Largest resident set size so far, in bytes.
int64_t peak_rss_bytes();
// Makes "so far" begin now. False where the system does not let us (it is Linux that does).
bool reset_peak_rss();

}  // namespace steno
