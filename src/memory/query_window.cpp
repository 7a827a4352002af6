#include "memory/query_window.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace steno {

void QueryWindow::push(const std::vector<at::Tensor>& queries) {
  const int64_t steps = queries[0].size(2), count = std::min(steps, tokens_);
  std::vector<at::Tensor> piece;
  // A copy, so that a long chunk's queries do not stay in memory behind a view of their end.
  for (const at::Tensor& q : queries)
    piece.push_back(q.narrow(2, steps - count, count).to(at::kFloat, false, true, at::MemoryFormat::Contiguous));
  pieces_.push_back(std::move(piece));
  held_ += count;
  while (held_ - pieces_.front()[0].size(2) >= tokens_) {
    held_ -= pieces_.front()[0].size(2);
    pieces_.pop_front();
  }
}

int64_t QueryWindow::size() const { return std::min(held_, tokens_); }

at::Tensor QueryWindow::layer(int64_t layer) const {
  std::vector<at::Tensor> parts;
  for (const auto& piece : pieces_) parts.push_back(piece[static_cast<size_t>(layer)]);
  const at::Tensor all = parts.size() == 1 ? parts[0] : at::cat(parts, 2);
  return all.narrow(2, held_ - size(), size());
}

int64_t QueryWindow::bytes() const {
  int64_t bytes = 0;
  for (const auto& piece : pieces_)
    for (const at::Tensor& q : piece) bytes += static_cast<int64_t>(q.nbytes());
  return bytes;
}

}  // namespace steno
