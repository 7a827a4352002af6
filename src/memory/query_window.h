// The queries of the newest tokens, for rules that ask how much these attend to every slot at the moment of a cut.
#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <vector>

namespace steno {

// Kept in f32, whatever they were computed in. Copies share the tensors, which never change.
class QueryWindow {
 public:
  explicit QueryWindow(int64_t tokens) : tokens_(tokens) {}
  // queries: [layers] of [1, H, T, d_h], of the tokens that follow those pushed before.
  void push(const std::vector<at::Tensor>& queries);
  // Tokens that layer() tells of: all that were pushed, the newest `tokens` at most.
  int64_t size() const;
  at::Tensor layer(int64_t layer) const;  // [1, H, size, d_h]
  int64_t bytes() const;

 private:
  int64_t tokens_, held_ = 0;
  std::deque<std::vector<at::Tensor>> pieces_;  // oldest first
};

}  // namespace steno
