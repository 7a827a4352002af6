// Passages of equal length, found by BM25 (memory/bm25.h).
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "memory/bm25.h"
#include "memory/reread_window.h"

namespace steno {

// Passage p is positions [p * length, (p + 1) * length). Not thread-safe.
class Bm25 : public PassageFinder {
 public:
  Bm25(int64_t length, double k1) : length_(length), k1_(k1), index_(k1) {}

  void append(std::span<const TokenId> tokens) override;
  // Passages with a score above 0, best first; of equal scores the later one. P, df and tf are those of the passages
  // before `before` alone.
  std::vector<PositionRange> find(std::span<const TokenId> query, int64_t before) const override;
  int64_t memory_bytes() const override;
  std::unique_ptr<PassageFinder> fork() const override { return std::make_unique<Bm25>(*this); }
  void clear() override { *this = Bm25(length_, k1_); }

  // Scores of the first `passages` passages, by passage.
  std::vector<double> scores(std::span<const TokenId> query, int64_t passages) const {
    return index_.scores(query, passages);
  }

 private:
  int64_t length_;
  double k1_;
  std::vector<TokenId> open_;  // the passage that is not yet complete
  Bm25Index index_;
};

}  // namespace steno
