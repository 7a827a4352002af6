// Packed positions (cache_policies, P1) for sets of slots that differ between layers and heads: the bank stores keys
// before the rotation, and for every chunk all of them are turned to their ranks in a workspace of the same size. No
// key is ever rotated twice.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "memory/bank.h"
#include "model/decoder.h"
#include "model/rope.h"

namespace steno {

class PackedKeys {
 public:
  explicit PackedKeys(std::shared_ptr<const Decoder> decoder) : decoder_(std::move(decoder)) {}
  // Rows for Decoder::run: values of the bank, keys turned to ranks[table][row]. Dynamic scaling is that of `length`
  // positions in use. The next call, and store(), use the same workspace.
  std::vector<LayerRows> rows_for(const Bank& bank, int64_t tokens, const std::vector<std::vector<int64_t>>& ranks,
                                  int64_t length);
  // Puts the keys that run() has captured before the rotation behind the bank's rows; before Bank::commit().
  static void store(const Bank& bank, const std::vector<at::Tensor>& unrotated_keys);
  int64_t bytes() const;

 private:
  struct Angles {
    RotaryTable table;  // of the ranks 0, 1, ...
    int64_t rows = 0, length = 0;
  };
  const RotaryTable& angles(int64_t layer, int64_t length);

  std::shared_ptr<const Decoder> decoder_;
  std::vector<at::Tensor> turned_;  // [layers], shaped as the bank's
  Angles global_, local_;
};

}  // namespace steno
