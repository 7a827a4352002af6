// Distinct-n (Li et al. 2016): how varied a set of generated texts is.
#pragma once
#include <span>
#include <vector>

#include "metrics/ngrams.h"

namespace steno {

struct DistinctScore {
  int64_t distinct = 0, total = 0;
  // In [0, 1]; 0 when no text is long enough to hold an n-gram.
  double share() const { return total > 0 ? static_cast<double>(distinct) / static_cast<double>(total) : 0; }
};

// Corpus level: different n-grams of all texts over all their n-grams; no n-gram crosses from one text to the next.
// Falls as a corpus grows, so compare equal numbers of texts of like length. T: words (std::string) or token ids.
template <class T>
DistinctScore distinct_ngrams(std::span<const std::vector<T>> texts, size_t n) {
  NgramCounts<T> counts;
  for (const auto& text : texts) add_ngrams<T>(counts, text, n);
  DistinctScore score{static_cast<int64_t>(counts.size()), 0};
  for (const auto& [ngram, count] : counts) score.total += count;
  return score;
}

}  // namespace steno
