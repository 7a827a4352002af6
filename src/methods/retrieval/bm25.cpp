#include "methods/retrieval/bm25.h"

#include <algorithm>
#include <numeric>

namespace steno {

void Bm25::append(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) {
    open_.push_back(token);
    if (static_cast<int64_t>(open_.size()) < length_) continue;
    index_.add_passage(open_);
    open_.clear();
  }
}

std::vector<PositionRange> Bm25::find(std::span<const TokenId> query, int64_t before) const {
  const int64_t passages = std::min(before / length_, index_.passages());
  const std::vector<double> score = scores(query, passages);
  std::vector<int64_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int64_t p) { return score[static_cast<size_t>(p)] <= 0; });
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const double sa = score[static_cast<size_t>(a)], sb = score[static_cast<size_t>(b)];
    return sa != sb ? sa > sb : a > b;
  });
  std::vector<PositionRange> found;
  found.reserve(order.size());
  for (const int64_t p : order) found.emplace_back(p * length_, (p + 1) * length_);
  return found;
}

int64_t Bm25::memory_bytes() const {
  return index_.memory_bytes() + static_cast<int64_t>(open_.size() * sizeof(TokenId));
}

}  // namespace steno
