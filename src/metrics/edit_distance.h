// Levenshtein distance and token accuracy: how exactly a text was reproduced.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "metrics/python_text.h"

namespace steno {

// Fewest insertions, deletions and substitutions that turn `a` into `b`. Symmetric. Time |a| * |b|, memory |b|.
template <class T>
int64_t edit_distance(std::span<const T> a, std::span<const T> b) {
  std::vector<int64_t> cost(b.size() + 1);  // from the part of `a` seen so far to the first j elements of `b`
  std::iota(cost.begin(), cost.end(), int64_t{0});
  for (const T& element : a) {
    int64_t diagonal = cost[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t substituted = diagonal + (element == b[j - 1] ? 0 : 1);
      diagonal = cost[j];
      cost[j] = std::min({substituted, cost[j] + 1, cost[j - 1] + 1});
    }
  }
  return cost.back();
}

// Divided by the longer length: 0 for equal texts (two empty ones too), 1 for texts with nothing in common.
template <class T>
double normalised_edit_distance(std::span<const T> a, std::span<const T> b) {
  const size_t longer = std::max(a.size(), b.size());
  return longer == 0 ? 0 : static_cast<double>(edit_distance(a, b)) / static_cast<double>(longer);
}

template <class T>
double normalised_edit_distance(const std::vector<T>& a, const std::vector<T>& b) {
  return normalised_edit_distance(std::span<const T>(a), std::span<const T>(b));
}

// Over characters (code points) of UTF-8 text.
inline double character_edit_distance(std::string_view a, std::string_view b) {
  const std::u32string left = to_characters(a), right = to_characters(b);
  return normalised_edit_distance(std::span<const char32_t>(left), std::span<const char32_t>(right));
}

// Share of the `target` positions at which `predicted` has the same token: under teacher forcing the two are of one
// length, otherwise a missing position counts as wrong. 0 for an empty target.
template <class T>
double token_accuracy(std::span<const T> predicted, std::span<const T> target) {
  const size_t common = std::min(predicted.size(), target.size());
  int64_t right = 0;
  for (size_t i = 0; i < common; ++i) right += predicted[i] == target[i];
  return target.empty() ? 0 : static_cast<double>(right) / static_cast<double>(target.size());
}

template <class T>
double token_accuracy(const std::vector<T>& predicted, const std::vector<T>& target) {
  return token_accuracy(std::span<const T>(predicted), std::span<const T>(target));
}

}  // namespace steno
