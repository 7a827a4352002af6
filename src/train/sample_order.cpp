#include "train/sample_order.h"

#include <algorithm>
#include <bit>

namespace steno {
namespace {

constexpr int kRounds = 8;

// Each call of next() passes through SplitMix64's mixing function, so chained values depend on all bits of each part.
uint64_t mixed(uint64_t a, uint64_t b) { return Random(Random(a).next() ^ b).next(); }

}  // namespace

uint64_t permuted(uint64_t place, uint64_t size, uint64_t key) {
  const int half = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);  // bits
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = place >> half, right = place & mask;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (mixed(key + static_cast<uint64_t>(round), right) & mask);
      left = right;
      right = next;
    }
    place = left << half | right;
  } while (place >= size);
  return place;
}

uint64_t example_of_sample(uint64_t sample, uint64_t size, uint64_t seed) {
  return permuted(sample % size, size, mixed(seed, sample / size));
}

Random sample_random(uint64_t seed, uint64_t sample, uint64_t purpose) {
  return Random(mixed(mixed(seed, sample), ~purpose));
}

}  // namespace steno
