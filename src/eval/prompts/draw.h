// Drawing the random parts of prompts: keys, names, numbers, orders.
#pragma once
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace steno {

// One seed out of several numbers (a run's seed, a length, a trial, ...). Cells do not share their random numbers.
uint64_t mix_seeds(std::initializer_list<uint64_t> parts);
// Of a text: FNV-1a.
uint64_t seed_of(std::string_view text);

template <class T>
void shuffle(std::vector<T>& values, Random& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}
template <class T>
const T& draw(const std::vector<T>& values, Random& random) {
  return values[random.below(values.size())];
}
// `count` different indices below `n`, in random order; count <= n.
std::vector<size_t> draw_indices(size_t n, size_t count, Random& random);

// Draws until `make` gives a text that is not in `used`, and notes it there. Throws InputError, which names `what`,
// when 1,000 draws gave none.
std::string draw_new(const std::string& what, std::set<std::string>& used, Random& random,
                     std::string (*make)(Random&));

// "40275": exactly `digits` digits, the first not 0.
std::string random_number(int64_t digits, Random& random);
std::string random_uuid(Random& random);                // 8-4-4-4-12 hexadecimal digits
std::string random_letters(int64_t n, Random& random);  // lower case

}  // namespace steno
