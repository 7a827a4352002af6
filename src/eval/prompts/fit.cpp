#include "eval/prompts/fit.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace steno {

// Regula falsi in Illinois' form on count(n) - target - 1/2, whose sign changes where the size is found; bisection for
// the last few, where the count is a staircase.
int64_t fit_size(const std::function<int64_t(int64_t)>& count, int64_t target, int64_t most, double rate,
                 const std::string& what) {
  const auto excess = [&](int64_t n) { return static_cast<double>(count(n) - target) - 0.5; };
  int64_t low = 0;
  double low_value = excess(low);
  if (low_value > 0)
    throw InputError("{}: {} tokens do not hold even the smallest prompt, which takes {}; give a larger length", what,
                     target, target + static_cast<int64_t>(std::llround(low_value + 0.5)));
  int64_t high = low;
  double high_value = low_value;
  for (double guess = -low_value / rate * 1.1 + 8; high_value < 0; guess *= 2) {
    if (high == most) return most;
    low = high, low_value = high_value;
    high = guess < static_cast<double>(most) ? std::max<int64_t>(low + 1, static_cast<int64_t>(guess)) : most;
    high_value = excess(high);
  }
  int side = 0;
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    if (high - low > 16)
      middle =
          std::clamp(low + static_cast<int64_t>(static_cast<double>(high - low) * low_value / (low_value - high_value)),
                     low + 1, high - 1);
    const double value = excess(middle);
    if (value < 0) {
      low = middle, low_value = value;
      if (side == -1) high_value /= 2;
      side = -1;
    } else {
      high = middle, high_value = value;
      if (side == 1) low_value /= 2;
      side = 1;
    }
  }
  return low;
}

int64_t use_up(const std::function<int64_t(int64_t)>& count, int64_t target, int64_t size) {
  constexpr int64_t kAhead = 64;
  int64_t best = size, best_count = count(size);
  for (int64_t next = size + 1; best_count < target && next <= size + kAhead; ++next) {
    const int64_t counted = count(next);
    if (counted <= target && counted > best_count) best = next, best_count = counted;
  }
  return best;
}

}  // namespace steno
