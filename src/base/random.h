// Random numbers whose bits do not depend on the standard library: std distributions differ between implementations.
#pragma once
#include <cstdint>

namespace steno {

// SplitMix64 (Steele, Lea, Flood 2014). A value type: copy it to fork the sequence, keep state() to resume it.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, n), n >= 1. The bias is below n / 2^64.
  uint64_t below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64); }
  uint64_t state() const { return state_; }

 private:
  uint64_t state_;
};

}  // namespace steno
