// The ids of a text: all of them, or its first tokens and its newest ones.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

class TokenHistory {
 public:
  TokenHistory() = default;
  // Positions [0, start) and from `from` on; 0 and 0: nothing is missing.
  TokenHistory(std::vector<TokenId> held, int64_t start, int64_t from)
      : ids_(std::move(held)), start_(start), from_(from) {}

  int64_t seen() const { return from_ - start_ + static_cast<int64_t>(ids_.size()); }
  void append(std::span<const TokenId> tokens) { ids_.insert(ids_.end(), tokens.begin(), tokens.end()); }
  // Positions [first, end), all of them held.
  std::span<const TokenId> at(int64_t first, int64_t end) const {
    const int64_t row = first < start_ ? first : first - from_ + start_;
    return std::span(ids_).subspan(static_cast<size_t>(row), static_cast<size_t>(end - first));
  }
  // Drops positions [start, from). `start` is the same in every call and from <= seen().
  void forget(int64_t start, int64_t from) {
    const int64_t first = std::max(from_, start);
    if (from <= first) return;
    const auto gap = ids_.begin() + start;
    ids_.erase(gap, gap + (from - first));
    start_ = start;
    from_ = from;
  }
  std::span<const TokenId> held() const { return ids_; }
  int64_t memory_bytes() const { return static_cast<int64_t>(ids_.size() * sizeof(TokenId)); }
  int64_t allocated_bytes() const { return static_cast<int64_t>(ids_.capacity() * sizeof(TokenId)); }

 private:
  std::vector<TokenId> ids_;
  int64_t start_ = 0, from_ = 0;
};

}  // namespace steno
