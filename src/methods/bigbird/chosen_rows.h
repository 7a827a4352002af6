// Copies of a few rows of a bank, for attention that reads those only. They stay between calls: a row that is asked for
// again in the same place is not copied again.
#pragma once
#include <span>
#include <vector>

#include "memory/bank.h"

namespace steno {

// The bank must never evict: row p of it is position p for ever. Not thread-safe.
class ChosenRows {
 public:
  // Row i of the result is position positions[i]; `tokens` rows behind them are free to be written by Decoder::run.
  // Valid until the next call.
  std::vector<LayerRows> choose(const std::vector<LayerRows>& bank, std::span<const int64_t> positions, int64_t tokens);
  int64_t allocated_bytes() const;

 private:
  std::vector<at::Tensor> k_, v_;  // [layers] of [1, H_kv, capacity, d_h]
  std::vector<int64_t> held_;      // position of every row; what the decoder wrote is not held
};

}  // namespace steno
