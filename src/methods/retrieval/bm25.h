// BM25 over passages of equal length whose terms are token ids (Robertson and Zaragoza 2009, eq. 3.15). For a query
// with terms t_1 .. t_n (a term that stands twice counts twice) and a passage d among P,
//
//   score(d) = sum_i ln(1 + (P - df_i + 0.5) / (df_i + 0.5)) * tf_i (k1 + 1) / (tf_i + k1)
//
// The idf is the one of Lucene, which is never negative, so frequent tokens weigh next to nothing and no list of stop
// words is needed. Passages are equally long, so the length normalisation (b) is 1 and left out.
#pragma once
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "memory/reread_window.h"

namespace steno {

// Passage p is positions [p * length, (p + 1) * length). Not thread-safe.
class Bm25 : public PassageFinder {
 public:
  Bm25(int64_t length, double k1) : length_(length), k1_(k1) {}

  void append(std::span<const TokenId> tokens) override;
  // Passages with a score above 0, best first; of equal scores the later one. P, df and tf are those of the passages
  // before `before` alone.
  std::vector<PositionRange> find(std::span<const TokenId> query, int64_t before) const override;
  int64_t memory_bytes() const override;
  std::unique_ptr<PassageFinder> fork() const override { return std::make_unique<Bm25>(*this); }
  void clear() override { *this = Bm25(length_, k1_); }

  // Scores of the first `passages` passages, by passage.
  std::vector<double> scores(std::span<const TokenId> query, int64_t passages) const;

 private:
  struct Posting {
    int32_t passage, count;
  };
  int64_t length_;
  double k1_;
  std::vector<TokenId> open_;  // the passage that is not yet complete
  int64_t passages_ = 0;
  int64_t postings_ = 0;
  std::unordered_map<TokenId, std::vector<Posting>> terms_;  // by passage, ascending
};

}  // namespace steno
