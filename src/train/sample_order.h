// Order and chance as functions of (seed, sample): nothing to store, nothing to replay after a restart.
#pragma once
#include <cstdint>

#include "base/random.h"

namespace steno {

// Where `place`, 0 <= place < size, goes under a permutation of [0, size) drawn by `key`. Expected time O(1): a Feistel
// network over the next power of four, walked along its cycle until it is in range (Black and Rogaway 2002, section 3
// and 4).
uint64_t permuted(uint64_t place, uint64_t size, uint64_t key);

// Which of `size` examples sample number `sample` of a run is.
uint64_t example_of_sample(uint64_t sample, uint64_t size, uint64_t seed);

// Independent numbers for each (seed, sample, purpose).
Random sample_random(uint64_t seed, uint64_t sample, uint64_t purpose);

}  // namespace steno
