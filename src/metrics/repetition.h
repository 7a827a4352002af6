// How much generated texts repeat themselves, how long they are and whether they came to an end by themselves.
#pragma once
#include <span>
#include <vector>

#include "metrics/distinct.h"

namespace steno {

// Share of a text's n-grams that stood in it before: 1 - different / all, in [0, 1). 0 for a text that is too short to
// hold one. A model that loops comes near 1. T: words (std::string) or token ids.
template <class T>
double repetition_rate(const std::vector<T>& text, size_t n = 4) {
  const DistinctScore score = distinct_ngrams<T>({&text, 1}, n);
  return score.total > 0 ? 1 - score.share() : 0;
}

// Sums over responses; they add up, so they can be resampled.
struct ResponseShape {
  int64_t responses = 0;
  int64_t tokens = 0;         // generated, without the end token
  int64_t ended = 0;          // stopped at an end token and not at the limit of new tokens
  double repetition_sum = 0;  // of repetition_rate()

  template <class T>
  void add(const std::vector<T>& text, bool ended_by_itself) {
    ++responses;
    tokens += static_cast<int64_t>(text.size());
    ended += ended_by_itself;
    repetition_sum += repetition_rate(text);
  }
  // Per response, NaN when there are none.
  double mean_tokens() const { return static_cast<double>(tokens) / static_cast<double>(responses); }
  double end_share() const { return static_cast<double>(ended) / static_cast<double>(responses); }
  double mean_repetition() const { return repetition_sum / static_cast<double>(responses); }
};

}  // namespace steno
