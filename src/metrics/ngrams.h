// Counting n-grams of words or token ids.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace steno {

struct ByElements {
  template <class T>
  bool operator()(std::span<const T> a, std::span<const T> b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};

// n-gram -> how often it stands in the sequences counted. The keys are views into those sequences.
template <class T>
using NgramCounts = std::map<std::span<const T>, int64_t, ByElements>;

template <class T>
void add_ngrams(NgramCounts<T>& counts, std::span<const T> sequence, size_t n) {
  for (size_t i = 0; i + n <= sequence.size(); ++i) ++counts[sequence.subspan(i, n)];
}

template <class T>
NgramCounts<T> count_ngrams(const std::vector<T>& sequence, size_t n) {
  NgramCounts<T> counts;
  add_ngrams<T>(counts, sequence, n);
  return counts;
}

// Sum over n-grams of the smaller count.
template <class T>
int64_t overlap(const NgramCounts<T>& a, const NgramCounts<T>& b) {
  int64_t common = 0;
  for (const auto& [ngram, count] : a)
    if (const auto found = b.find(ngram); found != b.end()) common += std::min(count, found->second);
  return common;
}

}  // namespace steno
