// BM25 over passages whose terms are token ids (Robertson and Zaragoza 2009, eq. 3.15). For a query with terms
// t_1 .. t_n (a term that stands twice counts twice) and a passage d among P,
//
//   score(d) = sum_i ln(1 + (P - df_i + 0.5) / (df_i + 0.5)) * tf_i (k1 + 1) / (tf_i + k1)
//
// The idf is the one of Lucene, which is never negative, so frequent tokens weigh next to nothing and no list of stop
// words is needed. Passages are taken to be equally long (spans of one length, the last of a text shorter), so the
// length normalisation (b) is 1 and left out.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "io/tokenizer.h"

namespace steno {

// Not thread-safe. Copies are independent.
class Bm25Index {
 public:
  explicit Bm25Index(double k1 = 1.2) : k1_(k1) {}

  void add_passage(std::span<const TokenId> tokens);
  int64_t passages() const { return passages_; }
  // Scores of the first `passages` passages, by passage; P, df and tf are those of these passages alone.
  std::vector<double> scores(std::span<const TokenId> query, int64_t passages) const;
  int64_t memory_bytes() const;

 private:
  struct Posting {
    int32_t passage, count;
  };
  double k1_;
  int64_t passages_ = 0, postings_ = 0;
  std::unordered_map<TokenId, std::vector<Posting>> terms_;  // by passage, ascending
};

}  // namespace steno
